//! Which source wins, and what each of them can say.

use super::*;

#[test]
fn flags_win_over_variables_over_later_files_over_earlier_ones() {
    let setup = Setup::minimal()
        .file("b.toml", "listen = \"127.0.0.1:2\"\nadmin = \"127.0.0.1:3\"\nthreads = 3")
        .env("MASKINPORTEN_PROXY_ADMIN", "127.0.0.1:4")
        .env("MASKINPORTEN_PROXY_THREADS", "4")
        .flags(Overrides { threads: Some(5), ..Overrides::default() });
    let config = setup.config();
    assert_eq!(config.listen.to_string(), "127.0.0.1:2");
    assert_eq!(config.admin.unwrap().to_string(), "127.0.0.1:4");
    assert_eq!(config.threads.get(), 5);
    // What the later file does not say stays.
    assert_eq!(config.clients["test"].client_id, "id");
}

#[test]
fn lists_are_replaced_as_a_whole() {
    let other = MINIMAL.split("[[routes]]").nth(1).unwrap().replace("api", "other");
    let config = Setup::minimal().file("b.toml", &format!("[[routes]]{other}")).config();
    assert_eq!(config.routes.iter().map(|route| &*route.name).collect::<Vec<_>>(), ["other"]);
}

#[test]
fn a_secret_s_source_is_replaced_and_not_mixed() {
    let password = |text: &str| format!("[clients.test.key]\npassword = {text}");
    for (earlier, later, expected) in [
        ("{ env = \"A\" }", "{ command = \"c\" }", SecretSource::Command("c".to_owned())),
        ("\"x\"", "{ env = \"B\" }", SecretSource::Env("B".to_owned())),
        ("{ env = \"A\" }", "\"y\"", SecretSource::Literal("y".into())),
    ] {
        let setup = Setup::minimal().file("b.toml", &password(earlier)).file("c.toml", &password(later));
        assert_eq!(setup.config().clients["test"].key.password, Some(expected));
    }
    let setup = Setup::minimal()
        .file("b.toml", &password("{ env = \"A\" }"))
        .env("MASKINPORTEN_PROXY_CLIENTS__TEST__KEY__PASSWORD__COMMAND", "c");
    assert_eq!(setup.config().clients["test"].key.password, Some(SecretSource::Command("c".to_owned())));
}

#[test]
fn an_empty_password_is_none() {
    let setup = Setup::minimal().env("MASKINPORTEN_PROXY_CLIENTS__TEST__KEY__PASSWORD", "");
    assert_eq!(setup.config().clients["test"].key.password, None);
}

#[test]
fn variables_become_what_the_key_takes() {
    let mut setup = Setup::minimal();
    for (name, value) in [
        ("CLIENTS__TEST__CLIENT_ID", "123"),
        ("CLIENTS__TEST__KEY__PASSWORD", "true"),
        ("CLIENTS__TEST__KEY__KID", "0x10"),
        ("FORWARD__INTERCEPT", "True"),
        ("UPSTREAM__CONNECT_TIMEOUT", "7s"),
        ("INBOUND__ALLOWED_HOSTS", "a.example.no, b.example.no"),
        ("ROUTES__0__SCOPES", "a:b  c:d"),
        ("ROUTES__API__CONSUMER_ORG", "910753614"),
        ("ROUTES__0__PID__HEADER", "X-Pid"),
        ("ROUTES__0__METHODS", "[\"GET\", \"POST\"]"),
    ] {
        setup = setup.env(&format!("MASKINPORTEN_PROXY_{name}"), value);
    }
    let config = setup.config();
    let client = &config.clients["test"];
    assert_eq!(client.client_id, "123");
    assert_eq!(client.key.password, Some(SecretSource::Literal("true".into())));
    assert_eq!(client.key.kid.as_deref(), Some("0x10"));
    assert!(config.forward.intercept);
    assert_eq!(config.upstream.connect_timeout.as_secs(), 7);
    assert_eq!(config.inbound.allowed_hosts.len(), 2);
    let route = &config.routes[0];
    assert_eq!(route.scopes, ["a:b", "c:d"]);
    assert_eq!(route.consumer_org, Some(ClaimSource::Fixed("910753614".to_owned())));
    assert!(matches!(&route.pid, Some(ClaimSource::Header { name, allow: None }) if name == "x-pid"));
    assert_eq!(route.methods.as_ref().unwrap().len(), 2);
    // What the variables do not touch keeps its value and its line.
    assert_eq!(route.upstream.to_string(), "https://api.example.no");
    let shown = show(&setup.loaded());
    assert!(
        shown.lines().any(|line| line.starts_with("upstream = ") && line.contains("proxy.toml:9")),
        "{shown}"
    );
    assert!(shown.contains("from $MASKINPORTEN_PROXY_ROUTES__0__SCOPES"), "{shown}");
}

