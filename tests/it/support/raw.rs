//! Raw sockets: what is written and read is exactly what stands in the test.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a test waits for something that must come.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A client connection that speaks bytes.
pub struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// One response as it stood on the wire.
#[derive(Clone, Debug)]
pub struct RawResponse {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// Whether the body came to its end as its framing promised.
    pub complete: bool,
    pub trailers: Vec<String>,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream =
            timeout(LIMIT, TcpStream::connect(address)).await.expect("in time").expect("a connection");
        stream.set_nodelay(true).expect("nodelay");
        Self { stream, buffer: Vec::new() }
    }

    /// On a connection that was made elsewhere.
    pub fn on(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // A peer that has closed already is the test's business when it reads.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Writes and reads one response.
    pub async fn exchange(&mut self, bytes: impl AsRef<[u8]>) -> RawResponse {
        self.write(bytes).await;
        self.response().await
    }

    /// The next response that is not an interim one.
    pub async fn response(&mut self) -> RawResponse {
        self.response_to("GET").await
    }

    /// The next final response to a request with this method (HEAD has no body).
    pub async fn response_to(&mut self, method: &str) -> RawResponse {
        loop {
            let response = self.any_response(method).await;
            if response.status >= 200 || response.status == 101 {
                return response;
            }
        }
    }

    /// The next response, interim ones included.
    pub async fn any_response(&mut self, method: &str) -> RawResponse {
        let head = self
            .until(b"\r\n\r\n")
            .await
            .unwrap_or_else(|| panic!("closed before a head: {:?}", self.text()));
        let head = String::from_utf8(head).expect("an ASCII head");
        let status: u16 = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        let mut response =
            RawResponse { status, head, body: Vec::new(), complete: true, trailers: Vec::new() };
        let opens_tunnel = method == "CONNECT" && (200..300).contains(&status);
        if method == "HEAD" || opens_tunnel || status < 200 || status == 204 || status == 304 {
            return response;
        }
        if response.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            self.chunked(&mut response).await;
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().expect("a length");
            response.body = self.up_to(length).await;
            response.complete = response.body.len() == length;
        } else {
            response.body = self.rest().await;
        }
        response
    }

    async fn chunked(&mut self, response: &mut RawResponse) {
        loop {
            let Some(line) = self.until(b"\r\n").await else {
                response.complete = false;
                return;
            };
            let line = String::from_utf8(line).expect("an ASCII chunk size");
            let size = usize::from_str_radix(line.trim().split(';').next().expect("a size"), 16)
                .expect("hexadecimal");
            if size == 0 {
                while let Some(line) = self.until(b"\r\n").await {
                    if line == b"\r\n" {
                        return;
                    }
                    response
                        .trailers
                        .push(String::from_utf8(line).expect("an ASCII trailer").trim_end().to_owned());
                }
                response.complete = false;
                return;
            }
            let chunk = self.up_to(size + 2).await;
            response.complete = chunk.len() == size + 2;
            response.body.extend_from_slice(&chunk[..chunk.len().min(size)]);
            if !response.complete {
                return;
            }
        }
    }

    /// What comes until the peer closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.buffer)
    }

    /// What comes until the peer closes or answers no more; for tests of what must not come.
    pub async fn rest_within(&mut self) -> Vec<u8> {
        self.shutdown().await;
        self.rest().await
    }

    /// Whether the peer has closed, with nothing left to read.
    pub async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.fill().await
    }

    /// Bytes up to and with `end`; `None` where the peer closes before.
    pub async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Some(self.buffer.drain(..at + end.len()).collect());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    async fn up_to(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length && self.fill().await {}
        let length = length.min(self.buffer.len());
        self.buffer.drain(..length).collect()
    }

    /// Reads once; `false` at the end, a reset included.
    async fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        let read = timeout(LIMIT, self.stream.read(&mut chunk)).await;
        let read = read.unwrap_or_else(|_| panic!("nothing came in {LIMIT:?}; so far: {:?}", self.text()));
        let count = read.unwrap_or(0);
        self.buffer.extend_from_slice(&chunk[..count]);
        count > 0
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    pub async fn shutdown(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Bytes that have been read and not been asked for.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    pub fn into_inner(self) -> TcpStream {
        self.stream
    }
}

impl RawResponse {
    /// The value of the only field of this name; panics where there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.headers(name);
        assert!(all.len() < 2, "several {name}: {all:?}");
        all.first().copied()
    }

    pub fn headers(&self, name: &str) -> Vec<&str> {
        header_values(&self.head, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }
}

/// All values of a field in a head as text.
pub fn header_values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    head.split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
}
