//! Deliveries and callers while something is used up: the compiler, the disk.

use std::fs;
use std::process::Command;
use std::time::Duration;

use campanile_tests::{Receiver, Reply, Server, program};
use serde_json::{Value, json};

use crate::api::Api;

/// The compiler's own limit is two minutes; a loaded machine gets more before the test gives up.
const REFUSED_LIMIT: Duration = Duration::from_secs(240);

/// Deliveries that the shortest compilation of the bomb leaves time for, by far.
const DURING_MIN: usize = 5;

/// Notifications of [`LARGE`] bytes that surely do not fit on the small disk.
const TOO_MANY: usize = 400;
const LARGE: usize = 60 << 10;

/// Blocks of 512 bytes that a file of the small disk may have: 4 MiB, where the store begins with less than one.
const BLOCKS: u32 = 8 << 10;

/// How long a server may take to find that there is room on its disk: it looks once a second.
#[cfg(target_os = "linux")]
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);

/// A number as WebAssembly writes it (LEB128).
fn leb(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn sized(body: &[u8]) -> Vec<u8> {
    [&leb(body.len() as u32)[..], body].concat()
}

fn section(id: u8, body: &[u8]) -> Vec<u8> {
    [&[id][..], &sized(body)].concat()
}

/// A component that is within every bound on what the compiler is given, and takes it more memory than there is: one
/// function with many variables, all of them read within many loops.
fn bomb() -> Vec<u8> {
    const LOOPS: usize = 200_000;
    const VARIABLES: u32 = 40_000;
    let mut code = [&[1][..], &leb(VARIABLES), &[0x7f]].concat();
    code.extend([0x03_u8, 0x40].repeat(LOOPS));
    for variable in 0..VARIABLES {
        code.push(0x20);
        code.extend(leb(variable));
        code.push(0x1a);
    }
    code.extend([0x0b_u8].repeat(LOOPS + 1));
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    module.extend(section(1, &[1, 0x60, 0, 0]));
    module.extend(section(3, &[1, 0]));
    module.extend(section(10, &[&[1][..], &sized(&code)].concat()));

    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    component.extend(section(1, &module));
    component.extend(section(2, &[1, 0, 0, 0]));
    // An instance of nothing, under the name that makes a component a channel.
    component.extend(section(5, &[1, 1, 0]));
    let name = b"campanile:plugin/channel@0.1.0";
    component.extend(section(11, &[&[1, 0][..], &sized(name), &[5, 0, 0]].concat()));
    component
}

/// The entry of a file in `/v1/plugins`, if it was refused.
async fn refusal(api: &Api, file: &str) -> Option<String> {
    let listed = api.get("/v1/plugins").await.body;
    let plugins = listed["plugins"].as_array()?;
    let is_it = |entry: &&Value| entry["file"].as_str().is_some_and(|path| path.ends_with(file));
    let entry = plugins.iter().filter(is_it).find(|entry| entry["state"] == "refused")?;
    entry["reason"].as_str().map(str::to_owned)
}

/// A file that is within every bound and still takes the compiler more than it may use is refused with the limit, and
/// no delivery and no operator waits for that.
#[tokio::test]
async fn deliveries_go_on_while_a_compile_bomb_is_compiled_and_refused() {
    let receiver = Receiver::start(Vec::new(), Reply::new(200, "{}")).await;
    let server = Server::start(&format!(
        "[channels.hook]\nplugin = \"webhook\"\nconfig = {{ url = \"{}\" }}\nallow_networks = [\"127.0.0.1/32\"]\n",
        receiver.url()
    ))
    .await;
    let api = Api::of(&server);
    let deliver = async || {
        let accepted = api.post("/v1/notifications", &json!({ "channels": ["hook"], "body": "ding" })).await;
        assert_eq!(accepted.status, 202, "{accepted:?}");
        let record = api.until_final(accepted.body["id"].as_str().expect("an id")).await;
        assert_eq!((&record["status"], &record["deliveries"][0]["attempts"][1]), (&json!("sent"), &Value::Null));
    };
    deliver().await;

    fs::write(server.dir().join("half"), bomb()).expect("the folder can be written");
    fs::rename(server.dir().join("half"), server.dir().join("plugins-enabled/bomb.wasm")).expect("it can be renamed");
    let mut during = 0_usize;
    let refused = tokio::time::timeout(REFUSED_LIMIT, async {
        loop {
            if let Some(reason) = refusal(&api, "bomb.wasm").await {
                return reason;
            }
            deliver().await;
            // An operator is answered meanwhile, too: the books are nobody's while a file is compiled.
            let answer = api.post("/v1/plugins/webhook/release", &json!({})).await;
            assert_eq!((answer.status, &answer.body["code"]), (409, &json!("nothing-to-do")), "{answer:?}");
            during += 1;
        }
    });
    let reason = refused.await.expect("the bomb is refused");
    assert!(reason.contains("no setting changes that: build"), "{reason}");
    assert!(reason.contains("4 GiB of memory") || reason.contains("longer than 120 s"), "{reason}");
    assert!(during >= DURING_MIN, "{during} deliveries while it was compiled: {reason}");
    deliver().await;
    assert_eq!(receiver.has_received(during + 2).await.len(), during + 2, "each arrived, and once");
}

/// Who looks at such a file before it serves gets the same answer, and the machine keeps its memory.
#[test]
fn a_compile_bomb_that_is_checked_is_refused_with_the_limit() {
    let place = tempfile::tempdir().expect("a folder");
    fs::write(place.path().join("bomb.wasm"), bomb()).expect("a file");
    let checked = Command::new(program())
        .args(["plugins", "check", "bomb.wasm", "--json"])
        .current_dir(place.path())
        .output()
        .expect("the program can be run");
    let told: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    assert_eq!((checked.status.code(), &told["passed"]), (Some(1), &json!(false)), "{told:#}");
    let load = &told["checks"][0];
    assert_eq!((&load["name"], &load["verdict"]), (&json!("load"), &json!("fail")), "{told:#}");
    let says = load["says"].as_str().expect("what was found");
    assert!(says.contains("no setting changes that: build"), "{says}");
    assert!(says.contains("4 GiB of memory") || says.contains("longer than 120 s"), "{says}");
    assert!(load["mend"].as_str().is_some_and(|mend| mend.contains("smaller functions")), "{told:#}");
}

/// Where the disk is full a caller is told to come again, with the time, and what was accepted before is there.
#[tokio::test]
async fn a_full_disk_is_told_to_callers_with_the_time_to_come_again() {
    let server = Server::start_on_small_disk("", BLOCKS).await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client can be made");
    let large = json!({ "channels": ["null"], "body": "x".repeat(LARGE) }).to_string();
    let mut accepted = Vec::new();
    let refused = loop {
        assert!(accepted.len() < TOO_MANY, "the disk does not fill up");
        let request = client.post(format!("{}/v1/notifications", server.url())).body(large.clone());
        let answer = request.header("content-type", "application/json").send().await.expect("the server answers");
        if answer.status() != 202 {
            break answer;
        }
        let answer: Value = answer.json().await.expect("JSON");
        accepted.push(answer["id"].as_str().expect("an id").to_owned());
    };
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "5");
    let problem: Value = refused.json().await.expect("a problem document");
    assert_eq!((&problem["status"], &problem["code"]), (&json!(503), &json!("unavailable")));
    let why = problem["detail"].as_str().expect("a sentence");
    assert!(why.starts_with("not now, the store cannot write: "), "{why}");

    assert!(!accepted.is_empty(), "the disk had room in the beginning");
    let api = Api::of(&server);
    for id in &accepted {
        assert_eq!(api.get(&format!("/v1/notifications/{id}")).await.status, 200, "{id} was accepted");
    }
    // What is left may be too little for a notification and enough for a sign of life; each one takes of it.
    let mut asked = 0;
    let not_ready = loop {
        asked += 1;
        assert!(asked < TOO_MANY, "the disk does not fill up");
        assert_eq!(api.post_text("/v1/notifications", large.clone()).await.status, 503);
        let answer = api.get("/readyz").await;
        if answer.status == 503 {
            break answer.body;
        }
    };
    let store = &not_ready["components"][0];
    assert_eq!((&not_ready["status"], &store["name"]), (&json!("not-ready"), &json!("store")), "{not_ready}");
    assert!(store["detail"].as_str().is_some_and(|why| why.starts_with("the store cannot write: ")), "{not_ready}");
    let metrics = api.get("/metrics").await.body;
    let counted =
        metrics.as_str().and_then(|text| text.lines().find(|line| line.starts_with("campanile_store_errors_total ")));
    let counted: usize = counted.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("it is counted");
    assert!(counted > asked, "{counted} of at least {asked}");
}

