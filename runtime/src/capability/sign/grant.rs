//! Which channel signs with what: decided at load, counted per call.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::key::SigningKey;
use super::{Algorithm, Key, SignError, check_message, jwt};
use crate::capability::secret::{CallSecrets, ChannelSecrets, Places, Secret, SecretText};
use crate::capability::section::Section;
use crate::clock::Entropy;
use crate::config::SecretGrants;

/// Signatures of one call. A call needs one or two; each takes up to some milliseconds that no fuel counts.
pub const SIGNATURES_MAX: u32 = 16;

/// One thing a plugin asks of `sign`, as in its descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Algorithms.
    pub scope: &'a [String],
    /// The channel cannot work without it.
    pub required: bool,
}

/// The secrets that the operator gives a channel, as they are written.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// Where: refusals name it.
    pub section: &'a Section,
    /// Those that its plugin knows.
    pub secrets: &'a SecretGrants,
}

impl Written<'_> {
    /// The line that `secrets` has to be with one more of them.
    fn line_with(&self, name: &str) -> String {
        let written = self.secrets.iter().map(|(key, grant)| (key.clone(), grant.written()));
        let new = (name.to_owned(), toml::Value::from("env:NAME"));
        format!("secrets = {}", toml::Value::Table(written.chain([new]).collect()))
    }
}

/// Everything that keeps a channel from signing as its plugin needs to, in the order found; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct SignErrors(pub Vec<SignError>);

/// What one channel may sign with. Its keys are those of its secrets whose places include `sign`: the operator grants
/// one by writing its reference.
pub struct SignGrant {
    algorithms: BTreeSet<Algorithm>,
    entropy: Arc<Entropy>,
    /// By handle. A key of RSA takes a hundred times longer to read than HMAC takes to sign.
    keys: Mutex<HashMap<(String, Algorithm), Arc<SigningKey>>>,
}

impl fmt::Debug for SignGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignGrant").field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

