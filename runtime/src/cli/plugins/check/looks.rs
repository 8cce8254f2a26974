//! What can be seen without a call: the file, and what its descriptor says.

use serde_json::Value;

use super::Check;
use crate::config::format_size;
use crate::runtime::{CONTRACT_VERSION, Inspection, InspectionError, Need};

/// Above this a call touches pages beyond what the host resets by copying, and pays for each.
const STACK_USUAL_MAX: u64 = 256 << 10;

/// What the Rust toolchain links where nobody says otherwise.
const STACK_OF_RUST: u64 = 1 << 20;

/// How a name of the contract starts, and the one name of WASI that asks for what a host grants.
const CONTRACT: &str = "campanile:plugin/";
const WASI_HTTP: &str = "wasi:http/outgoing-handler";

/// Host interfaces that take a grant.
const GRANTED: [&str; 4] = ["http", "sign", "cache", "kv"];

/// Words in the name of a key that keep something from others.
const SECRET_WORDS: [&str; 6] = ["token", "secret", "password", "passwd", "api_key", "apikey"];

const PERMISSIONS: &str = "permissions";

pub(super) fn all(inspection: &Inspection) -> Vec<Check> {
    let mut checks = vec![contract(inspection), imports(inspection), permissions(&inspection.descriptor.needs)];
    checks.push(secrets(inspection));
    checks.push(stack(inspection));
    checks
}

fn contract(inspection: &Inspection) -> Check {
    let Inspection { contract, size, descriptor, exports, .. } = inspection;
    let own = exports.iter().filter_map(|name| name.strip_prefix(CONTRACT)).map(|name| name.split('@').next());
    let own: Vec<_> = own.flatten().collect();
    Check::pass(
        "contract",
        format!(
            "{} {} of {}, made for version {contract} (this program offers {CONTRACT_VERSION}); exports {}",
            descriptor.role.as_str(),
            descriptor.version,
            format_size(*size),
            own.join(", ")
        ),
    )
}

fn imports(inspection: &Inspection) -> Check {
    const NAME: &str = "imports";
    let imports = &inspection.imports;
    let of_contract = |name: &str| {
        imports.iter().any(|import| {
            let own = import.strip_prefix(CONTRACT).and_then(|rest| rest.split('@').next());
            own == Some(name) || name == "http" && import.starts_with(WASI_HTTP)
        })
    };
    let asked = |name: &str| inspection.descriptor.needs.iter().any(|need| need.capability == name);
    let unasked: Vec<_> = GRANTED.into_iter().filter(|name| of_contract(name) && !asked(name)).collect();
    if !unasked.is_empty() {
        let listed = unasked.join("`, `");
        return Check::warn(
            NAME,
            format!("it imports `{listed}` and asks for no permission, so every such call will answer `denied`"),
            format!("add to its descriptor a need of `{listed}`, or leave the import out"),
        );
    }
    let wasi = imports.iter().filter(|name| name.starts_with("wasi:")).count();
    let own: Vec<_> = GRANTED.into_iter().chain(["log"]).filter(|name| of_contract(name)).collect();
    let own = if own.is_empty() { "nothing of the contract".to_owned() } else { own.join(", ") };
    let says = match wasi {
        0 => format!("{own}; nothing of WASI"),
        count => format!("{own}; {count} interfaces of WASI, whose files, sockets and environment are empty"),
    };
    Check::pass(NAME, format!("all are offered: {says}"))
}

/// Of a file that is not loaded: what it asks for in a way that nothing can be granted.
pub(super) fn unusable_needs(error: &InspectionError) -> Option<Check> {
    let InspectionError::Plugin(error) = error else { return None };
    let problems: Vec<_> = error.problems_of_needs().collect();
    let mend = "write hosts as `host`, `*.domain` or `host:port` into `needs`";
    (!problems.is_empty()).then(|| Check::fail(PERMISSIONS, problems.join("\n"), mend))
}