/// Where the disk is full at the start, the server says which disk, how much room it has, and what to do.
#[tokio::test]
async fn a_start_on_a_full_disk_says_where_to_make_room() {
    let place = tempfile::tempdir().expect("a folder");
    let limited = "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", limited])
        .arg(program())
        .args(["serve", "--listen", "127.0.0.1:0"])
        .current_dir(place.path())
        .env("CAMPANILE__STORE__URL", "sqlite://kept/campanile.db")
        .output()
        .expect("the program can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let folder = place.path().canonicalize().expect("it is there").join("kept");
    for word in [
        "the store does not open",
        "the store cannot write: ",
        &*folder.to_string_lossy(),
        " free: make room on that disk",
    ] {
        assert!(said.contains(word), "`{word}` is missing: {said}");
    }
}

/// A server that died and is started on a full disk serves what is read, says why it takes nothing, and goes on without a
/// restart once there is room: nothing that waited is lost, a webhook that is new hears of what happens, and that it
/// started is in the audit log.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_on_a_full_disk_serves_what_is_read_and_goes_on_when_there_is_room() {
    let receiver = Receiver::start(vec![], Reply::new(204, "")).await;
    let channel = "[channels.quiet]\nplugin = \"null\"\n";
    let hook = format!(
        "{channel}[[callbacks.webhook]]\nname = \"crm\"\nurl = \"{}/in\"\nsecret = \"file:key\"\nallow_networks = \
         [\"127.0.0.1/32\"]\n",
        receiver.url()
    );
    let mut server = Server::start(channel).await;
    let held = held_by_a_pause(&server).await;
    let api = Api::of(&server);
    // More than the small disk has room for in a file.
    let large = json!({ "channels": ["quiet"], "body": "x".repeat(LARGE) });
    for _ in 0..BLOCKS as usize * 512 / LARGE + 1 {
        assert_eq!(api.post("/v1/notifications", &large).await.status, 202);
    }
    server.kill().await;
    server.put("key", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    server.put("campanile.toml", &hook);
    server.restart_on_full_disk(BLOCKS).await;
    let api = Api::of(&server);
    let starts = reads_and_is_not_ready(&api, &held).await;
    let refused = api.post("/v1/notifications", &json!({ "channels": ["quiet"], "body": "z" })).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")), "{}", refused.body);

    server.make_room().await;
    recovers(&api, starts).await;
    assert_eq!(api.post("/v1/channels/quiet/resume", &json!({})).await.status, 200);
    assert_eq!(api.until_final(&held).await["status"], "sent");
    let next = api.post("/v1/notifications", &json!({ "channels": ["quiet"], "body": "y" })).await;
    assert_eq!(next.status, 202, "{}", next.body);
    let heard = receiver.has_received(1).await.remove(0).json();
    assert!(heard["type"].is_string(), "{heard}");
    assert_eq!(server.terminate().await, 0);
}

