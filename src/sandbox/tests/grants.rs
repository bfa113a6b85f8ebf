use std::time::{Duration, SystemTime};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::support::*;
use crate::clock::Clock;
use crate::sandbox::credentials::ClientKey;
use crate::sandbox::{
    CONSUMER, CUSTOMER, ClientSpec, Consent, ORGANISATION, Outcome, RegisteredKey, SandboxOptions, ScopeSpec,
    SystemUser,
};

const OTHER: &str = "889640782";

#[tokio::test]
async fn metadata_names_issuer_endpoint_and_keys() {
    let sandbox = start().await;
    let answer = send(&sandbox, "GET", "/.well-known/oauth-authorization-server", &[], "").await.unwrap();
    let metadata = answer.json();
    assert_eq!(metadata["issuer"], sandbox.issuer());
    assert_eq!(metadata["token_endpoint"], sandbox.token_endpoint());
    assert_eq!(metadata["jwks_uri"], format!("{}jwk", sandbox.issuer()));
    assert_eq!(sandbox.control().counts().metadata_requests, 1);
}

#[tokio::test]
async fn a_good_grant_gives_a_signed_token() {
    let sandbox = start().await;
    let answer = Maker::new(&sandbox, "demo:api idporten:dcr.read").post(&sandbox).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = answer.json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 119);
    assert_eq!(body["scope"], "demo:api idporten:dcr.read");

    let token = body["access_token"].as_str().unwrap();
    let claims = claims_of(token);
    assert_eq!(claims["iss"], sandbox.issuer());
    assert_eq!(claims["client_id"], sandbox.credentials().client_id);
    assert_eq!(claims["client_amr"], "private_key_jwt");
    assert_eq!(claims["token_type"], "Bearer");
    assert_eq!(claims["scope"], "demo:api idporten:dcr.read");
    assert_eq!(
        claims["consumer"],
        json!({ "authority": "iso6523-actorid-upis", "ID": format!("0192:{ORGANISATION}") })
    );
    for absent in ["aud", "pid", "supplier", "authorization_details"] {
        assert!(claims.get(absent).is_none(), "{absent}");
    }
    let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert!((119..=120).contains(&life), "{life}");

    let jwks = send(&sandbox, "GET", "/jwk", &[], "").await.unwrap().json();
    let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(jwks["keys"][0][name].as_str().unwrap()).unwrap();
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let (input, signature) = token.rsplit_once('.').unwrap();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(input.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
        .unwrap();
}

#[tokio::test]
async fn all_three_algorithms_are_taken() {
    let sandbox = start().await;
    for algorithm in ["RS256", "RS384", "RS512"] {
        let kid = Maker::new(&sandbox, "demo:api").algorithm(algorithm).post(&sandbox).await;
        let x5c = Maker::with_certificate(&sandbox, "demo:api").algorithm(algorithm).post(&sandbox).await;
        assert_eq!(
            (kid.status, x5c.status),
            (200.try_into().unwrap(), 200.try_into().unwrap()),
            "{algorithm}"
        );
    }
}

#[tokio::test]
async fn optional_claims_end_up_in_the_token() {
    let sandbox = start().await;
    let maker = Maker::new(&sandbox, "demo:api").claim("pid", "05848998356");
    let one = maker.clone().claim("resource", json!(["https://api.example.no"]));
    assert_eq!(claims_of(&one.token(&sandbox).await)["aud"], "https://api.example.no");
    let two = maker.claim("jti", "another").claim("resource", json!(["https://a.no", "https://b.no"]));
    let claims = claims_of(&two.token(&sandbox).await);
    assert_eq!(claims["aud"], json!(["https://a.no", "https://b.no"]));
    assert_eq!(claims["pid"], "05848998356");
    let seen = &sandbox.control().token_requests()[1];
    assert_eq!(seen.claims.text("pid"), Some("05848998356"));
    assert!(!format!("{seen:?}").contains("05848998356"), "a pid was printed");
}