#[test]
fn a_variable_names_the_client_of_a_file_or_a_new_one() {
    let text = MINIMAL.replace("clients.test", "clients.My-Client");
    let setup = Setup::empty()
        .file("proxy.toml", &text)
        .env("MASKINPORTEN_PROXY_CLIENTS__MY_CLIENT__CLIENT_ID", "from-env");
    assert_eq!(setup.config().clients["My-Client"].client_id, "from-env");

    let mut setup = Setup::empty();
    for (name, value) in [
        ("CLIENTS__CI__ENVIRONMENT", "test"),
        ("CLIENTS__CI__CLIENT_ID", "id"),
        ("CLIENTS__CI__KEY__FILE", "base64:AAEC"),
        ("ROUTES__0__NAME", "api"),
        ("ROUTES__0__UPSTREAM", "https://api.example.no"),
        ("ROUTES__0__SCOPES", "a:b"),
    ] {
        setup = setup.env(&format!("MASKINPORTEN_PROXY_{name}"), value);
    }
    let config = setup.config();
    let KeyMaterial::Inline(key) = &config.clients["ci"].key.material else { panic!("inline") };
    assert_eq!(key.expose(), &[0, 1, 2]);
    assert_eq!(config.routes[0].name, "api");
}

#[test]
fn variables_that_mean_nothing_are_refused_and_those_of_run_passed_over() {
    let run = Setup::minimal()
        .env("MASKINPORTEN_PROXY_URL", "http://127.0.0.1:1")
        .env("MASKINPORTEN_PROXY_URL_API", "http://127.0.0.1:1/");
    assert_eq!(run.config().routes.len(), 1);

    for (name, part) in [
        ("LISTN", "did you mean `listen`?"),
        ("URLS", "there is no such key"),
        ("CLIENTS__TEST__CLIENTID", "did you mean `client_id`?"),
        ("CLIENTS__TEST__KEY__PASSWORD__FIEL", "did you mean `file`?"),
        ("CLIENTS__TEST", "this is a table"),
        ("ROUTES", "this is a table"),
        ("ROUTES__2__NAME", "there is no such route\n    allowed: a number from 0 to 1, api"),
        ("LISTEN__PORT", "there is no such key"),
    ] {
        let name = format!("MASKINPORTEN_PROXY_{name}");
        let error = Setup::minimal().env(&name, "hemmelig").error();
        assert!(error.starts_with(&format!("${name}: ")) && error.contains(part), "{error}");
        assert!(!error.contains("hemmelig"), "{error}");
    }
    let error = Setup::minimal().env("MASKINPORTEN_PROXY_THREADS", "many").error();
    assert!(error.contains("a whole number from 1 to 1024"), "{error}");
}

