//! Upstreams that speak HTTP/2.

use std::cell::Cell;

use h2::server::{Connection, SendResponse};
use tokio_rustls::server::TlsStream;

use super::relay::{CLOSE, Relay};
use super::tls::{Authorities, https};
use super::*;

type Serving = Connection<TlsStream<TcpStream>, Bytes>;
type Incoming2 = (Request<h2::RecvStream>, SendResponse<Bytes>);

/// An HTTP/2 upstream over TLS; `script` has each connection, with its number.
async fn http2_upstream<F, R>(authorities: &Authorities, streams: u32, script: F) -> SocketAddr
where
    F: Fn(Serving, usize) -> R + Clone + 'static,
    R: Future<Output = ()> + 'static,
{
    let acceptor = authorities.acceptor("localhost", &["h2", "http/1.1"], |_| {});
    upstream(move |stream, number| {
        let (acceptor, script) = (acceptor.clone(), script.clone());
        async move {
            let stream = acceptor.accept(stream).await.unwrap();
            let serving = h2::server::Builder::new().max_concurrent_streams(streams).handshake(stream).await;
            script(serving.unwrap(), number).await;
        }
    })
    .await
}

/// Reads the whole body, then answers with its length and the request's fields.
async fn echo((request, mut respond): Incoming2) {
    let (head, mut body) = request.into_parts();
    let mut length = 0;
    while let Some(Ok(data)) = body.data().await {
        length += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    let mut response = Response::new(());
    let seen = format!("{} {} {:?}", head.method, head.uri, head.headers);
    response.headers_mut().insert("x-seen", seen.parse().unwrap());
    let mut stream = respond.send_response(response, false).unwrap();
    stream.send_data(Bytes::from(length.to_string()), true).unwrap();
}

async fn serve_all(mut serving: Serving) {
    while let Some(Ok(exchange)) = serving.accept().await {
        tokio::task::spawn_local(echo(exchange));
    }
}

#[tokio::test]
async fn a_cold_burst_shares_one_connection() {
    local(async {
        let authorities = Authorities::new();
        let connections = Rc::new(Cell::new(0));
        let count = connections.clone();
        let address = http2_upstream(&authorities, 200, move |serving, _| {
            count.set(count.get() + 1);
            serve_all(serving)
        })
        .await;
        let (pool, connector, origin) = (Pool::new(), connector(authorities.settings()), https(address));
        let burst = (0..64).map(|_| fetch(&pool, &connector, &origin, "GET"));
        for outcome in futures_util::future::join_all(burst).await {
            assert_eq!(outcome.unwrap(), "0");
        }
        assert_eq!(connections.get(), 1);
        assert_eq!(pool.counts(), (0, 1));
    })
    .await;
}

#[tokio::test]
async fn more_streams_than_a_connection_takes_open_another() {
    local(async {
        let authorities = Authorities::new();
        let connections = Rc::new(Cell::new(0));
        let count = connections.clone();
        let address = http2_upstream(&authorities, 2, move |serving, _| {
            count.set(count.get() + 1);
            serve_all(serving)
        })
        .await;
        let (pool, connector, origin) = (Pool::new(), connector(authorities.settings()), https(address));
        fetch(&pool, &connector, &origin, "GET").await.unwrap();
        let burst = (0..20).map(|_| fetch(&pool, &connector, &origin, "GET"));
        for outcome in futures_util::future::join_all(burst).await {
            assert_eq!(outcome.unwrap(), "0");
        }
        assert!((2..=16).contains(&connections.get()), "{}", connections.get());
    })
    .await;
}

#[tokio::test]
async fn the_head_names_the_authority_once_and_nothing_of_a_connection() {
    local(async {
        let authorities = Authorities::new();
        let address = http2_upstream(&authorities, 10, |serving, _| serve_all(serving)).await;
        let relay = Relay::with(https(address), authorities.settings()).await;
        let fields = "TE: trailers\r\nCookie: a=1\r\nX: y\r\nExpect: 100-continue\r\n";
        let body = "x".repeat(300_000);
        let head = format!("POST /a%2Fb?c HTTP/1.1\r\n{fields}Content-Length: {}\r\n{CLOSE}", body.len());
        let (answer, _) = relay.exchange(&format!("{head}{body}")).await;
        assert!(answer.contains("\r\n300000"), "{answer}");
        let seen = answer.lines().find(|line| line.starts_with("x-seen")).unwrap().to_owned();
        assert!(seen.contains(&format!("POST https://localhost:{}/a%2Fb?c", address.port())), "{seen}");
        for field in
            ["\"te\": \"trailers\"", "\"cookie\": \"a=1\"", "\"x\": \"y\"", "\"content-length\": \"300000\""]
        {
            assert!(seen.contains(field), "{field}: {seen}");
        }
        for field in ["host\"", "connection", "expect"] {
            assert!(!seen.contains(field), "{field}: {seen}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_not_processed_is_sent_again_a_post_too() {
    local(async {
        let authorities = Authorities::new();
        let connections = Rc::new(Cell::new(0));
        let count = connections.clone();
        let address = http2_upstream(&authorities, 10, move |mut serving, number| {
            count.set(count.get() + 1);
            async move {
                if number > 0 {
                    return serve_all(serving).await;
                }
                let (_request, mut respond) = serving.accept().await.unwrap().unwrap();
                respond.send_reset(h2::Reason::REFUSED_STREAM);
                serving.graceful_shutdown();
                while serving.accept().await.is_some() {}
            }
        })
        .await;
        let (pool, connector, origin) = (Pool::new(), connector(authorities.settings()), https(address));
        assert_eq!(fetch(&pool, &connector, &origin, "POST").await.unwrap(), "0");
        assert_eq!(connections.get(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_goes_away_is_replaced() {
    local(async {
        let authorities = Authorities::new();
        let connections = Rc::new(Cell::new(0));
        let count = connections.clone();
        let address = http2_upstream(&authorities, 10, move |mut serving, _| {
            count.set(count.get() + 1);
            async move {
                let exchange = serving.accept().await.unwrap().unwrap();
                tokio::task::spawn_local(echo(exchange));
                serving.graceful_shutdown();
                while serving.accept().await.is_some() {}
            }
        })
        .await;
        let (pool, connector, origin) = (Pool::new(), connector(authorities.settings()), https(address));
        for expected in 1..=3 {
            assert_eq!(fetch(&pool, &connector, &origin, "POST").await.unwrap(), "0");
            assert_eq!(connections.get(), expected);
            // Until the goodbye has come.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_dropped_body_resets_its_stream_and_no_other() {
    local(async {
        let authorities = Authorities::new();
        let (told, mut events) = tokio::sync::mpsc::unbounded_channel();
        let address = http2_upstream(&authorities, 10, move |mut serving, _| {
            let told = told.clone();
            async move {
                while let Some(Ok((request, mut respond))) = serving.accept().await {
                    if request.uri().path() == "/" {
                        tokio::task::spawn_local(echo((request, respond)));
                        continue;
                    }
                    let told = told.clone();
                    tokio::task::spawn_local(async move {
                        let mut stream = respond.send_response(Response::new(()), false).unwrap();
                        stream.send_data(Bytes::from_static(b"some"), false).unwrap();
                        let reset = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
                        told.send(reset.unwrap()).unwrap();
                    });
                }
            }
        })
        .await;
        let (pool, connector, origin) = (Pool::new(), connector(authorities.settings()), https(address));
        let endless = request("GET", "/endless");
        let response = pool.send_whole(&connector, &origin, endless, &Interim::none()).await.unwrap();
        drop(response);
        assert_eq!(events.recv().await, Some(h2::Reason::CANCEL));
        assert_eq!(fetch(&pool, &connector, &origin, "GET").await.unwrap(), "0");
        assert_eq!(pool.counts(), (0, 1));
    })
    .await;
}

#[tokio::test]
async fn upgrades_go_by_http1() {
    local(async {
        let authorities = Authorities::new();
        let acceptor = authorities.acceptor("localhost", &["h2", "http/1.1"], |_| {});
        let address = upstream(move |stream, _| {
            let acceptor = acceptor.clone();
            async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
                read_head(&mut stream).await;
                let switch =
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhi";
                stream.write_all(switch.as_bytes()).await.unwrap();
                let _ = stream.read(&mut [0; 1]).await;
            }
        })
        .await;
        let (pool, connector) = (Pool::new(), connector(authorities.settings()));
        let mut upgrade = request("GET", "/");
        upgrade.headers_mut().insert("upgrade", HeaderValue::from_static("x"));
        upgrade.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
        let response = pool.send_whole(&connector, &https(address), upgrade, &Interim::none()).await.unwrap();
        let mut stream = response.into_body().into_upgraded().unwrap();
        let mut greeting = [0; 2];
        stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"hi");
    })
    .await;
}

/// Answers so many requests on each connection as nginx and Apache do, frame by frame: those that
/// came meanwhile are left over, and it says so.
async fn serve_some(mut stream: TlsStream<TcpStream>, most: u32) -> std::io::Result<()> {
    let frame = |kind: u8, flags: u8, id: u32, payload: &[u8]| {
        let mut frame = vec![0, 0, payload.len() as u8, kind, flags];
        frame.extend_from_slice(&id.to_be_bytes());
        frame.extend_from_slice(payload);
        frame
    };
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    stream.write_all(&frame(4, 0, 0, &[])).await?;
    let (mut served, mut last) = (0, 0);
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut payload).await?;
        if head[3] != 1 {
            continue;
        }
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if served < most {
            (served, last) = (served + 1, id);
            // `:status: 200`, the end of the stream.
            stream.write_all(&frame(1, 5, id, &[0x88])).await?;
        } else if served == most {
            served += 1;
            stream.write_all(&frame(7, 0, 0, &[last.to_be_bytes(), [0; 4]].concat())).await?;
        }
    }
}

/// An upstream whose connections [serve some](serve_some), and how many there were.
async fn leaving_upstream(authorities: &Authorities, most: u32) -> (SocketAddr, Rc<Cell<usize>>) {
    let acceptor = authorities.acceptor("localhost", &["h2"], |_| {});
    let connections = Rc::new(Cell::new(0));
    let count = connections.clone();
    let address = upstream(move |stream, _| {
        let acceptor = acceptor.clone();
        count.set(count.get() + 1);
        async move {
            let stream = acceptor.accept(stream).await.unwrap();
            let _end = serve_some(stream, most).await;
        }
    })
    .await;
    (address, connections)
}

#[tokio::test]
async fn requests_that_many_connections_leave_over_are_served_once_each() {
    local(async {
        let authorities = Authorities::new();
        let (address, connections) = leaving_upstream(&authorities, 2).await;
        let (pool, connector, origin) = (Pool::new(), connector(authorities.settings()), https(address));
        let burst = (0..40).map(|_| fetch(&pool, &connector, &origin, "POST"));
        for outcome in futures_util::future::join_all(burst).await {
            assert_eq!(outcome.unwrap(), "");
        }
        assert!((20..=40).contains(&connections.get()), "{}", connections.get());
    })
    .await;
}

/// As some servers do for paths that want a client certificate, or their own kind of log-in.
#[tokio::test]
async fn an_upstream_that_wants_http1_for_a_request_gets_it() {
    local(async {
        let authorities = Authorities::new();
        let acceptor = authorities.acceptor("localhost", &["h2", "http/1.1"], |_| {});
        let address = upstream(move |stream, _| {
            let acceptor = acceptor.clone();
            async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    let mut serving = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((_request, mut respond))) = serving.accept().await {
                        respond.send_reset(h2::Reason::HTTP_1_1_REQUIRED);
                    }
                    return;
                }
                while read_head(&mut stream).await.is_some() {
                    stream.write_all(OK.as_bytes()).await.unwrap();
                }
            }
        })
        .await;
        let (pool, connector, origin) = (Pool::new(), connector(authorities.settings()), https(address));
        for _ in 0..2 {
            assert_eq!(fetch(&pool, &connector, &origin, "POST").await.unwrap(), "ok");
        }
        assert_eq!(pool.counts(), (1, 1));
    })
    .await;
}

/// Nobody knows ahead of the first answer how few streams it takes.
#[tokio::test]
async fn a_cold_burst_passes_through_few_streams() {
    local(async {
        let authorities = Authorities::new();
        let address = http2_upstream(&authorities, 2, |serving, _| serve_all(serving)).await;
        let (pool, connector, origin) = (Pool::new(), connector(authorities.settings()), https(address));
        let burst = (0..100).map(|_| fetch(&pool, &connector, &origin, "POST"));
        for outcome in futures_util::future::join_all(burst).await {
            assert_eq!(outcome.unwrap(), "0");
        }
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_always_goes_away_is_not_asked_for_ever() {
    local(async {
        let authorities = Authorities::new();
        let (address, connections) = leaving_upstream(&authorities, 0).await;
        let (pool, connector, origin) = (Pool::new(), connector(authorities.settings()), https(address));
        let error = fetch(&pool, &connector, &origin, "GET").await.unwrap_err();
        assert!(matches!(error, UpstreamError::Closed { .. }), "{error:?}");
        assert_eq!(connections.get(), 4);
    })
    .await;
}

#[tokio::test]
async fn responses_that_nobody_reads_hold_up_no_other() {
    local(async {
        let authorities = Authorities::new();
        let address = http2_upstream(&authorities, 100, move |mut serving, _| async move {
            while let Some(Ok((request, mut respond))) = serving.accept().await {
                if request.uri().path() == "/" {
                    tokio::task::spawn_local(echo((request, respond)));
                    continue;
                }
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                // All that it may send at all, and more.
                stream.send_data(Bytes::from(vec![0; 1024 * 1024]), true).unwrap();
            }
        })
        .await;
        let (pool, connector, origin) = (Pool::new(), connector(authorities.settings()), https(address));
        let mut unread = Vec::new();
        for _ in 0..64 {
            let request = request("GET", "/unread");
            unread.push(pool.send_whole(&connector, &origin, request, &Interim::none()).await.unwrap());
        }
        assert_eq!(fetch(&pool, &connector, &origin, "GET").await.unwrap(), "0");
        assert_eq!(pool.counts(), (0, 1));
        for response in unread {
            assert_eq!(text(response).await.len(), 1024 * 1024);
        }
    })
    .await;
}
