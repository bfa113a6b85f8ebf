//! Acting for many: whose token a request gets, by what the route says and the request brings.

mod altinn;
mod crowd;
mod headers;
mod lifetimes;
mod secrecy;

use maskinporten_proxy::sandbox::{CONSUMER, CUSTOMER, ORGANISATION, SystemUser};
use serde_json::{Value, json};

use crate::support::numbers::{organisations, persons};
use crate::support::{App, RawResponse, Setup, sandbox};

/// A GET with these header lines.
async fn get(app: &App, path: &str, headers: &[(&str, &str)]) -> RawResponse {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", app.proxy);
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    app.raw(&(request + "\r\n")).await
}

/// What the echo says of the token that such a GET came with.
async fn token(app: &App, path: &str, headers: &[(&str, &str)]) -> Value {
    let response = get(app, path, headers).await;
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["authorization"].clone()
}

#[tokio::test]
async fn fixed_values_go_into_the_grant() {
    let sandbox = sandbox().await;
    let person = persons().next().expect("a person");
    let route = |name: &str| (name.to_owned(), format!("/{name}"));
    let mut setup = Setup::new(&sandbox);
    for (name, more) in [
        ("plain", String::new()),
        ("org", format!("consumer_org = \"{CONSUMER}\"")),
        ("person", format!("pid = \"{person}\"")),
        ("system", format!("systemuser_org = \"{CUSTOMER}\"")),
        ("audience", "resource = [\"https://a.example.no\", \"https://b.example.no\"]".to_owned()),
        (
            "raw",
            format!(
                "authorization_details = [{{ type = \"urn:altinn:systemuser\", \
                 systemuser_org = {{ authority = \"iso6523-actorid-upis\", ID = \"0192:{CUSTOMER}\" }} }}]"
            ),
        ),
        ("altinn", "exchange = \"altinn\"".to_owned()),
    ] {
        let (name, path) = route(name);
        setup = setup.route_with(&name, &path, &sandbox.echo_url(), &more);
    }
    let app = setup.start().await;

    let plain = token(&app, "/plain", &[]).await;
    assert_eq!((&plain["consumer"], &plain["supplier"]), (&json!(ORGANISATION), &Value::Null));
    assert_eq!((&plain["pid"], &plain["aud"]), (&Value::Null, &Value::Null));
    let org = token(&app, "/org", &[]).await;
    assert_eq!((&org["consumer"], &org["supplier"]), (&json!(CONSUMER), &json!(ORGANISATION)));
    assert_eq!(token(&app, "/person", &[]).await["pid"], json!(person));
    assert_eq!(token(&app, "/system", &[]).await["systemuser_org"], CUSTOMER);
    let audience = token(&app, "/audience", &[]).await["aud"].clone();
    assert_eq!(audience, json!(["https://a.example.no", "https://b.example.no"]));
    let (system, raw) = (token(&app, "/system", &[]).await, token(&app, "/raw", &[]).await);
    assert_eq!(raw["systemuser_org"], CUSTOMER);
    assert_eq!(raw["jti"], system["jti"], "the same details, however they are written, are one identity");
    assert_eq!(token(&app, "/altinn", &[]).await["issuer"], "altinn");
    // Six identities, one of them asked for by two routes, and the exchanged one is another's claims.
    assert_eq!(sandbox.control().counts().token_requests, 6);
}