#[test]
fn the_platform_s_variables_make_a_client() {
    let setup = Setup::empty()
        .env("MASKINPORTEN_CLIENT_ID", "nais-id")
        .env("MASKINPORTEN_CLIENT_JWK", r#"{"kty":"RSA","kid":"key-1"}"#)
        .env("MASKINPORTEN_SCOPES", "a:b c:d")
        .env(
            "MASKINPORTEN_WELL_KNOWN_URL",
            "https://test.maskinporten.no/.well-known/oauth-authorization-server",
        );
    let config = setup.config();
    let client = &config.clients["nais"];
    assert_eq!(client.client_id, "nais-id");
    assert_eq!(client.issuer, "https://test.maskinporten.no/");
    assert_eq!(client.environment, Some(Environment::Test));
    assert_eq!(client.key.kid.as_deref(), Some("key-1"));
    let KeyMaterial::Inline(jwk) = &client.key.material else { panic!("inline") };
    assert_eq!(jwk.expose(), br#"{"kty":"RSA","kid":"key-1"}"#);
    assert_eq!(config.token_only.unwrap().scopes, ["a:b", "c:d"]);

    let setup = setup
        .env("MASKINPORTEN_ISSUER", "https://mp.example.no/")
        .env("MASKINPORTEN_TOKEN_ENDPOINT", "https://mp.example.no/t");
    let client = setup.config().clients["nais"].clone();
    assert_eq!(client.issuer, "https://mp.example.no/");
    assert_eq!(client.token_endpoint.as_ref().unwrap().to_string(), "https://mp.example.no/t");
    assert_eq!(client.environment, None);
}

#[test]
fn the_platform_s_scopes_are_for_routes_that_name_none() {
    let routes = "[[routes]]\nname = \"a\"\npath = \"/a\"\nupstream = \"https://a.example.no\"\n\
                  [[routes]]\nname = \"b\"\npath = \"/b\"\nupstream = \"https://b.example.no\"\nscopes = [\"own:scope\"]\n";
    let setup = Setup::empty()
        .file("proxy.toml", routes)
        .env("MASKINPORTEN_CLIENT_ID", "id")
        .env("MASKINPORTEN_CLIENT_JWK", "{}")
        .env("MASKINPORTEN_ISSUER", "https://test.maskinporten.no/")
        .env("MASKINPORTEN_SCOPES", "a:b");
    let config = setup.config();
    assert_eq!(config.routes[0].scopes, ["a:b"]);
    assert_eq!(config.routes[1].scopes, ["own:scope"]);
    assert_eq!(config.token_only, None);
}

#[test]
fn the_platform_s_variables_step_back_behind_a_client_of_ours() {
    let setup =
        Setup::minimal().env("MASKINPORTEN_CLIENT_ID", "nais-id").env("MASKINPORTEN_SCOPES", "nais:scope");
    let config = setup.config();
    assert_eq!(config.clients.keys().collect::<Vec<_>>(), ["test"]);
    assert_eq!(config.routes[0].scopes, ["a:b"]);
}

const PROPERTIES: &str = "issuer=id\naudience=https://test.maskinporten.no/\nscope=a:b\n\
                          consumer_org=910753614\nkeystore.file=a.jks\nkeystore.password=changeit\n";

#[test]
fn a_properties_file_serves_one_upstream() {
    let flags = Overrides { upstream: Some("https://api.example.no/v1".to_owned()), ..Overrides::default() };
    let setup = Setup::empty().file("a.properties", PROPERTIES).flags(flags);
    let loaded = setup.loaded();
    let [route] = loaded.config.routes.as_slice() else { panic!("one route") };
    assert_eq!((route.path.as_str(), route.scopes.as_slice()), ("/", ["a:b".to_owned()].as_slice()));
    assert_eq!(route.upstream.to_string(), "https://api.example.no/v1");
    assert_eq!(route.consumer_org, Some(ClaimSource::Fixed("910753614".to_owned())));
    assert_eq!(loaded.config.token_only, None);
    let origin = |path: &str| loaded.settings.iter().find(|s| s.path() == path).unwrap().origin.to_string();
    assert_eq!(origin("routes[0].upstream"), "--upstream");
    assert_eq!(origin("routes[0].scopes"), "a.properties:3");
    assert_eq!(origin("clients.default.client_id"), "a.properties:1");
}

#[test]
fn self_service_scopes_need_no_upstream() {
    for (issuer, expected, access) in [
        ("https://test.maskinporten.no/", "https://api.test.samarbeid.digdir.no", Access::ReadWrite),
        ("https://maskinporten.no/", "https://api.samarbeid.digdir.no", Access::ReadOnly),
    ] {
        let text =
            PROPERTIES.replace("https://test.maskinporten.no/", issuer).replace("a:b", "idporten:dcr.read");
        let config = Setup::empty().file("a.properties", &text).config();
        let [route] = config.routes.as_slice() else { panic!("one route") };
        assert_eq!((route.upstream.to_string().as_str(), route.access), (expected, access));
        assert_eq!(route.path.as_str(), "/");
    }
}

#[test]
fn without_a_route_there_is_still_a_token() {
    let config = Setup::empty().file("a.properties", PROPERTIES).config();
    assert_eq!(config.routes.len(), 0);
    let grant = config.token_only.unwrap();
    assert_eq!(grant.scopes, ["a:b"]);
    assert_eq!(grant.client.key.password, Some(SecretSource::Literal("changeit".into())));
}

#[test]
fn properties_and_toml_combine() {
    let route = "[[routes]]\nname = \"api\"\nupstream = \"https://api.example.no\"\n";
    let setup = Setup::empty().file("a.properties", PROPERTIES).file("proxy.toml", route);
    let config = setup.config();
    assert_eq!(config.routes[0].scopes, ["a:b"]);
    assert_eq!(config.routes[0].client.name, "default");

    let flags = Overrides { upstream: Some("https://x.example.no".to_owned()), ..Overrides::default() };
    let error = setup.flags(flags).error();
    assert!(error.starts_with("--upstream: ") && error.contains("routes of its own"), "{error}");

    let flags = Overrides { upstream: Some("https://x.example.no".to_owned()), ..Overrides::default() };
    let error = Setup::empty().flags(flags).error();
    assert!(error.contains("nothing says which scopes"), "{error}");
}

#[test]
fn files_that_cannot_be_read_are_all_named() {
    let mut setup = Setup::empty().file("a.yaml", "");
    setup.request.files.push("missing.toml".into());
    let error = setup.error();
    assert!(
        error.contains("a.yaml: the name does not say")
            && error.contains("missing.toml: the file cannot be read"),
        "{error}"
    );
}

// It listens on a socket.
#[cfg(unix)]
#[test]
fn paths_are_relative_to_the_file_that_names_them() {
    let setup = Setup::minimal()
        .file("sub/b.toml", "[clients.test.key]\ncertificate = \"chain.pem\"\npassword = { file = \"pw\" }\n[upstream]\nca_file = \"/etc/ca.pem\"")
        .env("MASKINPORTEN_PROXY_LISTEN", "unix:proxy.sock");
    let config = setup.config();
    let key = &config.clients["test"].key;
    assert_eq!(key.material, KeyMaterial::File(setup.path("key.p12")));
    assert_eq!(key.certificate, Some(setup.path("sub/chain.pem")));
    assert_eq!(key.password, Some(SecretSource::File(setup.path("sub/pw"))));
    assert_eq!(config.listen, Listen::Unix(setup.path("proxy.sock")));
    assert_eq!(config.base_dir, setup.folder.path());
    let mut watched: Vec<PathBuf> = ["proxy.toml", "sub/b.toml", "key.p12", "sub/chain.pem", "sub/pw"]
        .map(|name| setup.path(name))
        .into();
    watched.push("/etc/ca.pem".into());
    watched.sort();
    assert_eq!(config.watched, watched);
}

#[test]
fn exposure_needs_a_password_that_is_not_empty() {
    let exposed =
        || Setup::minimal().file("b.toml", "listen = \"0.0.0.0:8080\"\ninbound.password = { env = \"PW\" }");
    let config = exposed().env("PW", "x").config();
    assert_eq!(config.exposed_listeners().map(|(key, _)| key).collect::<Vec<_>>(), ["listen"]);
    assert_eq!(config.forward.other_hosts, OtherHosts::Deny);
    assert!(exposed().env("PW", "").error().contains("other machines can reach"));
    assert!(exposed().error().contains("other machines can reach"));

    let setup =
        Setup::minimal().file("b.toml", "admin = \"0.0.0.0:8081\"\ninbound.password = { file = \"pw\" }");
    std::fs::write(setup.path("pw"), "\n").unwrap();
    assert!(setup.error().contains("admin"));
    std::fs::write(setup.path("pw"), "x\n").unwrap();
    assert_eq!(setup.config().forward.other_hosts, OtherHosts::Tunnel);
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    let text = MINIMAL.replace("\"test\"", "\"prod\"") + "methods = [\"POST\"]\nhost = \"api.example.no\"";
    let warnings = Setup::empty().file("proxy.toml", &text).config().warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("access = \"read-write\""), "{warnings:?}");
    assert!(warnings[1].contains("inbound.allowed_hosts"), "{warnings:?}");
}

#[cfg(unix)]
#[test]
fn secrets_that_others_can_read_are_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;

    let setup = Setup::minimal();
    let mode = |name: &str, mode| {
        std::fs::set_permissions(setup.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    std::fs::write(setup.path("key.p12"), "").unwrap();
    mode("key.p12", 0o640);
    mode("proxy.toml", 0o644);
    // The file itself holds no secret, so only the key is told of.
    let warnings = setup.config().warnings;
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    let key = setup.path("key.p12");
    assert_eq!(
        *warning,
        format!("{0} holds a secret and is open to others (mode 0640); chmod 600 {0}", key.display())
    );
    mode("key.p12", 0o600);
    assert!(setup.config().warnings.is_empty());

    std::fs::write(setup.path("proxy.toml"), MINIMAL.to_owned() + "[inbound]\npassword = \"x\"").unwrap();
    assert!(setup.config().warnings[0].contains("proxy.toml holds a secret"));
}
