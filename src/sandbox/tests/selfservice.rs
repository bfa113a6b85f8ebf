use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::support::*;
use crate::sandbox::credentials::ClientKey;
use crate::sandbox::{CONSUMER, ClientSpec, ORGANISATION, RegisteredKey, Sandbox, ScopeSpec};

const READ: &str = "idporten:dcr.read";
const WRITE: &str = "idporten:dcr.write";
const MODIFY: &str = "idporten:dcr.modify";
const SCOPES: &str = "idporten:scopes.write";
const OTHER: &str = "889640782";

fn new_client() -> Value {
    json!({
        "integration_type": "maskinporten",
        "client_name": "x",
        "description": "x",
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": [JWT_BEARER],
        "scopes": ["demo:api"],
    })
}

async fn all(sandbox: &Sandbox) -> String {
    token(sandbox, &format!("{READ} {WRITE} {MODIFY} {SCOPES}")).await
}

/// A client of another organisation, and a token for it.
async fn stranger(sandbox: &Sandbox, scope: &str) -> String {
    let key = ClientKey::read(&other_key()).unwrap();
    let key = RegisteredKey::from_public_key("stranger", &key.spki).unwrap();
    let spec =
        scope.split(' ').fold(ClientSpec::new("stranger", OTHER).key(key), |spec, scope| spec.scope(scope));
    sandbox.control().register_client(spec);
    let maker = Maker::new(sandbox, scope).claim("iss", "stranger").header("kid", "stranger");
    maker.signed_by(other_key()).token(sandbox).await
}

#[tokio::test]
async fn a_newcomer_sees_clients_and_scopes() {
    let sandbox = start().await;
    let token = all(&sandbox).await;
    let clients = get(&sandbox, "/clients", &token).await.json();
    let names: Vec<_> = clients.as_array().unwrap().iter().map(|client| &client["client_name"]).collect();
    assert_eq!(names, ["Sandkasse", "Sandkasse x5c", "Værstasjon", "Saksbehandling"]);
    assert_eq!(clients[0]["client_id"], sandbox.credentials().client_id);
    assert_eq!(clients[0]["client_orgno"], ORGANISATION);
    assert!(clients[0]["created"].as_str().unwrap().ends_with('Z'));
    let scopes = get(&sandbox, "/scopes", &token).await.json();
    assert_eq!(scopes.as_array().unwrap().len(), 4);
    let sources = get(&sandbox, "/delegationsources", &token).await.json();
    assert!(sources[0]["issuer"].is_string());
}

#[tokio::test]
async fn the_prefixes_of_the_wild_lead_to_the_same_api() {
    let sandbox = start().await;
    let token = all(&sandbox).await;
    let plain = get(&sandbox, "/clients", &token).await.body;
    for path in ["/api/v1/clients", "/external/api/v1/clients", "/clients/", "/api/v1/clients/"] {
        assert_eq!(get(&sandbox, path, &token).await.body, plain, "{path}");
    }
    assert_eq!(get(&sandbox, "/clientsx", &token).await.status, 404);
    assert_eq!(get(&sandbox, "/api/v2/clients", &token).await.status, 404);
}

#[tokio::test]
async fn tokens_are_demanded_and_judged() {
    let sandbox = start().await;
    let control = sandbox.control();
    let none = send(&sandbox, "GET", "/clients", &[], "").await.unwrap();
    assert_eq!(none.status, 401);
    assert!(!none.header("www-authenticate").contains("error="), "RFC 6750 §3.1");
    let foreign = get(&sandbox, "/clients", "eyJhbGciOiJub25lIn0.e30.").await;
    assert_eq!(foreign.status, 401);
    assert!(foreign.header("www-authenticate").contains("error=\"invalid_token\""));
    let counts = control.counts();
    assert_eq!((counts.missing_tokens, counts.unknown_tokens, counts.dead_tokens), (1, 1, 0));

    let token = token(&sandbox, READ).await;
    let bearer = format!("Bearer {token}");
    let twice = [("authorization", bearer.as_str()), ("authorization", bearer.as_str())];
    assert_eq!(send(&sandbox, "GET", "/clients", &twice, "").await.unwrap().status, 400);
    let basic = [("authorization", "Basic eDp5")];
    assert_eq!(send(&sandbox, "GET", "/clients", &basic, "").await.unwrap().status, 401);
    let lower = [("authorization", bearer.as_str().replace("Bearer", "bearer"))];
    let lower = [("authorization", lower[0].1.as_str())];
    assert_eq!(send(&sandbox, "GET", "/clients", &lower, "").await.unwrap().status, 200);
}

