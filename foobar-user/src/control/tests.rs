//! The API over a real socket, with a keeper that only writes down what it is asked.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
};

use axum::{extract::connect_info::MockConnectInfo, http::StatusCode};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{
    Access, Client, Peer, Refusal,
    api::{Detached, ListEdit, ListEdited, ListEntry, ListPage, Status},
    client::NotRunning,
    command::{Command, Edit, EditRequest, Handle, ListRequest},
    reload::{Reload, Reloaded},
    server, socket,
};
use crate::policy::{Entry, ListKind, diff::Difference};

/// A server on a socket of its own.
struct Fixture {
    folder: TempDir,
    client: Client,
    edits: Arc<Mutex<Vec<EditRequest>>>,
    keeper: JoinHandle<()>,
}

impl Fixture {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let (handle, keeper, edits) = keeper();
        let listener = socket::bind(folder.path(), &Access::default()).unwrap();
        tokio::spawn(server::serve(listener, Access::default(), handle, std::future::pending()));
        Self { client: Client::new(folder.path()), folder, edits, keeper }
    }

    async fn edit(&self, action: &str, edit: &ListEdit) -> Result<ListEdited, Refusal> {
        self.client.edit("allow", "admins", action, edit).await.map_err(refusal)
    }

    /// The one change that the keeper was asked for.
    fn asked(&self) -> EditRequest {
        let mut edits = self.edits.lock().unwrap();
        assert_eq!(edits.len(), 1);
        edits.remove(0)
    }
}

fn refusal(error: anyhow::Error) -> Refusal {
    error.downcast::<Refusal>().expect("the daemon refuses in so many words")
}

/// A keeper whose only list is the allowlist `admins` with five entries, told two at a time.
fn keeper() -> (Handle, JoinHandle<()>, Arc<Mutex<Vec<EditRequest>>>) {
    let (handle, mut inbox) = Handle::new();
    let edits = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&edits);
    let keeper = tokio::spawn(async move {
        while let Some(command) = inbox.recv().await {
            match command {
                Command::Status(reply) => reply.send(status()).unwrap(),
                Command::List(request, reply) => reply.send(page(&request)).unwrap(),
                Command::Edit(request, reply) => {
                    asked.lock().unwrap().push(request.clone());
                    reply.send(Ok(edited(request))).unwrap();
                }
                Command::Detach(_, reply) => {
                    let interfaces = vec!["eth7".to_owned()];
                    reply
                        .send(Ok(Detached { found: true, interfaces, notes: Vec::new() }))
                        .unwrap();
                    return;
                }
                Command::Reload(request, reply) => {
                    assert_eq!(request.peer.pid, std::process::id() as i32);
                    reply.send(Ok(reloaded(&request.wanted))).unwrap();
                }
                Command::Confirm(_, reply) => {
                    reply.send(Err(Refusal::conflict("no change waits"))).unwrap();
                }
                Command::Explain(..) | Command::Watch(..) | Command::Live(..) => {
                    panic!("watch::tests and live::tests ask that")
                }
            }
        }
    });
    (handle, keeper, edits)
}

fn status() -> Status {
    serde_json::from_value(serde_json::json!({
        "warnings": ["mode audit"], "mode": "audit",
        "daemon": {"version": "1", "pid": 7, "started_at": 1, "config": "/c", "metrics": "off",
                   "config_loaded": {"successful": true, "at": 1}},
        "policy": {"generation": 3, "applied_at": 2, "change": "start", "rules": 1},
        "attachments": [], "lists": [], "packets": {"passed": 1, "dropped": 2, "audited": 3, "passed_rate": 0.5,
        "dropped_rate": 0.0, "audited_rate": 0.0}, "ports": [], "flows": {"entries": 1, "max_entries": 2}
    }))
    .unwrap()
}

fn page(request: &ListRequest) -> Result<ListPage, Refusal> {
    if request.name != "admins" || request.kind != ListKind::Allow {
        return Err(Refusal::unknown(format!("there is no {} {}", request.kind, request.name))
            .help("allowlists are: admins"));
    }
    let all: Vec<_> = (1..=5).map(|i| format!("192.0.2.{i}/32")).collect();
    let after = request.after.map(|after| after.to_string());
    let rest = all.into_iter().filter(|entry| after.as_ref().is_none_or(|after| entry > after));
    let mut entries: Vec<_> = rest
        .map(|entry| ListEntry { entry, origin: "config".into(), comment: None, expires_at: None })
        .collect();
    let next = (entries.len() > 2).then(|| entries[1].entry.clone());
    entries.truncate(2);
    Ok(ListPage {
        kind: "allow".into(),
        name: "admins".into(),
        generation: 9,
        total: 5,
        entries,
        next,
    })
}

fn reloaded(wanted: &Reload) -> Reloaded {
    Reloaded {
        generation: wanted.if_generation.unwrap_or(1) + 1,
        changes: Difference::default(),
        attached: vec!["eth7".into()],
        released: Vec::new(),
        notes: vec![format!("forced: {}", wanted.force)],
        confirm_within_seconds: wanted.confirm_seconds,
    }
}

