//! An upstream that keeps every byte it gets and answers what the test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::raw::{LIMIT, header_values};

/// A scripted HTTP/1.1 server on a free port of loopback.
pub struct Upstream {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    changed: watch::Receiver<()>,
    task: JoinHandle<()>,
}

/// A request as it stood on the wire.
#[derive(Clone, Debug)]
pub struct Seen {
    pub head: String,
    pub body: Vec<u8>,
    pub trailers: String,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
}

/// What the upstream does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Writes these bytes and goes on with the connection.
    Keep(Vec<u8>),
    /// Writes these bytes and closes.
    Close(Vec<u8>),
    /// Says nothing, and keeps the connection open.
    Silence,
}

impl Answer {
    /// A 200 with this body.
    pub fn ok(body: &str) -> Self {
        Self::Keep(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
    }

    pub fn raw(bytes: &str) -> Self {
        Self::Keep(bytes.as_bytes().to_vec())
    }

    pub fn last(bytes: &str) -> Self {
        Self::Close(bytes.as_bytes().to_vec())
    }
}

impl Seen {
    /// The request line.
    pub fn line(&self) -> &str {
        self.head.split("\r\n").next().expect("a request line")
    }

    pub fn headers(&self, name: &str) -> Vec<&str> {
        header_values(&self.head, name)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.headers(name);
        assert!(all.len() < 2, "several {name}: {all:?}");
        all.first().copied()
    }
}

impl Upstream {
    /// Answers each request, counted from 0, as `script` says.
    pub async fn start(script: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (change, changed) = watch::channel(());
        let script = Arc::new(script);
        let all = seen.clone();
        let task = tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(serve(stream, connection, script.clone(), all.clone(), change.clone()));
            }
        });
        Self { address, seen, changed, task }
    }

    /// Answers every request alike.
    pub async fn always(answer: Answer) -> Self {
        Self::start(move |_, _| answer.clone()).await
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }

    /// Waits until `count` requests have come, and gives them.
    pub async fn wait_for(&self, count: usize) -> Vec<Seen> {
        let mut changed = self.changed.clone();
        let waiting = async {
            while self.seen().len() < count {
                changed.changed().await.expect("the upstream runs");
            }
        };
        timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("only {} requests came", self.seen().len()));
        self.seen()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    script: Arc<impl Fn(usize, &Seen) -> Answer>,
    all: Arc<Mutex<Vec<Seen>>>,
    change: watch::Sender<()>,
) {
    let mut buffer = Vec::new();
    while let Some(seen) = read_request(&mut stream, &mut buffer, connection).await {
        let answer = {
            let mut all = all.lock().expect("not poisoned");
            all.push(seen.clone());
            script(all.len() - 1, &seen)
        };
        change.send_replace(());
        match answer {
            Answer::Keep(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Answer::Close(bytes) => {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                return;
            }
            Answer::Silence => {
                // Held until the peer gives up.
                let mut rest = [0; 1024];
                while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {}
                return;
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>, connection: usize) -> Option<Seen> {
    let head = take_until(stream, buffer, b"\r\n\r\n").await?;
    let head = String::from_utf8(head).expect("an ASCII head");
    let mut seen = Seen { head, body: Vec::new(), trailers: String::new(), connection };
    if seen.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
    }
    if seen.header("transfer-encoding").is_some() {
        loop {
            let line = take_until(stream, buffer, b"\r\n").await?;
            let line = String::from_utf8(line).expect("an ASCII chunk size");
            let size = usize::from_str_radix(line.trim(), 16).expect("a chunk size");
            if size == 0 {
                loop {
                    let line = take_until(stream, buffer, b"\r\n").await?;
                    if line == b"\r\n" {
                        return Some(seen);
                    }
                    seen.trailers.push_str(&String::from_utf8_lossy(&line));
                }
            }
            let chunk = take(stream, buffer, size + 2).await?;
            seen.body.extend_from_slice(&chunk[..size]);
        }
    }
    if let Some(length) = seen.header("content-length") {
        let length = length.parse().expect("a length");
        seen.body = take(stream, buffer, length).await?;
    }
    Some(seen)
}

async fn take_until(stream: &mut TcpStream, buffer: &mut Vec<u8>, end: &[u8]) -> Option<Vec<u8>> {
    loop {
        if let Some(at) = buffer.windows(end.len()).position(|window| window == end) {
            return Some(buffer.drain(..at + end.len()).collect());
        }
        read_more(stream, buffer).await?;
    }
}

async fn take(stream: &mut TcpStream, buffer: &mut Vec<u8>, count: usize) -> Option<Vec<u8>> {
    while buffer.len() < count {
        read_more(stream, buffer).await?;
    }
    Some(buffer.drain(..count).collect())
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 16 * 1024];
    let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
    buffer.extend_from_slice(&chunk[..count]);
    Some(())
}
