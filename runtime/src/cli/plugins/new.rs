//! `campanile plugins new`: a project that builds and passes its tests, from an empty folder.

mod sources;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::json;

use crate::cli::failure::{Exit, Failure};
use crate::cli::{Answer, Globals};
use crate::domain::PluginName;

pub(super) use sources::contract_files;

/// Words that an author may mistake for a name: `campanile-plugin-<name>` is the SDK itself.
const TAKEN: [&str; 2] = ["sdk", "sdk-derive"];

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// What the plugin is called: a letter, then at most 63 of `a-z`, `0-9` and `-`
    name: String,
    /// What it is written in
    #[arg(long, value_enum, default_value_t, value_name = "LANGUAGE")]
    lang: Language,
    /// What it is to be
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    kind: Kind,
    /// Folder to make [default: the name]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What a plugin can be written in with the tools here. The contract itself takes any language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    #[default]
    Rust,
    Js,
    Python,
}

impl Language {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Js => "js",
            Self::Python => "python",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    #[default]
    Channel,
    /// A template engine
    Template,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Template => "template",
        }
    }
}

pub(super) fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let name = PluginName::new(&args.name).map_err(|error| {
        Failure::new(Exit::Usage, error).hint("name it after what it speaks to, such as `pager` or `chat-ops`")
    })?;
    if TAKEN.contains(&name.as_str()) {
        let message =
            format!("a plugin cannot be called `{name}`: `campanile-plugin-{name}` is a crate of Campanile's");
        return Err(Failure::usage(message).hint("name it after what it speaks to, such as `pager` or `chat-ops`"));
    }
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(name.as_str()));
    let files = match (args.kind, args.lang) {
        (Kind::Channel, lang) => channel(&name, lang)?,
        (Kind::Template, Language::Rust) => engine(&name)?,
        (Kind::Template, Language::Js | Language::Python) => {
            let message = format!("a template engine is made in `rust`, not in `{}`", args.lang.as_str());
            return Err(Failure::usage(message)
                .hint("leave `--lang` out, or `--kind template`: a channel is made in rust, js or python"));
        }
    };
    make(&dir)?;
    for (place, text) in &files {
        let path = dir.join(place);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| unwritable(folder, error))?;
        }
        fs::write(&path, text).map_err(|error| unwritable(&path, error))?;
    }
    Ok(Answer::ok(if globals.json {
        let places: Vec<_> = files.iter().map(|(place, _)| place).collect();
        let made = json!({
            "name": name.as_str(), "lang": args.lang.as_str(), "kind": args.kind.as_str(),
            "dir": dir.display().to_string(), "files": places,
        });
        format!("{made:#}\n")
    } else {
        let dir = dir.display();
        format!("made `{dir}`\nnext: cd {dir} && campanile plugins build && campanile plugins test\n")
    }))
}

/// Makes the folder, which must not be there: what somebody wrote is not written over.
fn make(dir: &Path) -> Result<(), Failure> {
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(|error| unwritable(parent, error))?;
    }
    match fs::create_dir(dir) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Failure::usage(format!("`{}` is there already, and is left as it is", dir.display()))
                .hint("choose another name, or another folder with `--dir`"))
        }
        Err(error) => Err(unwritable(dir, error)),
    }
}

/// The place is why there is no project, and not this program.
fn unwritable(path: &Path, error: io::Error) -> Failure {
    Failure::new(Exit::No, anyhow::Error::new(error).context(format!("`{}` cannot be written", path.display())))
        .hint("name a folder that this user may make, with `--dir`")
}

