//! Published vectors, and what is refused.

mod aws;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use insta::assert_snapshot;

use super::*;
use crate::domain::Timestamp;

const RSA_PKCS1: &str = include_str!("tests/rfc7515-a2-pkcs1.pem");
const RSA_PKCS8: &str = include_str!("tests/rfc7515-a2-pkcs8.pem");
const RSA_1024: &str = include_str!("tests/rsa-1024.pem");
const P256_SEC1: &str = include_str!("tests/rfc7515-a3-sec1.pem");
const P256_PKCS8: &str = include_str!("tests/rfc7515-a3-pkcs8.pem");
const ED25519_PKCS8: &str = include_str!("tests/rfc8032-test2-pkcs8.pem");

/// RFC 7515, A.3: an uncompressed point.
const P256_PUBLIC: &str = "047fcdce2770f6c45d4183cbee6fdb4b7b580733357be9ef13bacf6e3c7bd15445c7f144cd1bbd9b7e872cdfedb9eeb9f4\
                           b3695d6ea90b24ad8a4623288588e5ad";
/// RFC 8032, 7.1, test 2.
const ED25519_SEED: &str = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
const ED25519_PUBLIC: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
/// RFC 7515, A.2 and A.3.
const CLAIMS: &str = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";

fn key(text: &str) -> Key<'_> {
    Key { name: "signing_key", text }
}

fn hex_of(algorithm: Algorithm, text: &str, message: &[u8]) -> String {
    hex::encode(sign(algorithm, key(text), message).expect("signs"))
}

fn refused<T: fmt::Debug>(result: Result<T, SignError>) -> String {
    result.expect_err("is refused").to_string()
}

