//! Signed tokens: JWS in its compact form (RFC 7515), as OAuth and push providers want them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::key::SigningKey;
use super::{Algorithm, Key, SignError};

/// The longest header, and the longest claims, in bytes. Servers commonly refuse headers beyond 8 KiB, and a token goes
/// into one.
const PART_BYTES_MAX: usize = 16 << 10;

/// A token: `header` with its `alg` set, `claims` byte for byte as they are, and the signature over both.
///
/// # Errors
///
/// [`SignError::Unsupported`] for an algorithm other than `es256` and `rs256`; [`SignError::Invalid`] where the key does
/// not fit, a part is not a JSON object or has over 16 KiB, or the header names another algorithm.
pub fn jwt(algorithm: Algorithm, key: Key<'_>, header: &str, claims: &str) -> Result<String, SignError> {
    token(algorithm, header, claims, |signed| SigningKey::parse(algorithm, key)?.sign(signed))
}

/// The same, with whatever signs.
pub(super) fn token(
    algorithm: Algorithm,
    header: &str,
    claims: &str,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, SignError>,
) -> Result<String, SignError> {
    let name = match algorithm {
        Algorithm::Es256 => "ES256",
        Algorithm::Rs256 => "RS256",
        Algorithm::HmacSha1 | Algorithm::HmacSha256 | Algorithm::HmacSha512 | Algorithm::Ed25519 => {
            return Err(SignError::Unsupported(format!(
                "a token cannot be signed with `{algorithm}`; use `es256` or `rs256`"
            )));
        }
    };
    let mut header = object("header", header)?;
    if header.get("alg").is_some_and(|written| written != name) {
        let message = format!("the token's header has another `alg` than `{name}`; leave it out, the host sets it");
        return Err(SignError::Invalid(message));
    }
    header.insert("alg".to_owned(), name.into());
    object("claims", claims)?;
    let header = URL_SAFE_NO_PAD.encode(Value::Object(header).to_string());
    let mut token = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let signature = sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

fn object(what: &str, text: &str) -> Result<Map<String, Value>, SignError> {
    if text.len() > PART_BYTES_MAX {
        let length = text.len();
        return Err(SignError::Invalid(format!(
            "{length} bytes of {what} in a token, the limit is {PART_BYTES_MAX}; no setting changes that"
        )));
    }
    serde_json::from_str(text).map_err(|error| {
        SignError::Invalid(format!(
            "no JSON object as {what} of a token: line {}, column {}",
            error.line(),
            error.column()
        ))
    })
}