/// Every file of a project, by place in it.
fn channel(name: &PluginName, lang: Language) -> anyhow::Result<Vec<(String, String)>> {
    let fill = Fill::of(name, "Channel");
    let mut files = vec![
        sources::description_of_cases()?,
        ("README.md".to_owned(), fill.in_text(include_str!("../../../templates/README.md"), notes(lang))),
        ("cases/matrix.json".to_owned(), include_str!("../../../templates/cases/matrix.json").to_owned()),
        ("cases/sent.json".to_owned(), include_str!("../../../templates/cases/sent.json").to_owned()),
        ("cases/rate-limited.json".to_owned(), include_str!("../../../templates/cases/rate-limited.json").to_owned()),
        ("cases/unreachable.json".to_owned(), include_str!("../../../templates/cases/unreachable.json").to_owned()),
    ];
    let own: &[(&str, &str)] = match lang {
        Language::Rust => &[
            (".gitignore", "/target\n/dist\n"),
            (".cargo/config.toml", include_str!("../../../templates/rust/config.toml")),
            ("Cargo.toml", include_str!("../../../templates/rust/Cargo.toml.txt")),
            ("src/lib.rs", include_str!("../../../templates/rust/lib.rs")),
            ("tests/cases.rs", include_str!("../../../templates/rust/cases.rs")),
        ],
        Language::Js => &[
            (".gitignore", "/node_modules\n/dist\n"),
            ("package.json", include_str!("../../../templates/js/package.json")),
            ("src/channel.js", include_str!("../../../templates/js/channel.js")),
            ("wit/world.wit", include_str!("../../../templates/world.wit")),
        ],
        Language::Python => &[
            (".gitignore", "/.venv\n/dist\n__pycache__/\n"),
            ("requirements.txt", include_str!("../../../../examples/channel-python/requirements.txt")),
            ("src/app.py", include_str!("../../../templates/python/app.py")),
            ("wit/world.wit", include_str!("../../../templates/world.wit")),
        ],
    };
    files.extend(own.iter().map(|(place, text)| ((*place).to_owned(), fill.in_text(text, ""))));
    match lang {
        Language::Rust => files.extend(sources::sdk(&fill.package)?),
        Language::Js => {
            files.extend(contract_files());
            files.push(("package-lock.json".to_owned(), sources::package_lock(&fill.package)?));
        }
        Language::Python => files.extend(contract_files()),
    }
    files.sort();
    Ok(files)
}

fn engine(name: &PluginName) -> anyhow::Result<Vec<(String, String)>> {
    let fill = Fill::of(name, "Engine");
    let own = [
        (".gitignore", "/target\n/dist\n"),
        (".cargo/config.toml", include_str!("../../../templates/engine/config.toml")),
        ("Cargo.toml", include_str!("../../../templates/rust/Cargo.toml.txt")),
        ("README.md", include_str!("../../../templates/engine/README.md")),
        ("cases/filled.json", include_str!("../../../templates/engine/cases/filled.json")),
        ("cases/lenient.json", include_str!("../../../templates/engine/cases/lenient.json")),
        ("cases/missing.json", include_str!("../../../templates/engine/cases/missing.json")),
        ("cases/unclosed.json", include_str!("../../../templates/engine/cases/unclosed.json")),
        ("src/lib.rs", include_str!("../../../templates/engine/lib.rs")),
        ("tests/cases.rs", include_str!("../../../templates/engine/cases.rs")),
    ];
    let filled = own.iter().map(|(place, text)| ((*place).to_owned(), fill.in_text(text, notes(Language::Rust))));
    let mut files: Vec<_> = filled.collect();
    files.push(sources::description_of_cases()?);
    files.extend(sources::sdk(&fill.package)?);
    files.sort();
    Ok(files)
}

const fn notes(lang: Language) -> &'static str {
    match lang {
        Language::Rust => include_str!("../../../templates/rust/notes.md"),
        Language::Js => include_str!("../../../templates/js/notes.md"),
        Language::Python => include_str!("../../../templates/python/notes.md"),
    }
}

/// What stands in the place of `{{…}}`.
struct Fill {
    name: String,
    package: String,
    /// Its type in Rust: never one that the SDK or the prelude has.
    type_name: String,
}