#[test]
fn hmac_is_as_rfc_2202_and_rfc_4231_have_it() {
    let bytes = "\u{b}".repeat(20);
    let question = b"what do ya want for nothing?";
    for (algorithm, text, message, expected) in [
        (Algorithm::HmacSha1, bytes.as_str(), b"Hi There".as_slice(), "b617318655057264e28bc0b6fb378c8ef146be00"),
        (Algorithm::HmacSha1, "Jefe", question, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (
            Algorithm::HmacSha256,
            &bytes,
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (Algorithm::HmacSha256, "Jefe", question, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            Algorithm::HmacSha512,
            &bytes,
            b"Hi There",
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde\
             daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
        ),
        (
            Algorithm::HmacSha512,
            "Jefe",
            question,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
             9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ] {
        assert_eq!(hex_of(algorithm, text, message), expected, "{algorithm}");
    }
}

#[test]
fn ed25519_is_as_rfc_8032_has_it_whichever_way_the_key_is_written() {
    let base64 = STANDARD.encode(hex::decode(ED25519_SEED).expect("hex"));
    let url_safe = URL_SAFE_NO_PAD.encode(hex::decode(ED25519_SEED).expect("hex"));
    for text in [ED25519_SEED, &base64, &url_safe, &format!("{base64}\n"), ED25519_PKCS8] {
        assert_eq!(
            hex_of(Algorithm::Ed25519, text, &[0x72]),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        );
    }
}

#[test]
fn rs256_is_as_rfc_7515_has_it_also_in_a_key_of_one_line() {
    let one_line = RSA_PKCS8.replace('\n', "\\n");
    for text in [RSA_PKCS1, RSA_PKCS8, &one_line] {
        assert_eq!(
            jwt(Algorithm::Rs256, key(text), "{}", CLAIMS).expect("signs"),
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290\
             Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5ju\
             jGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRm\
             B_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5A\
             XLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
        );
    }
}

#[test]
fn an_rs256_signature_is_the_one_of_the_key() {
    let signature = sign(Algorithm::Rs256, key(RSA_PKCS1), b"message").expect("signs");
    let SigningKey::Rs256(pair) = SigningKey::parse(Algorithm::Rs256, key(RSA_PKCS8)).expect("a key") else {
        panic!("not an RSA key");
    };
    let public = aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref().to_vec();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public);
    public.verify(b"message", &signature).expect("holds");
    public.verify(b"massage", &signature).expect_err("another message");
}

#[test]
fn es256_makes_64_bytes_that_the_public_key_of_rfc_7515_accepts() {
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, hex::decode(P256_PUBLIC).expect("hex"));
    for text in [P256_SEC1, P256_PKCS8] {
        let signature = sign(Algorithm::Es256, key(text), b"message").expect("signs");
        assert_eq!(signature.len(), 64);
        public.verify(b"message", &signature).expect("holds");
        public.verify(b"massage", &signature).expect_err("another message");

        let header = r#"{"kid":"ABC123DEFG","typ":"JWT"}"#;
        let token = jwt(Algorithm::Es256, key(text), header, CLAIMS).expect("signs");
        let (signed, signature) = token.rsplit_once('.').expect("three parts");
        public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).expect("base64")).expect("holds");
        let (header, claims) = signed.split_once('.').expect("three parts");
        let text = |part| String::from_utf8(URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("text");
        assert_eq!(text(header), r#"{"alg":"ES256","kid":"ABC123DEFG","typ":"JWT"}"#);
        assert_eq!(text(claims), CLAIMS);
    }
}

#[test]
fn a_key_that_does_not_fit_is_refused_with_what_to_write_and_never_shown() {
    let short = "4ccd089b28ff96da9db6c346ec114e0f";
    let mut messages = Vec::new();
    for (algorithm, text) in [
        (Algorithm::HmacSha256, ""),
        (Algorithm::Ed25519, short),
        (Algorithm::Ed25519, P256_PKCS8),
        (Algorithm::Es256, RSA_PKCS8),
        (Algorithm::Es256, ED25519_SEED),
        (Algorithm::Rs256, RSA_1024),
        (Algorithm::Rs256, P256_SEC1),
    ] {
        let message = refused(sign(algorithm, key(text), b"message"));
        for part in text.split_whitespace().filter(|part| part.len() > 7 && !part.contains("-----")) {
            assert!(!message.contains(part), "{message}");
        }
        messages.push(message);
    }
    messages.dedup();
    assert_snapshot!(messages.join("\n"), @r#"
    invalid: the secret `signing_key` does not fit `hmac-sha256`, which takes a key that is not empty; have `secrets = { signing_key = "file:/PATH" }` or `"env:NAME"` name such a key
    invalid: the secret `signing_key` does not fit `ed25519`, which takes an Ed25519 key: PKCS#8 in PEM, or 32 bytes in base64 or hex; have `secrets = { signing_key = "file:/PATH" }` or `"env:NAME"` name such a key
    invalid: the secret `signing_key` does not fit `es256`, which takes a private key on P-256 in PEM, as PKCS#8 or SEC1; have `secrets = { signing_key = "file:/PATH" }` or `"env:NAME"` name such a key
    invalid: the secret `signing_key` does not fit `rs256`, which takes an RSA private key of 2048 to 4096 bits in PEM, as PKCS#8 or PKCS#1; have `secrets = { signing_key = "file:/PATH" }` or `"env:NAME"` name such a key
    "#);
    assert_eq!(format!("{:?}", key("4ccd089b")), r#"Key { name: "signing_key", .. }"#);
}

#[test]
fn what_cannot_be_signed_is_refused() {
    let long = vec![0; MESSAGE_BYTES_MAX + 1];
    let long_claims = format!("{{\"a\":\"{}\"}}", "a".repeat(16 << 10));
    let refusals = [
        refused("md5".parse::<Algorithm>()),
        refused(sign(Algorithm::HmacSha1, key("k"), &long)),
        refused(jwt(Algorithm::HmacSha256, key("k"), "{}", "{}")),
        refused(jwt(Algorithm::Es256, key(P256_SEC1), "[]", "{}")),
        refused(jwt(Algorithm::Es256, key(P256_SEC1), "{}", "{\"exp\":}")),
        refused(jwt(Algorithm::Es256, key(P256_SEC1), r#"{"alg":"none"}"#, "{}")),
        refused(jwt(Algorithm::Es256, key(P256_SEC1), "{}", &long_claims)),
    ];
    assert_snapshot!(refusals.join("\n"), @r"
    unsupported: the algorithm `md5` is not known; known are `hmac-sha1`, `hmac-sha256`, `hmac-sha512`, `ed25519`, `es256`, `rs256`
    invalid: the message has 1048577 bytes, the limit is 1048576; no setting changes that
    unsupported: a token cannot be signed with `hmac-sha256`; use `es256` or `rs256`
    invalid: no JSON object as header of a token: line 1, column 0
    invalid: no JSON object as claims of a token: line 1, column 8
    invalid: the token's header has another `alg` than `ES256`; leave it out, the host sets it
    invalid: 16392 bytes of claims in a token, the limit is 16384; no setting changes that
    ");
    for algorithm in Algorithm::ALL {
        assert_eq!(algorithm.as_str().parse(), Ok(algorithm));
    }
}

/// The example of the Standard Webhooks libraries.
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const WEBHOOK_ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const WEBHOOK_AT: Timestamp = Timestamp::from_millis(1_614_265_330_999);
const WEBHOOK_BODY: &[u8] = br#"{"test": 2432232314}"#;

fn webhook(keys: &[&str]) -> Vec<(String, String)> {
    let keys: Vec<_> = keys.iter().map(|text| key(text)).collect();
    let headers = standard_webhooks(WEBHOOK_ID, WEBHOOK_AT, WEBHOOK_BODY, &keys).expect("signs");
    assert!(headers.iter().all(|(_, value)| value.is_sensitive()));
    headers.iter().map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").to_owned())).collect()
}

#[test]
fn a_standard_webhook_is_signed_as_its_published_example() {
    assert_eq!(
        webhook(&[WHSEC]),
        [
            ("webhook-id", WEBHOOK_ID),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

#[test]
fn several_webhook_keys_make_several_signatures_and_whsk_is_ed25519() {
    let (seed, public) = (hex::decode(ED25519_SEED).expect("hex"), hex::decode(ED25519_PUBLIC).expect("hex"));
    let short = format!("whsk_{}", STANDARD.encode(&seed));
    let long = format!("whsk_{}", STANDARD.encode([seed.as_slice(), &public].concat()));
    let headers = webhook(&[&short, WHSEC, &long]);
    let signatures: Vec<_> = headers[2].1.split(' ').collect();
    let [first, second, third] = signatures.as_slice() else { panic!("{signatures:?}") };
    assert_eq!(*second, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_eq!(first, third);
    let signature = STANDARD.decode(first.strip_prefix("v1a,").expect("a version")).expect("base64");
    let signed = [WEBHOOK_ID.as_bytes(), b".1614265330.", WEBHOOK_BODY].concat();
    UnparsedPublicKey::new(&ED25519, public).verify(&signed, &signature).expect("holds");
}

#[test]
fn a_webhook_with_a_bad_key_or_id_is_refused() {
    let of = |id: &str, texts: &[&str]| {
        let keys: Vec<_> = texts.iter().map(|text| key(text)).collect();
        refused(standard_webhooks(id, WEBHOOK_AT, WEBHOOK_BODY, &keys))
    };
    let mut wrong_public = [hex::decode(ED25519_SEED).expect("hex"), vec![7; 32]].concat();
    let wrong = format!("whsk_{}", STANDARD.encode(&wrong_public));
    wrong_public.truncate(31);
    let mut messages = vec![
        of("msg.1", &[WHSEC]),
        of("", &[WHSEC]),
        of("m\nx: y", &[WHSEC]),
        of("m", &[]),
        of("m", &[WHSEC; 9]),
        of("m", &["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]),
        of("m", &["whsec_c2hvcnQ="]),
        of("m", &["whsec_***"]),
        of("m", &[&wrong]),
        of("m", &[&format!("whsk_{}", STANDARD.encode(&wrong_public))]),
    ];
    messages.dedup();
    assert_snapshot!(messages.join("\n"), @r#"
    invalid: the webhook's id is not 1 to 255 visible ASCII characters without a full stop
    invalid: 0 keys sign a webhook, expected 1 to 8; no setting changes that
    invalid: 9 keys sign a webhook, expected 1 to 8; no setting changes that
    invalid: the secret `signing_key` does not fit `standard-webhooks`, which takes a key that starts with `whsec_` or `whsk_`; have `secrets = { signing_key = "file:/PATH" }` or `"env:NAME"` name such a key
    invalid: the secret `signing_key` does not fit `standard-webhooks`, which takes `whsec_` and base64 of at least 24 bytes; have `secrets = { signing_key = "file:/PATH" }` or `"env:NAME"` name such a key
    invalid: the secret `signing_key` does not fit `standard-webhooks`, which takes `whsk_` and base64 of an Ed25519 key; have `secrets = { signing_key = "file:/PATH" }` or `"env:NAME"` name such a key
    "#);
}
