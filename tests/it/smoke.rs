//! The main job, once around: key, grant, token, header, answer.

use crate::support::{Answer, Setup, Upstream, sandbox};

#[tokio::test]
async fn a_request_gets_a_token_and_the_answer_comes_back() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).start().await;
    let response = app.get("/echo/some/path?q=1").await;
    assert_eq!(response.status, 200, "{}", response.text());
    let echoed = response.json();
    assert_eq!(echoed["path"], "/echo/some/path");
    assert_eq!(echoed["query"], "q=1");
    assert_eq!(sandbox.control().counts().dead_tokens, 0);
}

#[tokio::test]
async fn exactly_one_authorization_reaches_the_upstream() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("hei")).await;
    let app = Setup::new(&sandbox).route("api", "/", &upstream.url()).start().await;
    let request = format!(
        "GET /x HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic eA==\r\nAuthorization: Bearer old\r\n\r\n",
        app.proxy
    );
    let response = app.raw(&request).await;
    assert_eq!((response.status, response.text().as_str()), (200, "hei"));
    let seen = upstream.seen();
    let authorization = seen[0].header("authorization").expect("one Authorization");
    assert!(authorization.starts_with("Bearer ey"), "{authorization}");
}
