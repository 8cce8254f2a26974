use super::*;

fn about() -> wit::About {
    wit::About {
        name: "bell".to_owned(),
        version: "1.0.0".to_owned(),
        summary: "Rings".to_owned(),
        homepage: None,
        license: None,
        config_schema: r#"{"type":"object","properties":{"url":{"type":"string","format":"uri"}}}"#.to_owned(),
        secrets: Vec::new(),
        needs: Vec::new(),
        extra: Vec::new(),
    }
}

fn channel() -> channel::Descriptor {
    channel::Descriptor {
        about: about(),
        address: None,
        features: Vec::new(),
        limits: channel::Limits {
            title: None,
            body: None,
            attachments: None,
            attachment_size: None,
            attachments_size: None,
            batch: None,
        },
        rate: None,
    }
}

#[test]
fn a_good_descriptor_is_taken() {
    let descriptor = of_channel(channel(), false).expect("nothing is wrong with it");
    assert_eq!(descriptor.version.to_string(), "bell@1.0.0");
    assert_eq!(descriptor.role.as_str(), "channel");
}

#[test]
fn every_problem_is_told_at_once() {
    let mut given = channel();
    given.about.name = "Bell!".to_owned();
    given.about.version = "1".to_owned();
    given.about.summary = " ".to_owned();
    given.about.config_schema = r#"{"type":7}"#.to_owned();
    given.features = vec![ChannelDescriptor::CHECKS_RECIPIENT.to_owned()];
    given.limits.title = Some(channel::Length { max: 0, unit: channel::LengthUnit::Chars });
    given.rate = Some(channel::Rate { count: 1, per_ms: 0, scope: "channel".to_owned() });
    given.address = Some(channel::Address { kind: "email".to_owned(), pattern: Some("(".to_owned()) });
    let needs = |required| wit::Need {
        capability: "teleport".to_owned(),
        scope: Vec::new(),
        required,
        reason: "to be quick".to_owned(),
    };
    given.about.needs = vec![needs(true), needs(false)];
    let problems = of_channel(given, false).expect_err("much is wrong with it");
    insta::assert_snapshot!(problems.join("\n"), @r"
    the pattern of its address is no regular expression: regex parse error:     ^(?:()$      ^ error: unclosed group
    its limit of the title is 0: it starts at 1, or is left out
    its rate allows nothing: `count` and `per-ms` start at 1
    its features name `checks-recipient`, but it does not export `supports`
    `Bell!` is not a plugin name: it starts with a lower-case letter and goes on in `a-z`, `0-9`, `-`
    version `1` is not semantic: unexpected end of input while parsing major version number
    its summary has 0 bytes, the limits are 1 to 512
    its configuration schema is no JSON Schema: 7 is not valid under any of the schemas listed in the 'anyOf' keyword
    it requires `teleport`, which this version does not have; it has `http`, `sign`, `cache`, `kv`
    ");
}

#[test]
fn what_is_over_a_bound_is_told_with_what_there_is_and_what_there_may_be() {
    let mut given = channel();
    given.features = vec!["x".repeat(200); 33];
    given.features[1..].fill("html".to_owned());
    given.about.summary = "x".repeat(600);
    given.about.config_schema = " ".repeat(300 << 10);
    given.about.secrets = vec![wit::SecretKey { key: "token".to_owned(), places: wit::Places::empty() }];
    given.address = Some(channel::Address { kind: String::new(), pattern: None });
    let problems = of_channel(given, false).expect_err("much is wrong with it");
    insta::assert_snapshot!(problems.join("\n"), @r"
    there are 33 features, the limit is 32
    a feature has 200 bytes, the limits are 1 to 128
    the kind of its address has 0 bytes, the limits are 1 to 128
    its summary has 600 bytes, the limits are 1 to 512
    its configuration schema has 307200 bytes, the limit is 262144
    the key of a secret, `token`, is no JSON Pointer: it begins with `/`
    the secret `token` may be put nowhere: name one of its places
    ");
}

#[test]
fn an_address_must_match_as_a_whole() {
    let mut given = channel();
    given.address = Some(channel::Address { kind: "phone".to_owned(), pattern: Some(r"\+[0-9]+|none".to_owned()) });
    let Role::Channel(role) = of_channel(given, false).expect("nothing is wrong with it").role else { panic!() };
    let pattern = role.address.and_then(|address| address.pattern).expect("it has one");
    assert!(pattern.is_match("+43123") && pattern.is_match("none"));
    assert!(!pattern.is_match("x+43123") && !pattern.is_match("nonesuch") && !pattern.is_match("+43123\n"));
}

#[test]
fn a_pattern_that_would_take_much_memory_is_refused() {
    let mut given = channel();
    given.address = Some(channel::Address { kind: "x".to_owned(), pattern: Some("(?:a{1000}){1000}".to_owned()) });
    assert!(of_channel(given, false).is_err());
}

#[test]
fn an_engine_needs_an_extension_of_plain_letters() {
    let engine = |extensions: &[&str]| template_engine::Descriptor {
        about: about(),
        extensions: extensions.iter().map(|text| (*text).to_owned()).collect(),
        features: Vec::new(),
    };
    assert!(of_engine(engine(&["j2"])).is_ok());
    assert!(of_engine(engine(&[])).is_err());
    assert!(of_engine(engine(&[".j2"])).is_err());
}