#[tokio::test]
async fn values_come_from_headers_and_each_identity_has_its_own_token() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox)
        .route_with(
            "echo",
            "/echo",
            &sandbox.echo_url(),
            "consumer_org = { header = \"X-Consumer-Org\" }\npid = { header = \"X-Pid\" }",
        )
        .route_with(
            "again",
            "/again",
            &sandbox.echo_url(),
            "consumer_org = { header = \"X-For\" }\npid = { header = \"X-Who\" }",
        )
        .start()
        .await;
    assert_eq!(sandbox.control().counts().token_requests, 0, "nothing to fetch ahead");
    assert_eq!(app.admin_get("/readyz").await.status, 200);
    let other: String = organisations().next().expect("an organisation");
    sandbox.control().delegate(&other, ORGANISATION, "demo:api");
    let persons: Vec<String> = persons().take(2).collect();

    let mut seen = std::collections::HashSet::new();
    for org in [CONSUMER, &other] {
        for person in &persons {
            let both = [("X-Consumer-Org", org), ("x-pid", person.as_str())];
            let first = token(&app, "/echo", &both).await;
            assert_eq!((&first["consumer"], &first["pid"]), (&json!(org), &json!(person)));
            assert_eq!(token(&app, "/echo", &both).await["jti"], first["jti"]);
            let elsewhere = [("X-For", org), ("X-Who", person.as_str())];
            assert_eq!(
                token(&app, "/again", &elsewhere).await["jti"],
                first["jti"],
                "one identity, one token"
            );
            assert!(
                seen.insert(first["jti"].as_str().expect("an id").to_owned()),
                "two identities share one"
            );
        }
    }
    assert_eq!(sandbox.control().counts().token_requests, 4);
}

#[tokio::test]
async fn a_system_user_comes_from_a_header_with_the_reference_it_was_made_with() {
    let sandbox = sandbox().await;
    let mut numbers = organisations();
    let (with, without) = (numbers.next().expect("a number"), numbers.next().expect("a number"));
    for (organisation, external_ref) in [(&with, Some("ref-1")), (&without, None)] {
        sandbox.control().register_system_user(SystemUser {
            client_id: sandbox.credentials().client_id.clone(),
            organisation: organisation.clone(),
            external_ref: external_ref.map(str::to_owned),
        });
    }
    let header = "systemuser_org = { header = \"X-Customer\" }";
    let app = Setup::new(&sandbox)
        .route_with("plain", "/plain", &sandbox.echo_url(), header)
        .route_with(
            "named",
            "/named",
            &sandbox.echo_url(),
            &format!("{header}\nsystemuser_external_ref = \"ref-1\""),
        )
        .start()
        .await;
    assert_eq!(token(&app, "/plain", &[("X-Customer", &without)]).await["systemuser_org"], json!(without));
    assert_eq!(token(&app, "/named", &[("X-Customer", &with)]).await["systemuser_org"], json!(with));
    for (path, customer) in [("/plain", &with), ("/named", &without)] {
        let response = get(&app, path, &[("X-Customer", customer)]).await;
        assert_eq!(response.status, 502, "{path}");
        assert_eq!(response.json()["maskinporten"]["code"], "MP-303", "{}", response.text());
    }
}

#[tokio::test]
async fn details_that_maskinporten_does_not_know_are_told_by_their_codes() {
    let sandbox = sandbox().await;
    let mut setup = Setup::new(&sandbox);
    for (name, details) in [
        ("type", "{ type = \"urn:example\" }"),
        ("field", "{ type = \"urn:altinn:systemuser\", surprise = 1 }"),
        ("value", "{ type = \"urn:altinn:systemuser\", systemuser_org = { authority = \"x\", ID = \"y\" } }"),
    ] {
        let more = format!("authorization_details = [{details}]");
        setup = setup.route_with(name, &format!("/{name}"), &sandbox.echo_url(), &more);
    }
    let app = setup.start_cold().await;
    for (path, code) in [("/type", "MP-301"), ("/field", "MP-302"), ("/value", "MP-303")] {
        let response = get(&app, path, &[]).await;
        assert_eq!(response.status, 502);
        let refusal = &response.json()["maskinporten"];
        assert_eq!(refusal["code"], code, "{}", response.text());
        assert_eq!(refusal["error"], "invalid_authorization_details");
        assert!(refusal["fix"].is_string());
    }
}

