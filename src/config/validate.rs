//! From what users write to [`Config`]: everything that the table of keys cannot say.
//!
//! All problems are collected, so that one run tells them all. A part that is wrong yields
//! nothing, and what depends on it is not complained about a second time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::thread::available_parallelism;

use super::error::{Origin, Problem};
use super::layer::{GRANT_PREFIX, Origins};
use super::{Client, Config, Listen, SecretSource, file, schema};
use crate::secret::Secret;

mod client;
mod files;
mod grant;
mod inbound;
mod privilege;
mod retired;
mod route;
mod settings;

/// What the configuration is judged with.
pub(super) struct Surroundings<'a> {
    pub(super) origins: &'a Origins,
    pub(super) env: &'a BTreeMap<String, String>,
    pub(super) cwd: &'a Path,
    /// The files that were named, as they were named.
    pub(super) files: &'a [PathBuf],
}

/// Makes the configuration, or says everything that is wrong with it.
///
/// `token_only` is the grant that no route took.
pub(super) fn config(
    file: file::File,
    token_only: Option<file::Route>,
    surroundings: &Surroundings<'_>,
) -> Result<Config, Vec<Problem>> {
    let mut checker = Checker::new(surroundings);
    let listen = checker.listen("listen", file.listen.as_deref().unwrap_or("127.0.0.1:8080"));
    let admin = match file.admin.as_deref().unwrap_or("127.0.0.1:8081") {
        "off" => Some(None),
        text => checker.listen("admin", text).map(Some),
    };
    let threads = match file.threads {
        None => available_parallelism().unwrap_or(NonZeroUsize::MIN),
        Some(number) => NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN),
    };
    let clients = checker.clients(file.clients);
    let any_route = !file.routes.is_empty() || token_only.is_some();
    let routes = checker.routes(file.routes, &clients);
    let token_only = token_only.and_then(|grant| checker.grant(grant, &clients, GRANT_PREFIX));
    checker.reachability(&clients, any_route);
    let inbound = checker.inbound(file.inbound);
    let upstream = checker.upstream_settings(file.upstream);

    let (Some(listen), Some(admin)) = (listen, admin) else { return Err(checker.problems) };
    checker.exposure(&listen, admin.as_ref(), &inbound);
    if admin.as_ref() == Some(&listen) && listen.port() != Some(0) {
        checker.refuse("admin", Some(&listen.to_string()), "this is where `listen` is already", None);
    }
    checker.unadmitted_hosts(&routes, &listen, &inbound);
    let forward = settings::forward(file.forward, &listen);
    checker.permissions();
    if !checker.problems.is_empty() {
        return Err(checker.problems);
    }
    Ok(Config {
        listen,
        admin,
        threads,
        clients: clients.into_iter().filter_map(|(name, client)| Some((name, client?))).collect(),
        routes,
        token_only,
        forward,
        inbound,
        upstream,
        base_dir: surroundings.folder_of(surroundings.files.first().map(PathBuf::as_path)),
        watched: checker.watched.into_iter().collect(),
        warnings: checker.warnings,
    })
}

/// The clients by name; `None` for one that has a problem of its own.
type Clients = BTreeMap<String, Option<Arc<Client>>>;

struct Checker<'a> {
    surroundings: &'a Surroundings<'a>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
    watched: BTreeSet<PathBuf>,
    /// Files that hold a secret, and should be their owner's alone.
    private: BTreeSet<PathBuf>,
    /// The names of clients that some route or grant asks for.
    used: BTreeSet<String>,
    /// Whether some route has not said well enough which client it means.
    client_in_doubt: bool,
    /// Whether there is an inbound password, but an empty one.
    empty_password: bool,
}

impl Surroundings<'_> {
    /// The absolute folder of a file, or the working directory.
    fn folder_of(&self, file: Option<&Path>) -> PathBuf {
        let parent = file.and_then(Path::parent).unwrap_or(Path::new(""));
        // Joining the empty path would leave a slash at the end.
        if parent.as_os_str().is_empty() { self.cwd.to_owned() } else { self.cwd.join(parent) }
    }
}

impl<'a> Checker<'a> {
    fn new(surroundings: &'a Surroundings<'a>) -> Self {
        Self {
            surroundings,
            problems: Vec::new(),
            warnings: Vec::new(),
            watched: surroundings.files.iter().map(|file| surroundings.cwd.join(file)).collect(),
            private: BTreeSet::new(),
            used: BTreeSet::new(),
            client_in_doubt: false,
            empty_password: false,
        }
    }

    /// Notes a problem. `value` must be fit to be shown.
    fn refuse(&mut self, path: &str, value: Option<&str>, message: impl Display, allowed: Option<&str>) {
        self.problems.push(Problem {
            origin: self.surroundings.origins.of(path),
            path: path.to_owned(),
            value: value.map(|text| format!("{:?}", super::url::without_userinfo(text))),
            message: message.to_string(),
            allowed: allowed.map(str::to_owned),
            nearest: None,
        });
    }

