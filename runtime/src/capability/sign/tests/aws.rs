//! The signature test suite that AWS published for version 4, and the examples of the S3 manual.

use http::{HeaderMap, HeaderValue};
use insta::assert_snapshot;

use super::super::*;
use super::refused;
use crate::domain::Timestamp;

/// 2015-08-30T12:36:00Z, the instant of the suite.
const SUITE_AT: Timestamp = Timestamp::from_millis(1_440_938_160_000);
/// 2013-05-24T00:00:00Z, the instant of the S3 manual.
const MANUAL_AT: Timestamp = Timestamp::from_millis(1_369_353_600_000);

const SUITE: AwsCredentials<'_> = AwsCredentials {
    access_key_id: "AKIDEXAMPLE",
    secret_key: Key { name: "secret_key", text: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" },
    session_token: None,
    region: "us-east-1",
    service: "service",
};
const MANUAL: AwsCredentials<'_> = AwsCredentials {
    access_key_id: "AKIAIOSFODNN7EXAMPLE",
    secret_key: Key { name: "secret_key", text: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" },
    session_token: None,
    region: "us-east-1",
    service: "s3",
};

fn signed(
    credentials: &AwsCredentials<'_>,
    now: Timestamp,
    (method, url): (&str, &str),
    headers: &[(&'static str, &'static str)],
    body: &str,
) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_static(value));
    }
    let url = url.parse().expect("a URL");
    let request = FinalRequest { method, url: &url, headers: &map, body: body.as_bytes(), now };
    let signed = aws_sigv4(&request, credentials).expect("signs");
    assert!(signed.iter().all(|(_, value)| value.is_sensitive()));
    signed.into_iter().collect()
}

fn authorization(headers: &HeaderMap) -> (&str, &str) {
    let text = headers["authorization"].to_str().expect("ASCII");
    let (rest, signature) = text.split_once(", Signature=").expect("a signature");
    (rest.split_once("SignedHeaders=").expect("names").1, signature)
}

const PLAIN: &str = "host;x-amz-date";
const WITH_ONE: &str = "host;my-header1;x-amz-date";

/// Of the published suite: name, request line, headers, body, names of the signed headers, signature.
type SuiteCase =
    (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str, &'static str, &'static str);

