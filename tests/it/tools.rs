//! The tools of plugin authors: from nothing to a plugin that is built, tested and checked.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use campanile_tests::{guests_dir, plugin, program};
use serde_json::Value;

struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ended {
    /// What `--json` printed; the command has to have ended with `code`.
    fn json(&self, code: i32) -> Value {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

fn campanile(dir: &Path, line: &str) -> Ended {
    let output = Command::new(program())
        .args(line.split(' '))
        .current_dir(dir)
        // The crates were fetched for the bundled plugins; what was built once serves every run.
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TARGET_DIR", guests_dir().join("../../../scaffolded"))
        .stdin(Stdio::null())
        .output()
        .expect("the program can be run");
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Code between the fences of a section of the README.
fn fenced(language: &str, section: &str) -> String {
    let readme = std::fs::read_to_string(repository().join("README.md")).expect("there is one");
    let (_, rest) = readme.split_once(&format!("\n## {section}\n")).expect("the section is there");
    let section = rest.split("\n## ").next().unwrap_or_default();
    let (_, code) = section.split_once(&format!("```{language}\n")).expect("it has such code");
    code.split("\n```").next().unwrap_or_default().to_owned() + "\n"
}

/// What the README shows is what is written, and every command it names works, in its order.
#[test]
fn a_channel_is_written_built_tested_and_checked_as_the_readme_says() {
    let place = tempfile::tempdir().expect("a folder");
    let mut dir = place.path().to_owned();
    for line in fenced("console", "Write a plugin").lines().filter_map(|line| line.strip_prefix("$ ")) {
        for part in line.split(" && ") {
            match part.split_once(' ') {
                Some(("cd", folder)) => dir.push(folder),
                Some(("campanile", arguments)) => {
                    let ended = campanile(&dir, arguments);
                    assert_eq!(ended.code, 0, "{part}:\n{}{}", ended.stdout, ended.stderr);
                }
                _ => panic!("a command that nobody tries: {part}"),
            }
        }
    }
    let channel = std::fs::read_to_string(dir.join("src/lib.rs")).expect("it was written");
    assert_eq!(fenced("rust", "Write a plugin"), channel);
    assert!(channel.lines().count() <= 30, "{}", channel.lines().count());

    let tested = campanile(&dir, "plugins test --json").json(0);
    assert_eq!(tested["cases"].as_array().map(Vec::len), Some(3), "{tested:#}");
    assert!(tested["matrix"].as_array().is_some_and(|rows| rows.len() > 20), "{tested:#}");
    let checked = campanile(&dir, "plugins check dist/pager.wasm --json").json(0);
    let verdicts: Vec<_> = checked["checks"].as_array().into_iter().flatten().map(|it| &it["verdict"]).collect();
    assert!(verdicts.iter().all(|verdict| **verdict == "pass"), "{checked:#}");
    let inspected = campanile(&dir, "plugins inspect dist/pager.wasm --json").json(0);
    assert_eq!(inspected["config"][0]["key"], "url");
    assert_eq!(inspected["stack"], 65_536);
}

/// A plugin that is changed fails the case that it no longer keeps, and says how it differs.
#[test]
fn a_case_that_is_not_kept_is_told_with_the_difference() {
    let place = tempfile::tempdir().expect("a folder");
    let cases = place.path().join("cases");
    std::fs::create_dir(&cases).expect("a folder");
    let sent = std::fs::read_to_string(repository().join("plugins/webhook/cases/gone.json")).expect("a case");
    std::fs::write(cases.join("gone.json"), sent.replace("\"POST\"", "\"PUT\"")).expect("a file");
    let webhook = plugin("webhook");
    let ended = campanile(place.path(), &format!("plugins test {} --cases cases", webhook.display()));
    assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("expected: PUT") && ended.stdout.contains("got: POST"), "{}", ended.stdout);
    assert!(ended.stdout.contains("failed: 1"), "{}", ended.stdout);
}

/// The golden cases of every bundled channel hold for the component as they do for the code.
#[test]
fn every_bundled_channel_keeps_its_cases_in_the_sandbox() {
    for name in ["console", "null", "slack", "webhook"] {
        let cases = repository().join("plugins").join(name).join("cases");
        let line = format!("plugins test {} --cases {} --json", plugin(name).display(), cases.display());
        let ended = campanile(&repository(), &line);
        let tested = ended.json(0);
        let count = std::fs::read_dir(&cases).expect("a folder").count();
        assert_eq!(tested["cases"].as_array().map(Vec::len), Some(count), "{name}");
        assert_eq!(tested["no_matrix"], Value::Null, "{name}: {tested:#}");
    }
}

/// What a channel keeps begins with what the case says, and is looked at when the call is over.
#[test]
fn a_case_says_what_is_kept_before_and_after_the_call() {
    let place = tempfile::tempdir().expect("a folder");
    let keeper = plugin("keeper");
    let cases = repository().join("tests/guests/keeper/cases");
    let test = |cases: &Path| {
        campanile(place.path(), &format!("plugins test {} --cases {}", keeper.display(), cases.display()))
    };
    let ended = test(&cases);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("passed: 5 cases"), "{}", ended.stdout);

    let counted = std::fs::read_to_string(cases.join("counted-on.json")).expect("a case");
    std::fs::write(place.path().join("wrong.json"), counted.replacen("\"count\": \"42\"", "\"count\": \"7\"", 1))
        .expect("a file");
    let ended = test(place.path());
    assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("kv `count`") && ended.stdout.contains(r#"expected: "7""#), "{}", ended.stdout);
}

/// A template engine is made, built, tested and checked like a channel; the bundled one keeps its cases, too.
#[test]
fn a_template_engine_is_written_built_tested_and_checked() {
    let place = tempfile::tempdir().expect("a folder");
    assert_eq!(campanile(place.path(), "plugins new letters --kind template").code, 0);
    let dir = place.path().join("letters");
    let built = campanile(&dir, "plugins build");
    assert_eq!(built.code, 0, "{}{}", built.stdout, built.stderr);
    let tested = campanile(&dir, "plugins test --json").json(0);
    assert_eq!(tested["cases"].as_array().map(Vec::len), Some(4), "{tested:#}");
    let checked = campanile(&dir, "plugins check dist/letters.wasm --json").json(0);
    let verdicts: Vec<_> = checked["checks"].as_array().into_iter().flatten().map(|it| &it["verdict"]).collect();
    assert!(!verdicts.is_empty() && verdicts.iter().all(|verdict| **verdict == "pass"), "{checked:#}");

    let case = dir.join("cases/missing.json");
    let missing = std::fs::read_to_string(&case).expect("a case");
    std::fs::write(&case, missing.replace("\"line\": 2", "\"line\": 1")).expect("a file");
    let ended = campanile(&dir, "plugins test");
    assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("FAIL  case missing: rendering"), "{}", ended.stdout);
}

#[test]
fn the_bundled_template_engine_keeps_its_cases_in_the_sandbox() {
    let cases = repository().join("plugins/minijinja/cases");
    let line = format!("plugins test {} --cases {} --json", plugin("minijinja").display(), cases.display());
    let tested = campanile(&repository(), &line).json(0);
    let count = std::fs::read_dir(&cases).expect("a folder").count();
    assert_eq!(tested["cases"].as_array().map(Vec::len), Some(count), "{tested:#}");
}

#[test]
fn every_bundled_plugin_passes_the_battery() {
    for name in ["console", "null", "slack", "webhook", "minijinja"] {
        let ended = campanile(&repository(), &format!("plugins check {} --json", plugin(name).display()));
        assert_eq!(ended.json(0)["passed"], true, "{name}: {}", ended.stdout);
    }
}

/// What is no plugin, and what is a bad one, fails with the reason.
#[test]
fn a_bad_file_fails_the_battery_with_its_reason() {
    let place = tempfile::tempdir().expect("a folder");
    std::fs::write(place.path().join("text.wasm"), "not WebAssembly").expect("a file");
    let checked = campanile(place.path(), "plugins check text.wasm --json").json(1);
    assert_eq!(checked["checks"][0]["name"], "load");
    assert!(checked["checks"][0]["says"].as_str().is_some_and(|says| says.contains("it is text")), "{checked:#}");
    assert_eq!(campanile(place.path(), "plugins check none.wasm").code, 2);
}

#[test]
fn a_folder_that_is_no_project_or_is_there_is_refused_with_what_to_do() {
    let place = tempfile::tempdir().expect("a folder");
    let ended = campanile(place.path(), "plugins build");
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("campanile plugins new NAME"), "{}", ended.stderr);
    let ended = campanile(place.path(), "plugins test");
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("campanile plugins build"), "{}", ended.stderr);
    assert_eq!(campanile(place.path(), "plugins new pager --lang js").code, 0);
    assert_eq!(campanile(place.path(), "plugins new pager --lang js").code, 2);
}