#[tokio::test]
async fn an_organisation_that_has_not_delegated_fails_alone_and_is_asked_again_on_reload() {
    let sandbox = sandbox().await;
    let header = "consumer_org = { header = \"X-Consumer-Org\" }";
    let app = Setup::new(&sandbox).route_with("echo", "/echo", &sandbox.echo_url(), header).start().await;
    let other = organisations().next().expect("an organisation");
    for _ in 0..5 {
        let response = get(&app, "/echo", &[("X-Consumer-Org", &other)]).await;
        assert_eq!(response.status, 502);
        let told = response.json();
        assert_eq!(told["maskinporten"]["code"], "MP-251");
        assert!(told["maskinporten"]["fix"].as_str().is_some_and(|fix| fix.contains("delegate")), "{told}");
        assert_eq!(token(&app, "/echo", &[("X-Consumer-Org", CONSUMER)]).await["consumer"], CONSUMER);
    }
    assert_eq!(sandbox.control().counts().token_requests, 2);

    sandbox.control().delegate(&other, ORGANISATION, "demo:api");
    app.reload().await;
    assert_eq!(token(&app, "/echo", &[("X-Consumer-Org", &other)]).await["consumer"], json!(other));

    // Acting for oneself is another mistake, which has no code.
    let own = get(&app, "/echo", &[("X-Consumer-Org", ORGANISATION)]).await;
    assert_eq!(own.status, 502);
    let refusal = own.json()["maskinporten"].clone();
    assert_eq!(refusal["code"], Value::Null);
    assert!(refusal["fix"].as_str().is_some_and(|fix| fix.contains("drop consumer_org")), "{refusal}");
}

#[tokio::test]
async fn a_wrong_client_is_asked_for_again_on_reload_where_all_claims_come_with_requests() {
    use maskinporten_proxy::sandbox::{Fault, Service};
    let sandbox = sandbox().await;
    let header = "pid = { header = \"X-Pid\" }";
    let app = Setup::new(&sandbox).route_with("echo", "/echo", &sandbox.echo_url(), header).start().await;
    sandbox.control().faults().always(Service::Token, Fault::refusal("MP-100").expect("a known code"));
    let persons: Vec<String> = persons().take(10).collect();
    for person in &persons {
        let response = get(&app, "/echo", &[("X-Pid", person)]).await;
        assert_eq!(response.json()["maskinporten"]["code"], "MP-100", "{}", response.text());
    }
    assert_eq!(
        sandbox.control().counts().token_requests,
        1,
        "what is wrong with the client concerns them all"
    );
    sandbox.control().faults().clear(Service::Token);
    app.reload().await;
    for person in &persons {
        assert_eq!(token(&app, "/echo", &[("X-Pid", person)]).await["pid"], json!(person));
    }
}

#[tokio::test]
async fn routes_that_differ_by_method_ask_for_different_scopes() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox)
        .route_with(
            "read",
            "/clients",
            &sandbox.echo_url(),
            "methods = [\"GET\"]\nscopes = [\"idporten:dcr.read\"]",
        )
        .route_with(
            "write",
            "/clients",
            &sandbox.echo_url(),
            "methods = [\"POST\", \"PUT\"]\nscopes = [\"idporten:dcr.write\", \"idporten:dcr.modify\"]",
        )
        .start()
        .await;
    for (method, scope) in [
        ("GET", "idporten:dcr.read"),
        ("POST", "idporten:dcr.write idporten:dcr.modify"),
        ("PUT", "idporten:dcr.write idporten:dcr.modify"),
    ] {
        let request =
            format!("{method} /clients HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\r\n", app.proxy);
        let response = app.raw(&request).await;
        assert_eq!(response.json()["authorization"]["scope"], scope, "{method}");
    }
    let head = app.raw(&format!("HEAD /clients HTTP/1.1\r\nHost: {}\r\n\r\n", app.proxy)).await;
    assert_eq!(head.status, 200);
    let requests = sandbox.control().api_requests();
    let seen = requests.last().expect("the HEAD").token.as_ref().expect("a token");
    assert_eq!(seen.text("scope"), Some("idporten:dcr.read"));
    let delete = app.raw(&format!("DELETE /clients HTTP/1.1\r\nHost: {}\r\n\r\n", app.proxy)).await;
    assert_eq!((delete.status, sandbox.control().counts().token_requests), (405, 2));
    // The page tells them apart too.
    assert_eq!(app.token("read").await["scopes"], json!(["idporten:dcr.read"]));
    assert_eq!(app.token("write").await["scopes"], json!(["idporten:dcr.write", "idporten:dcr.modify"]));
}
