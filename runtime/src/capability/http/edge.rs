//! The edge: where handles become secrets, and only where each of them may go.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::utf8_percent_encode;
use url::Url;

use super::grant::{HttpGrant, host_of};
use super::redirect::Hop;
use super::request::{Auth, BodyPart, HttpError, parse_name, parse_url};
use crate::capability::secret::{CallSecrets, ENCODED, HANDLE_LEN, HANDLE_PREFIX, Places, Secret, json_escaped};
use crate::capability::section::{Section, list_line};
use crate::capability::sign::{AwsCredentials, FinalRequest, Key, SignError, aws_sigv4, standard_webhooks};
use crate::clock::Clock;

/// A part of a request that a secret may be put into.
#[derive(Clone, Copy)]
enum Place {
    Url,
    Header,
    Body,
    Auth,
    Signature,
}

impl Place {
    const fn allowed(self, places: Places) -> bool {
        match self {
            Self::Url => places.url,
            Self::Header => places.headers,
            Self::Body => places.body,
            Self::Auth => places.auth,
            // Who may have it put on may have it sign; and who may sign with it could set the header by itself.
            Self::Signature => places.auth || places.sign,
        }
    }

    /// What it is, and the word for it in a descriptor.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Url => ("in a URL", "url"),
            Self::Header => ("in a header", "headers"),
            Self::Body => ("in a body", "body"),
            Self::Auth => ("by `auth`", "auth"),
            Self::Signature => ("to sign a request", "auth"),
        }
    }
}

/// How a value is written where it is put.
#[derive(Clone, Copy)]
enum Spelling {
    Plain,
    Percent,
    Json,
}

impl Spelling {
    fn of_body(headers: &[(String, String)]) -> Self {
        let named = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE.as_str()));
        let essence = named.map(|(_, value)| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        match essence.as_deref() {
            Some("application/x-www-form-urlencoded") => Self::Percent,
            Some(essence) if essence.ends_with("/json") || essence.ends_with("+json") => Self::Json,
            _ => Self::Plain,
        }
    }

    fn push(self, text: &mut String, value: &str) {
        match self {
            Self::Plain => text.push_str(value),
            Self::Percent => text.extend(utf8_percent_encode(value, ENCODED)),
            Self::Json => text.push_str(&json_escaped(value)),
        }
    }
}

/// Puts the secrets of one call in place.
pub(super) struct Edge<'a> {
    pub(super) secrets: &'a CallSecrets,
    pub(super) clock: &'a dyn Clock,
    /// Where in the configuration the channel's secrets stand.
    pub(super) section: &'a Section,
}

