//! A corpus of requests that two servers could read differently, and of some that only look so.
//!
//! Each file of `corpus/` is the bytes that a client sends. Its name begins with the statuses of
//! the answers that are due (`200+400` is two), or with `cut` where a body breaks off after its
//! head has been passed on: then the upstream must not see a whole request. Each is sent whole
//! and in pieces of several odd sizes; nothing of a refused request may reach the upstream, no
//! request that is hidden in another may, and the next client gets its own answer.

use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;

use crate::support::{App, Peer, Raw, Scripted, Setup, sandbox};

/// Sizes of the pieces; 0 is all at once.
const PIECES: &[usize] = &[0, 1, 2, 7, 61];

struct Case {
    name: String,
    verdict: String,
    bytes: Vec<u8>,
}

fn corpus() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/corpus");
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        let file = path.file_name().expect("a name").to_string_lossy().into_owned();
        let (verdict, name) =
            file.strip_suffix(".http").and_then(|name| name.split_once('_')).expect("verdict_name.http");
        let bytes = std::fs::read(&path).expect("a readable case");
        cases.push(Case { name: name.to_owned(), verdict: verdict.to_owned(), bytes });
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

/// An upstream that keeps every byte, and answers each whole request with its request line.
async fn recording() -> (Scripted, Arc<Mutex<Vec<u8>>>) {
    let record = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&record);
    let upstream = Scripted::start(move |mut peer, _| {
        let all = Arc::clone(&all);
        async move {
            let keep = |bytes: &[u8]| all.lock().expect("not poisoned").extend_from_slice(bytes);
            while let Some(head) = peer.head().await {
                keep(head.as_bytes());
                let field = |name: &str| {
                    let lines = head.lines().map(str::to_ascii_lowercase);
                    lines.filter_map(|line| Some(line.strip_prefix(name)?.trim().to_owned())).next()
                };
                if field("transfer-encoding:").is_some() {
                    let Some(body) = chunked(&mut peer).await else { return };
                    keep(&body);
                } else if let Some(length) = field("content-length:") {
                    let Some(body) = peer.exactly(length.parse().expect("a length")).await else { return };
                    keep(&body);
                }
                keep(b"<whole>");
                let line = head.lines().next().expect("a request line");
                peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}", line.len())).await;
            }
        }
    })
    .await;
    (upstream, record)
}

/// A chunked body as it stands on the wire; `None` where it does not come to its end.
async fn chunked(peer: &mut Peer) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = peer.until(b"\r\n").await?;
        let text = String::from_utf8(line.clone()).expect("a chunk size");
        let size = usize::from_str_radix(text.trim(), 16).expect("a chunk size");
        body.extend(line);
        if size == 0 {
            break;
        }
        body.extend(peer.exactly(size + 2).await?);
    }
    // Trailers, and the empty line.
    while !body.ends_with(b"\r\n\r\n") {
        body.extend(peer.until(b"\r\n").await?);
    }
    Some(body)
}

async fn send(app: &App, bytes: &[u8], piece: usize) -> Raw {
    let raw = app.connect().await;
    let mut stream = raw.into_inner();
    for part in bytes.chunks(if piece == 0 { bytes.len() } else { piece }) {
        // The proxy may have closed already.
        if stream.write_all(part).await.is_err() {
            break;
        }
        if piece > 0 {
            tokio::task::yield_now().await;
        }
    }
    Raw::on(stream)
}

#[tokio::test]
async fn no_request_is_read_in_two_ways() {
    let sandbox = sandbox().await;
    let (upstream, record) = recording().await;
    let app = Setup::new(&sandbox).route("api", "/", &upstream.url()).start().await;
    let cases = corpus();
    assert!(cases.len() > 120, "only {} cases: is the corpus there?", cases.len());
    for Case { name, verdict, bytes } in &cases {
        for piece in PIECES {
            let of = format!("{name} in pieces of {piece}");
            // Shown where the case fails by waiting.
            println!("{of}");
            record.lock().expect("not poisoned").clear();
            let mut raw = send(&app, bytes, *piece).await;
            let expected: Vec<u16> = if verdict == "cut" {
                vec![400]
            } else {
                verdict.split('+').map(|code| code.parse().expect("a status")).collect()
            };
            for status in &expected {
                let response = raw.response().await;
                assert_eq!(response.status, *status, "{of}: {}{}", response.head, response.text());
                assert!(response.complete, "{of}");
                if *status != 200 {
                    assert!(response.header("via").is_none(), "{of}: it is the proxy's own answer");
                }
            }
            let rest = raw.rest().await;
            assert!(rest.is_empty(), "{of}: an answer too many: {}", String::from_utf8_lossy(&rest));

            let next = app.get("/next").await;
            assert_eq!(next.text(), "GET /next HTTP/1.1", "{of}: the next client got another's answer");
            let seen = String::from_utf8_lossy(&record.lock().expect("not poisoned")).into_owned();
            let whole = seen.matches("<whole>").count();
            let good = expected.iter().filter(|status| **status == 200).count();
            assert_eq!(whole, good + 1, "{of}: {seen}");
            for line in seen.lines().filter(|line| line.ends_with(" HTTP/1.1") && line.contains("smuggled")) {
                // Only as the body of a good request.
                assert!(name.contains("looks-like-a-request"), "{of}: {line}");
            }
            let heads = seen.matches("via: ").count() + seen.matches("Via: ").count();
            let begun = good + 1 + usize::from(verdict == "cut");
            assert!(heads <= begun, "{of}: {heads} heads reached the upstream: {seen}");
            if verdict != "cut" {
                assert_eq!(heads, begun, "{of}: {seen}");
            }
        }
    }
}
