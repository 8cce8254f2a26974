//! A name server that says what a test wants, a dialler that writes down what it should dial, and servers on loopback.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::capability::Section;
use crate::capability::http::{
    Allowed, Asked, Auth, BodyPart, Dial, Egress, EgressLimits, HostResolver, HttpError, HttpGrant, HttpReply,
    HttpRequest, OpenHttp, SystemDialler,
};
use crate::capability::secret::CallSecrets;

pub(super) const LIMITS: EgressLimits =
    EgressLimits { calls: 8, request_max: 1_000, response_max: 1_000, timeout: Duration::from_secs(10) };

/// Answers one list after the other for a name; the last stays.
#[derive(Default)]
pub(super) struct Names {
    answers: Mutex<HashMap<String, VecDeque<Vec<IpAddr>>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    pub(super) fn new(names: &[(&str, &[&[&str]])]) -> Arc<Self> {
        let parse = |list: &&[&str]| list.iter().map(|ip| ip.parse().expect("an address")).collect();
        let answers = names.iter().map(|(name, lists)| ((*name).to_owned(), lists.iter().map(parse).collect()));
        Arc::new(Self { answers: Mutex::new(answers.collect()), asked: Mutex::default() })
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl HostResolver for Names {
    async fn resolve(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        self.asked.lock().unwrap().push(host.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let lists = answers.get_mut(host).ok_or_else(|| io::Error::other("no such name"))?;
        let list = if lists.len() > 1 { lists.pop_front() } else { lists.front().cloned() };
        // A port of the name server's own, which nobody may follow.
        Ok(list.unwrap_or_default().into_iter().map(|ip| SocketAddr::new(ip, 6666)).collect())
    }
}

/// Writes down what is dialled. Connects only where a test has put a server, and only on loopback.
#[derive(Default)]
pub(super) struct Recorder {
    dialled: Mutex<Vec<SocketAddr>>,
    servers: Mutex<HashMap<SocketAddr, SocketAddr>>,
}

impl Recorder {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Who dials `address` reaches `server`.
    pub(super) fn lead(&self, address: &str, server: SocketAddr) {
        assert!(server.ip().is_loopback(), "tests dial loopback only");
        self.servers.lock().unwrap().insert(address.parse().expect("an address and a port"), server);
    }

    pub(super) fn dialled(&self) -> Vec<String> {
        self.dialled.lock().unwrap().iter().map(ToString::to_string).collect()
    }
}

#[async_trait::async_trait]
impl Dial for Recorder {
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.dialled.lock().unwrap().push(address);
        let server = self.servers.lock().unwrap().get(&address).copied();
        match server {
            Some(server) => SystemDialler.dial(server).await,
            None => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

/// The section of the channel that is granted something.
pub(super) fn ops() -> Section {
    Section::of_channel(&"ops".parse().expect("a name"))
}

/// A grant for the host of `url`, and for `networks`.
pub(super) fn grant(url: &str, networks: &[&str], egress: &Egress) -> Arc<HttpGrant> {
    grants(url, &[], networks, egress)
}

/// The same with more hosts.
pub(super) fn grants(url: &str, hosts: &[&str], networks: &[&str], egress: &Egress) -> Arc<HttpGrant> {
    let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let config = json!({ "url": url }).as_object().cloned().unwrap();
    let mut asked = owned(hosts);
    asked.push("config:/url".to_owned());
    let asked = [Asked { scope: &asked, required: true }];
    let allowed = Allowed { section: &ops(), hosts: &owned(hosts), networks: &owned(networks) };
    Arc::new(HttpGrant::check(&asked, &config, allowed, egress).unwrap())
}

/// HTTP of a call that has no secrets.
pub(super) struct Plain(OpenHttp);

impl Plain {
    pub(super) async fn send(&mut self, request: HttpRequest) -> Result<HttpReply, HttpError> {
        self.0.send(request, &CallSecrets::default()).await
    }
}

pub(super) fn open(grant: &Arc<HttpGrant>) -> Plain {
    open_with(grant, LIMITS, Duration::from_secs(20))
}

pub(super) fn open_with(grant: &Arc<HttpGrant>, limits: EgressLimits, left: Duration) -> Plain {
    Plain(grant.open(limits, Instant::now() + left))
}

pub(super) fn post(url: &str, body: &'static str) -> HttpRequest {
    HttpRequest {
        method: "POST".into(),
        url: url.into(),
        headers: vec![],
        body: vec![BodyPart::Text(body.into())],
        auth: Auth::None,
        timeout: None,
        redirects: 0,
    }
}

/// Serves on a free port of loopback.
pub(super) async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}