fn edited(request: EditRequest) -> ListEdited {
    ListEdited {
        kind: request.kind.word().to_owned(),
        name: request.name,
        generation: 10,
        added: 1,
        updated: 0,
        removed: 0,
        total: 6,
        notes: request.notes,
    }
}

fn entries(texts: &[&str]) -> ListEdit {
    ListEdit { entries: texts.iter().map(|&text| text.to_owned()).collect(), ..ListEdit::default() }
}

#[tokio::test]
async fn status_comes_back_as_it_was_sent() {
    assert_eq!(Fixture::start().client.status().await.unwrap(), status());
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let fixture = Fixture::start();
    let (generation, entries) = fixture.client.list("allow", "admins").await.unwrap();
    assert_eq!(generation, 9);
    let found: Vec<_> = entries.iter().map(|entry| entry.entry.as_str()).collect();
    assert_eq!(
        found,
        ["192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32", "192.0.2.4/32", "192.0.2.5/32"]
    );
}

#[tokio::test]
async fn an_unknown_list_comes_with_those_there_are() {
    let refusal =
        refusal(Fixture::start().client.list("allow", "strange name/?&").await.unwrap_err());
    assert_eq!(refusal.status, StatusCode::NOT_FOUND);
    assert_eq!(refusal.error, "there is no allowlist strange name/?&");
    assert_eq!(refusal.help.as_deref(), Some("allowlists are: admins"));
}

#[tokio::test]
async fn an_addition_arrives_with_everything_that_was_said() {
    let fixture = Fixture::start();
    let before = crate::daemon::now();
    let edit = ListEdit {
        ttl_seconds: Some(3600),
        comment: Some(" on call ".into()),
        if_generation: Some(9),
        ..entries(&["198.51.100.7", "10.1.2.3/8"])
    };
    let answer = fixture.edit("add", &edit).await.unwrap();
    assert_eq!(answer.generation, 10);
    assert_eq!(answer.notes.len(), 1);
    assert!(answer.notes[0].contains("\"10.1.2.3/8\" became 10.0.0.0/8"), "{:?}", answer.notes);

    let asked = fixture.asked();
    assert_eq!(
        (asked.kind, asked.name.as_str(), asked.if_generation),
        (ListKind::Allow, "admins", Some(9))
    );
    assert_eq!(asked.peer.uid, nix::unistd::geteuid().as_raw());
    assert_eq!(asked.peer.pid, std::process::id().cast_signed());
    assert!(!asked.peer.comm.is_empty());
    let Edit::Add(added) = asked.edit else { panic!("not an addition: {:?}", asked.edit) };
    let prefixes: Vec<_> = added.iter().map(|entry| entry.prefix.to_string()).collect();
    assert_eq!(prefixes, ["10.0.0.0/8", "198.51.100.7/32"]);
    for Entry { comment, expires_at, .. } in added {
        assert_eq!(comment.as_deref(), Some("on call"));
        assert!((before + 3600..before + 3660).contains(&expires_at.unwrap()));
    }
}

#[tokio::test]
async fn a_file_replaces_a_list_as_a_whole() {
    let fixture = Fixture::start();
    let text: String =
        (0..100_000u32).map(|i| format!("{}\n", std::net::Ipv4Addr::from_bits(2 * i))).collect();
    let edit = ListEdit {
        text: Some(text),
        text_name: Some("big.txt".into()),
        ..entries(&["2001:db8::/32"])
    };
    fixture.edit("replace", &edit).await.unwrap();
    let Edit::ReplaceSet(set) = fixture.asked().edit else { panic!("not a plain replacement") };
    assert_eq!((set.len4(), set.len6()), (100_000, 1));
}

