use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use insta::assert_snapshot;

use super::super::{LOCK_FILE, LockEntry};
use super::*;

/// RFC 8032, 7.1, test 2.
const KEY: &str = include_str!("../../capability/sign/tests/rfc8032-test2-pkcs8.pem");
const CONTENT: &[u8] = b"a plugin";

struct Rig {
    dir: tempfile::TempDir,
    file: PathBuf,
    key: KeyPair,
    plugins: PluginsConfig,
}

/// A file in the operator's own folder, and the key that is trusted there.
fn rig(trust: Trust) -> Rig {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("acme.wasm");
    fs::write(&file, CONTENT).expect("writes");
    let path = dir.path().join("key.pem");
    fs::write(&path, KEY).expect("writes");
    let key = KeyPair::read(&path).expect("a key");
    let plugins = PluginsConfig {
        dir: dir.path().to_owned(),
        trust,
        trusted_keys: vec![key.public()],
        ..PluginsConfig::default()
    };
    Rig { dir, file, key, plugins }
}

impl Rig {
    fn vet(&self) -> Result<Vetted, TrustError> {
        vet(&self.plugins, &self.file, Sha256::of(CONTENT))
    }

    fn refusal(&self) -> String {
        let told = self.vet().expect_err("is refused").to_string();
        told.replace(&self.dir.path().display().to_string(), "DIR")
    }
}

