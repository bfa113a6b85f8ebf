//! The table itself.

use super::{Absent, Key, Kind, Section};

const fn key(pattern: &'static str, kind: Kind, absent: Absent, meaning: &'static str) -> Key {
    Key { pattern, kind, absent, meaning }
}

const LISTEN: Kind = Kind::Text("\"IP:PORT\", \"localhost:PORT\" or \"unix:PATH\"");
const ADMIN: Kind = Kind::Text("\"IP:PORT\", \"localhost:PORT\", \"unix:PATH\" or \"off\"");
const PATH: Kind = Kind::Text("a path, relative to the file that names it");
const DURATION: Kind = Kind::Text("a number with its unit, as \"500ms\", \"5s\" or \"2m\"");
const SAFE_URL: Kind = Kind::Url("an https URL (http for a loopback host)");
const ORG: Kind = Kind::Claim("an organisation number of nine digits, in quotes");
const PERSON: Kind = Kind::PersonClaim("a national identity number of eleven digits, in quotes");

/// Every key, in the order of the example and the reference.
#[rustfmt::skip]
pub(in super::super) const KEYS: &[Key] = &[
    key("listen", LISTEN, Absent::Value("\"127.0.0.1:8080\""),
        "Where the proxy listens. Port 0 picks a free one; a socket gets mode 0600. Outside loopback it needs `inbound.password` or `inbound.tls.client_ca`."),
    key("admin", ADMIN, Absent::Value("\"127.0.0.1:8081\""),
        "Where the status page, `/healthz`, `/readyz` and `/metrics` are."),
    key("threads", Kind::Count, Absent::Means("the cores there are"),
        "Worker threads that carry requests."),

    key("clients.*.environment", Kind::Choice(&["test", "prod"]), Absent::Means("`issuer` says it"),
        "The Maskinporten environment; either this or `issuer`."),
    key("clients.*.issuer", SAFE_URL, Absent::Means("the environment's"),
        "The issuer, exactly as its metadata gives it (with the slash at its end). An issuer of Digdir's environments counts as that environment."),
    key("clients.*.token_endpoint", SAFE_URL, Absent::Means("the environment's, or what the issuer's metadata says"),
        "Where grants are sent."),
    key("clients.*.altinn", SAFE_URL, Absent::Means("the environment's"),
        "The Altinn platform for `exchange = \"altinn\"`."),
    key("clients.*.client_id", Kind::Text("the id from the self-service portal"), Absent::Required,
        "The id of the Maskinporten client."),

    key("clients.*.key.file", Kind::KeyFile, Absent::Required,
        "The keystore or key: JKS, PKCS#12, PEM or JWK, known by content and not by name. `base64:…` holds the content itself, for environments that only have variables."),
    key("clients.*.key.certificate", PATH, Absent::Means("the keystore's own"),
        "A certificate with its chain, PEM or DER, beside a key file that has none."),
    key("clients.*.key.alias", Kind::Text("the name of an entry"), Absent::Means("the only key, or the only one for signatures"),
        "Which entry of the keystore holds the key."),
    key("clients.*.key.password", Kind::Secret, Absent::Means("none"),
        "Opens the keystore, or an encrypted PEM key."),
    key("clients.*.key.key_password", Kind::Secret, Absent::Means("the keystore's"),
        "Opens the key inside the keystore, where it differs."),
    key("clients.*.key.alg", Kind::Text("\"RS256\", \"RS384\" or \"RS512\""), Absent::Value("\"RS256\""),
        "The signature algorithm of the grant."),
    key("clients.*.key.kid", Kind::Text("the id of a registered key"), Absent::Means("the certificate chain is sent (`x5c`)"),
        "The id under which the key is registered on the client; sent in place of `x5c`."),

    key("routes.#.name", Kind::Text("letters, digits, `-` and `_`"), Absent::Required,
        "What logs, metrics, the status page and `--route` call it."),
    key("routes.#.path", Kind::Text("a path prefix, as \"/clients\""), Absent::Value("\"/\""),
        "Requests whose path begins with these whole segments are taken; what follows, and the query, pass byte for byte."),
    key("routes.#.methods", Kind::List("HTTP methods, as [\"GET\", \"POST\"]"), Absent::Means("every method"),
        "Takes these methods alone (GET takes HEAD along), so that reading can ask for less scope than writing."),
    key("routes.#.host", Kind::Text("a host name without a port"), Absent::Means("every admitted host"),
        "Takes requests to this `Host` alone, as `dcr.localhost`."),
    key("routes.#.upstream", Kind::Url("an https URL (http for a loopback host) without query"), Absent::Required,
        "Where requests go; the rest of the path is put behind it. The token goes there and nowhere else."),
    key("routes.#.client", Kind::Text("a name under [clients]"), Absent::Means("the only client"),
        "Whose token is put on the request."),
    key("routes.#.scopes", Kind::List("Maskinporten scopes, as [\"idporten:dcr.read\"]"), Absent::Required,
        "The scopes to ask for."),
    key("routes.#.resource", Kind::List("the audiences to ask for, URLs as a rule"), Absent::Means("none"),
        "Limits the token to these APIs (`resource` of the grant, RFC 8707)."),
    key("routes.#.consumer_org", ORG, Absent::Means("the client's own organisation"),
        "The organisation that you act for as a supplier."),
    key("routes.#.pid", PERSON, Absent::Means("none"),
        "The person whom the token is for. Never logged or shown."),
    key("routes.#.systemuser_org", ORG, Absent::Means("none"),
        "The organisation whose system user in Altinn you act as."),
    key("routes.#.systemuser_external_ref", Kind::Text("the system user's `externalRef`"), Absent::Means("none"),
        "Needed where the system user was made with one."),
    key("routes.#.authorization_details", Kind::Tables, Absent::Means("none"),
        "Raw `authorization_details` (RFC 9396), in place of `systemuser_org`."),
    key("routes.#.exchange", Kind::Choice(&["altinn"]), Absent::Means("the token is used as it is"),
        "Swaps the token at Altinn before use."),
    key("routes.#.access", Kind::Choice(&["read-only", "read-write"]), Absent::Means("`read-only` for a client of `prod`, else `read-write`"),
        "`read-only` lets GET, HEAD and OPTIONS through, nothing else."),

    key("forward.intercept", Kind::Flag, Absent::Value("false"),
        "TLS interception of routed hosts, with the local CA (`maskinporten-proxy ca init`)."),
    key("forward.other_hosts", Kind::Choice(&["tunnel", "deny"]), Absent::Means("`tunnel`; `deny` where `listen` is outside loopback"),
        "What becomes of hosts that no route names: passed on untouched without a token, or refused."),
    key("forward.browsers", Kind::Flag, Absent::Value("false"),
        "Lets browsers use routed hosts in absolute form, where they do not say which page asked."),

    key("inbound.password", Kind::Secret, Absent::Means("none; loopback alone is served"),
        "Asked for as `Proxy-Authorization`: Basic (any user) or Bearer. An empty one counts as none."),
    key("inbound.tls.cert", PATH, Absent::Means("required in `[inbound.tls]`"),
        "The listener's certificate with its chain, PEM."),
    key("inbound.tls.key", PATH, Absent::Means("required in `[inbound.tls]`"),
        "The certificate's key, PEM."),
    key("inbound.tls.client_ca", PATH, Absent::Means("no client certificate is asked for"),
        "Clients must show a certificate of this CA."),
    key("inbound.allowed_hosts", Kind::List("host names without a port"), Absent::Value("[]"),
        "`Host` names that are served beyond loopback ones and `listen`."),
    key("inbound.allowed_origins", Kind::List("web origins, as [\"https://app.example.no\"]"), Absent::Value("[]"),
        "Web origins whose pages may call the proxy from a browser (CORS is answered for them)."),

    key("upstream.connect_timeout", DURATION, Absent::Value("\"5s\""),
        "For a connection to an upstream or token endpoint, TLS included."),
    key("upstream.response_timeout", DURATION, Absent::Value("\"60s\""),
        "To the head of the response; bodies stream for as long as they move."),
    key("upstream.ca_file", PATH, Absent::Means("the platform's trust alone"),
        "Certificates (PEM) that are trusted beside the platform's own."),
    key("upstream.proxy", Kind::Url("an http URL, with user and password where they are needed"), Absent::Means("`HTTPS_PROXY` and `NO_PROXY`"),
        "The outbound proxy."),
];

/// The tables, in the order of the reference.
pub(in super::super) const SECTIONS: &[Section] = &[
    Section { pattern: "", heading: "Top level", meaning: "Where it listens." },
    Section {
        pattern: "clients.*",
        heading: "[clients.NAME]",
        meaning: "One table for each Maskinporten client: who asks for tokens, and where.",
    },
    Section {
        pattern: "clients.*.key",
        heading: "[clients.NAME.key]",
        meaning: "The key that signs the client's grants.",
    },
    Section {
        pattern: "routes.#",
        heading: "[[routes]]",
        meaning: "Which requests go where, with which token. The longest path wins; among equals one with `host`, then one with `methods`.",
    },
    Section { pattern: "forward", heading: "[forward]", meaning: "The same listener as an HTTP proxy." },
    Section { pattern: "inbound", heading: "[inbound]", meaning: "Who may use the listener." },
    Section { pattern: "inbound.tls", heading: "[inbound.tls]", meaning: "TLS on the listener." },
    Section {
        pattern: "upstream",
        heading: "[upstream]",
        meaning: "How connections to upstreams and token endpoints are made.",
    },
];
