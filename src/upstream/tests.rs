//! Upstreams of every temper, behind raw sockets and TLS, for the tests in the rooms below.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::net::Incoming;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::*;
use crate::authority::Authority;
use crate::config::{HttpProxy, Scheme, UpstreamSettings};
use crate::message;
use crate::net::{Call, Drain, DrainWatch, Transport, serve};

mod http1;
mod http2;
mod pool;
mod relay;
mod tls;

impl Pool {
    async fn send_whole(
        &self,
        connector: &Connector,
        origin: &Origin,
        request: Request<RequestBody>,
        interim: &Interim,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let (head, body) = request.into_parts();
        let (response, _) =
            self.send(connector, origin, &head.into(), body, interim, &Timer::default()).await?;
        Ok(response.into())
    }
}

async fn local<T>(test: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(test).await
}

fn settings() -> UpstreamSettings {
    UpstreamSettings {
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(20),
        ca_file: None,
        proxy: None,
    }
}

/// With a trusted certificate, since a test machine may have no roots at all.
fn connector(mut settings: UpstreamSettings) -> Connector {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let ca_file = settings.ca_file.get_or_insert_with(|| {
        let any = rcgen::generate_simple_self_signed(["unused.example".to_owned()]).unwrap();
        std::fs::write(&path, any.cert.pem()).unwrap();
        path.clone()
    });
    assert!(ca_file.exists());
    Connector::new(&settings, |_| None).unwrap()
}

fn origin(address: SocketAddr) -> Origin {
    Origin::new(Scheme::Http, &address.to_string().parse().unwrap()).unwrap()
}

fn request(method: &str, path: &str) -> Request<RequestBody> {
    Request::builder().method(method).uri(path).body(RequestBody::empty()).unwrap()
}

/// What each connection to an upstream got, in the order in which they were made.
type Log = Rc<RefCell<Vec<String>>>;

/// An upstream whose connections are handled by `script`, with their number.
async fn upstream<F, R>(script: F) -> SocketAddr
where
    F: Fn(TcpStream, usize) -> R + 'static,
    R: Future<Output = ()> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(script(stream, number));
        }
    });
    address
}

/// The same, where the script has a log to write in.
async fn logging<F, R>(script: F) -> (SocketAddr, Log)
where
    F: Fn(TcpStream, usize, Log) -> R + 'static,
    R: Future<Output = ()> + 'static,
{
    let log = Log::default();
    let shared = log.clone();
    let address = upstream(move |stream, number| script(stream, number, shared.clone())).await;
    (address, log)
}

/// An upstream that gives the same answer to each request's head.
async fn answering(answer: &'static str) -> (SocketAddr, Log) {
    let (address, log) = logging(move |mut stream, number, log| async move {
        while let Some(head) = read_head(&mut stream).await {
            log.borrow_mut().push(format!("{number}: {head}"));
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await;
    (address, log)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A head with its empty line; `None` at the end of the stream.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    read_until(stream, "\r\n\r\n").await
}

async fn read_until(stream: &mut (impl AsyncRead + Unpin), end: &str) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        bytes.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(bytes).unwrap())
}

async fn text(response: Response<ResponseBody>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

async fn fetch(
    pool: &Pool,
    connector: &Connector,
    origin: &Origin,
    method: &str,
) -> Result<String, UpstreamError> {
    let response = pool.send_whole(connector, origin, request(method, "/"), &Interim::none()).await?;
    Ok(text(response).await)
}
