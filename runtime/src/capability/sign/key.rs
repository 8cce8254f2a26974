//! From the text of a secret to a key that signs.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use super::{Algorithm, Key, SignError};

/// RSA keys below this are refused everywhere (RFC 7518, 3.3); above it a signature takes tens of milliseconds, on a
/// thread that others wait for.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// Of an Ed25519 key, in bytes.
const SEED_BYTES: usize = 32;

/// A key, ready to sign.
#[allow(clippy::large_enum_variant, reason = "made for one signature, on the stack")]
pub(super) enum SigningKey {
    Hmac(hmac::Key),
    Ed25519(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

impl SigningKey {
    pub(super) fn parse(algorithm: Algorithm, key: Key<'_>) -> Result<Self, SignError> {
        let unfit = |expected| key.unfit(algorithm.as_str(), expected);
        match algorithm {
            Algorithm::HmacSha1 => keyed(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key, algorithm),
            Algorithm::HmacSha256 => keyed(hmac::HMAC_SHA256, key, algorithm),
            Algorithm::HmacSha512 => keyed(hmac::HMAC_SHA512, key, algorithm),
            Algorithm::Ed25519 => {
                let expected = "an Ed25519 key: PKCS#8 in PEM, or 32 bytes in base64 or hex";
                ed25519(key.text).map(Self::Ed25519).ok_or_else(|| unfit(expected))
            }
            Algorithm::Es256 => {
                let expected = "a private key on P-256 in PEM, as PKCS#8 or SEC1";
                es256(key.text).map(Self::Es256).ok_or_else(|| unfit(expected))
            }
            Algorithm::Rs256 => {
                let expected = "an RSA private key of 2048 to 4096 bits in PEM, as PKCS#8 or PKCS#1";
                rs256(key.text).map(Self::Rs256).ok_or_else(|| unfit(expected))
            }
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let failed = |_| SignError::Invalid("the key cannot be used to sign".into());
        match self {
            Self::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Self::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
            Self::Es256(key) => {
                let signature = key.sign(&SystemRandom::new(), message).map_err(failed)?;
                Ok(signature.as_ref().to_vec())
            }
            Self::Rs256(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

fn keyed(hash: hmac::Algorithm, key: Key<'_>, algorithm: Algorithm) -> Result<SigningKey, SignError> {
    if key.text.is_empty() {
        return Err(key.unfit(algorithm.as_str(), "a key that is not empty"));
    }
    Ok(SigningKey::Hmac(hmac::Key::new(hash, key.text.as_bytes())))
}

/// Base64 of either alphabet, with or without padding.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    GeneralPurpose::new(alphabet, config).decode(text).ok()
}

/// An Ed25519 key of 32 bytes (the seed), or of 64 (the public key after it, which has to be the seed's).
pub(super) fn ed25519_of_bytes(bytes: &[u8]) -> Option<Ed25519KeyPair> {
    let (seed, public) = bytes.split_at_checked(SEED_BYTES)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
    (public.is_empty() || public == pair.public_key().as_ref()).then_some(pair)
}

fn ed25519(text: &str) -> Option<Ed25519KeyPair> {
    if let Some(PrivateKeyDer::Pkcs8(der)) = pem(text) {
        return Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).ok();
    }
    let text = text.trim();
    let bytes = if text.len() == 2 * SEED_BYTES { hex::decode(text).ok()? } else { decode_base64(text)? };
    (bytes.len() == SEED_BYTES).then(|| ed25519_of_bytes(&bytes)).flatten()
}

fn es256(text: &str) -> Option<EcdsaKeyPair> {
    let der = match pem(text)? {
        PrivateKeyDer::Pkcs8(der) => der.secret_pkcs8_der().to_vec(),
        PrivateKeyDer::Sec1(der) => der.secret_sec1_der().to_vec(),
        _ => return None,
    };
    EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).ok()
}

fn rs256(text: &str) -> Option<RsaKeyPair> {
    let pair = match pem(text)? {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok()?,
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).ok()?,
        _ => return None,
    };
    RSA_BITS.contains(&(pair.public_modulus_len() * 8)).then_some(pair)
}

/// The first private key in a PEM text.
fn pem(text: &str) -> Option<PrivateKeyDer<'static>> {
    // An environment variable of one line, as people copy them out of JSON.
    if text.contains("\\n") && !text.contains('\n') {
        return PrivateKeyDer::from_pem_slice(text.replace("\\n", "\n").as_bytes()).ok();
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes()).ok()
}
