//! Names that change their mind, and connections that belong to one grant.

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::any;
use tokio::io::AsyncReadExt as _;

use super::rig::{Names, Recorder, grant, open, post, serve};
use crate::capability::http::{Egress, HttpError};

const URL: &str = "http://provider.example/";

#[tokio::test]
async fn of_mixed_answers_only_public_addresses_are_dialled_in_their_order() {
    let names = Names::new(&[(
        "provider.example",
        &[&["10.0.0.1", "93.184.216.34", "::1", "2606:4700::1111", "169.254.169.254", "::ffff:127.0.0.1"]],
    )]);
    let recorder = Recorder::new();
    let grant = grant(URL, &[], &Egress::new(names.clone(), recorder.clone()));
    assert!(matches!(open(&grant).send(post(URL, "")).await, Err(HttpError::Unreachable(_))));
    assert_eq!(recorder.dialled(), ["93.184.216.34:80", "[2606:4700::1111]:80"]);
    assert_eq!(names.asked(), ["provider.example"], "one question for one connection");
}

#[tokio::test]
async fn a_name_that_turns_inwards_later_is_denied_then_and_not_dialled() {
    let names = Names::new(&[("provider.example", &[&["93.184.216.34"], &["127.0.0.1"]])]);
    let recorder = Recorder::new();
    let grant = grant(URL, &[], &Egress::new(names.clone(), recorder.clone()));
    let mut http = open(&grant);
    assert!(matches!(http.send(post(URL, "")).await, Err(HttpError::Unreachable(_))));
    assert!(matches!(http.send(post(URL, "")).await, Err(HttpError::Denied(_))));
    assert_eq!(recorder.dialled(), ["93.184.216.34:80"]);
    assert_eq!(names.asked().len(), 2);
}

#[tokio::test]
async fn the_next_address_is_tried_where_one_refuses() {
    let server = serve(Router::new().route("/", any(|| async { "here" }))).await;
    let names = Names::new(&[("provider.example", &[&["93.184.216.34", "93.184.216.35"]])]);
    let recorder = Recorder::new();
    recorder.lead("93.184.216.35:80", server);
    let grant = grant(URL, &[], &Egress::new(names, recorder.clone()));
    assert_eq!(&*open(&grant).send(post(URL, "")).await.unwrap().body, b"here");
    assert_eq!(recorder.dialled(), ["93.184.216.34:80", "93.184.216.35:80"]);
}

#[tokio::test]
async fn no_more_than_eight_addresses_of_a_name_are_tried() {
    let many: Vec<String> = (1..=50).map(|last| format!("93.184.216.{last}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let recorder = Recorder::new();
    let egress = Egress::new(Names::new(&[("provider.example", &[&many])]), recorder.clone());
    assert!(matches!(open(&grant(URL, &[], &egress)).send(post(URL, "")).await, Err(HttpError::Unreachable(_))));
    assert_eq!(recorder.dialled().len(), 8);
}

#[tokio::test]
async fn a_name_without_an_address_is_unreachable() {
    let egress = Egress::new(Names::new(&[("provider.example", &[&[]])]), Recorder::new());
    for url in [URL, "http://unknown.example/"] {
        let answer = open(&grant(url, &[], &egress)).send(post(url, "")).await;
        assert!(matches!(answer, Err(HttpError::Unreachable(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn a_connection_is_used_again_by_its_grant_and_by_no_other() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let answer = |ConnectInfo(peer): ConnectInfo<std::net::SocketAddr>| async move { peer.to_string() };
    let router = Router::new().route("/", any(answer)).into_make_service_with_connect_info::<std::net::SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, router).await });

    let recorder = Recorder::new();
    recorder.lead(url.strip_prefix("http://").unwrap().trim_end_matches('/'), url[7..url.len() - 1].parse().unwrap());
    let egress = Egress::new(Names::new(&[]), recorder.clone());
    let (first, second) = (grant(&url, &["127.0.0.1"], &egress), grant(&url, &["127.0.0.1"], &egress));
    let mut peers = Vec::new();
    for grant in [&first, &first, &second, &first, &second] {
        let reply = open(grant).send(post(&url, "")).await.unwrap();
        peers.push(String::from_utf8(reply.body.to_vec()).unwrap());
    }
    assert_eq!(peers[0], peers[1]);
    assert_eq!(peers[0], peers[3]);
    assert_eq!(peers[2], peers[4]);
    assert_ne!(peers[0], peers[2], "two grants met on one connection");
    assert_eq!(recorder.dialled().len(), 2);
}

#[tokio::test]
async fn tls_is_asked_for_the_name_and_not_for_the_address() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let recorder = Recorder::new();
    recorder.lead("93.184.216.34:443", listener.local_addr().unwrap());
    let hello = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = vec![0; 4_096];
        let read = stream.read(&mut hello).await.unwrap();
        hello.truncate(read);
        hello
    });
    let egress = Egress::new(Names::new(&[("provider.example", &[&["93.184.216.34"]])]), recorder);
    let url = "https://provider.example/";
    let answer = open(&grant(url, &[], &egress)).send(post(url, "")).await;
    assert!(matches!(answer, Err(HttpError::Unreachable(_))), "{answer:?}");
    let hello = hello.await.unwrap();
    let holds = |text: &[u8]| hello.windows(text.len()).any(|window| window == text);
    assert!(
        holds(b"provider.example") && holds(b"\x02h2\x08http/1.1"),
        "a TLS greeting with the name and both protocols"
    );
}
