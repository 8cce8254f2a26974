//! The example that follows the events of a server, through crashes of both.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use campanile_tests::{Server, program};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::api::Api;

/// Notifications before the crashes, and as many after them.
const HALF: usize = 500;
/// How long the example may take for all of them.
const LIMIT: Duration = Duration::from_secs(120);

fn track(server: &Server, file: &Path) -> Child {
    let mut command = Command::new(program().with_file_name("track"));
    command.arg(server.url()).arg(file).stdin(Stdio::null()).kill_on_drop(true);
    command.spawn().expect("the example is built beside the program")
}

async fn send(server: &Server) {
    let one = json!({ "channels": ["null"], "body": "x" });
    let many = Value::from(vec![one; HALF]);
    let answer = Api::of(server).post("/v1/notifications/batch", &many).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Whole lines, as id and type.
fn lines(file: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let pair = |line: &str| line.split_once(' ').map(|(id, kind)| (id.to_owned(), kind.to_owned()));
    whole.lines().map(|line| pair(line).expect("an id and a type")).collect()
}

async fn until(file: &Path, what: &str, holds: impl Fn(&[(String, String)]) -> bool) {
    let wait = async {
        let mut moments = tokio::time::interval(Duration::from_millis(20));
        while !holds(&lines(file)) {
            moments.tick().await;
        }
    };
    let waited = tokio::time::timeout(LIMIT, wait).await;
    waited.unwrap_or_else(|_| panic!("{what} after {LIMIT:?}: {} lines", lines(file).len()));
}

/// Every event is in the file, in order, and none twice, though the example and the server are killed meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_is_kept_once_through_crashes_of_the_example_and_the_server() {
    let mut server = Server::start("").await;
    let file = server.dir().join("events.log");
    let completed =
        |lines: &[(String, String)]| lines.iter().filter(|(_, kind)| kind == "notification.completed").count();

    let mut first = track(&server, &file);
    send(&server).await;
    until(&file, "the example follows", |lines| lines.len() > HALF / 2).await;
    first.kill().await.expect("a child can be killed");
    server.crash_and_restart().await;
    send(&server).await;
    let mut second = track(&server, &file);
    until(&file, "the example goes on", |lines| completed(lines) == 2 * HALF).await;
    second.kill().await.expect("a child can be killed");

    let numbers: Vec<u64> = lines(&file)
        .iter()
        .map(|(id, _)| id.rsplit_once('-').expect("an epoch and a number").1.parse().expect("a number"))
        .collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "in order, without gap or repeat");
    assert_eq!(server.terminate().await, 0);
}