impl Fill {
    /// `kind` ends the name of the type.
    fn of(name: &PluginName, kind: &str) -> Self {
        let words = name.as_str().split('-').map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
        });
        let type_name = words.collect::<String>() + kind;
        Self { name: name.to_string(), package: format!("campanile-plugin-{name}"), type_name }
    }

    fn in_text(&self, text: &str, notes: &str) -> String {
        text.replace("{{notes}}\n", notes)
            .replace("{{name}}", &self.name)
            .replace("{{type}}", &self.type_name)
            .replace("{{crate}}", &self.package.replace('-', "_"))
            .replace("{{contract}}", &crate::runtime::CONTRACT_VERSION.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<'a>(files: &'a [(String, String)], place: &str) -> &'a str {
        &files.iter().find(|(at, _)| at == place).unwrap_or_else(|| panic!("`{place}` is written")).1
    }

    #[test]
    fn a_channel_in_rust_has_at_most_thirty_lines_and_no_gap_left_open() {
        for lang in [Language::Rust, Language::Js, Language::Python] {
            let files = channel(&"on-call".parse().expect("a name"), lang).expect("a project");
            for (place, text) in files.iter().filter(|(place, _)| !place.starts_with("vendor/")) {
                assert!(!text.contains("{{"), "{lang:?} {place}");
            }
            assert!(text(&files, "README.md").contains("on-call.wasm"));
        }
        let files = engine(&"on-call".parse().expect("a name")).expect("a project");
        for (place, text) in files.iter().filter(|(place, _)| !place.starts_with("vendor/")) {
            assert!(!text.contains("{{"), "engine {place}");
        }
        let files = channel(&"on-call".parse().expect("a name"), Language::Rust).expect("a project");
        let channel = text(&files, "src/lib.rs");
        assert!(channel.lines().count() <= 30, "{}", channel.lines().count());
        assert!(channel.contains("impl Channel for OnCallChannel"));
    }

    #[test]
    fn a_folder_that_is_there_is_left_alone_and_a_bad_name_makes_none() {
        let place = tempfile::tempdir().expect("a folder");
        let of = |name: &str, dir: &str| Args {
            name: name.to_owned(),
            lang: Language::Js,
            kind: Kind::Channel,
            dir: Some(place.path().join(dir)),
        };
        let globals = Globals::default();
        run(&globals, &of("pager", "pager")).expect("a project");
        let before = fs::read_to_string(place.path().join("pager/README.md")).expect("a file");
        let again =
            run(&globals, &of("other", "pager")).expect_err("it is there").render(crate::cli::terminal::Paint::Off);
        assert!(again.contains("is there already"), "{again}");
        assert_eq!(fs::read_to_string(place.path().join("pager/README.md")).expect("a file"), before);
        for name in ["Pager", "9lives", "", "a b", "../up", "sdk"] {
            assert!(run(&globals, &of(name, "bad")).is_err(), "{name}");
            assert!(!place.path().join("bad").exists(), "{name}");
        }
    }

    #[test]
    fn a_template_engine_in_another_language_is_refused_with_what_there_is() {
        let place = tempfile::tempdir().expect("a folder");
        for lang in [Language::Js, Language::Python] {
            let dir = place.path().join("engine");
            let args = Args { name: "engine".to_owned(), lang, kind: Kind::Template, dir: Some(dir.clone()) };
            let told = run(&Globals::default(), &args).expect_err("there is none");
            let told = told.render(crate::cli::terminal::Paint::Off);
            assert!(told.contains("is made in `rust`") && told.contains("rust, js or python"), "{told}");
            assert!(!dir.exists());
        }
    }

    /// A project in JavaScript gets the example's lock file, so both have to ask for the same tools. Their code is their
    /// own: the project's is one file to be replaced, the example's speaks to a real provider.
    #[test]
    fn a_project_in_javascript_has_the_tools_of_the_example() {
        let files = channel(&"pager".parse().expect("a name"), Language::Js).expect("a project");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("it is JSON");
        let (own, example) =
            (read(text(&files, "package.json")), read(include_str!("../../../../examples/channel-js/package.json")));
        for key in ["devDependencies", "overrides", "engines"] {
            assert!(own[key].is_object());
            assert_eq!(own[key], example[key], "{key}");
        }
        assert!(own["scripts"]["build"].as_str().is_some_and(|build| build.contains("--disable random stdio clocks")));
    }

    #[test]
    fn the_contract_comes_along() {
        let files = channel(&"pager".parse().expect("a name"), Language::Python).expect("a project");
        assert!(text(&files, "wit/deps/campanile-plugin/http.wit").contains("interface http"));
    }
}