fn permissions(needs: &[Need]) -> Check {
    const NAME: &str = PERMISSIONS;
    if needs.is_empty() {
        return Check::pass(NAME, "it asks for nothing");
    }
    let listed: Vec<_> = needs
        .iter()
        .map(|Need { capability, scope, required, reason }| {
            let must = if *required { "required" } else { "optional" };
            let scope = if scope.is_empty() { String::new() } else { format!(" {}", scope.join(", ")) };
            format!("{capability}{scope} ({must}): {reason}")
        })
        .collect();
    let listed = listed.join("\n");
    let hosts = needs.iter().filter(|need| need.capability == "http").flat_map(|need| &need.scope);
    let broad = hosts.filter(|host| host.strip_prefix("*.").is_some_and(|rest| !rest.contains('.')));
    let broad: Vec<_> = broad.map(String::as_str).collect();
    if broad.is_empty() {
        return Check::pass(NAME, listed);
    }
    Check::warn(NAME, listed, format!("name hosts more closely than `{}`", broad.join("`, `")))
}

fn secrets(inspection: &Inspection) -> Check {
    const NAME: &str = "secrets";
    let descriptor = &inspection.descriptor;
    let declared: Vec<_> = descriptor.secrets.iter().map(|secret| secret.pointer.as_str()).collect();
    let properties = descriptor.config_schema.get("properties").and_then(Value::as_object);
    let known = |pointer: &str| {
        let first = pointer.trim_start_matches('/').split('/').next().unwrap_or_default();
        properties.is_some_and(|properties| properties.contains_key(first))
    };
    if let Some(stray) = declared.iter().find(|pointer| !known(pointer)) {
        let says = format!("it names the secret `{stray}`, which its config schema does not have");
        return Check::fail(NAME, says, "name a key of the schema, as a JSON Pointer such as `/token`");
    }
    let open = properties.into_iter().flatten().map(|(key, _)| key).find(|key| {
        let lower = key.to_lowercase();
        SECRET_WORDS.iter().any(|word| lower.contains(word)) && !declared.contains(&format!("/{key}").as_str())
    });
    if let Some(key) = open {
        let says = format!("`{key}` of its config looks like a secret, and the plugin gets to see its value");
        return Check::warn(
            NAME,
            says,
            format!("declare it: in Rust `{key}: Secret`, else `secrets` of the descriptor"),
        );
    }
    match declared.len() {
        0 => Check::pass(NAME, "it declares none"),
        _ => Check::pass(NAME, format!("it holds handles of {}, and never a value", declared.join(", "))),
    }
}

fn stack(inspection: &Inspection) -> Check {
    judge_stack(inspection.stack_bytes)
}

fn judge_stack(bytes: Option<u64>) -> Check {
    const NAME: &str = "stack";
    let bytes = match bytes {
        None => return Check::pass(NAME, "its toolchain does not show how large it is"),
        Some(bytes) if bytes <= STACK_USUAL_MAX => return Check::pass(NAME, format_size(bytes)),
        Some(bytes) => bytes,
    };
    let mend = if bytes == STACK_OF_RUST {
        "in Rust, whose default this is, in .cargo/config.toml:\n[target.wasm32-wasip2]\n\
         rustflags = [\"-C\", \"link-arg=-zstack-size=65536\", \"-C\", \"link-arg=--strip-debug\"]"
    } else {
        "if its toolchain lets you choose, link it with a stack of 64KiB to 256KiB"
    };
    Check::warn(NAME, format!("{}: every call touches pages that cost a page fault each", format_size(bytes)), mend)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn need(capability: &str, scope: &[&str]) -> Need {
        Need {
            capability: capability.to_owned(),
            scope: scope.iter().map(|&it| it.to_owned()).collect(),
            required: true,
            reason: "to post".to_owned(),
        }
    }

    #[test]
    fn permissions_are_listed_and_a_whole_top_level_domain_is_too_much() {
        let check = permissions(&[need("http", &["api.example.com", "*.example.com"]), need("kv", &[])]);
        assert_eq!(check.verdict, Verdict::Pass);
        assert_eq!(check.says, "http api.example.com, *.example.com (required): to post\nkv (required): to post");
        assert_eq!(permissions(&[need("http", &["*.com"])]).verdict, Verdict::Warn);
        assert_eq!(permissions(&[]).says, "it asks for nothing");
    }

    #[test]
    fn advice_for_rust_is_given_where_the_stack_is_that_of_rust() {
        let mend = |bytes| judge_stack(Some(bytes)).mend.unwrap_or_default();
        assert!(mend(1 << 20).contains("zstack-size"));
        let python = mend(16 << 20);
        assert!(python.contains("its toolchain") && !python.contains("Rust"), "{python}");
        assert_eq!(judge_stack(Some(64 << 10)).verdict, Verdict::Pass);
    }
}
