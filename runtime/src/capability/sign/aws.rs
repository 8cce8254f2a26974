//! AWS Signature Version 4, as a header. Written here: the crate for it brings a runtime of its own and a second crypto
//! library.
//!
//! Source: AWS, "Create a signed AWS API request".

use aws_lc_rs::{digest, hmac};
use http::{HeaderMap, HeaderName};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::{Url, form_urlencoded};

use super::{Key, SignError, SignedHeaders, sensitive};
use crate::domain::Timestamp;

/// A request that nothing changes any more but the headers of its signature.
#[derive(Clone, Copy, Debug)]
pub struct FinalRequest<'a> {
    /// A token, such as `POST`.
    pub method: &'a str,
    /// Where to.
    pub url: &'a Url,
    /// All that the plugin has set. Of what the connection adds, `host` is signed too.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a [u8],
    /// When it is sent.
    pub now: Timestamp,
}

/// Who signs, and for what.
#[derive(Clone, Copy, Debug)]
pub struct AwsCredentials<'a> {
    /// Names the key; no secret.
    pub access_key_id: &'a str,
    /// The key.
    pub secret_key: Key<'a>,
    /// Of temporary credentials.
    pub session_token: Option<Key<'a>>,
    /// Such as `eu-central-1`.
    pub region: &'a str,
    /// Such as `ses`.
    pub service: &'a str,
}

/// Headers that are changed on the way, or belong to somebody else on it.
const UNSIGNED: [&str; 5] = ["authorization", "traceparent", "tracestate", "user-agent", "x-amzn-trace-id"];
/// Headers that the signature sets.
const OURS: [&str; 3] = ["x-amz-content-sha256", "x-amz-date", "x-amz-security-token"];

/// What RFC 3986 calls unreserved stays; everything else is written as bytes.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The headers `authorization` and `x-amz-date`, with `x-amz-security-token` where there is one, and
/// `x-amz-content-sha256` for S3.
///
/// # Errors
///
/// [`SignError::Invalid`] where the access key's id, the region or the service has characters that none has, or a secret
/// is empty.
pub fn aws_sigv4(request: &FinalRequest<'_>, credentials: &AwsCredentials<'_>) -> Result<SignedHeaders, SignError> {
    let AwsCredentials { access_key_id, secret_key, session_token, region, service } = *credentials;
    word("access key's id", access_key_id)?;
    word("region", region)?;
    word("service", service)?;
    for key in [Some(secret_key), session_token].into_iter().flatten() {
        if key.text.is_empty() {
            return Err(key.unfit("aws-sigv4", "a value that is not empty"));
        }
    }
    let is_s3 = service.starts_with("s3");
    let (date, instant) = instants(request.now);
    let payload = sha256(request.body);
    let mut ours = vec![("x-amz-date", instant.clone())];
    if is_s3 {
        ours.push(("x-amz-content-sha256", payload.clone()));
    }
    if let Some(token) = session_token {
        ours.push(("x-amz-security-token", token.text.trim().to_owned()));
    }
    let headers = canonical_headers(request, &ours);
    let signed = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let path = canonical_path(request.url, is_s3);
    let query = canonical_query(request.url);
    let method = request.method;
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{signed}\n{payload}");
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let to_sign = format!("{ALGORITHM}\n{instant}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let key = [date.as_str(), region, service, "aws4_request"]
        .iter()
        .fold(format!("AWS4{}", secret_key.text.trim()).into_bytes(), |key, part| hmac_sha256(&key, part.as_bytes()));
    let signature = hex::encode(hmac_sha256(&key, to_sign.as_bytes()));
    let authorization =
        format!("{ALGORITHM} Credential={access_key_id}/{scope}, SignedHeaders={signed}, Signature={signature}");
    ours.push(("authorization", authorization));
    ours.iter().map(|(name, value)| sensitive(name, value)).collect()
}

/// What goes into the scope, where a slash or a line's end would change its meaning.
fn word(what: &str, text: &str) -> Result<(), SignError> {
    let fits = (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if fits {
        return Ok(());
    }
    Err(SignError::Invalid(format!("the {what} for AWS is not 1 to 128 of `A-Z`, `a-z`, `0-9`, `-`, `_`")))
}

/// `20150830` and `20150830T123600Z`.
fn instants(now: Timestamp) -> (String, String) {
    let text = now.to_string();
    let basic: String = text.chars().take_while(|c| *c != '.').filter(|c| !matches!(c, '-' | ':')).collect();
    (basic.chars().take(8).collect(), format!("{basic}Z"))
}

/// Every header that is signed, by name; of several of a name, the values in order.
fn canonical_headers(request: &FinalRequest<'_>, ours: &[(&str, String)]) -> Vec<(String, String)> {
    let host = request.url.host_str().unwrap_or_default();
    let port = request.url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let mut headers = vec![("host".to_owned(), format!("{host}{port}"))];
    headers.extend(ours.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let theirs = |name: &&HeaderName| {
        let name = name.as_str();
        !UNSIGNED.contains(&name) && !OURS.contains(&name) && name != "host"
    };
    for name in request.headers.keys().filter(theirs) {
        let values = request.headers.get_all(name).iter();
        let values = values.map(|value| single_spaced(&String::from_utf8_lossy(value.as_bytes()))).collect::<Vec<_>>();
        headers.push((name.as_str().to_owned(), values.join(",")));
    }
    headers.sort();
    headers
}

fn single_spaced(value: &str) -> String {
    value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// S3 takes a path as it is; everybody else writes it as bytes once more, with no empty parts.
pub(super) fn canonical_path(url: &Url, is_s3: bool) -> String {
    if is_s3 {
        let plain = percent_decode_str(url.path()).collect::<Vec<u8>>();
        return percent_encoding::percent_encode(&plain, RESERVED_IN_PATH).to_string();
    }
    let mut path = String::with_capacity(url.path().len());
    for part in url.path().split('/').filter(|part| !part.is_empty()) {
        path.push('/');
        path.extend(utf8_percent_encode(part, RESERVED));
    }
    if path.is_empty() || url.path().ends_with('/') {
        path.push('/');
    }
    path
}

fn canonical_query(url: &Url) -> String {
    let written = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    let pairs = form_urlencoded::parse(url.query().unwrap_or_default().as_bytes());
    let mut pairs: Vec<_> = pairs.map(|(name, value)| (written(&name), written(&value))).collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}
