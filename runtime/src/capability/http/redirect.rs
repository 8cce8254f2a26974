//! Where a redirect leads, by the rules of the Fetch standard ("HTTP-redirect fetch"), and what it leaves behind.

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, LOCATION};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use url::Url;

use super::request::check_url;

/// What describes a body, and goes with it (Fetch: "request-body-header name").
const OF_BODY: [HeaderName; 4] = [
    http::header::CONTENT_ENCODING,
    http::header::CONTENT_LANGUAGE,
    http::header::CONTENT_LOCATION,
    http::header::CONTENT_TYPE,
];

/// One request of a chain, ready to be sent.
#[derive(Clone)]
pub(super) struct Hop {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The body holds a secret.
    pub(super) secret_body: bool,
}

fn is_credential(name: &HeaderName) -> bool {
    *name == AUTHORIZATION || *name == COOKIE
}

/// Whether a reply asks to be followed.
pub(super) fn is_redirect(status: StatusCode, headers: &HeaderMap) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) && headers.contains_key(LOCATION)
}

/// Turns `hop` into the request that `status` and `headers` ask for. Says whether it goes to another origin: secrets and
/// credentials do not, and `auth` is not to be put on there.
///
/// The error completes the sentence "the redirect …".
pub(super) fn follow(hop: &mut Hop, status: StatusCode, headers: &HeaderMap) -> Result<bool, &'static str> {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let url = location.and_then(|location| hop.url.join(location).ok()).ok_or("leads to what is no URL")?;
    let url = check_url(url).map_err(|_| "leads to what is no plain http or https URL")?;
    if hop.url.scheme() == "https" && url.scheme() == "http" {
        return Err("leads from https to http, which is never followed");
    }
    let away = hop.url.origin() != url.origin();
    let to_get = match status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => hop.method == Method::POST,
        StatusCode::SEE_OTHER => hop.method != Method::GET && hop.method != Method::HEAD,
        _ => false,
    };
    if to_get {
        hop.method = Method::GET;
        hop.body = Bytes::new();
        hop.secret_body = false;
        for name in OF_BODY {
            hop.headers.remove(name);
        }
    }
    if away {
        if hop.secret_body {
            return Err("leads a secret in the body to another origin, which is never followed");
        }
        let kept = std::mem::take(&mut hop.headers);
        // What holds a secret is marked as sensitive. A name is told only with the first of its values.
        let mut last = None;
        for (name, value) in kept {
            last = name.or(last);
            if let Some(name) = last.as_ref().filter(|name| !value.is_sensitive() && !is_credential(name)) {
                hop.headers.append(name.clone(), value);
            }
        }
    }
    hop.url = url;
    Ok(away)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_never_gives_up_tls() {
        for (from, to, goes) in [
            ("https://a.example/", "http://a.example/", false),
            ("https://a.example/", "https://a.example/b", true),
            ("http://a.example/", "https://a.example/", true),
        ] {
            let url = Url::parse(from).unwrap();
            let mut hop =
                Hop { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new(), secret_body: false };
            let headers = HeaderMap::from_iter([(LOCATION, http::HeaderValue::from_static(to))]);
            assert_eq!(follow(&mut hop, StatusCode::FOUND, &headers).is_ok(), goes, "{from} to {to}");
        }
    }
}
