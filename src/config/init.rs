//! The proxy.toml that `init` writes: short, commented, and loadable as it is.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::Environment;

/// Who issues the tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issuer {
    Environment(Environment),
    /// Another one than Digdir's, as a sandbox is, with the slash at its end.
    Url(String),
}

/// What `init` was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitAnswers {
    pub issuer: Issuer,
    pub client_id: String,
    pub keystore: PathBuf,
    pub alias: Option<String>,
    /// The environment variable that holds the keystore's password; `None` where it has none.
    pub password_env: Option<String>,
    /// The id of a key that is registered on the client.
    pub kid: Option<String>,
    pub route_name: String,
    pub route_path: String,
    pub upstream: String,
    pub scopes: Vec<String>,
}

/// The text of the file. It is not checked here: whoever writes it loads it first, and so hears of
/// an answer that will not do in the same words as ever.
pub fn render(answers: &InitAnswers) -> String {
    let (name, issuer) = match &answers.issuer {
        Issuer::Environment(environment) => {
            (environment.name(), format!("environment = \"{}\"", environment.name()))
        }
        Issuer::Url(url) => ("own", format!("issuer      = {}", quoted(url))),
    };
    let mut text = format!(
        "\
# What each key means: docs/configuration.md; what is in effect: `maskinporten-proxy config show`.
# Try it: `maskinporten-proxy check`, then `maskinporten-proxy serve`.

listen = \"127.0.0.1:8080\"
admin  = \"127.0.0.1:8081\"             # status page, /healthz, /readyz, /metrics

[clients.{name}]
{issuer}
client_id   = {}

[clients.{name}.key]
file = {}                 # JKS, PKCS#12, PEM or JWK; relative to this file
",
        quoted(&answers.client_id),
        quoted(&answers.keystore.to_string_lossy()),
    );
    match &answers.alias {
        Some(alias) => _ = writeln!(text, "alias = {}", quoted(alias)),
        None => {
            text.push_str("# alias = \"…\"                        # where the keystore holds several keys\n")
        }
    }
    match &answers.password_env {
        Some(variable) => _ = writeln!(text, "password = {{ env = {} }}", quoted(variable)),
        None => text.push_str(
            "# password = { env = \"…\" }            # or { file = \"…\" } or { command = \"…\" }\n",
        ),
    }
    match &answers.kid {
        Some(kid) => _ = writeln!(text, "kid = {}", quoted(kid)),
        None => {
            text.push_str(
                "# kid = \"…\"                          # where the key is registered on the client\n",
            );
        }
    }
    let scopes: Vec<String> = answers.scopes.iter().map(|scope| quoted(scope)).collect();
    _ = write!(
        text,
        "
[[routes]]
name     = {}
path     = {}
upstream = {}
scopes   = [{}]
",
        quoted(&answers.route_name),
        quoted(&answers.route_path),
        quoted(&answers.upstream),
        scopes.join(", "),
    );
    if answers.issuer == Issuer::Environment(Environment::Prod) {
        text.push_str("# access = \"read-write\"              # a client of prod reads only, unless this says otherwise\n");
    }
    text
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadRequest, load};

    fn answers() -> InitAnswers {
        InitAnswers {
            issuer: Issuer::Environment(Environment::Prod),
            client_id: "238259d7-f0ab-4bd5-b253-0f0159375096".to_owned(),
            keystore: PathBuf::from("my \"own\" \\ store.p12"),
            alias: Some("min-nøkkel".to_owned()),
            password_env: Some("KEYSTORE_PASSWORD".to_owned()),
            kid: Some("key-1".to_owned()),
            route_name: "clients".to_owned(),
            route_path: "/clients".to_owned(),
            upstream: "https://api.samarbeid.digdir.no/clients".to_owned(),
            scopes: vec!["idporten:dcr.read".to_owned(), "idporten:scopes.write".to_owned()],
        }
    }

    fn loaded(answers: &InitAnswers) -> crate::config::Config {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("proxy.toml"), render(answers)).unwrap();
        let request = LoadRequest {
            files: vec!["proxy.toml".into()],
            cwd: folder.path().to_owned(),
            ..LoadRequest::default()
        };
        load(&request).unwrap_or_else(|error| panic!("{error}\n{}", render(answers))).config
    }

    #[test]
    fn every_answer_comes_back() {
        let answers = answers();
        let config = loaded(&answers);
        let client = &config.clients["prod"];
        assert_eq!(client.client_id, answers.client_id);
        assert_eq!(client.key.alias, answers.alias);
        assert_eq!(client.key.kid, answers.kid);
        assert_eq!(
            client.key.password,
            Some(crate::config::SecretSource::Env("KEYSTORE_PASSWORD".to_owned()))
        );
        let crate::config::KeyMaterial::File(file) = &client.key.material else { panic!("a file") };
        assert!(file.ends_with(&answers.keystore), "{file:?}");
        let route = &config.routes[0];
        assert_eq!((route.name.as_str(), route.path.as_str()), ("clients", "/clients"));
        assert_eq!(route.upstream.to_string(), answers.upstream);
        assert_eq!(route.scopes, answers.scopes);
    }

    #[test]
    fn an_issuer_of_one_s_own_takes_the_place_of_the_environment() {
        let issuer = "http://127.0.0.1:8090/".to_owned();
        let answers = InitAnswers { issuer: Issuer::Url(issuer.clone()), ..answers() };
        let client = &loaded(&answers).clients["own"];
        assert_eq!((&client.issuer, client.environment), (&issuer, None));
    }

    #[test]
    fn what_is_left_out_stands_there_as_a_comment() {
        let answers = InitAnswers {
            alias: None,
            password_env: None,
            kid: None,
            issuer: Issuer::Environment(Environment::Test),
            ..answers()
        };
        let key = &loaded(&answers).clients["test"].key;
        assert_eq!((&key.alias, &key.password, &key.kid), (&None, &None, &None));
        let text = render(&answers);
        assert!(["# alias =", "# password =", "# kid ="].iter().all(|line| text.contains(line)), "{text}");
    }
}
