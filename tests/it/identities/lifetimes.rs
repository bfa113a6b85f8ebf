//! How long identities that came with requests are looked after.

use std::time::Duration;

use maskinporten_proxy::sandbox::{CONSUMER, Sandbox, SandboxOptions};

use super::{get, token};
use crate::support::{Setup, sandbox_with, until};

async fn short_lived() -> Sandbox {
    sandbox_with(SandboxOptions { token_lifetime: 1, ..SandboxOptions::default() }).await
}

fn requests_for(sandbox: &Sandbox, consumer: Option<&str>) -> usize {
    let requests = sandbox.control().token_requests();
    requests.iter().filter(|request| request.claims.text("consumer_org") == consumer).count()
}

#[tokio::test]
async fn tokens_that_came_with_requests_are_refreshed_only_while_they_are_used() {
    let sandbox = short_lived().await;
    let app = Setup::new(&sandbox)
        .route("fixed", "/fixed", &sandbox.echo_url())
        .route_with("asked", "/asked", &sandbox.echo_url(), "consumer_org = { header = \"X-Consumer-Org\" }")
        .start()
        .await;
    let acting = [("X-Consumer-Org", CONSUMER)];
    token(&app, "/asked", &acting).await;

    // Nobody asks for either; the route whose claims are fixed shows how time goes by.
    let begun = requests_for(&sandbox, None);
    until("the fixed token was refreshed several times", || async {
        requests_for(&sandbox, None) >= begun + 5
    })
    .await;
    assert_eq!(requests_for(&sandbox, Some(CONSUMER)), 1, "nobody used it");

    // In use, it is refreshed ahead of its end: no request finds it dead.
    let used = async {
        while requests_for(&sandbox, Some(CONSUMER)) < 6 {
            assert_eq!(get(&app, "/asked", &acting).await.status, 200);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), used).await.expect("it is refreshed");
    assert_eq!(sandbox.control().dead_tokens(), []);
}