/// The same after a stop, where not even the file has room that SQLite has beside a database in use.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_room_for_anything_serves_what_is_read() {
    let mut server = Server::start("[channels.quiet]\nplugin = \"null\"\n").await;
    let held = held_by_a_pause(&server).await;
    server.signal("TERM").await;
    assert_eq!(server.ended().await, 0);
    server.restart_on_full_disk(0).await;
    let api = Api::of(&server);
    let starts = reads_and_is_not_ready(&api, &held).await;
    server.make_room().await;
    recovers(&api, starts).await;
    server.signal("TERM").await;
    assert_eq!(server.ended().await, 0);
    server.restart().await;
    let api = Api::of(&server);
    assert_eq!(api.post("/v1/channels/quiet/resume", &json!({})).await.status, 200);
    assert_eq!(api.until_final(&held).await["status"], "sent");
    assert_eq!(server.terminate().await, 0);
}

/// Answers the id of a notification that waits until its channel is resumed.
#[cfg(target_os = "linux")]
async fn held_by_a_pause(server: &Server) -> String {
    let api = Api::of(server);
    assert_eq!(api.post("/v1/channels/quiet/pause", &json!({})).await.status, 200);
    let held = api.post("/v1/notifications", &json!({ "channels": ["quiet"], "body": "x" })).await;
    held.body["id"].as_str().expect("an id").to_owned()
}

