//! `postman`: what is written, for which routes, and what is never written over.

use std::path::Path;

use serde_json::Value;

use crate::program::run_in;
use crate::support::{Setup, sandbox};

const COLLECTION: &str = "maskinporten-proxy.postman_collection.json";
const ENVIRONMENT: &str = "maskinporten-proxy.postman_environment.json";

async fn written(folder: &Path) -> (Value, Value) {
    let ended = run_in(folder, &["postman", "--out", "out"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let read = |name| serde_json::from_slice(&std::fs::read(folder.join("out").join(name)).unwrap()).unwrap();
    (read(COLLECTION), read(ENVIRONMENT))
}

/// Requests as `METHOD url`, folders as `name/`.
fn listed(items: &Value) -> Vec<String> {
    let mut list = Vec::new();
    for item in items.as_array().unwrap() {
        match item.get("item") {
            Some(inner) => {
                list.push(format!("{}/", item["name"].as_str().unwrap()));
                list.extend(listed(inner));
            }
            None => {
                let request = &item["request"];
                let url = request["url"]["raw"].as_str().unwrap();
                list.push(format!("{} {url}", request["method"].as_str().unwrap()));
            }
        }
    }
    list
}

#[tokio::test]
async fn the_self_service_api_gets_its_operations_and_another_api_one_request() {
    let sandbox = sandbox().await;
    let dir = tempfile::tempdir().unwrap();
    sandbox.write_out(dir.path()).unwrap();
    let (collection, environment) = written(dir.path()).await;
    assert_eq!(
        collection["info"]["schema"],
        "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
    );
    assert_eq!(collection["auth"], serde_json::json!({ "type": "noauth" }));
    assert_eq!(
        listed(&collection["item"]),
        [
            "clients/",
            "GET {{baseUrl}}/clients",
            "POST {{baseUrl}}/clients",
            "GET {{baseUrl}}/clients/{{clientId}}",
            "PUT {{baseUrl}}/clients/{{clientId}}",
            "PUT {{baseUrl}}/clients/{{clientId}}/jwks",
            "GET {{baseUrl}}/clients/{{clientId}}/jwks",
            "DELETE {{baseUrl}}/clients/{{clientId}}",
            "scopes/",
            "GET {{baseUrl}}/scopes",
            "GET {{baseUrl}}/scopes/all",
            "POST {{baseUrl}}/scopes",
            "PUT {{baseUrl}}/scopes?scope={{scopeName}}",
            "PUT {{baseUrl}}/scopes/access/{{consumerOrgno}}?scope={{scopeName}}",
            "GET {{baseUrl}}/scopes/access?scope={{scopeName}}",
            "DELETE {{baseUrl}}/scopes/access/{{consumerOrgno}}?scope={{scopeName}}",
            "DELETE {{baseUrl}}/scopes?scope={{scopeName}}",
            "GET {{baseUrl}}/echo",
        ]
    );
    let text = collection.to_string();
    assert!(!text.to_lowercase().contains("\"authorization\""), "no request brings an Authorization");
    assert!(!text.contains("\"d\"") && !text.contains("PRIVATE"), "the key to register is a public one");
    assert_eq!(environment["values"][0]["key"], "baseUrl");
    assert_eq!(environment["values"][0]["value"], "http://localhost:8080");
}

#[tokio::test]
async fn digdir_s_host_gets_all_its_resources_beneath_the_route() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[clients.prod]\nenvironment = \"prod\"\nclient_id = \"x\"\nkey = { file = \"k.p12\" }\n\
                  [[routes]]\nname = \"all\"\npath = \"/admin\"\nscopes = [\"idporten:dcr.read\"]\n\
                  upstream = \"https://api.samarbeid.digdir.no/api/v1\"\n";
    std::fs::write(dir.path().join("proxy.toml"), config).unwrap();
    let (collection, _) = written(dir.path()).await;
    // A client of prod reads alone, so there is nothing that the proxy would refuse.
    assert_eq!(
        listed(&collection["item"]),
        [
            "clients/",
            "GET {{baseUrl}}/admin/clients",
            "GET {{baseUrl}}/admin/clients/{{clientId}}",
            "GET {{baseUrl}}/admin/clients/{{clientId}}/jwks",
            "scopes/",
            "GET {{baseUrl}}/admin/scopes",
            "GET {{baseUrl}}/admin/scopes/all",
            "GET {{baseUrl}}/admin/scopes/access?scope={{scopeName}}",
            "delegationsources/",
            "GET {{baseUrl}}/admin/delegationsources",
        ]
    );
}

#[tokio::test]
async fn routes_that_share_a_place_and_split_its_methods_are_one_folder() {
    let sandbox = sandbox().await;
    let clients = format!("{}/clients", sandbox.api_url());
    let (dir, _) = Setup::new(&sandbox)
        .route_with("read", "/clients", &clients, "methods = [\"GET\"]\nscopes = [\"idporten:dcr.read\"]")
        .route_with("make", "/clients", &clients, "methods = [\"POST\"]\nscopes = [\"idporten:dcr.write\"]")
        .write();
    let (collection, _) = written(dir.path()).await;
    let list = listed(&collection["item"]);
    assert_eq!(list.iter().filter(|line| line.ends_with('/')).count(), 1, "{list:?}");
    assert!(list.iter().any(|line| line.starts_with("POST ")), "{list:?}");
    assert!(!list.iter().any(|line| line.starts_with("DELETE ") || line.starts_with("PUT ")), "{list:?}");
}

#[tokio::test]
async fn claims_from_headers_are_variables_and_numbers_of_persons_are_not_written() {
    let sandbox = sandbox().await;
    let more = "consumer_org = { header = \"X-Consumer-Org\", allow = [\"910753614\"] }\n\
                pid = { header = \"X-Pid\", allow = [\"01017000027\"] }\n";
    let (dir, _) = Setup::new(&sandbox)
        .route_with("api", "/", &sandbox.echo_url(), more)
        .with("\n[inbound]\npassword = \"hemmelig\"\n")
        .write();
    let (collection, environment) = written(dir.path()).await;
    assert_eq!(
        collection["item"][0]["request"]["header"],
        serde_json::json!([
            { "key": "x-consumer-org", "value": "{{consumerOrg}}" },
            { "key": "x-pid", "value": "{{pid}}" },
            { "key": "Proxy-Authorization", "value": "Bearer {{proxyPassword}}" },
        ])
    );
    assert_eq!(
        collection["variable"],
        serde_json::json!([
            { "key": "baseUrl", "value": "http://localhost:8080" },
            { "key": "consumerOrg", "value": "910753614" },
            { "key": "pid", "value": "" },
        ])
    );
    assert_eq!(environment["values"][1]["type"], "secret");
    for value in [&collection, &environment] {
        assert!(!value.to_string().contains("01017000027") && !value.to_string().contains("hemmelig"));
    }
}

#[tokio::test]
async fn files_of_its_own_are_replaced_and_others_never() {
    let sandbox = sandbox().await;
    let (dir, _) = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).write();
    written(dir.path()).await;
    written(dir.path()).await;
    let out = dir.path().join("out");
    for name in [COLLECTION, ENVIRONMENT] {
        let own = std::fs::read(out.join(name)).unwrap();
        for foreign in ["{\"info\":{\"name\":\"mine\"}}", "not JSON at all", ""] {
            std::fs::write(out.join(name), foreign).unwrap();
            let ended = run_in(dir.path(), &["postman", "--out", "out", "--url", "http://localhost:1"]).await;
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
            assert!(ended.stderr.contains("nothing was changed\nhint: "), "{}", ended.stderr);
            assert_eq!(std::fs::read_to_string(out.join(name)).unwrap(), foreign);
        }
        std::fs::write(out.join(name), own).unwrap();
    }
    let left: Vec<_> = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[tokio::test]
async fn without_a_route_there_is_nothing_to_write() {
    let dir = tempfile::tempdir().unwrap();
    let properties = "issuer=x\naudience=https://test.maskinporten.no/\nscope=demo:api\n\
                      token.endpoint=https://test.maskinporten.no/token\nkeystore.file=k.p12\nkeystore.password=p\n";
    std::fs::write(dir.path().join("my.properties"), properties).unwrap();
    let ended = run_in(dir.path(), &["postman", "--config", "my.properties", "--out", "out"]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: name the API with --upstream"), "{}", ended.stderr);
    assert!(!dir.path().join("out").exists());
}