#[tokio::test]
async fn a_client_has_its_own_token_lifetime() {
    let sandbox = start().await;
    let control = sandbox.control();
    let key = ClientKey::read(&other_key()).unwrap();
    let key = RegisteredKey::from_public_key("short", &key.spki).unwrap();
    control
        .register_client(ClientSpec::new("short", ORGANISATION).scope("demo:api").key(key).token_lifetime(3));
    let maker = Maker::new(&sandbox, "demo:api").claim("iss", "short").header("kid", "short");
    let answer = maker.signed_by(other_key()).post(&sandbox).await.json();
    assert_eq!(answer["expires_in"], 3);
    control.set_token_lifetime(7200);
    assert_eq!(Maker::new(&sandbox, "demo:api").post(&sandbox).await.json()["expires_in"], 7200);
}

/// Every way to spoil a grant by one claim or header, and what comes of it.
#[tokio::test]
async fn a_spoilt_grant_is_refused_with_its_code() {
    let sandbox = start().await;
    let control = sandbox.control();
    control.register_scope(ScopeSpec::new("demo:closed", OTHER));
    control.register_scope(ScopeSpec::new("demo:idporten", ORGANISATION).allowed_types(&["idporten"]));
    control.register_client(
        ClientSpec::new("other-kind", ORGANISATION).scope("demo:api").key(registered("other-kind")),
    );
    let scopes = ClientSpec::new("wide", ORGANISATION).scope("demo:closed").scope("demo:idporten");
    control.register_client(scopes.key(registered("wide")));
    let idporten =
        ClientSpec { integration_type: "idporten".to_owned(), ..ClientSpec::new("idp", ORGANISATION) };
    control.register_client(idporten.scope("demo:api").key(registered("idp")));

    let good = || Maker::new(&sandbox, "demo:api");
    let by = |client: &str, scope: &str| {
        let maker = Maker::new(&sandbox, scope).claim("iss", client).header("kid", client);
        maker.signed_by(other_key())
    };
    let now = seconds(SystemTime::now());
    let issuer = sandbox.issuer();
    let cases: Vec<(&str, Maker, &str)> = vec![
        ("unknown client", good().claim("iss", "nobody"), "MP-100"),
        ("no iss", good().without("iss"), "MP-100"),
        ("unknown kid", good().header("kid", "nothing"), "MP-100"),
        ("a kid of another client", good().header("kid", "wide"), "MP-100"),
        ("neither kid nor x5c", good().without_header("kid"), "MP-100"),
        ("wrong key", good().signed_by(other_key()), "MP-124"),
        ("aud without slash", good().claim("aud", issuer.trim_end_matches('/')), "MP-110"),
        ("aud is the endpoint", good().claim("aud", sandbox.token_endpoint()), "MP-110"),
        ("aud in an array", good().claim("aud", json!([issuer])), "MP-110"),
        ("no aud", good().without("aud"), "MP-110"),
        ("no scope", good().without("scope"), "MP-011"),
        ("empty scope", good().claim("scope", " "), "MP-011"),
        ("scope with a newline", good().claim("scope", "demo:api\n"), "MP-011"),
        ("scope in an array", good().claim("scope", json!(["demo:api"])), "MP-011"),
        ("no jti", good().without("jti"), "MP-011"),
        ("no iat", good().without("iat"), "MP-011"),
        ("no exp", good().without("exp"), "MP-011"),
        ("iat as a text", good().claim("iat", now.to_string()), "MP-011"),
        ("resource as a text", good().claim("resource", "https://a.no"), "MP-011"),
        ("resource of numbers", good().claim("resource", json!([1])), "MP-011"),
        ("an empty resource", good().claim("resource", json!([])), "MP-011"),
        ("consumer_org as a number", good().claim("consumer_org", 910_753_614), "MP-011"),
        ("consumer_org too short", good().claim("consumer_org", "91075361"), "MP-011"),
        ("pid with a letter", good().claim("pid", "0584899835x"), "MP-011"),
        ("pid too short", good().claim("pid", "0584899835"), "MP-011"),
        ("expired", good().shifted(-121), "MP-130"),
        ("iat too far back", good().shifted(-12), "MP-130"),
        ("exp passed, iat good", good().claim("exp", now - 1), "MP-130"),
        ("clock ahead", good().shifted(12), "Invalid assertion. Issue time is after now."),
        (
            "lives too long",
            good().claim("exp", now + 130).claim("iat", now),
            "Invalid assertion. The time from iat to exp is more than 120 seconds.",
        ),
        ("nbf", good().claim("nbf", now), "Invalid assertion. Unknown claim: nbf."),
        ("sub", good().claim("sub", "x"), "Invalid assertion. Unknown claim: sub."),
        (
            "iss_onbehalfof",
            good().claim("iss_onbehalfof", "x"),
            "Invalid assertion. Unknown claim: iss_onbehalfof.",
        ),
        ("scope not on the client", good().claim("scope", "demo:api demo:none"), "MP-200"),
        ("scope for another type", by("wide", "demo:idporten"), "MP-201"),
        ("client of another type", by("idp", "demo:api"), "MP-201"),
        ("no access", by("wide", "demo:closed"), "MP-250"),
        ("not delegated", good().claim("consumer_org", OTHER), "MP-251"),
        (
            "own organisation",
            good().claim("consumer_org", ORGANISATION),
            "Validation of JWT claim failed: The combination consumer_org in claim and delegation scope on",
        ),
        (
            "PSS",
            good().algorithm("PS256"),
            "Invalid assertion. Client authentication failed. Invalid JWT. Invalid JWT header alg.",
        ),
        (
            "no algorithm",
            good().header("alg", "none"),
            "Invalid assertion. Client authentication failed. Invalid JWT. Invalid JWT header alg.",
        ),
        (
            "crit",
            good().header("crit", json!(["b64"])),
            "Invalid assertion. Client authentication failed. Invalid JWT. Unknown critical header.",
        ),
        (
            "kid and x5c",
            good().header("x5c", json!(["MAA="])),
            "Invalid assertion. Client authentication failed. Invalid JWT. Both kid and x5c provided.",
        ),
    ];
    for (name, maker, expected) in cases {
        let answer = maker.post(&sandbox).await;
        let code = answer.code();
        assert!(code.starts_with(expected), "{name}: {code}");
        let forbidden = matches!(expected, "MP-250" | "MP-251");
        assert_eq!(answer.status, if forbidden { 403 } else { 400 }, "{name}");
    }
    assert_eq!(control.counts().tokens_issued, 0);
    // The standard itself passes, so the cases fail for what was spoilt in them.
    assert_eq!(good().post(&sandbox).await.status, 200);
}