/// Answers how many starts the audit log tells of.
#[cfg(target_os = "linux")]
async fn reads_and_is_not_ready(api: &Api, waiting: &str) -> usize {
    assert_eq!(api.get("/healthz").await.status, 200);
    let found = api.get(&format!("/v1/notifications/{waiting}")).await;
    assert_eq!((found.status, &found.body["status"]), (200, &json!("pending")), "{}", found.body);
    let not_ready = api.get("/readyz").await;
    let store = &not_ready.body["components"][0];
    assert_eq!((not_ready.status, &store["name"]), (503, &json!("store")), "{}", not_ready.body);
    assert!(store["detail"].as_str().is_some_and(|why| why.starts_with("the store cannot write: ")), "{store}");
    starts_told(api).await
}

/// It is ready without a restart, and tells of its start.
#[cfg(target_os = "linux")]
async fn recovers(api: &Api, starts: usize) {
    let recovered = tokio::time::timeout(RECOVERY_LIMIT, async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while api.get("/readyz").await.status != 200 || starts_told(api).await == starts {
            ticks.tick().await;
        }
    });
    recovered.await.expect("it is ready when there is room, and its start is in the audit log");
}

#[cfg(target_os = "linux")]
async fn starts_told(api: &Api) -> usize {
    api.get("/v1/audit?action=config").await.body["entries"].as_array().map_or(0, Vec::len)
}

/// Plugins that were never seen are compiled before the server takes anything. Whoever asks meanwhile is told so, with
/// when to ask again, and is served once it is over.
#[tokio::test]
async fn a_server_that_compiles_at_its_start_says_that_it_lives_and_takes_nothing_yet() {
    let place = tempfile::tempdir().expect("a folder");
    fs::create_dir(place.path().join("plugins-enabled")).expect("a folder");
    fs::write(place.path().join("plugins-enabled/bomb.wasm"), bomb()).expect("a file");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = free.local_addr().expect("it has an address").to_string();
    drop(free);
    let _server = tokio::process::Command::new(program())
        .args(["serve", "--listen", &address])
        .current_dir(place.path())
        .env("CAMPANILE__PLUGINS__BUNDLED_DIR", campanile_tests::guests_dir())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the program can be run");
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let ask = async |path: &str| client.get(format!("http://{address}{path}")).send().await.ok();
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let started = tokio::time::timeout(REFUSED_LIMIT, async {
        let (mut lives, mut waits) = (0, 0);
        loop {
            ticks.tick().await;
            lives += usize::from(ask("/healthz").await.is_some_and(|answer| answer.status() == 200));
            let Some(answer) = ask("/v1/plugins").await else { continue };
            if answer.status() == 200 {
                return (lives, waits);
            }
            assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].as_bytes()), (503, &b"1"[..]));
            let problem: Value = answer.json().await.expect("JSON");
            assert_eq!(problem["code"], "starting");
            waits += 1;
        }
    });
    let (lives, waits) = started.await.expect("the server starts");
    assert!(lives > DURING_MIN && waits > DURING_MIN, "{lives} signs of life, {waits} answers while it started");
}
