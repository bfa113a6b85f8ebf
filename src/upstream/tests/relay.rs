//! Clients in front of a bare relay: what the server and the client side make of each other.

use super::*;

/// A relay without any rules: what the client sent goes on, what comes back goes back.
pub(super) struct Relay {
    address: SocketAddr,
    _drain: Drain,
}

type RelayBody = Either<ResponseBody, Full<Bytes>>;

impl Relay {
    pub(super) async fn to(origin: Origin) -> Self {
        Self::with(origin, settings()).await
    }

    pub(super) async fn with(origin: Origin, settings: UpstreamSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (drain, watch) = Drain::new();
        let (pool, connector) = (Pool::new(), connector(settings));
        tokio::task::spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (pool, connector, origin) = (pool.clone(), connector.clone(), origin.clone());
                let tunnels = watch.clone();
                let handler = move |request: message::Request<Incoming>, call: Call| {
                    relay(pool.clone(), connector.clone(), origin.clone(), tunnels.clone(), request, call)
                };
                tokio::task::spawn_local(serve(
                    Transport::Tcp(stream),
                    Rc::default(),
                    watch.clone(),
                    handler,
                ));
            }
        });
        Self { address, _drain: drain }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(super) async fn exchange(&self, request: &str) -> (String, std::io::Result<usize>) {
        let mut client = self.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let end = client.read_to_end(&mut answer).await;
        (String::from_utf8(answer).unwrap(), end)
    }
}

async fn relay(
    pool: Pool,
    connector: Connector,
    origin: Origin,
    tunnels: DrainWatch,
    request: message::Request<Incoming>,
    call: Call,
) -> Result<message::Response<RelayBody>, Infallible> {
    let ours = |status: StatusCode, text: String| {
        let mut response = Response::new(Either::Right(Full::new(Bytes::from(text))));
        *response.status_mut() = status;
        message::Response::from(response)
    };
    if let Some(refusal) = call.refusal {
        return Ok(ours(refusal.status(), refusal.to_string()));
    }
    let upgraded = call.upgrade;
    let message::Request { mut head, body } = request;
    head.fields.remove(Name::TransferEncoding);
    head.fields.remove(Name::Host);
    if !head.fields.has(Name::Upgrade) {
        head.fields.remove(Name::Connection);
    }
    let body = RequestBody::streaming(body);
    let mut response = match pool.send(&connector, &origin, &head, body, &call.interim, &call.timer).await {
        Ok((response, _)) => response,
        Err(error) => return Ok(ours(error.status(), error.to_string())),
    };
    response.head.fields.remove(Name::TransferEncoding);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let message::Response { head, body } = response;
        let guard = tunnels.tunnel();
        let mut far = body.into_upgraded().unwrap();
        tokio::task::spawn_local(async move {
            let mut near = upgraded.await.unwrap();
            crate::net::copy_bidirectional(&mut near, &mut far, crate::net::TUNNEL_IDLE).await.unwrap();
            drop(guard);
        });
        return Ok(message::Response { head, body: Either::Left(ResponseBody::empty()) });
    }
    response.head.fields.remove(Name::Connection);
    Ok(response.map(Either::Left))
}