#[tokio::test]
async fn each_operation_asks_for_its_scope() {
    let sandbox = start().await;
    let id = sandbox.credentials().client_id.clone();
    let cases = [
        ("GET", "/clients".to_owned(), READ, SCOPES),
        ("POST", "/clients".to_owned(), WRITE, MODIFY),
        ("GET", format!("/clients/{id}"), READ, WRITE),
        ("PUT", format!("/clients/{id}"), MODIFY, READ),
        ("DELETE", format!("/clients/{id}"), WRITE, READ),
        ("GET", format!("/clients/{id}/jwks"), READ, MODIFY),
        ("POST", format!("/clients/{id}/jwks"), WRITE, READ),
        ("PUT", format!("/clients/{id}/jwks"), MODIFY, READ),
        ("GET", "/scopes".to_owned(), SCOPES, READ),
        ("POST", "/scopes".to_owned(), SCOPES, WRITE),
        ("PUT", "/scopes?scope=demo:api".to_owned(), SCOPES, MODIFY),
        ("DELETE", "/scopes?scope=demo:api".to_owned(), SCOPES, WRITE),
        ("GET", "/scopes/access?scope=demo:api".to_owned(), SCOPES, READ),
        ("PUT", "/scopes/access/910753614?scope=demo:api".to_owned(), SCOPES, WRITE),
        ("DELETE", "/scopes/access/910753614?scope=demo:api".to_owned(), SCOPES, WRITE),
    ];
    for (method, path, right, wrong) in cases {
        let wrong = token(&sandbox, wrong).await;
        let answer = call(&sandbox, method, &path, &wrong, json!({})).await;
        assert_eq!(answer.status, 403, "{method} {path}");
        assert!(answer.header("www-authenticate").contains("insufficient_scope"), "{method} {path}");
        let right = token(&sandbox, right).await;
        // Past the gate: what is wrong now is the empty body, if anything.
        let answer = call(&sandbox, method, &path, &right, json!({})).await;
        assert_ne!(answer.status, 403, "{method} {path}: {:?}", answer.body);
        sandbox.control().register_client(restored(&sandbox));
        sandbox.control().register_scope(ScopeSpec::new("demo:api", ORGANISATION).for_all());
    }
}

/// The first test client, as it was at the start.
fn restored(sandbox: &Sandbox) -> ClientSpec {
    let credentials = sandbox.credentials();
    let key = ClientKey::read(&credentials.key_pem).unwrap();
    let key = RegisteredKey::from_public_key(&credentials.kid, &key.spki).unwrap();
    let spec = ClientSpec::new(&credentials.client_id, ORGANISATION).key(key);
    [READ, WRITE, MODIFY, SCOPES, "demo:api"].iter().fold(spec, |spec, scope| spec.scope(scope))
}

#[tokio::test]
async fn a_token_for_another_audience_is_of_no_use() {
    let sandbox = start().await;
    let restricted = |resource: String| Maker::new(&sandbox, READ).claim("resource", json!([resource]));
    let elsewhere = restricted("https://api.example.no".to_owned()).token(&sandbox).await;
    assert_eq!(get(&sandbox, "/clients", &elsewhere).await.status, 401);
    let here = restricted(sandbox.api_url()).token(&sandbox).await;
    assert_eq!(get(&sandbox, "/clients", &here).await.status, 200);
}