    /// Notes a problem with a value that is a known one, misspelt.
    fn refuse_unknown<'n>(
        &mut self,
        path: &str,
        value: &str,
        message: &str,
        known: impl Iterator<Item = &'n str> + Clone,
    ) {
        let nearest = schema::nearest(value, known.clone()).map(str::to_owned);
        let allowed = known.collect::<Vec<_>>().join(", ");
        self.refuse(path, Some(value), message, Some(&allowed));
        if let Some(problem) = self.problems.last_mut() {
            problem.nearest = nearest;
        }
    }

    /// The value, or a problem where there is none.
    fn required<T>(&mut self, value: Option<T>, path: &str, allowed: &str) -> Option<T> {
        if value.is_none() {
            self.refuse(path, None, "this is missing", Some(allowed));
        }
        value
    }

    /// A text as `T`; the problem, if any, is in its error's words.
    fn parse<T: FromStr<Err: Display>>(&mut self, path: &str, text: &str, allowed: &str) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(path, Some(text), error, Some(allowed));
                None
            }
        }
    }

    /// A text that is one word: MP-011 is what stray white space leads to.
    fn word(&mut self, text: String, path: &str) -> Option<String> {
        if text.is_empty() {
            self.refuse(path, None, "this is empty", None);
            return None;
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            self.refuse(path, Some(&text), "white space has no place in it", None);
            return None;
        }
        Some(text)
    }

    fn listen(&mut self, path: &str, text: &str) -> Option<Listen> {
        let off = if path == "admin" { ", or \"off\"" } else { "" };
        let allowed = format!("\"IP:PORT\", \"localhost:PORT\" or \"unix:PATH\"{off}");
        match self.parse(path, text, &allowed)? {
            Listen::Unix(socket) => Some(Listen::Unix(self.locate(path, &socket.to_string_lossy()))),
            tcp => Some(tcp),
        }
    }

    /// A path relative to the file that names it (else the working directory), made absolute.
    fn locate(&self, path: &str, text: &str) -> PathBuf {
        let folder = match self.surroundings.origins.of(path) {
            Origin::File { path, .. } => self.surroundings.folder_of(Some(&path)),
            _ => self.surroundings.cwd.to_owned(),
        };
        folder.join(text)
    }

    /// A file that is read again when it changes.
    fn watched_file(&mut self, path: &str, text: &str) -> Option<PathBuf> {
        if text.is_empty() {
            self.refuse(path, None, "this is empty", Some("a path"));
            return None;
        }
        let located = self.locate(path, text);
        self.watched.insert(located.clone());
        Some(located)
    }

    /// As [`Self::watched_file`], of a file that holds a secret.
    fn private_file(&mut self, path: &str, text: &str) -> Option<PathBuf> {
        let located = self.watched_file(path, text)?;
        self.private.insert(located.clone());
        Some(located)
    }

    /// Notes that the file which holds the value at `path` holds a secret.
    fn holds_secret(&mut self, path: &str) {
        if let Origin::File { path, .. } = self.surroundings.origins.of(path) {
            self.private.insert(self.surroundings.cwd.join(path));
        }
    }

    fn secret(&mut self, secret: Option<file::Secret>, path: &str) -> Option<SecretSource> {
        let form = match secret? {
            file::Secret::Literal(text) if text.is_empty() => return None,
            file::Secret::Literal(text) => {
                self.holds_secret(path);
                return Some(SecretSource::Literal(Secret::new(text)));
            }
            file::Secret::Form(form) => form,
        };
        let at = |form: &str| format!("{path}.{form}");
        match (form.env, form.file, form.command) {
            (Some(name), None, None) if name.is_empty() || name.contains(['=', '\0']) => {
                self.refuse(&at("env"), Some(&name), "this is no name of a variable", None);
                None
            }
            (Some(name), None, None) => Some(SecretSource::Env(name)),
            (None, Some(text), None) => Some(SecretSource::File(self.private_file(&at("file"), &text)?)),
            (None, None, Some(command)) if command.trim().is_empty() => {
                self.refuse(&at("command"), None, "this is empty", Some("a command line for the shell"));
                None
            }
            (None, None, Some(command)) => Some(SecretSource::Command(command)),
            _ => {
                let allowed = "exactly one of env, file, command";
                self.refuse(path, None, "a secret comes from one place", Some(allowed));
                None
            }
        }
    }

    /// Clients that nothing asks for a token of are a mistake, and so is a configuration without
    /// any client.
    fn reachability(&mut self, clients: &Clients, any_route: bool) {
        if clients.is_empty() {
            let allowed = "a [clients.NAME] in proxy.toml, a .properties file of jwt-grant-generator, or the MASKINPORTEN_… variables of NAIS";
            self.refuse("clients", None, "no Maskinporten client is configured", Some(allowed));
            return;
        }
        if self.client_in_doubt {
            return;
        }
        let used = std::mem::take(&mut self.used);
        for name in clients.keys().filter(|name| !used.contains(*name)) {
            let message = if any_route {
                "no route reaches this client"
            } else {
                "there is no route, so nothing reaches this client"
            };
            let allowed = format!("a [[routes]] with client = \"{name}\" (or leave the client out)");
            self.refuse(&format!("clients.{name}"), None, message, Some(&allowed));
        }
    }
}

/// Whether a text can be the name of a client or route: it is part of metrics, variables and URLs.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

const NAME: &str = "letters, digits, `-` and `_`";