impl Edge<'_> {
    /// The URL to send to: plain, a handle that stands for all of it, or with handles after the host.
    pub(super) fn url(&self, text: &str) -> Result<Url, HttpError> {
        if !text.contains(HANDLE_PREFIX) {
            return parse_url(text);
        }
        if is_handle(text) {
            let secret = self.find(text, Place::Url)?;
            let url = parse_url(secret.value.expose())
                .map_err(|_| HttpError::Invalid(format!("the secret `{}` is no http or https URL", secret.name)))?;
            self.may_go(secret, &url)?;
            return Ok(url);
        }
        let bare = parse_url(text)?;
        if bare.host_str().is_some_and(|host| host.contains(HANDLE_PREFIX)) {
            return Err(HttpError::Invalid("a handle stands in the host of the URL; it may stand after it".into()));
        }
        let placed = self.replace(bare.as_str(), Place::Url, Spelling::Percent, &bare)?.0;
        let url = parse_url(&placed)?;
        if url.origin() != bare.origin() {
            return Err(HttpError::Invalid("the URL with its secrets leads elsewhere".into()));
        }
        Ok(url)
    }

    /// Puts secrets into values of headers. What holds one is marked, so that it is left behind by a redirect.
    pub(super) fn headers(&self, headers: &mut HeaderMap, url: &Url) -> Result<(), HttpError> {
        for (name, value) in headers.iter_mut() {
            let Ok(text) = value.to_str() else { continue };
            if !text.contains(HANDLE_PREFIX) {
                continue;
            }
            let (placed, any) = self.replace(text, Place::Header, Spelling::Plain, url)?;
            if any {
                *value = sensitive(name, &placed)?;
            }
        }
        Ok(())
    }

    /// The body with secrets in its text, and whether there are any.
    pub(super) fn body(
        &self,
        parts: Vec<BodyPart>,
        headers: &[(String, String)],
        url: &Url,
    ) -> Result<(Bytes, bool), HttpError> {
        let mut any = false;
        let mut place = |part| match part {
            BodyPart::Text(text) if text.contains(HANDLE_PREFIX) => {
                let (placed, some) = self.replace(&text, Place::Body, Spelling::of_body(headers), url)?;
                any |= some;
                Ok(Bytes::from(placed))
            }
            BodyPart::Text(text) => Ok(text.into()),
            BodyPart::Bytes(bytes) => Ok(bytes),
        };
        // One part is the usual case and needs no copy.
        let mut parts = parts.into_iter();
        let Some(first) = parts.next() else { return Ok((Bytes::new(), false)) };
        let first = place(first)?;
        let Some(second) = parts.next() else { return Ok((first, any)) };
        let mut body = BytesMut::from(&first[..]);
        body.extend_from_slice(&place(second)?);
        for part in parts {
            body.extend_from_slice(&place(part)?);
        }
        Ok((body.freeze(), any))
    }

    /// Puts a credential on a request that nothing changes any more. Answers what else must be blanked out in the reply.
    pub(super) fn auth(&self, auth: &Auth, hop: &mut Hop) -> Result<Vec<String>, HttpError> {
        match auth {
            Auth::None => {}
            Auth::Bearer(token) => {
                let secret = self.find_for(token, Place::Auth, &hop.url)?;
                let value = format!("Bearer {}", secret.value.expose());
                hop.headers.insert(AUTHORIZATION, sensitive(&AUTHORIZATION, &value)?);
            }
            Auth::Basic { user, password } => {
                if user.contains(':') {
                    return Err(HttpError::Invalid("a user name with a colon cannot be sent".into()));
                }
                let secret = self.find_for(password, Place::Auth, &hop.url)?;
                let pair = format!("{user}:{}", secret.value.expose());
                let value = format!("Basic {}", STANDARD.encode(&pair));
                hop.headers.insert(AUTHORIZATION, sensitive(&AUTHORIZATION, &value)?);
                return Ok(vec![pair]);
            }
            Auth::Header { name, value } => {
                let name = parse_name(name)?;
                let secret = self.find_for(value, Place::Auth, &hop.url)?;
                let value = sensitive(&name, secret.value.expose())?;
                hop.headers.insert(name, value);
            }
            Auth::Query { name, value } => {
                let secret = self.find_for(value, Place::Auth, &hop.url)?;
                hop.url.query_pairs_mut().append_pair(name, secret.value.expose());
            }
            Auth::StandardWebhooks { id, keys } => {
                let secrets: Vec<_> =
                    keys.iter().map(|key| self.find_for(key, Place::Signature, &hop.url)).collect::<Result<_, _>>()?;
                let keys: Vec<_> = secrets.iter().map(|secret| key_of(secret)).collect();
                hop.headers.extend(standard_webhooks(id, self.clock.now(), &hop.body, &keys).map_err(unsigned)?);
            }
            Auth::AwsSigv4 { access_key_id, secret_key, session_token, region, service } => {
                let secret_key = self.find_for(secret_key, Place::Signature, &hop.url)?;
                // The token is sent; the key is not.
                let token = session_token.as_deref().map(|token| self.find_for(token, Place::Auth, &hop.url));
                let token = token.transpose()?;
                let credentials = AwsCredentials {
                    access_key_id,
                    secret_key: key_of(secret_key),
                    session_token: token.map(key_of),
                    region,
                    service,
                };
                let request = FinalRequest {
                    method: hop.method.as_str(),
                    url: &hop.url,
                    headers: &hop.headers,
                    body: &hop.body,
                    now: self.clock.now(),
                };
                let signed = aws_sigv4(&request, &credentials).map_err(unsigned)?;
                hop.headers.extend(signed);
            }
        }
        Ok(Vec::new())
    }

    /// `text` with secrets in the place of handles, and whether there were any.
    fn replace(&self, text: &str, place: Place, spelling: Spelling, url: &Url) -> Result<(String, bool), HttpError> {
        let mut placed = String::with_capacity(text.len());
        let (mut rest, mut any) = (text, false);
        while let Some(at) = rest.find(HANDLE_PREFIX) {
            let (before, from) = rest.split_at(at);
            placed.push_str(before);
            match from.get(..HANDLE_LEN).filter(|handle| is_handle(handle)) {
                Some(handle) => {
                    spelling.push(&mut placed, self.find_for(handle, place, url)?.value.expose());
                    rest = &from[HANDLE_LEN..];
                    any = true;
                }
                None => {
                    placed.push_str(HANDLE_PREFIX);
                    rest = &from[HANDLE_PREFIX.len()..];
                }
            }
        }
        placed.push_str(rest);
        Ok((placed, any))
    }

    fn find_for(&self, handle: &str, place: Place, url: &Url) -> Result<&Secret, HttpError> {
        let secret = self.find(handle, place)?;
        self.may_go(secret, url)?;
        Ok(secret)
    }

    fn find(&self, handle: &str, place: Place) -> Result<&Secret, HttpError> {
        let (how, word) = place.words();
        let secret = self.secrets.get(handle).ok_or_else(|| {
            HttpError::Invalid(format!("what is to be used {how} is no handle of a secret of this channel"))
        })?;
        if place.allowed(secret.places) {
            return Ok(secret);
        }
        Err(HttpError::Denied(format!(
            "the secret `{}` may not be used {how}; its plugin's descriptor has to name `{word}` among its places",
            secret.name
        )))
    }

    /// Whether the operator lets a secret go where `url` leads.
    fn may_go(&self, secret: &Secret, url: &Url) -> Result<(), HttpError> {
        let Some(hosts) = &secret.hosts else { return Ok(()) };
        if HttpGrant::is_among(&hosts.patterns, url) {
            return Ok(());
        }
        let (host, name, section) = (host_of(url), &secret.name, self.section);
        let line = list_line("hosts", &hosts.patterns, std::slice::from_ref(&host));
        Err(HttpError::Denied(format!(
            "the secret `{name}` may not go to `{host}`; write `{line}` for `{}` in `secrets` under {section}",
            hosts.key
        )))
    }
}

fn is_handle(text: &str) -> bool {
    let letters = text.strip_prefix(HANDLE_PREFIX).filter(|_| text.len() == HANDLE_LEN);
    letters.is_some_and(|letters| letters.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
}

fn sensitive(name: &HeaderName, value: &str) -> Result<HeaderValue, HttpError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        HttpError::Invalid(format!("a secret has characters that no value of a header such as `{name}` may have"))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn key_of(secret: &Secret) -> Key<'_> {
    Key { name: &secret.name, text: secret.value.expose() }
}

fn unsigned(error: SignError) -> HttpError {
    match error {
        SignError::Denied(reason) => HttpError::Denied(reason),
        SignError::Invalid(reason) | SignError::Unsupported(reason) => HttpError::Invalid(reason),
    }
}
