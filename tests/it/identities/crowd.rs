//! A thousand identities at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use maskinporten_proxy::sandbox::ORGANISATION;

use crate::support::numbers::{organisations, persons};
use crate::support::{Raw, Setup, sandbox};

const REQUESTS: usize = 10_000;
const CLIENTS: usize = 32;

/// Numbers from 0 to 2³² - 1 in an order that looks like none (xorshift).
fn shuffled(mut state: u32) -> impl Iterator<Item = usize> {
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize
    })
}

#[tokio::test]
async fn ten_thousand_requests_over_a_thousand_identities_each_carry_their_own_token() {
    let sandbox = sandbox().await;
    sandbox.control().set_token_lifetime(600);
    let header = "consumer_org = { header = \"X-Org\" }\npid = { header = \"X-Pid\" }";
    let app = Setup::new(&sandbox).route_with("echo", "/echo", &sandbox.echo_url(), header).start().await;
    let organisations: Vec<String> = organisations().take(25).collect();
    for organisation in &organisations {
        sandbox.control().delegate(organisation, ORGANISATION, "demo:api");
    }
    let persons: Vec<String> = persons().take(40).collect();
    let identities: Arc<Vec<(String, String)>> = Arc::new(
        organisations.iter().flat_map(|org| persons.iter().map(|pid| (org.clone(), pid.clone()))).collect(),
    );
    assert_eq!(identities.len(), 1000);

    // Every identity comes at least once; beyond that, chance decides.
    let order: Arc<Vec<usize>> = Arc::new({
        let mut order: Vec<usize> = (0..identities.len()).collect();
        order.extend(shuffled(7).map(|number| number % 1000).take(REQUESTS - 1000));
        for (at, with) in (0..REQUESTS).zip(shuffled(2_463_534_242)) {
            order.swap(at, with % REQUESTS);
        }
        order
    });
    let tokens: Arc<Mutex<HashMap<usize, String>>> = Arc::default();
    let next = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (identities, order, next) = (Arc::clone(&identities), Arc::clone(&order), Arc::clone(&next));
            let (proxy, tokens) = (app.proxy, Arc::clone(&tokens));
            tokio::spawn(async move {
                let mut raw = Raw::connect(proxy).await;
                while let Some(which) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (org, pid) = &identities[*which];
                    let request = format!(
                        "GET /echo HTTP/1.1\r\nHost: {proxy}\r\nX-Org: {org}\r\nX-Pid: {pid}\r\n\r\n"
                    );
                    let response = raw.exchange(request).await;
                    assert_eq!(response.status, 200, "{}", response.text());
                    let token = &response.json()["authorization"];
                    assert_eq!(
                        (&token["consumer"], &token["pid"]),
                        (&org.as_str().into(), &pid.as_str().into())
                    );
                    let jti = token["jti"].as_str().expect("an id").to_owned();
                    let first =
                        tokens.lock().expect("not poisoned").entry(*which).or_insert(jti.clone()).clone();
                    assert_eq!(first, jti, "one identity, one token");
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("every token was the right one");
    }
    let counts = sandbox.control().counts();
    assert_eq!((counts.api_requests, counts.token_requests), (REQUESTS as u64, 1000));
    assert_eq!((counts.dead_tokens, counts.unknown_tokens, counts.missing_tokens), (0, 0, 0));
    assert_eq!(tokens.lock().expect("not poisoned").len(), 1000);
}