#[tokio::test]
async fn every_mistake_is_named_and_nothing_is_done() {
    let fixture = Fixture::start();
    let edit = ListEdit {
        text: Some("192.0.2.1\n  nonsense\n".into()),
        text_name: Some("list.txt".into()),
        ..entries(&["10.0.0.0/33", "192.0.2.2", "::ffff:192.0.2.1"])
    };
    let refusal = fixture.edit("add", &edit).await.unwrap_err();
    assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
    let lines: Vec<_> = refusal.error.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("list.txt:2:3: "), "{lines:?}");
    assert!(lines[1].contains("10.0.0.0/33") && lines[2].contains("::ffff:192.0.2.1"), "{lines:?}");
    assert!(refusal.help.is_some());
    assert!(fixture.edits.lock().unwrap().is_empty());
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() {
    let fixture = Fixture::start();
    let cases = [
        ("add", ListEdit::default(), "nothing to add"),
        ("add", ListEdit { ttl_seconds: Some(0), ..entries(&["192.0.2.1"]) }, "is over already"),
        (
            "add",
            ListEdit { ttl_seconds: Some(u64::MAX), ..entries(&["192.0.2.1"]) },
            "longer than time",
        ),
        (
            "add",
            ListEdit { comment: Some("two\nlines".into()), ..entries(&["192.0.2.1"]) },
            "line break",
        ),
        (
            "add",
            ListEdit { comment: Some("x".repeat(201)), ..entries(&["192.0.2.1"]) },
            "201 characters",
        ),
        (
            "remove",
            ListEdit { comment: Some("why".into()), ..entries(&["192.0.2.1"]) },
            "no comment",
        ),
        ("delete", entries(&["192.0.2.1"]), "there are add, remove and replace"),
    ];
    for (action, edit, expected) in cases {
        let refusal = fixture.edit(action, &edit).await.unwrap_err();
        assert!(refusal.error.contains(expected), "{action}: {refusal}");
    }
    assert!(fixture.edits.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_reload_crosses_the_socket_with_all_that_it_says() {
    let fixture = Fixture::start();
    let wanted = Reload {
        confirm_seconds: Some(60),
        if_generation: Some(7),
        force: true,
        ssh_connection: Some("192.0.2.1 1 192.0.2.2 22".into()),
    };
    assert_eq!(fixture.client.reload(&wanted).await.unwrap(), reloaded(&wanted));
    let refused = refusal(fixture.client.confirm().await.unwrap_err());
    assert_eq!((refused.status, &*refused.error), (StatusCode::CONFLICT, "no change waits"));
}

#[tokio::test]
async fn a_stopped_keeper_is_said() {
    let fixture = Fixture::start();
    let detached = fixture.client.detach().await.unwrap();
    assert_eq!(detached.interfaces, ["eth7"]);
    fixture.keeper.await.unwrap();
    let refusal = refusal(fixture.client.status().await.unwrap_err());
    assert_eq!(refusal.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refusal.error, "the daemon is stopping");
}

/// What any HTTP client sees, bytes as they are.
async fn raw(fixture: &Fixture, request: &str) -> String {
    let (path, request) = (socket::path(fixture.folder.path()), request.to_owned());
    let exchange = tokio::task::spawn_blocking(move || {
        let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    exchange.await.unwrap()
}

#[tokio::test]
async fn errors_are_json_for_every_client() {
    let fixture = Fixture::start();
    let post = |path: &str, body: &str| {
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    };
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let add = "/v1/lists/allow/admins/add";
    let cases = [
        (get("/v2/status"), "404", "there is no /v2/status here"),
        (get("/v1/detach"), "400", "/v1/detach does not take GET"),
        (get("/v1/lists/grey/admins"), "404", "only allow and block"),
        (get("/v1/lists/allow/admins?after=x"), "400", "x"),
        (get("/v1/lists/allow/admins?limit=many"), "400", "limit"),
        (post(add, "{"), "400", "JSON"),
        (post(add, r#"{"entrys":[]}"#), "400", "unknown field `entrys`"),
        (
            post("/v1/lists/grey/admins/add", r#"{"entries":["192.0.2.1"]}"#),
            "404",
            "only allow and block",
        ),
    ];
    for (request, status, message) in cases {
        let answer = raw(&fixture, &request).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
        let body: serde_json::Value =
            serde_json::from_str(body).unwrap_or_else(|_| panic!("{request}: {answer}"));
        assert!(body["error"].as_str().unwrap().contains(message), "{request}: {answer}");
    }
}

#[tokio::test]
async fn strangers_are_refused() {
    let folder = TempDir::new().unwrap();
    let (handle, _keeper, _edits) = keeper();
    let nobody = Peer { uid: 65_534, gids: vec![65_534], pid: 1, comm: "stranger".into() };
    for caller in [Some(nobody), None] {
        let listener = socket::bind(folder.path(), &Access::default()).unwrap();
        let router = server::router(handle.clone(), Access::default())
            .layer(MockConnectInfo(server::Caller(caller)));
        let listener = tokio::net::UnixListener::from_std(listener).unwrap();
        let server = tokio::spawn(axum::serve(listener, router).into_future());
        let refusal = refusal(Client::new(folder.path()).status().await.unwrap_err());
        assert_eq!(refusal.status, StatusCode::FORBIDDEN);
        server.abort();
    }
}

#[tokio::test]
async fn the_socket_is_for_its_user_alone_and_replaces_a_dead_one() {
    let folder = TempDir::new().unwrap();
    let path = socket::path(folder.path());
    drop(socket::bind(folder.path(), &Access::default()).unwrap());
    let _listener = socket::bind(folder.path(), &Access::default())
        .expect("what a killed daemon left is replaced");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let other = TempDir::new().unwrap();
    let path = socket::path(other.path());
    fs::write(&path, "precious").unwrap();
    assert!(
        socket::bind(other.path(), &Access::default())
            .unwrap_err()
            .to_string()
            .contains("is no socket")
    );
    assert_eq!(fs::read_to_string(path).unwrap(), "precious");
}

#[tokio::test]
async fn without_a_daemon_it_is_said_what_to_do() {
    let folder = TempDir::new().unwrap();
    let error = Client::new(folder.path()).status().await.unwrap_err();
    assert!(error.is::<NotRunning>());
    assert!(super::refusal::remedy(&error).unwrap().contains("foobar run"));
}
