//! Whom a request goes to, on which connection, how often, and what is said where it fails.

use super::*;

#[tokio::test]
async fn a_connection_is_used_again_and_the_request_is_in_origin_form() {
    local(async {
        let (address, log) = answering(OK).await;
        let (pool, connector, origin) = (Pool::new(), connector(settings()), origin(address));
        for _ in 0..3 {
            assert_eq!(fetch(&pool, &connector, &origin, "GET").await.unwrap(), "ok");
            assert_eq!(pool.counts(), (1, 0));
        }
        let expected = format!("0: GET / HTTP/1.1\r\nhost: {address}\r\n\r\n");
        assert_eq!(*log.borrow(), [expected.clone(), expected.clone(), expected]);
    })
    .await;
}

#[tokio::test]
async fn bytes_of_the_path_are_left_alone() {
    local(async {
        let (address, log) = answering(OK).await;
        let (pool, connector) = (Pool::new(), connector(settings()));
        let path = "/a%2Fb//c+d:e/%C3%A6?q=a%20b&r=c+d//%2f";
        let sent = request("GET", path);
        pool.send_whole(&connector, &origin(address), sent, &Interim::none()).await.unwrap();
        assert!(log.borrow()[0].contains(&format!("GET {path} HTTP/1.1\r\n")), "{:?}", log.borrow());
    })
    .await;
}

/// The first connection serves one request, then closes as `ending` says; all others serve.
async fn closing_upstream(reads_second: bool) -> (SocketAddr, Log) {
    let (address, log) = logging(move |mut stream, number, log| async move {
        while let Some(head) = read_head(&mut stream).await {
            let served = log.borrow().iter().filter(|line| line.starts_with(&number.to_string())).count();
            log.borrow_mut().push(format!("{number}: {head}"));
            if number == 0 && served == 1 {
                // It has read the request, and dies.
                return;
            }
            stream.write_all(OK.as_bytes()).await.unwrap();
            if number == 0 && !reads_second {
                return;
            }
        }
    })
    .await;
    (address, log)
}