fn registered(kid: &str) -> RegisteredKey {
    let key = ClientKey::read(&other_key()).unwrap();
    RegisteredKey::from_public_key(kid, &key.spki).unwrap()
}

#[tokio::test]
async fn clocks_may_differ_by_ten_seconds() {
    let sandbox = start().await;
    for by in [-9, 9] {
        let answer = Maker::new(&sandbox, "demo:api").shifted(by).post(&sandbox).await;
        assert_eq!(answer.status, 200, "{by}");
    }
    // The whole life of 120 seconds is allowed, with iat set back.
    sandbox.control().set_clock_offset(3600);
    let answer = Maker::new(&sandbox, "demo:api").shifted(-5).post(&sandbox).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("date").ends_with("GMT"));
}

#[tokio::test]
async fn text_that_is_no_jwt_is_refused() {
    let sandbox = start().await;
    let good = Maker::new(&sandbox, "demo:api").sign();
    let (head, signature) = good.rsplit_once('.').unwrap();
    let padded = format!("{head}.{signature}=");
    for text in ["x", "a.b", "a.b.c", "e30.e30.", "bnVsbA.e30.AA", &format!("{good}.x"), &padded] {
        let answer = post(&sandbox, text).await;
        assert_eq!(answer.status, 400, "{text}");
        assert!(answer.json()["error_uri"].is_null() || text.starts_with("e30"), "{text}");
    }
    let changed = format!("{}.{signature}", head.replace("eyJhdWQ", "eyJhdWR"));
    assert_ne!(post(&sandbox, &changed).await.status, 200);
}

