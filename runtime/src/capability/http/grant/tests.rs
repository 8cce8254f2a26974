//! What is granted, and what is not.

use super::*;

fn check(scope: &[&str], required: bool, config: Value, hosts: &[&str]) -> Result<HttpGrant, GrantErrors> {
    let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let Value::Object(config) = config else { panic!("a config is an object") };
    let allowed = Allowed { section: &ops(), hosts: &owned(hosts), networks: &[] };
    HttpGrant::check(&[Asked { scope: &owned(scope), required }], &config, allowed, &Egress::system())
}

fn ops() -> Section {
    Section::of_channel(&"ops".parse().expect("a name"))
}

fn permits(grant: &HttpGrant, url: &str) -> bool {
    grant.permits(&url.parse().expect("a URL")).is_ok()
}

#[test]
fn the_host_in_the_config_is_granted_by_standing_there() {
    let config = serde_json::json!({ "url": "https://hooks.example.com/a/b" });
    let grant = check(&["config:/url"], true, config, &[]).unwrap();
    assert!(permits(&grant, "https://hooks.example.com/elsewhere"));
    assert!(!permits(&grant, "http://hooks.example.com/"), "another port is another service");
    assert!(!permits(&grant, "https://hooks.example.com:8443/"));
    assert!(!permits(&grant, "https://example.com/"));
}

#[test]
fn a_host_that_is_asked_for_and_not_granted_is_refused_with_the_line_that_grants_it() {
    let error = check(&["api.example.com"], true, serde_json::json!({}), &[]).unwrap_err();
    assert!(error.to_string().contains("allow_hosts = [\"api.example.com\"]"), "{error}");
}

#[test]
fn only_what_is_both_asked_for_and_granted_is_reached() {
    let grant = check(&["*.example.com"], false, serde_json::json!({}), &["api.example.com", "other.org"]).unwrap();
    assert!(permits(&grant, "https://api.example.com/"));
    assert!(!permits(&grant, "https://www.example.com/"));
    assert!(!permits(&grant, "https://other.org/"));
}

#[test]
fn a_star_stands_for_names_below_and_not_for_lookalikes() {
    let grant = check(&["*.example.com"], true, serde_json::json!({}), &["*.example.com"]).unwrap();
    assert!(permits(&grant, "https://a.b.example.com/"));
    for url in ["https://example.com/", "https://badexample.com/", "https://example.com.evil.org/"] {
        assert!(!permits(&grant, url), "{url}");
    }
}

#[test]
fn a_private_address_needs_its_range_however_it_is_spelled() {
    for host in ["127.0.0.1", "0x7f.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1"] {
        let url = format!("http://{host}/");
        let grant = check(&["config:/url"], true, serde_json::json!({ "url": url }), &[]).unwrap();
        assert!(!permits(&grant, &url), "{host}");
    }
}

#[test]
fn what_is_no_host_pattern_is_said() {
    for bad in ["https://a.b", "a/b", "a?b", "*", "a.*.b", "user@host", "", "host:99999", "host:"] {
        let GrantErrors(errors) = check(&["a.example.com"], false, serde_json::json!({}), &[bad]).unwrap_err();
        assert!(matches!(*errors, [GrantError::NotAPattern { .. }]), "{bad:?} gave {errors:?}");
    }
}

#[test]
fn a_config_without_the_url_that_the_plugin_needs_is_refused() {
    for config in [serde_json::json!({}), serde_json::json!({ "url": "ftp://x" }), serde_json::json!({ "url": 1 })] {
        let error = check(&["config:/url"], true, config, &[]).unwrap_err();
        assert_eq!(error, GrantErrors(vec![GrantError::NoUrl { pointer: "/url".into() }]));
    }
}

#[test]
fn everything_that_keeps_a_channel_from_its_hosts_is_told_at_once() {
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (first, second) =
        (texts(&["config:/url", "a.example.com", "b.example.com"]), texts(&["b.example.com", "c.example.com"]));
    let asked = [Asked { scope: &first, required: true }, Asked { scope: &second, required: true }];
    let (hosts, networks) = (texts(&["a/b", "c.example.com", "https://c"]), texts(&["10.0.0.0/64", "nowhere"]));
    let allowed = Allowed { section: &ops(), hosts: &hosts, networks: &networks };
    let errors = HttpGrant::check(&asked, &Map::new(), allowed, &Egress::system()).unwrap_err();
    let told: Vec<_> = errors.0.iter().map(ToString::to_string).collect();
    assert_eq!(errors.to_string(), told.join("; "));
    insta::assert_snapshot!(told.join("\n"), @r#"
    `a/b` is not a host pattern: write `host`, `*.domain` or `host:port`, without scheme or path
    `https://c` is not a host pattern: write `host`, `*.domain` or `host:port`, without scheme or path
    `10.0.0.0/64` is not an address range: write an address, or an address, `/` and a prefix length, as in `127.0.0.1/32`
    `nowhere` is not an address range: write an address, or an address, `/` and a prefix length, as in `127.0.0.1/32`
    the config has no http or https URL with a host at `/url`; write one there, such as `"https://HOST/"`
    its plugin needs to reach `a.example.com`, `b.example.com`, which are not granted; write `allow_hosts = ["c.example.com", "a.example.com", "b.example.com"]` under [channels.ops]
    "#);
}
