//! HTTP/1.1 connections: what comes on them in which pieces, and when they are used again.

use super::relay::{CLOSE, Relay};
use super::tls::{Authorities, https};
use super::*;

/// An upstream that answers each request with `pieces`, of which each is seen by itself, and
/// closes after the last request or leaves the connection open.
async fn piecewise(pieces: Vec<&'static str>, closes: bool) -> SocketAddr {
    upstream(move |mut stream, _| {
        let pieces = pieces.clone();
        async move {
            stream.set_nodelay(true).unwrap();
            while read_head(&mut stream).await.is_some() {
                for piece in &pieces {
                    stream.write_all(piece.as_bytes()).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                if closes {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_connection_goes_back_exactly_when_its_exchange_has_left_nothing_behind() {
    local(async {
        for (pieces, closes, body, idle) in [
            (vec![OK], false, "ok", 1),
            (vec!["HTTP/1.1 200 OK\r\nContent-", "Length: 2\r\n\r\n", "o", "k"], false, "ok", 1),
            (vec!["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], false, "", 1),
            (vec!["HTTP/1.1 204 No Content\r\n\r\n"], false, "", 1),
            (
                vec![
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r",
                    "\nok\r\n0\r\nX: ",
                    "y\r\n\r",
                    "\n",
                ],
                false,
                "ok",
                1,
            ),
            (vec!["HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"], false, "ok", 0),
            (vec!["HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"], false, "ok", 0),
            (
                vec!["HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"],
                false,
                "ok",
                1,
            ),
            (vec!["HTTP/1.1 200 OK\r\n\r\no", "k"], true, "ok", 0),
            // More than was asked for.
            (vec!["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n"], false, "ok", 0),
            (
                vec!["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nH"],
                false,
                "ok",
                0,
            ),
            (vec!["HTTP/1.1 204 No Content\r\n\r\nbody"], false, "", 0),
        ] {
            let address = piecewise(pieces.clone(), closes).await;
            let (pool, connector, origin) = (Pool::new(), connector(settings()), origin(address));
            assert_eq!(fetch(&pool, &connector, &origin, "GET").await.unwrap(), body, "{pieces:?}");
            assert_eq!(pool.counts(), (idle, 0), "{pieces:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_small_answer_gives_its_connection_back_before_its_body_is_read() {
    local(async {
        let (address, _log) = answering(OK).await;
        let (pool, connector) = (Pool::new(), connector(settings()));
        let get = request("GET", "/");
        let response = pool.send_whole(&connector, &origin(address), get, &Interim::none()).await.unwrap();
        assert_eq!(pool.counts(), (1, 0));
        assert_eq!(http_body::Body::size_hint(response.body()).exact(), Some(2));
        assert_eq!(text(response).await, "ok");
    })
    .await;
}

/// Bytes that come while the connection idles would be taken for the answer to the next request.
#[tokio::test]
async fn bytes_that_nobody_asked_for_are_no_answer() {
    local(async {
        let address = upstream(|mut stream, number| async move {
            read_head(&mut stream).await;
            stream.write_all(OK.as_bytes()).await.unwrap();
            if number == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let stray = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray";
                stream.write_all(stray.as_bytes()).await.unwrap();
            }
            std::future::pending::<()>().await;
        })
        .await;
        let (pool, connector, origin) = (Pool::new(), connector(settings()), origin(address));
        assert_eq!(fetch(&pool, &connector, &origin, "GET").await.unwrap(), "ok");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(fetch(&pool, &connector, &origin, "POST").await.unwrap(), "ok");
    })
    .await;
}

#[tokio::test]
async fn interim_responses_are_bounded() {
    local(async {
        let endless = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(40);
        let (address, _log) = answering(endless.leak()).await;
        let (pool, connector) = (Pool::new(), connector(settings()));
        let error = fetch(&pool, &connector, &origin(address), "GET").await.unwrap_err();
        assert!(error.to_string().ends_with("it has more than 32 interim responses"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_head_without_end_is_refused_and_not_kept() {
    local(async {
        let address = upstream(|mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await.unwrap();
            while stream.write_all(&[b'y'; 4096]).await.is_ok() {}
        })
        .await;
        let (pool, connector) = (Pool::new(), connector(settings()));
        let error = fetch(&pool, &connector, &origin(address), "GET").await.unwrap_err();
        assert!(error.to_string().ends_with("its head is longer than 64 KiB"), "{error}");
    })
    .await;
}

/// Only part of an answer came: nobody knows what it would have been, so it is not asked for again.
#[tokio::test]
async fn an_answer_that_breaks_off_in_its_head_is_not_asked_for_again() {
    local(async {
        let (address, log) = logging(|mut stream, number, log| async move {
            for answer in [OK, "HTTP/1.1 200 O"] {
                let Some(head) = read_head(&mut stream).await else { return };
                log.borrow_mut().push(format!("{number}: {head}"));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await;
        let (pool, connector, origin) = (Pool::new(), connector(settings()), origin(address));
        assert_eq!(fetch(&pool, &connector, &origin, "GET").await.unwrap(), "ok");
        let error = fetch(&pool, &connector, &origin, "GET").await.unwrap_err();
        assert!(matches!(error, UpstreamError::Closed { .. }), "{error:?}");
        assert_eq!(log.borrow().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_body_that_cannot_be_read_on_gives_what_came_and_then_an_error() {
    local(async {
        for (answer, expected) in [
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nxyz\r\n",
                "the upstream's body cannot be read on: a chunk size is not a hexadecimal number",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
                "the upstream broke off in the middle of the body",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
                "the upstream broke off in the middle of the body",
            ),
        ] {
            let address = piecewise(vec![answer], true).await;
            let (pool, connector) = (Pool::new(), connector(settings()));
            let get = request("GET", "/");
            let response =
                pool.send_whole(&connector, &origin(address), get, &Interim::none()).await.unwrap();
            let mut body = response.into_body();
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ok", "{answer:?}");
            assert!(!http_body::Body::is_end_stream(&body), "{answer:?}");
            let error = body.frame().await.unwrap().unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert!(body.frame().await.is_none());
            assert_eq!(pool.counts(), (0, 0));
        }
    })
    .await;
}

/// An upstream that refuses a large request and reads no more of it has answered all the same.
#[tokio::test]
async fn an_answer_ahead_of_a_broken_upload_is_passed_on() {
    local(async {
        let address = upstream(|mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        })
        .await;
        let (pool, connector) = (Pool::new(), connector(settings()));
        let large = RequestBody::full(vec![b'x'; 8_000_000].into());
        let post = Request::post("/").body(large).unwrap();
        let response = pool.send_whole(&connector, &origin(address), post, &Interim::none()).await.unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(text(response).await, "no");
        assert_eq!(pool.counts(), (0, 0));
    })
    .await;
}

/// The rest of the request is in a task of its own by then.
#[tokio::test]
async fn an_upload_that_breaks_off_behind_the_answers_start_ends_both_transfers() {
    local(async {
        for hangs_up in [false, true] {
            let (told, mut ends) = tokio::sync::mpsc::unbounded_channel();
            let address = upstream(move |mut stream, number| {
                let told = told.clone();
                async move {
                    read_head(&mut stream).await.unwrap();
                    if number > 0 {
                        stream.write_all(OK.as_bytes()).await.unwrap();
                        return;
                    }
                    let start = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
                    stream.write_all(start.as_bytes()).await.unwrap();
                    // The answer never goes on: only the upload can end this.
                    let mut rest = Vec::new();
                    let _ = stream.read_to_end(&mut rest).await;
                    told.send(String::from_utf8(rest).unwrap()).unwrap();
                }
            })
            .await;
            let relay = Relay::to(origin(address)).await;
            let mut client = relay.connect().await;
            let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            client.write_all(format!("{head}3\r\nabc\r\n").as_bytes()).await.unwrap();
            let begun = read_until(&mut client, "half\r\n").await.unwrap();
            assert!(begun.starts_with("HTTP/1.1 200 OK"), "{begun}");
            if hangs_up {
                client.shutdown().await.unwrap();
            } else {
                client.write_all(b"xyz\r\n").await.unwrap();
            }
            let mut rest = Vec::new();
            let both = async { (client.read_to_end(&mut rest).await, ends.recv().await.unwrap()) };
            // Far less than what a body that stalls is given.
            let (_, sent) = tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
            assert_eq!(String::from_utf8(rest).unwrap(), "", "no end that looks like one");
            assert_eq!(sent, "3\r\nabc\r\n", "no end, and no other request");
            let (answer, _) = relay.exchange(&format!("GET / HTTP/1.1\r\n{CLOSE}")).await;
            assert!(answer.ends_with("ok"), "{answer}");
        }
    })
    .await;
}

#[tokio::test]
async fn large_bodies_arrive_whole_both_ways() {
    local(async {
        let address = upstream(|mut stream, _| async move {
            while let Some(head) = read_head(&mut stream).await {
                assert!(head.contains("content-length: 3000000\r\n"), "{head}");
                let mut body = vec![0; 3_000_000];
                stream.read_exact(&mut body).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n").await.unwrap();
                stream.write_all(&body).await.unwrap();
            }
        })
        .await;
        let (pool, connector, origin) = (Pool::new(), connector(settings()), origin(address));
        let sent: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        for _ in 0..2 {
            let body = RequestBody::full(sent.clone().into());
            let post = Request::post("/").body(body).unwrap();
            let response = pool.send_whole(&connector, &origin, post, &Interim::none()).await.unwrap();
            let came = response.into_body().collect().await.unwrap().to_bytes();
            assert!(came == sent, "{} bytes", came.len());
            assert_eq!(pool.counts(), (1, 0));
        }
    })
    .await;
}

/// TLS holds back what its session has taken, and gives a record out at a time.
#[tokio::test]
async fn large_bodies_arrive_whole_both_ways_over_tls() {
    local(async {
        let authorities = Authorities::new();
        let acceptor = authorities.acceptor("localhost", &["http/1.1"], |_| {});
        let address = upstream(move |stream, _| {
            let acceptor = acceptor.clone();
            async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                while let Some(head) = read_head(&mut stream).await {
                    let answers_first = head.starts_with("PUT");
                    let length = if answers_first { 16_000_000 } else { 3_000_000 };
                    let mut body = vec![0; length];
                    if !answers_first {
                        stream.read_exact(&mut body).await.unwrap();
                    }
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                    if answers_first {
                        stream.read_exact(&mut body).await.unwrap();
                    }
                    stream.write_all(&body).await.unwrap();
                    stream.flush().await.unwrap();
                }
            }
        })
        .await;
        let (pool, connector) = (Pool::new(), connector(authorities.settings()));
        // The last one is answered before it has been sent: it is too large for the sockets.
        for (method, length, idle) in
            [("POST", 3_000_000_u32, 1), ("POST", 3_000_000, 1), ("PUT", 16_000_000, 0)]
        {
            let sent: Vec<u8> = (0..length).map(|number| (number % 251) as u8).collect();
            let body = RequestBody::full(sent.clone().into());
            let request = Request::builder().method(method).uri("/").body(body).unwrap();
            let response =
                pool.send_whole(&connector, &https(address), request, &Interim::none()).await.unwrap();
            let came = response.into_body().collect().await.unwrap().to_bytes();
            assert!(came == sent, "{method}: {} bytes", came.len());
            assert_eq!(pool.counts(), (idle, 0), "{method}");
        }
    })
    .await;
}