/// The config of the plugin and that of the program are two files with an option each.
#[test]
fn a_check_takes_a_config_of_the_plugin_beside_one_of_the_program() {
    let place = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).expect("a file");
    write("good.json", r#"{"url": "https://example.com/hook"}"#);
    write("bad.json", r#"{"url": 7}"#);
    write("own.toml", "[plugins.defaults]\nmemory = \"48MiB\"\n");
    let webhook = plugin("webhook").display().to_string();
    let check = |more: &str| campanile(place.path(), &format!("plugins check {webhook} --json {more}"));

    let checked = check("--with good.json --config own.toml").json(0);
    assert!(said(&checked, "config-schema").1.contains("the config given is taken"), "{checked:#}");
    assert!(said(&checked, "profile").1.contains("(granted: 48MiB)"), "{checked:#}");
    assert_eq!(said(&check("--with bad.json").json(1), "config-schema").0, "fail");
}

/// Verdict and words of one check.
fn said(checked: &Value, name: &str) -> (String, String) {
    let found = checked["checks"].as_array().into_iter().flatten().find(|check| check["name"] == name);
    let found = found.unwrap_or_else(|| panic!("there is no check `{name}`: {checked:#}"));
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("verdict"), text("says"))
}

/// A plugin that does the same wrong whatever is sent, with little time for each call.
fn check_unruly(always: &str, more: &str) -> Ended {
    let place = tempfile::tempdir().expect("a folder");
    std::fs::write(place.path().join("with.json"), format!(r#"{{"always":"{always}"}}"#)).expect("a file");
    std::fs::write(place.path().join("campanile.toml"), "[plugins.defaults]\ncpu_time = \"10ms\"\n").expect("a file");
    campanile(place.path(), &format!("plugins check {} --with with.json{more}", plugin("unruly").display()))
}

#[test]
fn a_plugin_that_never_ends_is_given_up_and_the_rest_is_told() {
    let checked = check_unruly("spin", " --json").json(1);
    assert_eq!(said(&checked, "contract").0, "pass", "{checked:#}");
    for name in ["send-twice", "profile"] {
        let (verdict, says) = said(&checked, name);
        assert_eq!(verdict, "fail");
        assert!(says.contains("used up its CPU budget"), "{says}");
    }
    let (verdict, says) = said(&checked, "time");
    assert_eq!(verdict, "fail");
    assert!(says.starts_with("2 calls ended for want of time, so the rest was not tried: 3 of 4 sizes"), "{says}");
    assert!(says.contains("inputs") && says.contains("replies"), "{says}");
}

#[test]
fn a_plugin_that_always_panics_fails_each_check_that_calls_it() {
    let ended = check_unruly("panic", "");
    assert_eq!(ended.code, 1);
    for name in ["send-twice", "profile", "hostile-input", "hostile-replies"] {
        assert!(ended.stdout.lines().any(|line| line.starts_with(&format!("FAIL  {name} "))), "{}", ended.stdout);
    }
    assert!(ended.stdout.contains("the ink is frozen"), "{}", ended.stdout);
}

/// Every call logs an error: they are counted, not shown.
#[test]
fn what_a_tried_plugin_logs_is_one_line() {
    let ended = check_unruly("moan", "");
    let said =
        ended.stderr.strip_prefix("note: the plugin logged ").and_then(|rest| rest.split_once(" lines, which `-v`"));
    assert!(
        said.is_some_and(|(count, rest)| count.parse::<u32>().is_ok_and(|it| it > 30) && rest.lines().count() == 1),
        "{}",
        ended.stderr
    );
    let shown = check_unruly("moan", " -v").stderr;
    assert!(shown.matches("it hurts").count() > 30 && !shown.contains("note: "), "{shown}");
}

#[test]
fn a_remedy_names_the_channel_of_an_operator() {
    let spun = check_unruly("spin", "");
    assert!(spun.stdout.contains("[channels.NAME]"), "{}", spun.stdout);
    for ended in [spun, check_unruly("hoard", "")] {
        assert_eq!(ended.code, 1);
        assert!(!ended.stdout.contains("[channels.test]"), "{}", ended.stdout);
    }
}

/// Each kind of file that cannot be loaded has advice of its own.
#[test]
fn what_cannot_be_loaded_is_told_what_fits_it() {
    let place = tempfile::tempdir().expect("a folder");
    let whole = std::fs::read(plugin("null")).expect("a plugin");
    let write = |name: &str, bytes: &[u8]| std::fs::write(place.path().join(name), bytes).expect("a file");
    write("empty", b"");
    write("cut", &whole[..whole.len() - 9]);
    write("more", &[&whole[..], b"garbage"].concat());
    write("core", b"\0asm\x01\0\0\0");
    std::fs::create_dir(place.path().join("folder")).expect("a folder");
    let large = std::fs::File::create(place.path().join("large")).expect("a file");
    large.set_len(80_000_000).expect("a sparse file");
    let cases = [
        ("empty", "copy it again"),
        ("cut", "copy it again"),
        ("more", "copy it again"),
        ("core", "build it as a component"),
        ("folder", "name the component"),
        ("large", "without debug information"),
    ];
    for (name, mend) in cases {
        let checked = campanile(place.path(), &format!("plugins check {name} --json")).json(1);
        assert!(checked["checks"][0]["mend"].as_str().is_some_and(|it| it.contains(mend)), "{name}: {checked:#}");
    }
}

/// Whatever goes wrong, a program that asked for JSON gets one object.
#[test]
fn with_json_a_failure_is_an_object_on_standard_output() {
    let place = tempfile::tempdir().expect("a folder");
    std::fs::write(place.path().join("text.wasm"), "no").expect("a file");
    let cases = [
        ("plugins inspect none.wasm", 2),
        ("plugins inspect text.wasm", 1),
        ("plugins new Not_A_Name", 2),
        ("plugins build", 2),
        ("plugins approve x --url http://127.0.0.1:9", 1),
        ("plugins list --url http://127.0.0.1:9", 1),
        ("plugins add text.wasm", 1),
        ("plugins remove none", 3),
        ("plugins bless none", 2),
        ("send --url http://127.0.0.1:9 -c ops -b hi", 1),
        ("bench store --dir nowhere", 2),
    ];
    for (line, code) in cases {
        let ended = campanile(place.path(), &format!("{line} --json"));
        let error = &ended.json(code)["error"];
        assert_eq!(error["exit"], code, "{line}: {error:#}");
        assert!(error["message"].as_str().is_some_and(|it| !it.is_empty()), "{line}: {error:#}");
        assert_eq!(ended.stderr, "", "{line}");
        assert_eq!(campanile(place.path(), line).stdout, "", "{line}: without it, it is talk");
    }
    assert!(!place.path().join("nowhere").exists());
}

/// Nothing is compiled for a project that is no plugin, and nothing of it is changed.
#[test]
fn a_rust_project_that_is_no_plugin_is_not_built() {
    let place = tempfile::tempdir().expect("a folder");
    let cases = [
        ("[workspace]\nmembers = []\n", "it is a workspace"),
        ("[package]\nname = \"tool\"\nversion = \"0.1.0\"\n", "crate-type = [\"cdylib\"]"),
        ("[package]\nname = \"tool\"\n[lib]\ncrate-type = [\"cdylib\"]\n", "campanile-plugin-sdk"),
        ("[package\n", "cannot be read"),
    ];
    for (manifest, says) in cases {
        std::fs::write(place.path().join("Cargo.toml"), manifest).expect("a file");
        let ended = campanile(place.path(), "plugins build");
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains(says), "{manifest}: {}", ended.stderr);
        assert_eq!(std::fs::read_dir(place.path()).expect("a folder").count(), 1, "nothing but the manifest");
    }
}

/// A bench of a file that is no plugin, or another one, says so at once, in the words of `plugins inspect`.
#[test]
fn a_bench_of_what_it_cannot_measure_says_why() {
    let place = tempfile::tempdir().expect("a folder");
    std::fs::write(place.path().join("text.wasm"), "no").expect("a file");
    std::fs::write(place.path().join("core.wasm"), b"\0asm\x01\0\0\0").expect("a file");
    let null = plugin("null").display().to_string();
    let cases = [
        ("bench sandbox --plugin text.wasm".to_owned(), 1, "it is text, not WebAssembly"),
        ("bench swap --plugin core.wasm".to_owned(), 1, "it is a core module"),
        (format!("bench swap --plugin {null}"), 2, "is the plugin `null`"),
    ];
    for (line, code, says) in cases {
        let ended = campanile(place.path(), &line);
        assert_eq!(ended.code, code, "{line}: {}", ended.stderr);
        assert!(ended.stderr.contains(says) && !ended.stderr.contains("--dir"), "{line}: {}", ended.stderr);
    }
}