const SUITE_CASES: &[SuiteCase] = &[
    ("get-vanilla", "GET /", &[], "", PLAIN, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    (
        "get-vanilla-query-order-key-case",
        "GET /?Param2=value2&Param1=value1",
        &[],
        "",
        PLAIN,
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    (
        "get-vanilla-query-unreserved",
        "GET /?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRS\
             TUVWXYZabcdefghijklmnopqrstuvwxyz",
        &[],
        "",
        PLAIN,
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    ),
    (
        "get-relative",
        "GET /example/..",
        &[],
        "",
        PLAIN,
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "get-slashes",
        "GET //example//",
        &[],
        "",
        PLAIN,
        "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
    ),
    (
        "get-header-key-duplicate",
        "GET /",
        &[("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")],
        "",
        WITH_ONE,
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    (
        "get-header-value-trim",
        "GET /",
        &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
        "",
        "host;my-header1;my-header2;x-amz-date",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    ("post-vanilla", "POST /", &[], "", PLAIN, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    (
        "post-vanilla-query",
        "POST /?Param1=value1",
        &[],
        "",
        PLAIN,
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
    ),
    (
        "post-header-value-case",
        "POST /",
        &[("my-header1", "VALUE1")],
        "",
        WITH_ONE,
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    ),
    (
        "post-x-www-form-urlencoded",
        "POST /",
        &[("content-type", "application/x-www-form-urlencoded")],
        "Param1=value1",
        "content-type;host;x-amz-date",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
];

#[test]
fn requests_are_signed_as_the_published_suite_has_them() {
    for &(name, request, headers, body, names, expected) in SUITE_CASES {
        let (method, path) = request.split_once(' ').expect("a method and a path");
        let url = format!("https://example.amazonaws.com{path}");
        let headers = signed(&SUITE, SUITE_AT, (method, &url), headers, body);
        assert_eq!(headers["x-amz-date"], "20150830T123600Z");
        assert_eq!(authorization(&headers), (names, expected), "{name}");
    }
}

#[test]
fn a_session_token_is_signed_and_sent() {
    let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8\
                 YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6\
                 fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQ\
                 wj2ICCR/oLxBA==";
    let credentials = AwsCredentials { session_token: Some(Key { name: "token", text: token }), ..SUITE };
    let headers = signed(&credentials, SUITE_AT, ("POST", "https://example.amazonaws.com/"), &[], "");
    assert_eq!(headers["x-amz-security-token"], token);
    assert_eq!(
        authorization(&headers),
        ("host;x-amz-date;x-amz-security-token", "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead")
    );
}

#[test]
fn s3_takes_paths_as_they_are_and_the_hash_of_the_body_in_a_header() {
    let names = "host;x-amz-content-sha256;x-amz-date";
    for (request, headers, body, names, expected) in [
        (
            "GET /test.txt",
            &[("range", "bytes=0-9")][..],
            "",
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT /test$file.text",
            &[("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
            "Welcome to Amazon S3.",
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        ("GET /?lifecycle", &[], "", names, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        (
            "GET /?max-keys=2&prefix=J",
            &[],
            "",
            names,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ] {
        let (method, path) = request.split_once(' ').expect("a method and a path");
        let url = format!("https://examplebucket.s3.amazonaws.com{path}");
        let headers = signed(&MANUAL, MANUAL_AT, (method, &url), headers, body);
        assert_eq!(authorization(&headers), (names, expected), "{request}");
    }
}

/// The suite's own cases with a space or beyond ASCII in the path start from a path that nobody has encoded; a URL's is
/// encoded once, and AWS wants it encoded twice.
#[test]
fn a_path_is_encoded_twice_but_for_s3() {
    let url: url::Url = "https://example.amazonaws.com/documents and settings/\u{1234}".parse().expect("a URL");
    assert_eq!(aws::canonical_path(&url, false), "/documents%2520and%2520settings/%25E1%2588%25B4");
    assert_eq!(aws::canonical_path(&url, true), "/documents%20and%20settings/%E1%88%B4");
}

#[test]
fn what_others_change_on_the_way_is_not_signed_and_the_port_is() {
    let url = "http://127.0.0.1:8080/";
    let headers = [("user-agent", "x"), ("traceparent", "y"), ("x-amz-date", "old"), ("authorization", "old")];
    let with = signed(&SUITE, SUITE_AT, ("GET", url), &headers, "");
    assert_eq!(authorization(&with).0, "host;x-amz-date");
    assert_eq!(with, signed(&SUITE, SUITE_AT, ("GET", url), &[], ""));
    assert_ne!(with, signed(&SUITE, SUITE_AT, ("GET", "http://127.0.0.1:8081/"), &[], ""));
}

#[test]
fn bad_words_in_the_scope_and_empty_secrets_are_refused() {
    let url = "https://example.amazonaws.com/".parse().expect("a URL");
    let headers = HeaderMap::new();
    let request = FinalRequest { method: "GET", url: &url, headers: &headers, body: b"", now: SUITE_AT };
    let empty = Key { name: "secret_key", text: "" };
    let messages = [
        AwsCredentials { access_key_id: "", ..SUITE },
        AwsCredentials { region: "us-east-1/x", ..SUITE },
        AwsCredentials { service: "ses\n", ..SUITE },
        AwsCredentials { secret_key: empty, ..SUITE },
        AwsCredentials { session_token: Some(empty), ..SUITE },
    ]
    .map(|credentials| refused(aws_sigv4(&request, &credentials)));
    assert_snapshot!(messages.join("\n"), @r#"
    invalid: the access key's id for AWS is not 1 to 128 of `A-Z`, `a-z`, `0-9`, `-`, `_`
    invalid: the region for AWS is not 1 to 128 of `A-Z`, `a-z`, `0-9`, `-`, `_`
    invalid: the service for AWS is not 1 to 128 of `A-Z`, `a-z`, `0-9`, `-`, `_`
    invalid: the secret `secret_key` does not fit `aws-sigv4`, which takes a value that is not empty; have `secrets = { secret_key = "file:/PATH" }` or `"env:NAME"` name such a key
    invalid: the secret `secret_key` does not fit `aws-sigv4`, which takes a value that is not empty; have `secrets = { secret_key = "file:/PATH" }` or `"env:NAME"` name such a key
    "#);
}