#[tokio::test]
async fn the_form_is_checked_as_strictly_as_the_grant() {
    let sandbox = start().await;
    let form_type = [("content-type", "application/x-www-form-urlencoded")];
    let with_charset = [("content-type", "application/x-www-form-urlencoded; charset=UTF-8")];
    let json_type = [("content-type", "application/json")];
    let good = || form(&Maker::new(&sandbox, "demo:api").sign());

    let answer = send(&sandbox, "POST", "/token", &with_charset, good()).await.unwrap();
    assert_eq!(answer.status, 200);
    let cases = [
        (&json_type[..], good(), "invalid_request"),
        (&[], good(), "invalid_request"),
        (&form_type, good().replace("jwt-bearer", "saml2"), "unsupported_grant_type"),
        (&form_type, good().replace("grant_type", "type"), "invalid_request"),
        (&form_type, format!("grant_type={JWT_BEARER}"), "invalid_request"),
        (&form_type, format!("grant_type={JWT_BEARER}&assertion="), "invalid_request"),
        (&form_type, format!("{}&assertion=x", good()), "invalid_request"),
        (&form_type, String::new(), "invalid_request"),
    ];
    for (headers, body, expected) in cases {
        let answer = send(&sandbox, "POST", "/token", headers, body.clone()).await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.json()["error"].as_str()),
            (400, Some(expected)),
            "{body}"
        );
    }
    let answer = send(&sandbox, "GET", "/token", &[], "").await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST"));
    let answer = send(&sandbox, "POST", "/token", &form_type, vec![b'x'; 300_000]).await.unwrap();
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn a_grant_is_good_once() {
    let sandbox = start().await;
    let grant = Maker::new(&sandbox, "demo:api").sign();
    assert_eq!(post(&sandbox, &grant).await.status, 200);
    assert_eq!(post(&sandbox, &grant).await.code(), "MP-012");
    // Signed anew with the same jti it is still the same grant.
    let maker = Maker::new(&sandbox, "demo:api").claim("jti", "mine");
    assert_eq!(maker.post(&sandbox).await.status, 200);
    assert_eq!(maker.clone().algorithm("RS512").post(&sandbox).await.code(), "MP-012");
    // One that was refused for its scope is spent too.
    let refused = Maker::new(&sandbox, "demo:none");
    assert_eq!(refused.post(&sandbox).await.code(), "MP-200");
    assert_eq!(refused.post(&sandbox).await.code(), "MP-012");
}

#[tokio::test]
async fn used_grants_are_forgotten_when_they_have_expired() {
    let clock = Clock::manual(SystemTime::now());
    let sandbox = start_with(SandboxOptions { clock: clock.clone(), ..Default::default() }).await;
    let shared = &sandbox.control().0;
    let remember = |from: u64| {
        for n in from..from + 1100 {
            let expires = seconds(clock.wall()) + 120;
            assert!(shared.use_grant("client", &n.to_string(), expires, clock.wall()));
        }
    };
    remember(0);
    assert!(!shared.use_grant("client", "1", 0, clock.wall()));
    clock.advance(Duration::from_secs(200));
    remember(10_000);
    assert!(shared.use_grant("client", "1", 0, clock.wall()), "expired entries are still kept");
}

#[tokio::test]
async fn a_registered_key_expires_after_a_year() {
    let clock = Clock::manual(SystemTime::now());
    let sandbox = start_with(SandboxOptions { clock: clock.clone(), ..Default::default() }).await;
    clock.advance(Duration::from_secs(364 * 24 * 3600));
    assert_eq!(Maker::new(&sandbox, "demo:api").post(&sandbox).await.status, 200);
    clock.advance(Duration::from_secs(2 * 24 * 3600));
    assert_eq!(Maker::new(&sandbox, "demo:api").post(&sandbox).await.code(), "MP-121");
}

