//! An outbound proxy that is the whole of the internet: it knows where each name leads.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Takes CONNECT for the names that it was given, and keeps what it was asked for.
pub(super) struct Outbound {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Outbound {
    /// `names`: `host:port` and where it leads.
    pub(super) async fn start(names: &[(&str, SocketAddr)]) -> Self {
        let names: HashMap<String, SocketAddr> =
            names.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect();
        let names = Arc::new(names);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let all = asked.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, names.clone(), all.clone()));
            }
        });
        Self { address, asked, task }
    }

    /// The configuration that makes it the way out.
    pub(super) fn setting(&self) -> String {
        format!("proxy = \"http://{}\"\n", self.address)
    }

    /// The targets of every CONNECT so far.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    names: Arc<HashMap<String, SocketAddr>>,
    asked: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).expect("an ASCII head");
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).expect("a CONNECT");
    asked.lock().expect("not poisoned").push(target.to_owned());
    let Some(address) = names.get(target) else {
        let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await;
        return;
    };
    let mut there = TcpStream::connect(address).await.expect("the place behind the name");
    if stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok() {
        let _ = copy_bidirectional(&mut stream, &mut there).await;
    }
}
