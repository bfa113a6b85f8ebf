//! Clients and upstreams that speak HTTP/2 (RFC 9113), frame by frame where a test wants it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::peer::Scripted;
use super::raw::LIMIT;

/// A client's connection.
#[derive(Clone)]
pub struct H2Client(pub h2::client::SendRequest<Bytes>);

/// A whole response.
#[derive(Debug)]
pub struct H2Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl H2Client {
    /// By prior knowledge, in the clear.
    pub async fn connect(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).await.expect("a connection");
        tcp.set_nodelay(true).expect("nodelay");
        Self::on(tcp).await
    }

    pub async fn on(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (send, connection) = h2::client::handshake(stream).await.expect("a preface");
        tokio::spawn(async move {
            // However it ends, the streams tell.
            let _ = connection.await;
        });
        Self(send)
    }

    /// Sends the request with this body and reads the whole response.
    pub async fn exchange(
        &self,
        request: Request<()>,
        body: &[u8],
        trailers: Option<HeaderMap>,
    ) -> Result<H2Response, h2::Error> {
        let sending = async {
            let mut send = self.0.clone().ready().await?;
            let ends = body.is_empty() && trailers.is_none();
            let (response, mut stream) = send.send_request(request, ends)?;
            if !body.is_empty() {
                stream.send_data(Bytes::copy_from_slice(body), trailers.is_none())?;
            }
            if let Some(trailers) = trailers {
                stream.send_trailers(trailers)?;
            }
            read(response.await?).await
        };
        timeout(LIMIT, sending).await.expect("an answer in time")
    }

    pub async fn get(&self, url: &str) -> Result<H2Response, h2::Error> {
        self.exchange(Request::get(url).body(()).expect("a request"), &[], None).await
    }
}

async fn read(response: Response<h2::RecvStream>) -> Result<H2Response, h2::Error> {
    let (head, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        body.extend_from_slice(&data);
        stream.flow_control().release_capacity(data.len())?;
    }
    let trailers = stream.trailers().await?;
    Ok(H2Response { status: head.status.as_u16(), headers: head.headers, body, trailers })
}

impl H2Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let all: Vec<_> = self.headers.get_all(name).iter().collect();
        assert!(all.len() < 2, "several {name}: {all:?}");
        all.first().map(|value| value.to_str().expect("ASCII"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A request as an [`H2Upstream`] got it.
#[derive(Clone, Debug)]
pub struct H2Seen {
    pub head: Arc<http::request::Parts>,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
}

/// An upstream that agrees on HTTP/2, keeps each request, and answers it with its path.
pub struct H2Upstream {
    pub server: Scripted,
    seen: Arc<Mutex<Vec<H2Seen>>>,
}

impl H2Upstream {
    pub async fn start(acceptor: TlsAcceptor) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&seen);
        let server = Scripted::start_tls(acceptor, move |peer, connection| {
            let all = Arc::clone(&all);
            async move {
                let Ok(mut serving) = h2::server::handshake(peer.into_stream()).await else { return };
                while let Some(Ok((request, respond))) = serving.accept().await {
                    tokio::spawn(answer(request, respond, connection, Arc::clone(&all)));
                }
            }
        })
        .await;
        Self { server, seen }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.server.address.port())
    }

    pub fn seen(&self) -> Vec<H2Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    connection: usize,
    all: Arc<Mutex<Vec<H2Seen>>>,
) {
    let (head, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(data)) = stream.data().await {
        body.extend_from_slice(&data);
        let _ = stream.flow_control().release_capacity(data.len());
    }
    let trailers = stream.trailers().await.ok().flatten();
    let text = head.uri.path_and_query().map_or(String::new(), ToString::to_string);
    let head = Arc::new(head);
    all.lock().expect("not poisoned").push(H2Seen { head: Arc::clone(&head), body, trailers, connection });
    if head.uri.path().ends_with("/broken") {
        let response = Response::builder().header("content-length", "1000").body(()).expect("a response");
        let Ok(mut stream) = respond.send_response(response, false) else { return };
        let _ = stream.send_data(Bytes::from_static(b"part"), false);
        // Until it is on its way; a reset would overtake it.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        return stream.send_reset(h2::Reason::INTERNAL_ERROR);
    }
    let is_head = head.method == http::Method::HEAD;
    let response =
        Response::builder().header("content-length", text.len()).header("x-upstream", "h2").body(());
    let Ok(mut stream) = respond.send_response(response.expect("a response"), is_head) else { return };
    if !is_head {
        let _ = stream.send_data(Bytes::from(text), false);
        let _ = stream.send_trailers(
            [("x-sum".parse().expect("a name"), "7".parse().expect("a value"))].into_iter().collect(),
        );
    }
}