impl SignGrant {
    /// Checks what a plugin asks for against the secrets that the operator has given the channel. `may_sign` are the
    /// names of the secrets with which the plugin wants to sign; `written` is what a refusal goes by.
    ///
    /// # Errors
    ///
    /// [`SignErrors`], where something required is not there; each says what would grant it.
    pub fn check(
        asked: &[Asked<'_>],
        may_sign: &[String],
        secrets: &ChannelSecrets,
        written: Written<'_>,
        entropy: Arc<Entropy>,
    ) -> Result<Self, SignErrors> {
        let (mut algorithms, mut problems) = (BTreeSet::new(), Vec::new());
        let mut needs_key = false;
        for Asked { scope, required } in asked {
            for word in *scope {
                match word.parse() {
                    Ok(algorithm) => drop(algorithms.insert(algorithm)),
                    Err(error) if *required => problems.push(error),
                    // One of a later version: the calls that want it are denied.
                    Err(_) => {}
                }
            }
            needs_key |= *required;
        }
        if needs_key && !secrets.all().any(|secret| secret.places.sign) {
            problems.push(SignError::Denied(match may_sign {
                [] => "its plugin asks for `sign`, and none of its secrets is for signing: give one the place `sign` \
                       in the plugin's descriptor"
                    .to_owned(),
                [name, ..] => format!(
                    "its plugin needs a key to sign with, which is not granted; write `{}` (or `\"file:/PATH\"`) \
                     under {}",
                    written.line_with(name),
                    written.section
                ),
            }));
        }
        if !problems.is_empty() {
            return Err(SignErrors(problems));
        }
        Ok(Self { algorithms, entropy, keys: Mutex::default() })
    }

    /// Opens `sign` for one call.
    #[must_use]
    pub fn open(self: &Arc<Self>) -> OpenSign {
        OpenSign { grant: Arc::clone(self), signatures: 0 }
    }

    fn key(&self, handle: &str, secret: &Secret, algorithm: Algorithm) -> Result<Arc<SigningKey>, SignError> {
        let at = (handle.to_owned(), algorithm);
        if let Some(key) = self.lock().get(&at) {
            return Ok(Arc::clone(key));
        }
        let key = Key { name: &secret.name, text: secret.value.expose() };
        let key = Arc::new(SigningKey::parse(algorithm, key)?);
        self.lock().insert(at, Arc::clone(&key));
        Ok(key)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, Algorithm), Arc<SigningKey>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `sign` for one call of a plugin.
#[derive(Debug)]
pub struct OpenSign {
    grant: Arc<SignGrant>,
    signatures: u32,
}

impl OpenSign {
    /// Signs with the key that `handle` stands for.
    ///
    /// # Errors
    ///
    /// [`SignError`] says what would grant it, or what is wrong with key, message or algorithm.
    pub fn sign(
        &mut self,
        secrets: &CallSecrets,
        handle: &str,
        algorithm: &str,
        message: &[u8],
    ) -> Result<Vec<u8>, SignError> {
        check_message(message)?;
        let (_, _, key) = self.take(secrets, handle, algorithm)?;
        key.sign(message)
    }

    /// Makes a token with the key that `handle` stands for, and answers a handle of the token: good for this call, for
    /// the hosts of the key, wherever a credential can stand.
    ///
    /// # Errors
    ///
    /// As [`sign`](Self::sign), and where header or claims are not JSON objects.
    pub fn jwt(
        &mut self,
        secrets: &mut CallSecrets,
        handle: &str,
        algorithm: &str,
        header: &str,
        claims: &str,
    ) -> Result<String, SignError> {
        let (algorithm, secret, key) = self.take(secrets, handle, algorithm)?;
        let token = jwt::token(algorithm, header, claims, |signed| key.sign(signed))?;
        let token = Secret {
            name: format!("{} (a token)", secret.name),
            value: SecretText::new(token),
            places: Places { url: true, headers: true, body: true, auth: true, sign: false },
            hosts: secret.hosts.clone(),
        };
        Ok(secrets.add(token, &self.grant.entropy))
    }

    fn take<'s>(
        &mut self,
        secrets: &'s CallSecrets,
        handle: &str,
        algorithm: &str,
    ) -> Result<(Algorithm, &'s Secret, Arc<SigningKey>), SignError> {
        let algorithm: Algorithm = algorithm.parse()?;
        if !self.grant.algorithms.contains(&algorithm) {
            return Err(SignError::Denied(format!(
                "the plugin's descriptor does not ask for `sign` with `{algorithm}`; its author adds `{algorithm}` to \
                 the scope of that need"
            )));
        }
        let secret = secrets.get(handle).ok_or_else(|| {
            SignError::Denied(
                "the key is no handle of this channel: a handle is what stands in the config where a \
                               secret belongs"
                    .to_owned(),
            )
        })?;
        if !secret.places.sign {
            let name = &secret.name;
            return Err(SignError::Denied(format!(
                "the secret `{name}` is not for signing; the plugin's author adds `sign` to its places in the descriptor"
            )));
        }
        if self.signatures >= SIGNATURES_MAX {
            return Err(SignError::Denied(format!("a call may sign {SIGNATURES_MAX} times; no setting changes that")));
        }
        self.signatures += 1;
        Ok((algorithm, secret, self.grant.key(handle, secret, algorithm)?))
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::capability::secret::SecretHosts;
    use crate::config::SecretGrant;

    const PEM: &str = include_str!("tests/rfc7515-a3-sec1.pem");

    fn secret(name: &str, value: &str, sign: bool) -> Secret {
        let places = Places { sign, auth: !sign, ..Places::default() };
        let hosts = SecretHosts { key: name.to_owned(), patterns: vec!["api.example.com".to_owned()] };
        let hosts = Some(Arc::new(hosts));
        Secret { name: name.to_owned(), value: SecretText::new(value), places, hosts }
    }

    fn check(
        asked: &[Asked<'_>],
        may_sign: &[String],
        secrets: &ChannelSecrets,
        written: &SecretGrants,
        entropy: Arc<Entropy>,
    ) -> Result<SignGrant, SignErrors> {
        let section = Section::of_channel(&"ops".parse().expect("a name"));
        SignGrant::check(asked, may_sign, secrets, Written { section: &section, secrets: written }, entropy)
    }

    /// A grant of these algorithms, the call's secrets, and handles of `hmac`, `pem` and `token`.
    fn opened(scope: &[&str]) -> (OpenSign, CallSecrets, [String; 3]) {
        let entropy = Arc::new(Entropy::fixed(5));
        let mut secrets = ChannelSecrets::none();
        let handles = [("hmac", "Jefe", true), ("pem", PEM, true), ("token", "canary", false)]
            .map(|(name, value, sign)| secrets.add(secret(name, value, sign), &entropy));
        let scope: Vec<_> = scope.iter().map(|word| (*word).to_owned()).collect();
        let asked = Asked { scope: &scope, required: true };
        let grant = check(&[asked], &[], &secrets, &SecretGrants::new(), entropy).expect("granted");
        (Arc::new(grant).open(), CallSecrets::of_channel(Arc::new(secrets)), handles)
    }

    #[test]
    fn a_granted_key_signs_and_the_plugin_sees_the_signature_alone() {
        let (mut open, secrets, [hmac, ..]) = opened(&["hmac-sha1"]);
        let signature = open.sign(&secrets, &hmac, "hmac-sha1", b"what do ya want for nothing?").expect("signs");
        assert_eq!(hex::encode(signature), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    }

    #[test]
    fn a_token_comes_back_as_a_handle_for_the_hosts_of_its_key() {
        let (mut open, mut secrets, [_, pem, _]) = opened(&["es256"]);
        let handle = open.jwt(&mut secrets, &pem, "es256", "{}", r#"{"iss":"joe"}"#).expect("signs");
        let token = secrets.get(&handle).expect("it was registered");
        let hosts = token.hosts.as_deref().expect("as those of its key");
        assert_eq!((hosts.key.as_str(), hosts.patterns.as_slice()), ("pem", ["api.example.com".to_owned()].as_slice()));
        assert!(token.places.url && token.places.headers && token.places.body && token.places.auth);
        assert!(token.value.expose().starts_with("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UifQ."));
        assert_eq!(token.name, "pem (a token)");
        let told = open.sign(&secrets, &handle, "es256", b"").expect_err("a token is no key").to_string();
        assert!(told.contains("not for signing"), "{told}");
    }

    #[test]
    fn what_is_not_granted_is_denied_with_what_would_grant_it() {
        let (mut open, secrets, [hmac, _, token]) = opened(&["hmac-sha256"]);
        let mut told = |handle: &str, algorithm: &str| {
            open.sign(&secrets, handle, algorithm, b"x").expect_err("is refused").to_string()
        };
        let mut messages = vec![
            told(&hmac, "rs256"),
            told("csec_aaaaaaaaaaaaaaaaaaaaaaaaaa", "hmac-sha256"),
            told(&token, "hmac-sha256"),
            told(&hmac, "rot13"),
        ];
        let nothing = ChannelSecrets::none();
        let token =
            SecretGrant { from: "env:TOKEN".parse().expect("it is one"), hosts: Some(vec!["a.example".to_owned()]) };
        let written = SecretGrants::from([("token".to_owned(), token)]);
        let mut refused = |scope: &[&str], names: &[&str]| {
            let scope: Vec<_> = scope.iter().map(|word| (*word).to_owned()).collect();
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let asked = Asked { scope: &scope, required: true };
            let checked = check(&[asked], &names, &nothing, &written, Arc::new(Entropy::fixed(1)));
            messages.push(checked.expect_err("is refused").to_string());
        };
        refused(&["es256"], &["signing_key"]);
        refused(&["es256"], &[]);
        refused(&["es512", "rot13"], &["signing_key"]);
        assert_snapshot!(messages.join("\n"), @r#"
        denied: the plugin's descriptor does not ask for `sign` with `rs256`; its author adds `rs256` to the scope of that need
        denied: the key is no handle of this channel: a handle is what stands in the config where a secret belongs
        denied: the secret `token` is not for signing; the plugin's author adds `sign` to its places in the descriptor
        unsupported: the algorithm `rot13` is not known; known are `hmac-sha1`, `hmac-sha256`, `hmac-sha512`, `ed25519`, `es256`, `rs256`
        denied: its plugin needs a key to sign with, which is not granted; write `secrets = { signing_key = "env:NAME", token = { from = "env:TOKEN", hosts = ["a.example"] } }` (or `"file:/PATH"`) under [channels.ops]
        denied: its plugin asks for `sign`, and none of its secrets is for signing: give one the place `sign` in the plugin's descriptor
        unsupported: the algorithm `es512` is not known; known are `hmac-sha1`, `hmac-sha256`, `hmac-sha512`, `ed25519`, `es256`, `rs256`; unsupported: the algorithm `rot13` is not known; known are `hmac-sha1`, `hmac-sha256`, `hmac-sha512`, `ed25519`, `es256`, `rs256`; denied: its plugin needs a key to sign with, which is not granted; write `secrets = { signing_key = "env:NAME", token = { from = "env:TOKEN", hosts = ["a.example"] } }` (or `"file:/PATH"`) under [channels.ops]
        "#);
    }

    #[test]
    fn a_call_signs_so_often_and_no_more() {
        let (mut open, secrets, [hmac, ..]) = opened(&["hmac-sha256"]);
        for _ in 0..SIGNATURES_MAX {
            open.sign(&secrets, &hmac, "hmac-sha256", b"x").expect("signs");
        }
        let told = open.sign(&secrets, &hmac, "hmac-sha256", b"x").expect_err("one too many").to_string();
        assert_eq!(told, "denied: a call may sign 16 times; no setting changes that");
    }

    #[test]
    fn what_is_optional_and_not_there_is_denied_when_it_is_used() {
        let scope = ["es512".to_owned()];
        let asked = Asked { scope: &scope, required: false };
        let entropy = Arc::new(Entropy::fixed(1));
        let grant = check(&[asked], &[], &ChannelSecrets::none(), &SecretGrants::new(), entropy).expect("loads");
        let told = Arc::new(grant).open().sign(&CallSecrets::default(), "x", "es256", b"").expect_err("denied");
        assert!(matches!(told, SignError::Denied(_)), "{told}");
    }
}
