//! What a plugin asks for, and what of it is new.

use crate::capability::secret::Places;
use crate::domain::Permission;
use crate::sandbox::{Descriptor, Need, SecretKey};

/// The interface whose scope is hosts.
const HTTP: &str = "http";

/// What a place for a secret counts as.
const SECRET: &str = "secret";

/// Everything that a plugin asks for, each thing once.
pub(super) fn asked(descriptor: &Descriptor) -> Vec<Permission> {
    let mut all = asked_of_host(&descriptor.needs);
    all.extend(asked_of_secrets(&descriptor.secrets));
    all.sort();
    all.dedup();
    all
}

fn asked_of_host(needs: &[Need]) -> Vec<Permission> {
    needs
        .iter()
        .flat_map(|need| {
            let scopes = if need.scope.is_empty() { vec![String::new()] } else { need.scope.clone() };
            scopes.into_iter().map(|scope| Permission {
                capability: need.capability.clone(),
                scope,
                required: need.required,
            })
        })
        .collect()
}

/// Each place by itself: a key that was only ever signed with is another matter in a URL.
fn asked_of_secrets(secrets: &[SecretKey]) -> Vec<Permission> {
    let each = secrets.iter().flat_map(|key| {
        let Places { url, headers, body, auth, sign } = key.places;
        let places = [(url, "URL"), (headers, "headers"), (body, "body"), (auth, "auth"), (sign, "sign")];
        places.into_iter().filter(|(asked, _)| *asked).map(|(_, place)| Permission {
            capability: SECRET.to_owned(),
            scope: format!("{} in {place}", key.pointer),
            required: false,
        })
    });
    each.collect()
}

/// What of `asked` nobody has approved.
pub(super) fn growth(approved: &[Permission], asked: &[Permission]) -> Vec<Permission> {
    asked.iter().filter(|asked| !approved.iter().any(|approved| covers(approved, asked))).cloned().collect()
}

/// Approves of `asked` as well.
pub(super) fn approve(approved: &mut Vec<Permission>, asked: &[Permission]) {
    approved.extend(growth(approved, asked));
    approved.sort();
}

/// What is new, for people.
pub(super) fn sentence(grown: &[Permission]) -> String {
    let each: Vec<_> = grown.iter().map(ToString::to_string).collect();
    format!("it asks for more than was approved: {}", each.join("; "))
}

fn covers(approved: &Permission, asked: &Permission) -> bool {
    let must = approved.required || !asked.required;
    let scope =
        approved.scope == asked.scope || (asked.capability == HTTP && host_covers(&approved.scope, &asked.scope));
    approved.capability == asked.capability && must && scope
}

/// Whether every host of the pattern `asked` is one of the pattern `approved`.
fn host_covers(approved: &str, asked: &str) -> bool {
    let Some(domain) = approved.strip_prefix("*.") else { return approved.eq_ignore_ascii_case(asked) };
    let asked = asked.strip_prefix("*.").map_or_else(|| asked.to_ascii_lowercase(), |rest| format!("x.{rest}"));
    let asked = asked.to_ascii_lowercase();
    // A port is at the end of both, so it has to be the same.
    asked.strip_suffix(&domain.to_ascii_lowercase()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(capability: &str, scope: &[&str], required: bool) -> Need {
        let scope = scope.iter().map(|scope| (*scope).to_owned()).collect();
        Need { capability: capability.to_owned(), scope, required, reason: "to work".to_owned() }
    }

    fn grown(before: &[Need], after: &[Need]) -> Vec<String> {
        growth(&asked_of_host(before), &asked_of_host(after)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_covered_is_not_new() {
        let before = [need("http", &["*.acme.example", "api.other.example:8443"], true), need("kv", &[], true)];
        for (scope, required) in [
            ("*.acme.example", true),
            ("api.acme.example", true),
            ("API.eu.acme.example", false),
            ("*.eu.acme.example", true),
            ("api.other.example:8443", false),
        ] {
            assert_eq!(grown(&before, &[need("http", &[scope], required)]), [""; 0], "{scope}");
        }
        assert_eq!(grown(&before, &[need("kv", &[], false)]), [""; 0]);
        assert_eq!(grown(&before, &[]), [""; 0]);
    }

    #[test]
    fn each_kind_of_growth_is_named() {
        let before = [need("http", &["*.acme.example", "one.example"], false), need("kv", &[], false)];
        let after = [
            need("http", &["acme.example", "*.example", "evil-acme.example", "one.example:81"], false),
            need("http", &["one.example"], true),
            need("kv", &[], true),
            need("sign", &["config:/key"], false),
        ];
        insta::assert_snapshot!(grown(&before, &after).join("\n"), @r"
        `http`: `acme.example`
        `http`: `*.example`
        `http`: `evil-acme.example`
        `http`: `one.example:81`
        `http`: `one.example`, required
        `kv`, required
        `sign`: `config:/key`
        ");
    }

    #[test]
    fn another_place_for_a_known_secret_is_new() {
        let key = |places| [SecretKey { pointer: "/token".to_owned(), places }];
        let before = asked_of_secrets(&key(Places { auth: true, ..Places::default() }));
        let after = asked_of_secrets(&key(Places { auth: true, url: true, ..Places::default() }));
        assert_eq!(sentence(&growth(&before, &after)), "it asks for more than was approved: `secret`: `/token in URL`");
    }

    #[test]
    fn approvals_add_up() {
        let mut approved = asked_of_host(&[need("http", &["*.acme.example"], true)]);
        approve(&mut approved, &asked_of_host(&[need("http", &["a.acme.example", "b.example"], true)]));
        assert_eq!(approved, asked_of_host(&[need("http", &["*.acme.example", "b.example"], true)]));
    }
}