#[tokio::test]
async fn a_deactivated_client_is_unknown() {
    let sandbox = start().await;
    let control = sandbox.control();
    control.deactivate_client(&sandbox.credentials().client_id).unwrap();
    assert_eq!(Maker::new(&sandbox, "demo:api").post(&sandbox).await.code(), "MP-100");
    assert!(control.deactivate_client("nobody").is_err());
}

#[tokio::test]
async fn a_supplier_acts_for_a_consumer_that_delegated() {
    let sandbox = start().await;
    let maker = || Maker::new(&sandbox, "demo:api").claim("consumer_org", CONSUMER);
    let claims = claims_of(&maker().token(&sandbox).await);
    assert_eq!(claims["consumer"]["ID"], format!("0192:{CONSUMER}"));
    assert_eq!(claims["supplier"]["ID"], format!("0192:{ORGANISATION}"));
    sandbox.control().undelegate(CONSUMER, ORGANISATION, "demo:api");
    assert_eq!(maker().post(&sandbox).await.code(), "MP-251");
    sandbox.control().delegate(CONSUMER, ORGANISATION, "demo:api");
    assert_eq!(maker().post(&sandbox).await.status, 200);
}

#[tokio::test]
async fn the_consumers_access_counts_and_not_the_suppliers() {
    let sandbox = start().await;
    let control = sandbox.control();
    control.register_scope(ScopeSpec::new("demo:theirs", OTHER).granted_to(CONSUMER));
    control.delegate(CONSUMER, ORGANISATION, "demo:theirs");
    control.register_client(ClientSpec::new("s", ORGANISATION).scope("demo:theirs").key(registered("s")));
    let maker = || {
        let maker = Maker::new(&sandbox, "demo:theirs").claim("iss", "s").header("kid", "s");
        maker.signed_by(other_key())
    };
    assert_eq!(maker().post(&sandbox).await.code(), "MP-250");
    assert_eq!(maker().claim("consumer_org", CONSUMER).post(&sandbox).await.status, 200);
}

fn system_user(organisation: &str) -> Value {
    json!({
        "type": "urn:altinn:systemuser",
        "systemuser_org": { "authority": "iso6523-actorid-upis", "ID": format!("0192:{organisation}") },
    })
}

#[tokio::test]
async fn a_system_user_is_looked_up() {
    let sandbox = start().await;
    sandbox.control().register_system_user(SystemUser {
        client_id: sandbox.credentials().client_id.clone(),
        organisation: OTHER.to_owned(),
        external_ref: Some("kunde-7".to_owned()),
    });
    let ask =
        |detail: Value| Maker::new(&sandbox, "demo:api").claim("authorization_details", json!([detail]));
    let claims = claims_of(&ask(system_user(CUSTOMER)).token(&sandbox).await);
    let detail = &claims["authorization_details"][0];
    assert_eq!(detail["systemuser_org"]["ID"], format!("0192:{CUSTOMER}"));
    assert_eq!(detail["systemuser_id"].as_array().unwrap().len(), 1);
    assert_eq!(claims["consumer"]["ID"], format!("0192:{ORGANISATION}"));

    let with = |mut detail: Value, name: &str, value: Value| {
        detail[name] = value;
        detail
    };
    let named = with(system_user(OTHER), "externalRef", json!("kunde-7"));
    assert_eq!(ask(named).post(&sandbox).await.status, 200);
    // Without a reference of its own, the organisation number is the reference.
    let default = with(system_user(CUSTOMER), "externalRef", json!(CUSTOMER));
    assert_eq!(ask(default).post(&sandbox).await.status, 200);

    let own = |name: &str, value: &str| {
        let mut detail = system_user(CUSTOMER);
        detail["systemuser_org"][name] = value.into();
        detail
    };
    let cases = [
        ("reference missing", system_user(OTHER), "MP-303"),
        ("no such system user", system_user(CONSUMER), "MP-303"),
        ("wrong reference", with(system_user(OTHER), "externalRef", json!("x")), "MP-303"),
        ("reference of another type", with(system_user(OTHER), "externalRef", json!(7)), "MP-303"),
        ("unknown type", with(system_user(CUSTOMER), "type", json!("urn:altinn:other")), "MP-301"),
        ("no type", with(system_user(CUSTOMER), "type", Value::Null), "MP-303"),
        ("unknown field", with(system_user(CUSTOMER), "extra", json!(1)), "MP-302"),
        ("unknown field inside", own("name", "x"), "MP-302"),
        ("wrong authority", own("authority", "x"), "MP-303"),
        ("bare number", own("ID", CUSTOMER), "MP-303"),
        ("old prefix", own("ID", "9908:910693514"), "MP-303"),
        ("no party", with(system_user(CUSTOMER), "systemuser_org", json!(CUSTOMER)), "MP-303"),
    ];
    for (name, detail, expected) in cases {
        assert_eq!(ask(detail).post(&sandbox).await.code(), expected, "{name}");
    }
    for whole in [json!([]), json!({}), json!("x"), json!([system_user(CUSTOMER), system_user(CUSTOMER)])] {
        let maker = Maker::new(&sandbox, "demo:api").claim("authorization_details", whole.clone());
        assert_eq!(maker.post(&sandbox).await.code(), "MP-303", "{whole}");
    }
}

