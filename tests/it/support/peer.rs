//! Upstreams whose every connection is a script: for answers that no well-behaved server gives,
//! and for moments that only the test knows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::raw::LIMIT;

/// A server on a free port of loopback.
pub struct Scripted {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// One connection to it.
pub struct Peer {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Scripted {
    /// Runs `script` for each connection, with its number, counted from 0.
    pub async fn start<F, R>(script: F) -> Self
    where
        F: Fn(Peer, usize) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::accepting(None, script).await
    }

    /// The same over TLS. A handshake that fails runs no script.
    pub async fn start_tls<F, R>(acceptor: TlsAcceptor, script: F) -> Self
    where
        F: Fn(Peer, usize) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::accepting(Some(acceptor), script).await
    }

    async fn accepting<F, R>(acceptor: Option<TlsAcceptor>, script: F) -> Self
    where
        F: Fn(Peer, usize) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let accepted = Arc::new(AtomicUsize::new(0));
        let (script, count) = (Arc::new(script), Arc::clone(&accepted));
        let task = tokio::spawn(async move {
            for number in 0.. {
                let Ok((tcp, _)) = listener.accept().await else { return };
                count.fetch_add(1, Ordering::SeqCst);
                let _ = tcp.set_nodelay(true);
                let (script, acceptor) = (Arc::clone(&script), acceptor.clone());
                tokio::spawn(async move {
                    let stream: Box<dyn Stream> = match acceptor {
                        None => Box::new(tcp),
                        Some(acceptor) => match acceptor.accept(tcp).await {
                            Ok(tls) => Box::new(tls),
                            Err(_) => return,
                        },
                    };
                    script(Peer { stream, buffer: Vec::new() }, number).await;
                });
            }
        });
        Self { address, accepted, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were made to it.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    /// A request's head with its empty line, octets beyond ASCII as Latin-1; `None` where the proxy
    /// closes before.
    pub async fn head(&mut self) -> Option<String> {
        let head = self.until(b"\r\n\r\n").await?;
        Some(head.into_iter().map(char::from).collect())
    }

    /// Bytes up to and with `end`; `None` where the proxy closes before.
    pub async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Some(self.buffer.drain(..at + end.len()).collect());
            }
            self.fill().await?;
        }
    }

    pub async fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            self.fill().await?;
        }
        Some(self.buffer.drain(..count).collect())
    }

    /// What has come, or comes next; `None` at the end.
    pub async fn some(&mut self) -> Option<Vec<u8>> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        Some(std::mem::take(&mut self.buffer))
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // A proxy that has hung up is the test's business when it reads.
        let _ = self.stream.write_all(bytes.as_ref()).await;
        let _ = self.stream.flush().await;
    }

    /// Waits until the proxy hangs up, and drops what comes until then.
    pub async fn hung_up(&mut self) {
        while self.fill().await.is_some() {
            self.buffer.clear();
        }
    }

    /// The stream, to speak another protocol on. Nothing of it has been read.
    pub fn into_stream(self) -> Box<dyn Stream> {
        assert!(self.buffer.is_empty(), "something was read");
        self.stream
    }

    /// Ends the sending side as the protocol wants it (`close_notify` included).
    pub async fn shutdown(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    async fn fill(&mut self) -> Option<()> {
        let mut chunk = [0; 16 * 1024];
        let read = timeout(LIMIT, self.stream.read(&mut chunk)).await;
        let count = read.unwrap_or_else(|_| panic!("nothing came in {LIMIT:?}")).ok()?;
        self.buffer.extend_from_slice(&chunk[..count]);
        (count > 0).then_some(())
    }
}