#[tokio::test]
async fn a_client_lives_and_is_deactivated() {
    let sandbox = start().await;
    let token = all(&sandbox).await;
    let made = call(&sandbox, "POST", "/clients", &token, new_client()).await;
    assert_eq!(made.status, 200);
    let made = made.json();
    let id = made["client_id"].as_str().unwrap().to_owned();
    assert!(uuid::Uuid::try_parse(&id).is_ok());
    assert_eq!((&made["active"], &made["scopes"]), (&json!(true), &json!(["demo:api"])));
    let path = format!("/clients/{id}");
    assert_eq!(get(&sandbox, &path, &token).await.json(), made);

    // Read, changed, and sent back as it came.
    let mut changed = made.clone();
    changed["description"] = "endret".into();
    let answer = call(&sandbox, "PUT", &path, &token, changed.clone()).await;
    assert_eq!(answer.json()["description"], "endret");
    changed["integration_type"] = "krr".into();
    assert_eq!(call(&sandbox, "PUT", &path, &token, changed).await.status, 400);

    assert_eq!(call(&sandbox, "POST", "/clients", &token, made.clone()).await.status, 409);
    assert_eq!(call(&sandbox, "DELETE", &path, &token, Value::Null).await.status, 204);
    assert_eq!(get(&sandbox, &path, &token).await.status, 404);
    assert_eq!(call(&sandbox, "DELETE", &path, &token, Value::Null).await.status, 404);
    let listed = |clients: Value| clients.as_array().unwrap().iter().any(|client| client["client_id"] == *id);
    assert!(!listed(get(&sandbox, "/clients", &token).await.json()));
    assert!(listed(get(&sandbox, "/clients?inactive=TRUE", &token).await.json()));
    assert_eq!(get(&sandbox, &format!("{path}?inactive=TRUE"), &token).await.json()["active"], false);
    assert_eq!(call(&sandbox, "POST", "/clients", &token, made).await.status, 409);
    assert_eq!(call(&sandbox, "PATCH", &path, &token, Value::Null).await.header("allow"), "GET, PUT, DELETE");
}