#[tokio::test]
async fn a_consent_is_looked_up() {
    let sandbox = start().await;
    let id = "0a7d59f8-8c62-4312-9fb4-62456664c96f";
    let from = "urn:altinn:person:identifier-no:05848998356";
    let consent = Consent { id: id.to_owned(), from: from.to_owned(), to: ORGANISATION.to_owned() };
    assert!(!format!("{consent:?}").contains("05848998356"));
    sandbox.control().register_consent(consent);
    let ask = |id: &str, from: &str| {
        let detail = json!([{ "type": "urn:altinn:consent", "id": id, "from": from }]);
        Maker::new(&sandbox, "demo:api").claim("authorization_details", detail)
    };
    let claims = claims_of(&ask(id, from).token(&sandbox).await);
    assert_eq!(claims["authorization_details"][0]["to"]["ID"], format!("0192:{ORGANISATION}"));
    for (id, from) in [
        ("0a7d59f8-8c62-4312-9fb4-62456664c960", from),
        ("no uuid", from),
        (id, "05848998356"),
        (id, "urn:altinn:organization:identifier-no:910753614"),
    ] {
        assert_eq!(ask(id, from).post(&sandbox).await.code(), "MP-303", "{id} {from}");
    }
    let other = ask(id, from).claim("consumer_org", CONSUMER);
    assert_eq!(other.post(&sandbox).await.code(), "MP-303", "the consent is not the consumer's");
}

#[tokio::test]
async fn requests_are_recorded_with_their_outcome() {
    let sandbox = start().await;
    let control = sandbox.control();
    let waiting = tokio::spawn({
        let control = control.clone();
        async move { control.until(|counts| counts.token_requests == 3).await }
    });
    let token = token(&sandbox, "demo:api").await;
    Maker::new(&sandbox, "demo:none").post(&sandbox).await;
    post(&sandbox, "x").await;
    let counts = tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap();
    assert_eq!((counts.token_requests, counts.tokens_issued), (3, 1));
    let seen = control.token_requests();
    let jti = claims_of(&token)["jti"].as_str().unwrap().to_owned();
    assert_eq!(seen[0].outcome, Outcome::Issued { jti });
    assert_eq!(seen[0].header.text("kid"), Some(sandbox.credentials().kid.as_str()));
    assert_eq!(seen[1].outcome, Outcome::Refused("MP-200".to_owned()));
    assert_eq!(seen[1].claims.text("scope"), Some("demo:none"));
    assert!(seen[2].claims.is_empty());
    control.clear_records();
    assert!(control.token_requests().is_empty());
    assert_eq!(control.counts().token_requests, 0);
}
