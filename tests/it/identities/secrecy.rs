//! A person's number is for Maskinporten alone.

use std::net::SocketAddr;

use maskinporten_proxy::sandbox::{Fault, Service};

use crate::support::numbers::persons;
use crate::support::program::Program;
use crate::support::{Raw, RawResponse, Setup, sandbox, until};

/// A GET with these header lines.
async fn ask(address: SocketAddr, path: &str, headers: &str) -> RawResponse {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
    Raw::connect(address).await.exchange(request).await
}

#[tokio::test]
async fn a_persons_number_is_in_no_log_page_metric_or_problem() {
    let sandbox = sandbox().await;
    let mut persons = persons();
    let (fixed, brought) = (persons.next().expect("a person"), persons.next().expect("a person"));
    let (refused, unlisted) = (persons.next().expect("a person"), persons.next().expect("a person"));
    let listed = format!("pid = {{ header = \"X-Pid\", allow = [\"{brought}\", \"{refused}\"] }}");
    let setup = Setup::new(&sandbox)
        .route_with("fixed", "/fixed", &sandbox.echo_url(), &format!("pid = \"{fixed}\""))
        .route_with("brought", "/brought", &sandbox.echo_url(), &listed);
    let (dir, _) = setup.write();
    let program = Program::serve(dir.path(), &[("RUST_LOG", "trace")], &[]).await;

    let mut outputs = Vec::new();
    let served = ask(program.proxy_address(), "/fixed", "").await;
    assert_eq!(served.json()["authorization"]["pid"], fixed.as_str(), "the positive control");
    let served = ask(program.proxy_address(), "/brought", &format!("X-Pid: {brought}\r\n")).await;
    assert_eq!(served.json()["authorization"]["pid"], brought.as_str());
    sandbox.control().faults().always(Service::Token, Fault::refusal("MP-250").expect("a known code"));
    for (person, status) in [(&refused, 502), (&unlisted, 403)] {
        let response = ask(program.proxy_address(), "/brought", &format!("X-Pid: {person}\r\n")).await;
        assert_eq!(response.status, status);
        outputs.push(format!("{}{}", response.head, response.text()));
    }
    let twice =
        ask(program.proxy_address(), "/brought", &format!("X-Pid: {brought}\r\nX-Pid: {refused}\r\n")).await;
    assert_eq!(twice.status, 400);
    outputs.push(format!("{}{}", twice.head, twice.text()));
    until("every request is on record", || async {
        let requests = ask(program.admin_address(), "/api/requests", "").await.json();
        requests.as_array().is_some_and(|requests| requests.len() >= 5)
    })
    .await;
    for path in ["/", "/metrics", "/readyz", "/api/status", "/api/requests"] {
        let response = ask(program.admin_address(), path, "").await;
        outputs.push(format!("{}{}", response.head, response.text()));
    }
    let status = ask(program.admin_address(), "/api/status", "").await.json();
    let masked = status["tokens"][0]["claims"]["pid"].as_str().expect("that there is one is shown");
    assert!(!masked.bytes().any(|byte| byte.is_ascii_digit()), "{masked}");
    let ended = program.stop().await;
    for told in ["token obtained", "MP-250"] {
        assert!(ended.stderr.contains(told), "{told} is not in the log: {}", ended.stderr);
    }
    outputs.extend([ended.stdout, ended.stderr]);
    for output in &outputs {
        for person in [&fixed, &brought, &refused, &unlisted] {
            assert!(!output.contains(person.as_str()), "{output}");
        }
    }
}