#[test]
fn a_signed_file_is_trusted_and_its_signature_is_one_line() {
    let rig = rig(Trust::Require);
    let path = sign_file(&rig.file, Sha256::of(CONTENT), &rig.key).expect("signs");
    assert_eq!(path, rig.dir.path().join("acme.wasm.sig"));
    assert_eq!(rig.vet(), Ok(Vetted { signed_by: Some(rig.key.public()), warnings: Vec::new() }));
    let line = fs::read_to_string(path).expect("reads");
    assert_snapshot!(line, @r"
    campanile-sig-v1 ed25519:PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw= IK5cPpj2YklVhtLLtrqVZfIjRVCGnQMCOnoXvxTOQfsoI9kO47b9k0MlAH3AqQaKNqbetzZoq47OGttJYWrYAQ==
    ");
}

#[test]
fn what_is_not_signed_by_somebody_trusted_is_refused_with_what_to_do() {
    let mut rig = rig(Trust::Require);
    let mut told = vec![rig.refusal()];
    sign_file(&rig.file, Sha256::of(b"another"), &rig.key).expect("signs");
    told.push(rig.refusal());
    fs::write(signature_path(&rig.file), "trust me").expect("writes");
    told.push(rig.refusal());
    sign_file(&rig.file, Sha256::of(CONTENT), &rig.key).expect("signs");
    rig.plugins.trusted_keys = vec![TrustedKey([7; 32])];
    told.push(rig.refusal());
    assert_snapshot!(told.join("\n"), @r#"
    it is not signed: there is no `acme.wasm.sig`; sign it with `campanile plugins sign acme.wasm --key KEYFILE`, or set `trust = "off"` in `[plugins]`
    its signature with `ed25519:PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=` is of another file: get both again from where they came, or have it signed again
    its signature is none: expected one line `campanile-sig-v1 ed25519:KEY SIGNATURE`; have it signed again
    it is signed with `ed25519:PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=`, which is not trusted; if you know whose key that is, add it: `trusted_keys = ["ed25519:PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="]` in `[plugins]`
    "#);
}

#[test]
fn a_signature_made_for_something_else_does_not_count() {
    let rig = rig(Trust::Require);
    let sha256 = Sha256::of(CONTENT);
    let bare: [u8; 64] = rig.key.0.sign(&sha256.0).as_ref().try_into().expect("64 bytes");
    assert!(!Signature { key: rig.key.public(), bytes: bare }.holds(sha256));
    assert!(rig.key.sign(sha256).holds(sha256));
}

#[test]
fn with_warn_the_same_is_a_warning_and_with_off_nothing() {
    let warned = rig(Trust::Warn).vet().expect("is loaded");
    assert_eq!(warned.signed_by, None);
    assert!(warned.warnings[0].starts_with("it is not signed"), "{warned:?}");
    assert_eq!(rig(Trust::Off).vet(), Ok(Vetted::default()));
}

#[test]
fn a_file_of_the_program_is_not_asked() {
    let rig = rig(Trust::Require);
    let bundled = Path::new("/usr/lib/campanile/plugins/acme.wasm");
    assert_eq!(vet(&rig.plugins, bundled, Sha256::of(CONTENT)), Ok(Vetted::default()));
}

#[test]
fn a_file_that_the_lock_has_otherwise_is_refused_or_warned_of() {
    for trust in Trust::ALL {
        let rig = rig(trust);
        sign_file(&rig.file, Sha256::of(CONTENT), &rig.key).expect("signs");
        let mut lock = Lock::default();
        lock.put(LockEntry {
            name: "acme".into(),
            version: "1.0.0".into(),
            source: "https://plugins.example.com/acme.wasm".into(),
            sha256: Sha256::of(b"another").to_string(),
            digest: None,
            signed_by: None,
            added_at: "2026-11-21T11:00:00.000Z".into(),
        });
        lock.write(rig.dir.path()).expect("writes");
        let told = match rig.vet() {
            Ok(vetted) => {
                assert_ne!(trust, Trust::Require);
                vetted.warnings.join("\n")
            }
            Err(error) => {
                assert_eq!(trust, Trust::Require);
                error.to_string()
            }
        };
        assert!(told.contains("is not the file that `plugins.lock` has for `acme`"), "{told}");
        fs::write(rig.dir.path().join(LOCK_FILE), "broken").expect("writes");
        assert_eq!(rig.vet().is_err(), trust == Trust::Require);
    }
}

#[test]
fn every_reason_for_mistrust_and_for_no_key_says_what_to_do() {
    let key = rig(Trust::Require).key.public();
    let mut errors = Vec::new();
    loop {
        errors.push(match errors.last() {
            None => TrustError::Unsigned { file: "acme.wasm".to_owned() },
            Some(TrustError::Unsigned { .. }) => TrustError::Malformed,
            Some(TrustError::Malformed) => TrustError::Unreadable { reason: "permission denied".to_owned() },
            Some(TrustError::Unreadable { .. }) => TrustError::Stranger { key },
            Some(TrustError::Stranger { .. }) => TrustError::Wrong { key },
            Some(TrustError::Wrong { .. }) => TrustError::Lock("the sentence about the lock".to_owned()),
            Some(TrustError::Lock(_)) => break,
        });
    }
    let mut keys = Vec::new();
    loop {
        keys.push(match keys.last() {
            None => KeyError::Exists { path: "release.pem".into() },
            Some(KeyError::Exists { .. }) => {
                KeyError::Io { path: "release.pem".into(), source: io::ErrorKind::PermissionDenied.into() }
            }
            Some(KeyError::Io { .. }) => KeyError::NotAKey { path: "release.pem".into() },
            Some(KeyError::NotAKey { .. }) => KeyError::NoRandomness,
            Some(KeyError::NoRandomness) => break,
        });
    }
    let told: Vec<_> = errors.iter().map(ToString::to_string).chain(keys.iter().map(ToString::to_string)).collect();
    assert_snapshot!(told.join("\n"), @r#"
    it is not signed: there is no `acme.wasm.sig`; sign it with `campanile plugins sign acme.wasm --key KEYFILE`, or set `trust = "off"` in `[plugins]`
    its signature is none: expected one line `campanile-sig-v1 ed25519:KEY SIGNATURE`; have it signed again
    its signature cannot be read: permission denied; let this program read the file, or have it signed again
    it is signed with `ed25519:PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=`, which is not trusted; if you know whose key that is, add it: `trusted_keys = ["ed25519:PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="]` in `[plugins]`
    its signature with `ed25519:PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=` is of another file: get both again from where they came, or have it signed again
    the sentence about the lock
    there is a file `release.pem` already; name another
    `release.pem` cannot be read or written
    `release.pem` is no Ed25519 key as PKCS#8 in PEM; `campanile plugins keygen FILE` makes one
    no key could be made
    "#);
}

#[test]
fn a_new_key_is_kept_from_others_and_never_written_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("release.pem");
    let key = KeyPair::generate(&path).expect("a key");
    assert_eq!(fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(KeyPair::read(&path).expect("reads").public(), key.public());
    assert!(matches!(KeyPair::generate(&path), Err(KeyError::Exists { .. })));
    fs::write(&path, "no key").expect("writes");
    assert!(matches!(KeyPair::read(&path), Err(KeyError::NotAKey { .. })));
    let debug = format!("{key:?}");
    assert_eq!(debug, format!("KeyPair({})", key.public()));
}