pub(super) const CLOSE: &str = "Host: a\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_304_and_an_answer_to_head_keep_their_length() {
    local(async {
        let (address, _log) =
            answering("HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\nETag: x\r\n\r\n").await;
        let relay = Relay::to(origin(address)).await;
        let (answer, _) = relay.exchange(&format!("GET / HTTP/1.1\r\n{CLOSE}")).await;
        assert!(answer.contains("Content-Length: 1234\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");

        let (address, _log) = answering("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n").await;
        let relay = Relay::to(origin(address)).await;
        let (answer, _) = relay.exchange(&format!("HEAD / HTTP/1.1\r\n{CLOSE}")).await;
        assert!(answer.contains("Content-Length: 1234\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn a_204_has_no_body_and_reason_phrases_pass() {
    local(async {
        let (address, _log) = answering("HTTP/1.1 204 Nothing Here\r\n\r\n").await;
        let relay = Relay::to(origin(address)).await;
        let (answer, _) = relay.exchange(&format!("GET / HTTP/1.1\r\n{CLOSE}")).await;
        assert!(answer.starts_with("HTTP/1.1 204 Nothing Here\r\n"), "{answer}");
        let head = answer.to_ascii_lowercase();
        assert!(!head.contains("content-length") && !head.contains("transfer-encoding"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn bodies_keep_their_framing_also_on_get() {
    local(async {
        let (address, log) = logging(|mut stream, _, log| async move {
            let mut head = read_head(&mut stream).await.unwrap();
            if head.contains("transfer-encoding: chunked") {
                head += &read_until(&mut stream, "0\r\n\r\n").await.unwrap();
            } else if head.contains("Content-Length: 3") {
                head += &read_until(&mut stream, "abc").await.unwrap();
            }
            log.borrow_mut().push(head);
            stream.write_all(OK.as_bytes()).await.unwrap();
        })
        .await;
        let relay = Relay::to(origin(address)).await;
        for (request, expected) in [
            ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
            ("DELETE / HTTP/1.1\r\nContent-Length: 3\r\n", "abc"),
        ] {
            let (answer, _) = relay.exchange(&format!("{request}{CLOSE}{expected}")).await;
            assert!(answer.ends_with("ok"), "{answer}");
            let seen = log.borrow_mut().pop().unwrap();
            let (head, body) = seen.split_once("\r\n\r\n").unwrap();
            assert_eq!(body, expected, "{seen}");
            let head = head.to_ascii_lowercase();
            assert!(head.contains("content-length") != head.contains("transfer-encoding"), "{seen}");
        }
        let _ = relay.exchange(&format!("POST / HTTP/1.1\r\nContent-Length: 0\r\n{CLOSE}")).await;
        assert!(log.borrow()[0].contains("Content-Length: 0\r\n"));
        let _ = relay.exchange(&format!("GET / HTTP/1.1\r\n{CLOSE}")).await;
        let head = log.borrow()[1].to_ascii_lowercase();
        assert!(!head.contains("content-length") && !head.contains("transfer-"), "{head}");
    })
    .await;
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    local(async {
        let (address, log) = logging(|mut stream, _, log| async move {
            read_head(&mut stream).await.unwrap();
            let body = read_until(&mut stream, "\r\n\r\n").await.unwrap();
            log.borrow_mut().push(body);
            let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 2\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let relay = Relay::to(origin(address)).await;
        let head = format!("POST / HTTP/1.1\r\nTrailer: x-end\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n{CLOSE}");
        let (answer, _) = relay.exchange(&format!("{head}1\r\na\r\n0\r\nX-End: 1\r\n\r\n")).await;
        assert!(log.borrow()[0].ends_with("0\r\nx-end: 1\r\n\r\n"), "{:?}", log.borrow());
        assert!(answer.ends_with("0\r\nx-sum: 2\r\n\r\n"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_dies_in_the_body_breaks_the_clients_transfer_off() {
    local(async {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        ] {
            let address = upstream(move |mut stream, _| async move {
                read_head(&mut stream).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
            })
            .await;
            let relay = Relay::to(origin(address)).await;
            let (seen, end) = relay.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert!(
                end.is_err() || (seen.contains("200 OK") && !seen.ends_with("0\r\n\r\n")),
                "{end:?} {seen}"
            );
            let (seen, end) = relay.exchange("GET / HTTP/1.0\r\n\r\n").await;
            assert!(end.is_err() || seen.contains("Content-Length: 10"), "{end:?} {seen}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_broken_chunk_of_the_clients_is_the_clients_fault() {
    local(async {
        let address = upstream(|mut stream, _| async move {
            read_head(&mut stream).await;
            let mut rest = Vec::new();
            // The connection must be given up: the request has no end.
            let _ = stream.read_to_end(&mut rest).await;
            assert!(!String::from_utf8_lossy(&rest).ends_with("0\r\n\r\n"));
        })
        .await;
        let relay = Relay::to(origin(address)).await;
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (answer, _) = relay.exchange(&format!("{head}3\r\nabc\r\nxyz\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.ends_with("a chunk size is not a hexadecimal number"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn an_expectation_never_deadlocks() {
    local(async {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
        // The upstream goes on: so does the client.
        let address = upstream(|mut stream, _| async move {
            let head = read_head(&mut stream).await.unwrap();
            assert!(head.contains("Expect: 100-continue"), "{head}");
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
            assert_eq!(read_until(&mut stream, "abc").await.unwrap(), "abc");
            stream.write_all(OK.as_bytes()).await.unwrap();
        })
        .await;
        let relay = Relay::to(origin(address)).await;
        let mut client = relay.connect().await;
        client.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(read_head(&mut client).await.unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
        client.write_all(b"abc").await.unwrap();
        assert!(read_until(&mut client, "ok").await.unwrap().starts_with("HTTP/1.1 200"));

        // The upstream refuses: the client is told, and its body is never asked for.
        let address = upstream(|mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            assert_eq!(rest, b"");
        })
        .await;
        let relay = Relay::to(origin(address)).await;
        let mut client = relay.connect().await;
        client.write_all(head.as_bytes()).await.unwrap();
        let answer = read_until(&mut client, "no").await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");

        // The upstream says nothing: the body goes all the same.
        let address = upstream(|mut stream, _| async move {
            read_head(&mut stream).await;
            read_until(&mut stream, "abc").await.unwrap();
            stream.write_all(OK.as_bytes()).await.unwrap();
        })
        .await;
        let relay = Relay::to(origin(address)).await;
        let mut client = relay.connect().await;
        client.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(read_head(&mut client).await.unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
        client.write_all(b"abc").await.unwrap();
        assert!(read_until(&mut client, "ok").await.unwrap().starts_with("HTTP/1.1 200"));
    })
    .await;
}

#[tokio::test]
async fn early_hints_pass() {
    local(async {
        let (address, _log) = answering(
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        )
        .await;
        // Both heads in one piece: the hints have no time left, and may be dropped or come first.
        let relay = Relay::to(origin(address)).await;
        let (answer, _) = relay.exchange(&format!("GET / HTTP/1.1\r\n{CLOSE}")).await;
        assert!(answer.ends_with("ok"), "{answer}");

        let address = upstream(|mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.write_all(OK.as_bytes()).await.unwrap();
        })
        .await;
        let relay = Relay::to(origin(address)).await;
        let (answer, _) = relay.exchange(&format!("GET / HTTP/1.1\r\n{CLOSE}")).await;
        assert!(
            answer.starts_with("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK"),
            "{answer}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_is_in_force_only_after_the_upstreams_101() {
    local(async {
        let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n";
        let address = upstream(|mut stream, _| async move {
            read_head(&mut stream).await;
            stream
                .write_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nhi ",
                )
                .await
                .unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            stream.write_all(text.to_uppercase().as_bytes()).await.unwrap();
        })
        .await;
        let relay = Relay::to(origin(address)).await;
        let mut client = relay.connect().await;
        client.write_all(format!("{upgrade}early").as_bytes()).await.unwrap();
        assert!(read_head(&mut client).await.unwrap().starts_with("HTTP/1.1 101"));
        client.shutdown().await.unwrap();
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "hi EARLY");

        // Refused, what was sent early is a request of its own, or nothing.
        let (address, log) = answering(OK).await;
        let relay = Relay::to(origin(address)).await;
        let mut client = relay.connect().await;
        client.write_all(format!("{upgrade}GET /next HTTP/1.1\r\n{CLOSE}").as_bytes()).await.unwrap();
        let mut answers = String::new();
        client.read_to_string(&mut answers).await.unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
        assert!(log.borrow()[1].contains("GET /next"), "{:?}", log.borrow());
    })
    .await;
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_the_upstream() {
    local(async {
        let (told, mut events) = tokio::sync::mpsc::unbounded_channel();
        let address = upstream(move |mut stream, _| {
            let told = told.clone();
            async move {
                read_head(&mut stream).await;
                told.send("request").unwrap();
                assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
                told.send("closed").unwrap();
            }
        })
        .await;
        let relay = Relay::to(origin(address)).await;
        let mut client = relay.connect().await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert_eq!(events.recv().await, Some("request"));
        drop(client);
        assert_eq!(events.recv().await, Some("closed"));
    })
    .await;
}

#[tokio::test]
async fn a_slow_reader_holds_the_upstream_back() {
    local(async {
        let sent = Rc::new(RefCell::new(0));
        let count = sent.clone();
        let address = upstream(move |mut stream, _| {
            let count = count.clone();
            async move {
                read_head(&mut stream).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
                while stream.write_all(&[0; 65536]).await.is_ok() {
                    *count.borrow_mut() += 65536;
                }
            }
        })
        .await;
        let relay = Relay::to(origin(address)).await;
        let mut client = relay.connect().await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut before = usize::MAX;
        // Until nothing moves any more.
        while before != *sent.borrow() || before == 0 {
            before = *sent.borrow();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(before < 64 * 1024 * 1024, "{before} bytes went nowhere");
    })
    .await;
}

#[tokio::test]
async fn both_directions_go_on_when_the_answer_comes_first() {
    local(async {
        // Answers at once and at length, and reads the request meanwhile.
        let address = upstream(|mut stream, _| async move {
            read_head(&mut stream).await;
            let (mut reader, mut writer) = stream.split();
            let answer = async {
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 16000000\r\n\r\n";
                writer.write_all(head).await.unwrap();
                writer.write_all(&vec![b'y'; 16_000_000]).await.unwrap();
            };
            let mut body = vec![0; 16_000_000];
            let (read, ()) = tokio::join!(reader.read_exact(&mut body), answer);
            read.unwrap();
        })
        .await;
        let relay = Relay::to(origin(address)).await;
        let mut client = relay.connect().await;
        client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16000000\r\n\r\n").await.unwrap();
        let exchange = async {
            // Reads nothing until all is sent, so the answer backs up to the upstream.
            client.write_all(&vec![b'x'; 16_000_000]).await.unwrap();
            let head = read_head(&mut client).await.unwrap();
            client.read_exact(&mut vec![0; 16_000_000]).await.unwrap();
            head
        };
        let head = tokio::time::timeout(Duration::from_secs(20), exchange).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    })
    .await;
}

#[tokio::test]
async fn a_held_body_can_be_sent_twice_and_a_long_one_not() {
    local(async {
        let (address, log) = logging(|mut stream, number, log| async move {
            let head = read_head(&mut stream).await.unwrap();
            let body = read_until(&mut stream, "end").await.unwrap();
            log.borrow_mut().push(format!("{number}: {} {}", head.lines().next().unwrap(), body.len()));
            stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        })
        .await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = listener.local_addr().unwrap();
        let (_drain, watch) = Drain::new();
        let (pool, connector, origin) = (Pool::new(), connector(settings()), origin(address));
        let handler = move |request: message::Request<Incoming>, _call: Call| {
            let (pool, connector, origin) = (pool.clone(), connector.clone(), origin.clone());
            async move {
                let (head, body) = Request::from(request).into_parts();
                let body = RequestBody::streaming(body);
                let replay = body.replay();
                let mut headers = HeaderMap::new();
                headers.insert("content-length", head.headers["content-length"].clone());
                let make = |body| {
                    let mut request = Request::post("/").body(body).unwrap();
                    *request.headers_mut() = headers.clone();
                    request
                };
                let mut response =
                    pool.send_whole(&connector, &origin, make(body), &Interim::none()).await.unwrap();
                if let Some(again) = replay.body() {
                    response =
                        pool.send_whole(&connector, &origin, make(again), &Interim::none()).await.unwrap();
                }
                response.headers_mut().insert("connection", HeaderValue::from_static("close"));
                Ok::<message::Response<_>, Infallible>(response.into())
            }
        };
        tokio::task::spawn_local(async move {
            loop {
                let stream = Transport::Tcp(listener.accept().await.unwrap().0);
                tokio::task::spawn_local(serve(stream, Rc::default(), watch.clone(), handler.clone()));
            }
        });
        for (length, times) in [(MAX_HELD, 2), (MAX_HELD + 1, 1)] {
            log.borrow_mut().clear();
            let mut client = TcpStream::connect(front).await.unwrap();
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
            client.write_all(format!("{}end", "x".repeat(length - 3)).as_bytes()).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
            let lines = log.borrow();
            assert_eq!(lines.len(), times, "{lines:?}");
            assert!(lines.iter().all(|line| line.ends_with(&format!(" {length}"))), "{lines:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_http2_clients_request_is_made_whole_for_http1() {
    local(async {
        let (address, log) = answering(OK).await;
        let relay = Relay::to(origin(address)).await;
        let (mut send, connection) = h2::client::handshake(relay.connect().await).await.unwrap();
        tokio::task::spawn_local(connection);
        let request =
            Request::post("http://a/x?y").header("cookie", "a=1").header("cookie", "b=2").body(()).unwrap();
        let mut response = send.send_request(request, true).unwrap().0.await.unwrap();
        assert_eq!(response.body_mut().data().await.unwrap().unwrap(), "ok");
        let seen = log.borrow()[0].clone();
        assert!(seen.starts_with("0: POST /x?y HTTP/1.1\r\n"), "{seen}");
        for line in ["cookie: a=1; b=2\r\n", "content-length: 0\r\n", &format!("host: {address}\r\n")] {
            assert_eq!(seen.matches(line).count(), 1, "{seen}");
        }
        assert_eq!(seen.matches("host: ").count(), 1, "{seen}");
    })
    .await;
}

#[tokio::test]
async fn after_a_refusal_the_next_client_gets_its_own_answer() {
    local(async {
        // Answers each request with its path.
        let (address, log) = logging(|mut stream, _, log| async move {
            while let Some(head) = read_head(&mut stream).await {
                let path = head.split(' ').nth(1).unwrap().to_owned();
                log.borrow_mut().push(path.clone());
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await;
        let relay = Relay::to(origin(address)).await;
        for (number, bad) in [
            "POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /bad HTTP/1.1\nHost: a\n\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /bad HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        ]
        .into_iter()
        .enumerate()
        {
            let good = format!("GET /good{number} HTTP/1.1\r\nHost: a\r\n\r\n");
            let (answers, _) = relay.exchange(&format!("{good}{bad}")).await;
            assert_eq!(answers.matches("HTTP/1.1 ").count(), 2, "{answers}");
            assert!(answers.contains(&format!("/good{number}HTTP/1.1 400")), "{answers}");
            let (next, _) = relay.exchange(&format!("GET /next{number} HTTP/1.1\r\n{CLOSE}")).await;
            assert!(next.ends_with(&format!("/next{number}")), "{next}");
        }
        assert!(log.borrow().iter().all(|path| path.starts_with("/good") || path.starts_with("/next")));
    })
    .await;
}