#[tokio::test]
async fn a_bad_client_is_refused() {
    let sandbox = start().await;
    sandbox.control().register_scope(ScopeSpec::new("demo:idp", ORGANISATION).allowed_types(&["idporten"]));
    sandbox.control().register_scope(ScopeSpec::new("annen:hemmelig", OTHER).private());
    let token = all(&sandbox).await;
    let cases = [
        ("integration_type", Value::Null),
        ("integration_type", json!("other")),
        ("client_name", json!("")),
        ("description", Value::Null),
        ("grant_types", json!(["authorization_code"])),
        ("grant_types", json!([JWT_BEARER, "refresh_token"])),
        ("grant_types", json!("x")),
        ("token_endpoint_auth_method", json!("client_secret_basic")),
        ("redirect_uris", json!(["https://a.no"])),
        ("scopes", json!("demo:api")),
        ("scopes", json!(["demo:none"])),
        ("scopes", json!(["demo:idp"])),
        ("scopes", json!(["annen:hemmelig"])),
        ("access_token_lifetime", json!(0)),
        ("access_token_lifetime", json!(7201)),
        ("client_orgno", json!("1")),
        ("client_id", json!("mine")),
    ];
    for (name, value) in cases {
        let mut client = new_client();
        client[name] = value.clone();
        let answer = call(&sandbox, "POST", "/clients", &token, client).await;
        assert_eq!(answer.status, 400, "{name}: {value}");
    }
    for body in [json!([]), json!("x")] {
        assert_eq!(call(&sandbox, "POST", "/clients", &token, body).await.status, 400);
    }
    let bearer = format!("Bearer {token}");
    let huge = vec![b' '; 2 * 1024 * 1024];
    let answer = send(&sandbox, "POST", "/clients", &[("authorization", &bearer)], huge).await.unwrap();
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn organisations_see_their_own_alone() {
    let sandbox = start().await;
    let theirs = stranger(&sandbox, &format!("{READ} {WRITE} {MODIFY} {SCOPES}")).await;
    let clients = get(&sandbox, "/clients", &theirs).await.json();
    assert_eq!(clients.as_array().unwrap().len(), 1);
    let path = format!("/clients/{}", sandbox.credentials().client_id);
    for method in ["GET", "PUT", "DELETE"] {
        assert_eq!(call(&sandbox, method, &path, &theirs, new_client()).await.status, 404, "{method}");
    }
    for method in ["GET", "PUT"] {
        let keys = format!("{path}/jwks");
        assert_eq!(
            call(&sandbox, method, &keys, &theirs, json!({ "keys": [] })).await.status,
            404,
            "{method}"
        );
    }
    assert_eq!(get(&sandbox, "/scopes", &theirs).await.json(), json!([]));
    assert_eq!(get(&sandbox, "/scopes?scope=demo:api", &theirs).await.status, 404);
    assert_eq!(get(&sandbox, "/scopes/access?scope=demo:api", &theirs).await.status, 404);
}

#[tokio::test]
async fn a_supplier_registers_for_others_with_the_scope_for_it() {
    let sandbox = start().await;
    let mut client = new_client();
    client["client_orgno"] = CONSUMER.into();
    let plain = token(&sandbox, WRITE).await;
    assert_eq!(call(&sandbox, "POST", "/clients", &plain, client.clone()).await.status, 403);
    let supplier = stranger(&sandbox, "idporten:dcr.supplier").await;
    let made = call(&sandbox, "POST", "/clients", &supplier, client).await.json();
    assert_eq!((&made["client_orgno"], &made["supplier_orgno"]), (&json!(CONSUMER), &json!(OTHER)));
    assert_eq!(get(&sandbox, "/clients", &supplier).await.json().as_array().unwrap().len(), 2);
}

fn jwk(kid: &str) -> Value {
    let key = ClientKey::read(&other_key()).unwrap();
    RegisteredKey::from_public_key(kid, &key.spki).unwrap().to_jwk()
}

#[tokio::test]
async fn a_key_that_is_registered_signs_in_and_one_that_is_replaced_does_not() {
    let sandbox = start().await;
    let token = all(&sandbox).await;
    let id = call(&sandbox, "POST", "/clients", &token, new_client()).await.json()["client_id"].clone();
    let path = format!("/clients/{}/jwks", id.as_str().unwrap());
    assert_eq!(get(&sandbox, &path, &token).await.json()["keys"], json!([]));
    let set = call(&sandbox, "POST", &path, &token, json!({ "keys": [jwk("ny")] })).await;
    assert_eq!(set.status, 200);
    let shown = get(&sandbox, &path, &token).await.json();
    assert_eq!(shown["keys"][0]["kid"], "ny");
    assert!(shown["keys"][0]["exp"].as_u64().unwrap() > seconds(sandbox.control().now()) + 360 * 24 * 3600);

    let maker = |kid: &str| {
        let maker = Maker::new(&sandbox, "demo:api").claim("iss", id.clone()).header("kid", kid);
        maker.signed_by(other_key())
    };
    assert_eq!(maker("ny").post(&sandbox).await.status, 200);
    call(&sandbox, "PUT", &path, &token, json!({ "keys": [jwk("nyere")] })).await;
    assert_eq!(maker("ny").post(&sandbox).await.code(), "MP-100");
    assert_eq!(maker("nyere").post(&sandbox).await.status, 200);
    // The same set once more renews it.
    assert_eq!(call(&sandbox, "POST", &path, &token, json!({ "keys": [jwk("nyere")] })).await.status, 200);
}

#[tokio::test]
async fn a_bad_key_is_refused() {
    let sandbox = start().await;
    let token = all(&sandbox).await;
    let path = format!("/clients/{}/jwks", sandbox.credentials().certificate_client_id);
    let with = |name: &str, value: Value| {
        let mut jwk = jwk("k");
        jwk[name] = value;
        json!([jwk])
    };
    let short = URL_SAFE_NO_PAD.encode([0xff; 128]);
    let zero_first = URL_SAFE_NO_PAD.encode([&[0; 1][..], &[0xff; 256][..]].concat());
    let cases = [
        ("no keys", json!([])),
        ("no array", json!({})),
        ("six", (0..6).map(|n| jwk(&n.to_string())).collect()),
        ("the same kid twice", json!([jwk("a"), jwk("a")])),
        ("a kid that is taken", json!([jwk(&sandbox.credentials().kid)])),
        ("no kid", with("kid", Value::Null)),
        ("empty kid", with("kid", json!(""))),
        ("EC", with("kty", json!("EC"))),
        ("RS512", with("alg", json!("RS512"))),
        ("no alg", with("alg", Value::Null)),
        ("for encryption", with("use", json!("enc"))),
        ("1024 bits", with("n", json!(short))),
        ("zero first", with("n", json!(zero_first))),
        ("padded", with("e", json!("AQAB="))),
        ("exponent 1", with("e", json!("AQ"))),
        ("even exponent", with("e", json!("Ag"))),
        ("the private key", with("d", json!("AQAB"))),
    ];
    for (name, keys) in cases {
        let answer = call(&sandbox, "PUT", &path, &token, json!({ "keys": keys })).await;
        assert_eq!(answer.status, 400, "{name}");
    }
    let five: Value = (0..5).map(|n| jwk(&n.to_string())).collect();
    assert_eq!(call(&sandbox, "PUT", &path, &token, json!({ "keys": five })).await.status, 200);
}

#[tokio::test]
async fn a_scope_lives_and_is_deactivated() {
    let sandbox = start().await;
    let token = all(&sandbox).await;
    let scope = json!({ "prefix": "demo", "subscope": "arkiv/sak.read", "description": "Arkiv" });
    let made = call(&sandbox, "POST", "/scopes", &token, scope.clone()).await;
    assert_eq!(made.status, 200);
    let made = made.json();
    assert_eq!((&made["name"], &made["owner_orgno"]), (&json!("demo:arkiv/sak.read"), &json!(ORGANISATION)));
    assert_eq!(call(&sandbox, "POST", "/scopes", &token, scope.clone()).await.status, 409);
    let path = "/scopes?scope=demo%3Aarkiv%2Fsak.read";
    assert_eq!(get(&sandbox, path, &token).await.json(), made);
    assert_eq!(get(&sandbox, "/scopes?scope=demo:arkiv/sak.read", &token).await.json(), made);

    let changed = json!({ "description": "Arkivet", "visibility": "PRIVATE" });
    assert_eq!(call(&sandbox, "PUT", path, &token, changed).await.json()["description"], "Arkivet");
    let renamed = json!({ "prefix": "demo", "subscope": "annet", "description": "x" });
    assert_eq!(call(&sandbox, "PUT", path, &token, renamed).await.status, 400);

    assert_eq!(call(&sandbox, "DELETE", path, &token, Value::Null).await.status, 204);
    assert_eq!(get(&sandbox, path, &token).await.status, 404);
    assert_eq!(get(&sandbox, &format!("{path}&inactive=true"), &token).await.json()["active"], false);
    let count = |scopes: Value| scopes.as_array().unwrap().len();
    assert_eq!(count(get(&sandbox, "/scopes", &token).await.json()), 4);
    assert_eq!(count(get(&sandbox, "/scopes?inactive=TRUE", &token).await.json()), 5);
    assert_eq!(call(&sandbox, "POST", "/scopes", &token, scope).await.status, 409);
}

#[tokio::test]
async fn a_bad_scope_is_refused() {
    let sandbox = start().await;
    let token = all(&sandbox).await;
    let good = || json!({ "prefix": "demo", "subscope": "x", "description": "x" });
    let cases = [
        ("prefix", json!("annen"), 403),
        ("prefix", json!(""), 400),
        ("subscope", json!("a b"), 400),
        ("subscope", Value::Null, 400),
        ("description", Value::Null, 400),
        ("visibility", json!("HIDDEN"), 400),
        ("allowed_integration_types", json!("maskinporten"), 400),
        ("accessible_for_all", json!("yes"), 400),
    ];
    for (name, value, status) in cases {
        let mut scope = good();
        scope[name] = value.clone();
        assert_eq!(call(&sandbox, "POST", "/scopes", &token, scope).await.status, status, "{name}: {value}");
    }
    sandbox.control().assign_prefix("annen", ORGANISATION);
    let mut scope = good();
    scope["prefix"] = "annen".into();
    assert_eq!(call(&sandbox, "POST", "/scopes", &token, scope).await.status, 200);
    assert_eq!(call(&sandbox, "PUT", "/scopes", &token, good()).await.status, 400, "no scope in the query");
}

#[tokio::test]
async fn public_scopes_are_open_to_all() {
    let sandbox = start().await;
    let answer = send(&sandbox, "GET", "/scopes/all", &[], "").await.unwrap();
    assert_eq!(answer.status, 200);
    let names: Vec<Value> =
        answer.json().as_array().unwrap().iter().map(|scope| scope["name"].clone()).collect();
    assert_eq!(names, ["demo:api", "demo:loyve/soknad", "demo:vaer.read"]);
}

#[tokio::test]
async fn access_is_granted_listed_and_withdrawn_and_tokens_follow() {
    let sandbox = start().await;
    let token = all(&sandbox).await;
    sandbox.control().register_scope(ScopeSpec::new("demo:laast", ORGANISATION));
    let key = ClientKey::read(&other_key()).unwrap();
    let key = RegisteredKey::from_public_key("stranger", &key.spki).unwrap();
    sandbox.control().register_client(ClientSpec::new("stranger", OTHER).key(key).scope("demo:laast"));
    let maker = || {
        let maker = Maker::new(&sandbox, "demo:laast").claim("iss", "stranger").header("kid", "stranger");
        maker.signed_by(other_key())
    };
    assert_eq!(maker().post(&sandbox).await.code(), "MP-250");

    let path = format!("/scopes/access/{OTHER}?scope=demo:laast");
    let granted = call(&sandbox, "PUT", &path, &token, Value::Null).await.json();
    assert_eq!((&granted["state"], &granted["consumer_orgno"]), (&json!("APPROVED"), &json!(OTHER)));
    assert_eq!(granted["owner_orgno"], ORGANISATION);
    assert_eq!(maker().post(&sandbox).await.status, 200);
    let list = "/scopes/access?scope=demo:laast";
    assert_eq!(get(&sandbox, list, &token).await.json(), json!([granted]));

    assert_eq!(call(&sandbox, "DELETE", &path, &token, Value::Null).await.status, 204);
    assert_eq!(call(&sandbox, "DELETE", &path, &token, Value::Null).await.status, 404);
    assert_eq!(maker().post(&sandbox).await.code(), "MP-250");
    assert_eq!(get(&sandbox, list, &token).await.json(), json!([]));
    let inactive = get(&sandbox, &format!("{list}&inactive=TRUE"), &token).await.json();
    assert_eq!(inactive[0]["state"], "DENIED");
    let bad = "/scopes/access/12?scope=demo:laast";
    assert_eq!(call(&sandbox, "PUT", bad, &token, Value::Null).await.status, 400);
}

#[tokio::test]
async fn a_deactivated_scope_gives_no_tokens() {
    let sandbox = start().await;
    let admin = all(&sandbox).await;
    assert_eq!(call(&sandbox, "DELETE", "/scopes?scope=demo:api", &admin, Value::Null).await.status, 204);
    assert_eq!(Maker::new(&sandbox, "demo:api").post(&sandbox).await.code(), "MP-200");
}
