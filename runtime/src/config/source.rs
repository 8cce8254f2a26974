//! Where settings come from: a file, the environment, flags.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::tree::Table;
use super::{Config, ConfigError, Examined, Place, Problem, load};

/// Before every variable that is a setting.
const PREFIX: &str = "CAMPANILE__";
/// The largest configuration file, in bytes. A thousand channels take a fifth of it.
const FILE_MAX: u64 = 1 << 20;
/// The largest file that a `…_FILE` variable names, in bytes. Private keys take 4 KiB.
const SECRET_MAX: u64 = 64 << 10;

/// A configuration, and the file it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// Checked.
    pub config: Config,
    /// `None` where there was none.
    pub file: Option<PathBuf>,
    /// What is good and cannot be meant.
    pub warnings: Vec<Problem>,
}

/// What a configuration is loaded from. Flags go over the environment, that over the file, that over the defaults.
#[derive(Clone, Debug, Default)]
pub struct Source {
    file: Option<PathBuf>,
    /// Where there was no file, one may be there the next time.
    searches: bool,
    text: Option<(PathBuf, String)>,
    variables: Vec<(OsString, OsString)>,
    flags: Vec<(&'static str, &'static str, String)>,
}

impl Source {
    /// Nothing: all defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The environment of this process as it is now, and `explicit` or else the first file of the search order that
    /// exists. Read again, it is the same file; only where there was none, one is looked for again.
    #[must_use]
    pub fn of_process(explicit: Option<PathBuf>) -> Self {
        let file = explicit.or_else(first_found);
        Self { searches: file.is_none(), file, variables: std::env::vars_os().collect(), ..Self::default() }
    }

    /// Reads this file.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Takes `text` as the content of a file called `name`.
    #[must_use]
    pub fn text(mut self, name: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        self.text = Some((name.into(), text.into()));
        self
    }

    /// Takes these as the environment.
    #[must_use]
    pub fn variables(
        mut self,
        variables: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
    ) -> Self {
        self.variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        self
    }

    /// Sets `key`, such as `server.listen`, from the flag of the command line called `flag`.
    #[must_use]
    pub fn flag(mut self, flag: &'static str, key: &'static str, value: impl Into<String>) -> Self {
        self.flags.push((flag, key, value.into()));
        self
    }

    /// Reads everything and checks it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every problem found, each with its place.
    pub fn load(self) -> Result<Loaded, ConfigError> {
        let Examined { config, file, places: _, problems, warnings } = self.examine();
        ConfigError::unless_empty(problems)?;
        Ok(Loaded { config, file, warnings })
    }

    /// Reads everything, and keeps what is good of it also where something is wrong.
    #[must_use]
    pub fn examine(mut self) -> Examined {
        if self.searches {
            self.file = first_found();
        }
        let mut problems = Vec::new();
        let mut root = self.read_file(&mut problems);
        let mut variables: Vec<_> =
            self.variables.iter().filter_map(|(name, value)| Some((setting(name)?, value))).collect();
        // The same order on every machine: the last of two spellings of one key counts, and problems read alike.
        variables.sort();
        for (name, value) in variables {
            put_variable(&mut root, &name, value, &mut problems);
        }
        for (flag, key, value) in self.flags {
            let keys: Vec<_> = key.split('.').map(str::to_owned).collect();
            put(&mut root, &keys, value, &Place::Flag(flag), &mut problems);
        }
        load::read(root, problems, self.text.map(|(name, _)| name).or(self.file))
    }

    fn read_file(&self, problems: &mut Vec<Problem>) -> Table {
        let (path, text) = match (&self.text, &self.file) {
            (Some((name, text)), _) => (name, Ok(text.clone())),
            (None, Some(path)) => (path, read_bounded(path, FILE_MAX)),
            (None, None) => return Table::empty(Place::Code),
        };
        let path: Arc<Path> = path.as_path().into();
        match text {
            Ok(text) => Table::parse(&path, &text, problems),
            Err(error) => {
                let place = Place::File { path, line: 0 };
                problems.push(Problem::new(place.clone(), "", format!("it cannot be read: {error}")));
                Table::empty(place)
            }
        }
    }
}

fn first_found() -> Option<PathBuf> {
    search_order().into_iter().find(|path| path.is_file())
}

/// Where a configuration file may be, the first that exists counts.
fn search_order() -> Vec<PathBuf> {
    let under = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = under("XDG_CONFIG_HOME").or_else(|| under("HOME").map(|home| home.join(".config")));
    let user = user.map(|dir| dir.join("campanile/config.toml"));
    [Some("campanile.toml".into()), user, Some("/etc/campanile/config.toml".into())].into_iter().flatten().collect()
}

/// The name, where it is that of a setting.
fn setting(name: &OsString) -> Option<String> {
    let name = name.to_string_lossy();
    name.starts_with(PREFIX).then(|| name.into_owned())
}

fn put_variable(root: &mut Table, name: &str, value: &OsString, problems: &mut Vec<Problem>) {
    let place = Place::Variable(name.into());
    let mut keys: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
    if keys.iter().any(String::is_empty) {
        let message = "names no setting: write `CAMPANILE__SECTION__KEY`";
        return problems.push(Problem::new(place, "", message));
    }
    let Some(value) = value.to_str() else {
        return problems.push(Problem::new(place, "", "is not UTF-8"));
    };
    let value = match secret_key(&keys) {
        None => Ok(value.to_owned()),
        Some(key) => {
            if let Some(last) = keys.last_mut() {
                *last = key;
            }
            // What an editor puts at the end of a file is no part of a secret.
            read_bounded(Path::new(value), SECRET_MAX).map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
        }
    };
    match value {
        Ok(value) => put(root, &keys, value, &place, problems),
        Err(error) => problems.push(Problem::new(place, "", format!("the file it names cannot be read: {error}"))),
    }
}

/// The key without `_file`, where these keys name a value of a channel's `config` by file. Only those are secrets.
fn secret_key(keys: &[String]) -> Option<String> {
    match keys {
        [channels, _, config, .., last] if channels == "channels" && config == "config" => {
            last.strip_suffix("_file").filter(|key| !key.is_empty()).map(str::to_owned)
        }
        _ => None,
    }
}

fn put(root: &mut Table, keys: &[String], value: String, place: &Place, problems: &mut Vec<Problem>) {
    if let Err(message) = root.put(keys, value, place) {
        problems.push(Problem::new(place.clone(), keys.join("."), message));
    }
}

fn read_bounded(path: &Path, max: u64) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(max + 1).read_to_string(&mut text)?;
    if read as u64 > max {
        return Err(io::Error::other(format!("it is larger than the limit of {}", super::format_size(max))));
    }
    Ok(text)
}
