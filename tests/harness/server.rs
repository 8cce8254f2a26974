//! The program as a child process, in a folder of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long the program may take to say that it listens. Cold compilation of plugins is part of it.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The program under test.
///
/// # Panics
///
/// Where `CAMPANILE_BIN` is not set: the harness never guesses which program it tests.
#[must_use]
pub fn program() -> PathBuf {
    let path = PathBuf::from(std::env::var_os("CAMPANILE_BIN").expect(
        "CAMPANILE_BIN names the program under test; run the tests through `make test`, which builds and names it",
    ));
    assert!(path.is_file(), "CAMPANILE_BIN is `{}`, and there is no such file", path.display());
    path
}

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Outcome {
    /// Standard output as JSON.
    ///
    /// # Panics
    ///
    /// Where it is not JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }
}

/// `campanile serve` in a folder of its own.
pub struct Server {
    dir: tempfile::TempDir,
    child: Child,
    url: String,
    args: Vec<String>,
}

impl Server {
    /// Starts with `config` as `campanile.toml`; `[server] listen` is set to a free port.
    ///
    /// # Panics
    ///
    /// Where it does not start; the message holds what it said.
    pub async fn start(config: &str) -> Self {
        Self::start_with(config, &[], &[]).await
    }

    /// The same with files, by name and content, in its folder, and more arguments.
    ///
    /// # Panics
    ///
    /// Where it does not start; the message holds what it said.
    pub async fn start_with(config: &str, files: &[(&str, &str)], args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        for (name, content) in files.iter().chain([&("campanile.toml", config)]) {
            std::fs::write(dir.path().join(name), content).expect("a file can be written");
        }
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let (child, url) = spawn(dir.path(), &args).await;
        Self { dir, child, url, args }
    }

    /// Starts where no file can have more than so many blocks of 512 bytes: to the store, a full disk.
    ///
    /// # Panics
    ///
    /// Where it does not start; the message holds what it said.
    pub async fn start_on_small_disk(config: &str, blocks: u32) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        std::fs::write(dir.path().join("campanile.toml"), config).expect("a file can be written");
        // Without the trap, a write too many would end the program instead of failing.
        let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.arg("-c").arg(limited).arg(program());
        let (child, url) = spawn_as(command, dir.path(), &[]).await;
        Self { dir, child, url, args: Vec::new() }
    }

    /// Starts it again on the same folder, after a [`kill`](Self::kill) or its [end](Self::ended), where nothing can be
    /// written behind so many blocks of 512 bytes of a file: a full disk, until there is [room](Self::make_room). With no
    /// blocks no plugin can be called either, since its memory counts as a file.
    ///
    /// # Panics
    ///
    /// Where it does not start; the message holds what it said.
    pub async fn restart_on_full_disk(&mut self, blocks: u32) {
        // Without the trap, the first write would end the program instead of failing. Its log is no file: it would be full.
        let limited = format!("trap '' XFSZ; ulimit -S -f {blocks}; exec \"$0\" \"$@\" 2>/dev/null");
        let mut command = Command::new("sh");
        command.arg("-c").arg(limited).arg(program());
        let (child, url) = spawn_as(command, self.dir.path(), &self.args).await;
        self.child = child;
        self.url = url;
    }

    /// Its disk is full no more.
    ///
    /// # Panics
    ///
    /// Where that cannot be done.
    pub async fn make_room(&self) {
        let pid = self.child.id().expect("the child has not been waited for").to_string();
        let done = Command::new("prlimit").args(["--fsize=unlimited", "--pid", &pid]).status().await;
        assert!(done.expect("`prlimit` can be run").success(), "there is no room");
    }

    /// The folder it runs in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends it at once, as `kill -9` does, and starts it again on the same folder.
    ///
    /// # Panics
    ///
    /// Where it cannot be killed or does not start again.
    pub async fn crash_and_restart(&mut self) {
        self.kill().await;
        self.restart().await;
    }

    /// Ends it at once, as `kill -9` does.
    ///
    /// # Panics
    ///
    /// Where it cannot be killed.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// Starts it again on the same folder, after a [`kill`](Self::kill).
    ///
    /// # Panics
    ///
    /// Where it does not start.
    pub async fn restart(&mut self) {
        let (child, url) = spawn(self.dir.path(), &self.args).await;
        self.child = child;
        self.url = url;
    }

    /// Puts a file into its folder, whole and at once.
    ///
    /// # Panics
    ///
    /// Where it cannot be written.
    pub fn put(&self, name: &str, content: &str) {
        let half = self.dir.path().join("half-written");
        std::fs::write(&half, content).expect("a file can be written");
        std::fs::rename(half, self.dir.path().join(name)).expect("a file can be renamed");
    }

    /// Sends it this signal, such as `HUP`.
    ///
    /// # Panics
    ///
    /// Where it cannot be sent.
    pub async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("the child has not been waited for").to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().await.expect("`kill` can be run");
        assert!(sent.success(), "SIG{name} could not be sent");
    }

    /// Ends it as an operator would, and returns its exit code.
    ///
    /// # Panics
    ///
    /// Where the signal cannot be sent.
    pub async fn terminate(mut self) -> i32 {
        self.signal("TERM").await;
        self.child.wait().await.expect("a child can be waited for").code().unwrap_or(-1)
    }

    /// Waits until it has ended by itself, and returns its exit code. [`restart`](Self::restart) starts it again.
    ///
    /// # Panics
    ///
    /// Where it cannot be waited for.
    pub async fn ended(&mut self) -> i32 {
        self.child.wait().await.expect("a child can be waited for").code().unwrap_or(-1)
    }

    /// Runs a command of the program against this server.
    ///
    /// # Panics
    ///
    /// Where the program cannot be run.
    pub async fn cli<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome {
        let output = Command::new(program())
            .args(args)
            .current_dir(self.dir.path())
            .env("CAMPANILE_URL", &self.url)
            .env("CAMPANILE__PLUGINS__BUNDLED_DIR", crate::guests_dir())
            .stdin(Stdio::null())
            .output()
            .await
            .expect("the program can be run");
        Outcome {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

async fn spawn(dir: &Path, args: &[String]) -> (Child, String) {
    spawn_as(Command::new(program()), dir, args).await
}

async fn spawn_as(mut command: Command, dir: &Path, args: &[String]) -> (Child, String) {
    let log = std::fs::File::create(dir.join("server.log")).expect("a log can be made");
    let mut child = command
        .args(args)
        .arg("serve")
        .current_dir(dir)
        .env("CAMPANILE__SERVER__LISTEN", "127.0.0.1:0")
        .env("CAMPANILE__PLUGINS__BUNDLED_DIR", crate::guests_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .expect("the program can be run");
    let mut lines = BufReader::new(child.stdout.take().expect("standard output is piped")).lines();
    let said = tokio::time::timeout(START_LIMIT, async {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(url) = line.strip_prefix("listening on ") {
                return Some(url.to_owned());
            }
        }
        None
    })
    .await;
    let Ok(Some(url)) = said else {
        let log = std::fs::read_to_string(dir.join("server.log")).unwrap_or_default();
        panic!("the server did not start; it said:\n{log}");
    };
    // What else it prints, such as the lines of the console channel, is read and kept nowhere: a full pipe would stop it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, url)
}