/// As after a change of network: connections that stood are silent, and new ones are served.
#[tokio::test]
async fn connections_that_lead_nowhere_are_dropped_together() {
    local(async {
        let address = upstream(|mut stream, number| async move {
            let mut served = 0;
            while read_head(&mut stream).await.is_some() {
                served += 1;
                if number < 2 && served > 1 {
                    std::future::pending::<()>().await;
                }
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        })
        .await;
        let patience = UpstreamSettings { response_timeout: Duration::from_millis(300), ..settings() };
        let (pool, connector, origin) = (Pool::new(), connector(patience), origin(address));
        let none = Interim::none();
        let both = tokio::join!(
            pool.send_whole(&connector, &origin, request("GET", "/"), &none),
            pool.send_whole(&connector, &origin, request("GET", "/"), &none),
        );
        text(both.0.unwrap()).await;
        text(both.1.unwrap()).await;
        assert_eq!(pool.counts(), (2, 0));

        let error = fetch(&pool, &connector, &origin, "GET").await.unwrap_err();
        assert!(matches!(error, UpstreamError::ResponseTimeout { .. }), "{error:?}");
        assert_eq!(pool.counts(), (0, 0), "the other one is no better");
        assert_eq!(fetch(&pool, &connector, &origin, "GET").await.unwrap(), "ok");
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_does_no_harm() {
    local(async {
        for method in ["GET", "POST"] {
            let (address, log) = closing_upstream(false).await;
            let (pool, connector, origin) = (Pool::new(), connector(settings()), origin(address));
            fetch(&pool, &connector, &origin, method).await.unwrap();
            // Until the close has come.
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(fetch(&pool, &connector, &origin, method).await.unwrap(), "ok");
            let connections: Vec<char> =
                log.borrow().iter().map(|line| line.chars().next().unwrap()).collect();
            assert_eq!(connections, ['0', '1']);
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_that_races_the_close_is_sent_again_only_if_that_is_safe() {
    local(async {
        for (method, again) in
            [("GET", true), ("PUT", true), ("DELETE", true), ("POST", false), ("PATCH", false)]
        {
            let (address, log) = closing_upstream(true).await;
            let (pool, connector, origin) = (Pool::new(), connector(settings()), origin(address));
            fetch(&pool, &connector, &origin, method).await.unwrap();
            let outcome = fetch(&pool, &connector, &origin, method).await;
            let seen = log.borrow().len();
            if again {
                assert_eq!((outcome.unwrap().as_str(), seen), ("ok", 3), "{method}");
            } else {
                let error = outcome.unwrap_err();
                assert!(matches!(error, UpstreamError::Closed { .. }), "{method}: {error}");
                assert_eq!((error.status(), seen), (StatusCode::BAD_GATEWAY, 2), "{method}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_new_connection_that_dies_is_not_tried_again() {
    local(async {
        let (address, log) = logging(|mut stream, number, log| async move {
            let head = read_head(&mut stream).await;
            log.borrow_mut().push(format!("{number}: {head:?}"));
        })
        .await;
        let (pool, connector, origin) = (Pool::new(), connector(settings()), origin(address));
        let error = fetch(&pool, &connector, &origin, "GET").await.unwrap_err();
        assert!(matches!(error, UpstreamError::Closed { .. }), "{error}");
        assert_eq!(log.borrow().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn answers_that_two_readers_may_see_differently_are_errors() {
    local(async {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 2\r\n\r\nab",
            "nonsense\r\n\r\n",
        ] {
            let (address, log) = answering(answer).await;
            let (pool, connector, origin) = (Pool::new(), connector(settings()), origin(address));
            for _ in 0..2 {
                let error = fetch(&pool, &connector, &origin, "GET").await.unwrap_err();
                assert!(matches!(error, UpstreamError::Malformed { .. }), "{answer:?}: {error:?}");
                assert_eq!(pool.counts(), (0, 0), "{answer:?}");
            }
            assert!(log.borrow()[1].starts_with("1:"), "such a connection is not used again");
        }
    })
    .await;
}

#[tokio::test]
async fn an_unasked_for_switch_of_protocols_is_an_error() {
    local(async {
        let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
        let (address, _log) = answering(switch).await;
        let error = fetch(&Pool::new(), &connector(settings()), &origin(address), "GET").await.unwrap_err();
        assert!(matches!(error, UpstreamError::UnexpectedUpgrade { .. }), "{error}");
        assert_eq!(error.proxy_status(), "http_upgrade_failed");
    })
    .await;
}

#[tokio::test]
async fn refused_connections_and_silence_have_statuses_of_their_own() {
    local(async {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (pool, connector) = (Pool::new(), connector(settings()));
        let error = fetch(&pool, &connector, &origin(gone), "GET").await.unwrap_err();
        assert_eq!((error.status(), error.proxy_status()), (StatusCode::BAD_GATEWAY, "connection_refused"));

        let silent = upstream(|mut stream, _| async move {
            read_head(&mut stream).await;
            std::future::pending::<()>().await;
        })
        .await;
        let mut short = settings();
        short.response_timeout = Duration::from_millis(100);
        let error = fetch(&pool, &self::connector(short), &origin(silent), "GET").await.unwrap_err();
        assert!(matches!(error, UpstreamError::ResponseTimeout { .. }), "{error}");
        assert_eq!(error.status(), StatusCode::GATEWAY_TIMEOUT);
    })
    .await;
}

#[tokio::test]
async fn an_address_that_policy_forbids_is_not_connected_to() {
    local(async {
        let (address, log) = answering(OK).await;
        let policy: AddressPolicy = Arc::new(|address, _port| !address.is_loopback());
        for name in [format!("localhost:{}", address.port()), address.to_string()] {
            let guarded = Origin::guarded(Scheme::Http, &name.parse().unwrap(), policy.clone()).unwrap();
            let error = fetch(&Pool::new(), &connector(settings()), &guarded, "GET").await.unwrap_err();
            assert!(matches!(error, UpstreamError::Forbidden { .. }), "{error}");
        }
        assert!(log.borrow().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_dropped_exchange_closes_its_connection() {
    local(async {
        let (told, mut closed) = tokio::sync::mpsc::unbounded_channel();
        let address = upstream(move |mut stream, _| {
            let told = told.clone();
            async move {
                read_head(&mut stream).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await.unwrap();
                assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
                told.send(()).unwrap();
            }
        })
        .await;
        let (pool, connector) = (Pool::new(), connector(settings()));
        let response = pool
            .send_whole(&connector, &origin(address), request("GET", "/"), &Interim::none())
            .await
            .unwrap();
        drop(response);
        closed.recv().await.unwrap();
        assert_eq!(pool.counts(), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn an_outbound_proxy_is_asked_for_a_tunnel_and_loopback_goes_without() {
    local(async {
        let (proxy, log) = logging(|mut stream, number, log| async move {
            let head = read_head(&mut stream).await.unwrap();
            log.borrow_mut().push(head);
            let answer = match number {
                0 => "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
                1 => "HTTP/1.1 403 Forbidden\r\n\r\n",
                _ => "HTTP/1.1 200 Connection established\r\n\r\n",
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
            if number > 1 {
                read_head(&mut stream).await;
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        })
        .await;
        let mut through = settings();
        let authority: Authority = proxy.to_string().parse().unwrap();
        through.proxy = Some(HttpProxy { authority, credentials: Some("user:p@ss".into()) });
        let (pool, connector) = (Pool::new(), connector(through));
        let far = Origin::new(Scheme::Http, &"api.example.no:8080".parse().unwrap()).unwrap();
        let error = fetch(&pool, &connector, &far, "GET").await.unwrap_err();
        assert!(matches!(error, UpstreamError::Proxy { problem: ProxyProblem::Credentials, .. }), "{error}");
        let error = fetch(&pool, &connector, &far, "GET").await.unwrap_err();
        assert!(matches!(error, UpstreamError::Proxy { problem: ProxyProblem::Refused(403), .. }), "{error}");
        assert!(!error.to_string().contains("p@ss"));
        assert_eq!(fetch(&pool, &connector, &far, "GET").await.unwrap(), "ok");
        let expected = "CONNECT api.example.no:8080 HTTP/1.1\r\nHost: api.example.no:8080\r\n\
                        Proxy-Authorization: Basic dXNlcjpwQHNz\r\n\r\n";
        assert_eq!(log.borrow()[2], expected);

        let (near, _log) = answering(OK).await;
        assert_eq!(fetch(&pool, &connector, &origin(near), "GET").await.unwrap(), "ok");
        assert_eq!(log.borrow().len(), 3);
    })
    .await;
}
