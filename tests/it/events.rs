//! Events as a client follows them, while it and the server are killed in turn.
//!
//! `CAMPANILE_EVENTS=1000000` makes more of them.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use campanile_tests::{Server, program};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};

use crate::api::Api;

/// Events of a notification through one channel: accepted, attempted, sent, completed.
const EVENTS_OF_ONE: usize = 4;

const BATCH: usize = 2_500;

/// An address that stays, in front of a server whose address changes with each start.
struct Front {
    url: String,
    behind: Arc<Mutex<SocketAddr>>,
}

impl Front {
    async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        let behind = Arc::new(Mutex::new(address(server)));
        let target = Arc::clone(&behind);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let target = *target.lock().unwrap_or_else(PoisonError::into_inner);
                tokio::spawn(async move {
                    // Where the server is gone, the client's connection breaks at once.
                    if let Ok(mut server) = TcpStream::connect(target).await {
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Self { url, behind }
    }

    fn now_before(&self, server: &Server) {
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = address(server);
    }
}

fn address(server: &Server) -> SocketAddr {
    server.url().strip_prefix("http://").and_then(|address| address.parse().ok()).expect("an address of the loopback")
}

/// `campanile events --follow`, and what it has printed.
struct Follower {
    child: Child,
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
}

impl Follower {
    /// Behind the last of `seen`.
    fn start(front: &Front, seen: &[Value]) -> Self {
        let since = seen.last().map_or("oldest", |event| event["id"].as_str().expect("an id"));
        let mut child = Command::new(program())
            .args(["--json", "--url", &front.url, "events", "--follow", "--since", since])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the program can be run");
        let lines = BufReader::new(child.stdout.take().expect("standard output is piped")).lines();
        Self { child, lines }
    }

    /// Reads so many more.
    async fn read(&mut self, count: usize, seen: &mut Vec<Value>) {
        for _ in 0..count {
            let line = self.lines.next_line().await.expect("it can be read").expect("it goes on");
            seen.push(serde_json::from_str(&line).expect("each line is an event"));
        }
    }

    /// Kills it and reads what it had printed; a line that is cut off was not seen.
    async fn kill(mut self, seen: &mut Vec<Value>) {
        self.child.kill().await.expect("a child can be killed");
        while let Ok(Some(line)) = self.lines.next_line().await {
            seen.extend(serde_json::from_str::<Value>(&line).ok());
        }
    }
}

fn number(event: &Value) -> u64 {
    let id = event["id"].as_str().expect("an id");
    id.split_once('-').and_then(|(_, number)| number.parse().ok()).expect("a number")
}

async fn submit(api: &Api, count: usize) {
    let items: Vec<Value> = (0..count).map(|n| json!({ "channels": ["null"], "body": n.to_string() })).collect();
    let answer = api.post("/v1/notifications/batch", &Value::Array(items)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_turn_client_and_server_see_each_event_once_and_in_order() {
    let events = std::env::var("CAMPANILE_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let rounds = 10;
    let per_round = events / EVENTS_OF_ONE / rounds;
    let mut server = Server::start("").await;
    let front = Front::before(&server).await;
    let mut seen: Vec<Value> = Vec::new();
    let mut follower = Follower::start(&front, &seen);
    for round in 0..rounds {
        let api = Api::of(&server);
        for batch in 0..per_round.div_ceil(BATCH) {
            submit(&api, BATCH.min(per_round - batch * BATCH)).await;
        }
        // In the midst of what is under way.
        follower.read(per_round, &mut seen).await;
        if round % 2 == 0 {
            server.kill().await;
            server.restart().await;
            front.now_before(&server);
        } else {
            follower.kill(&mut seen).await;
            follower = Follower::start(&front, &seen);
        }
    }
    let completed = |seen: &[Value]| seen.iter().filter(|event| event["type"] == "notification.completed").count();
    loop {
        let left = rounds * per_round - completed(&seen);
        if left == 0 {
            break;
        }
        follower.read(left, &mut seen).await;
    }
    follower.kill(&mut seen).await;

    assert!(seen.len() >= events, "{} events were seen", seen.len());
    assert!(seen.windows(2).all(|pair| number(&pair[0]) < number(&pair[1])), "in order, and none twice");
    assert!(seen.iter().all(|event| event["type"] != "gap"), "nothing was missing");
    let kept = server.cli(["--json", "events"]).await;
    assert_eq!(kept.code, 0, "{}", kept.stderr);
    let kept: Vec<Value> = kept.stdout.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    // Once all is quiet nothing comes any more but what workers do.
    let upto = number(seen.last().expect("there are events"));
    let kept: Vec<&Value> = kept.iter().filter(|event| number(event) <= upto).collect();
    assert_eq!(kept.len(), seen.iter().filter(|event| number(event) <= upto).count());
    assert!(kept.iter().zip(&seen).all(|(kept, seen)| *kept == seen), "what was seen is what is in the outbox");
    assert_eq!(server.terminate().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_listed_by_type_and_notification_from_any_place() {
    let server = Server::start("").await;
    let api = Api::of(&server);
    let mut ids = Vec::new();
    for _ in 0..2 {
        let sent = api.post("/v1/notifications", &json!({ "channels": ["null"], "body": "x" })).await;
        ids.push(sent.body["id"].as_str().expect("an id").to_owned());
        api.until_final(&ids[ids.len() - 1]).await;
    }
    let list = async |args: &[&str]| {
        let listed = server.cli([&["--json", "events"][..], args].concat()).await;
        let events = listed.stdout.lines().map(|line| serde_json::from_str(line).expect("an event"));
        (listed.code, events.collect::<Vec<Value>>())
    };
    let kinds = |events: &[Value]| -> Vec<String> {
        events.iter().map(|event| event["type"].as_str().expect("a type").to_owned()).collect()
    };
    let (code, of_first) = list(&["--notification", &ids[0]]).await;
    let story = ["notification.accepted", "delivery.attempted", "delivery.sent", "notification.completed"];
    assert_eq!((code, kinds(&of_first)), (0, story.map(str::to_owned).to_vec()));
    assert_eq!(of_first[2]["delivery_id"].as_str().map(|id| id.replace("dlv_", "ntf_")), Some(format!("{}_0", ids[0])));
    let (_, sent) = list(&["--type", "delivery.sent", "--type", "plugin.*", "--since", "oldest"]).await;
    assert_eq!(kinds(&sent).iter().filter(|kind| *kind == "delivery.sent").count(), 2, "{sent:?}");
    let behind = of_first[2]["id"].as_str().expect("an id");
    let (_, rest) = list(&["--notification", &ids[0], "--since", behind]).await;
    assert_eq!(kinds(&rest), ["notification.completed"]);
    assert_eq!(list(&["--type", "channel.opened"]).await, (3, Vec::new()), "nothing matched");

    let shown = server.cli(["events", "--type", "delivery.sent"]).await;
    assert_eq!((shown.code, shown.stdout.lines().count()), (0, 2), "{shown:?}");
    for (args, said) in [
        (["--type", "delivery.snet"], "`delivery.snet` is no type of event: did you mean `delivery.sent`?"),
        (["--since", "42"], "`42` is not the id of an event, such as `00c0ffee00c0ffee-42`"),
    ] {
        let refused = server.cli([&["events"][..], &args[..]].concat()).await;
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains(said), "{refused:?}");
    }
    assert_eq!(server.terminate().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_refused_where_its_last_id_is_none_and_ends_when_the_server_stops() {
    let server = Server::start("").await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client can be made");
    let url = format!("{}/v1/events", server.url());
    let refused = client.get(&url).header("last-event-id", "yesterday").send().await.expect("an answer");
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    let problem: Value = refused.json().await.expect("a problem");
    assert_eq!(problem["code"], "invalid-header");
    assert!(problem["detail"].as_str().expect("a text").contains("`yesterday` is not the id of an event"), "{problem}");

    let gone = "0000000000000001-7";
    let mut stream = client.get(&url).header("last-event-id", gone).send().await.expect("an answer");
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    while !text.contains("\nevent: gap\n") {
        let chunk = stream.chunk().await.expect("it goes on").expect("there is more");
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(text.contains("\"data\":{\"reason\":\"other-epoch\",\"after\":\"0000000000000001-7\"}"), "{text}");
    let metrics = client.get(format!("{}/metrics", server.url())).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("a text");
    assert!(metrics.contains("campanile_event_subscribers 1\n"), "{metrics}");

    let (code, rest) = tokio::join!(server.terminate(), async {
        let mut rest = String::new();
        while let Some(chunk) = stream.chunk().await.expect("it ends in order") {
            rest.push_str(&String::from_utf8_lossy(&chunk));
        }
        rest
    });
    assert_eq!(code, 0);
    assert!(rest.contains("event: end\ndata: {") && rest.contains("\"reason\":\"stopping\""), "{rest}");
}

/// Who asks what happened to a delivery that waits finds why, beside its beginning; of one that did not have to wait nothing
/// is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_accepted_for_a_paused_channel_is_told_to_be_held() {
    let server = Server::start("").await;
    let api = Api::of(&server);
    let send = async || {
        let sent = api.post("/v1/notifications", &json!({ "channels": ["null"], "body": "x" })).await;
        sent.body["id"].as_str().expect("an id").to_owned()
    };
    api.until_final(&send().await).await;
    assert_eq!(server.cli(["channels", "pause", "null"]).await.code, 0);
    let waits = send().await;
    let held = server.cli(["--json", "events", "--type", "delivery.held"]).await;
    let events: Vec<Value> = held.stdout.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    let [event] = events.as_slice() else { panic!("{held:?}") };
    assert_eq!(
        (&event["notification_id"], &event["data"]),
        (&json!(waits), &json!({ "channel": "null", "reason": "paused" }))
    );
    assert_eq!(server.cli(["channels", "resume", "null"]).await.code, 0);
    api.until_final(&waits).await;
    let story = server.cli(["--json", "events", "--notification", &waits]).await.stdout;
    let story: Vec<Value> = story.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    let kinds: Vec<_> = story.iter().map(|event| event["type"].as_str().expect("a type")).collect();
    let told =
        ["notification.accepted", "delivery.held", "delivery.attempted", "delivery.sent", "notification.completed"];
    assert_eq!(kinds, told);
    assert_eq!(server.terminate().await, 0);
}
