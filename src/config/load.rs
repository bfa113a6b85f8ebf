//! [`load`]: from files, environment and flags to a [`Config`].

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Value};
use zeroize::Zeroizing;

use super::error::{ConfigError, Origin, Problem};
use super::layer::{GRANT_PREFIX, Layer, Merged, merge};
use super::show::Setting;
use super::validate::Surroundings;
use super::{Config, env, file, implied, nais, properties, schema, show, toml_file, validate};

/// What to load. The process's environment and working directory are part of the request, so
/// that the same request always means the same configuration.
#[derive(Clone, Default)]
pub struct LoadRequest {
    /// `.toml` and `.properties` files; of two, the later one wins, key by key. A list, `routes`
    /// too, is replaced by the later one as a whole.
    pub files: Vec<PathBuf>,
    pub flags: Overrides,
    /// Environment variables; those that mean nothing here are passed over.
    pub env: BTreeMap<String, String>,
    /// What relative paths on the command line and in variables are relative to.
    pub cwd: PathBuf,
}

/// Settings of the command line; they win over everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen`
    pub listen: Option<String>,
    /// `--admin`
    pub admin: Option<String>,
    /// `--threads`
    pub threads: Option<usize>,
    /// `--upstream`: makes one route at `/`, for a properties file or the variables of NAIS.
    pub upstream: Option<String>,
}

/// A configuration, and where each of its values came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// The effective values in the order of the reference; none of them is a secret.
    pub settings: Vec<Setting>,
}

impl LoadRequest {
    /// A request in this process's environment and working directory.
    ///
    /// # Errors
    ///
    /// There is no working directory any more.
    pub fn from_process(files: Vec<PathBuf>, flags: Overrides) -> io::Result<Self> {
        // A variable that is not UTF-8 cannot be meant for us; one of ours fails its check.
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let env = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        Ok(Self { files, flags, env, cwd: std::env::current_dir()? })
    }
}

/// Reads and judges the configuration. Keys, certificates and passwords are not opened here.
///
/// # Errors
///
/// Everything that is wrong, as far as it can be judged at once: files that cannot be read first,
/// then unknown keys and wrong types, then what the values mean.
pub fn load(request: &LoadRequest) -> Result<Loaded, ConfigError> {
    let (merged, token_only, mut warnings) = layers(request)?;
    let origins = &merged.origins;

    let problems = schema::check(&merged.root, origins);
    if !problems.is_empty() {
        return Err(refused(problems));
    }
    let file: file::File = typed(&merged.root.clone().into()).map_err(|problem| refused(vec![*problem]))?;
    let token_only = match token_only {
        Some(grant) => Some(typed(&grant.into()).map_err(|problem| refused(vec![*problem]))?),
        None => None,
    };
    let surroundings = Surroundings { origins, env: &request.env, cwd: &request.cwd, files: &request.files };
    let mut config = validate::config(file, token_only, &surroundings).map_err(refused)?;
    warnings.append(&mut config.warnings);
    config.warnings = warnings;
    let settings = show::settings(&config, origins);
    Ok(Loaded { config, settings })
}

/// The sources as one, and what a properties file or NAIS asks for where no route does.
fn layers(request: &LoadRequest) -> Result<(Merged, Option<Dict>, Vec<String>), ConfigError> {
    let mut layers = Vec::new();
    let mut warnings = Vec::new();
    let mut problems = Vec::new();
    for path in &request.files {
        match read_file(path, &request.cwd, &mut warnings) {
            Ok(layer) => layers.push(layer),
            Err(problem) => problems.push(*problem),
        }
    }
    if !problems.is_empty() {
        return Err(refused(problems));
    }
    let (variables, problems) = env::read(&request.env, &merge(&layers));
    if !problems.is_empty() {
        return Err(refused(problems));
    }
    layers.push(variables);
    layers.push(flags(&request.flags));

    let mut merged = merge(&layers);
    let has_client =
        matches!(merged.root.get("clients"), Some(Value::Dict(_, clients)) if !clients.is_empty());
    if !has_client && let Some(platform) = nais::read(&request.env) {
        merged = merge(std::iter::once(&platform).chain(&layers));
    }
    let token_only = implied::apply(&mut merged, request.flags.upstream.as_deref())
        .map_err(|problem| refused(vec![*problem]))?;
    Ok((merged, token_only, warnings))
}

fn read_file(path: &Path, cwd: &Path, warnings: &mut Vec<String>) -> Result<Layer, Box<Problem>> {
    let problem = |line: Option<usize>, message: String, allowed: Option<&str>| {
        Box::new(Problem {
            origin: Origin::File { path: path.to_owned(), line },
            path: String::new(),
            value: None,
            message,
            allowed: allowed.map(str::to_owned),
            nearest: None,
        })
    };
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let is_toml = extension.eq_ignore_ascii_case("toml");
    if !is_toml && !extension.eq_ignore_ascii_case("properties") {
        let allowed = "a .toml file, or a .properties file of jwt-grant-generator";
        return Err(problem(None, "the name does not say what the file is".to_owned(), Some(allowed)));
    }
    let absolute = cwd.join(path);
    let bytes = std::fs::read(&absolute)
        .map(Zeroizing::new)
        .map_err(|error| problem(None, format!("the file cannot be read: {error}"), None))?;
    if is_toml {
        let text = std::str::from_utf8(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes))
            .map_err(|_| problem(None, "this is not TOML: it is not UTF-8".to_owned(), None))?;
        return toml_file::read(path, text);
    }
    let beside = absolute.parent().unwrap_or(cwd);
    let read = properties::read(path, &bytes, &[beside, cwd])
        .map_err(|error| problem(Some(error.line), error.to_string(), None))?;
    warnings.extend(read.warnings);
    Ok(read.layer)
}

fn flags(flags: &Overrides) -> Layer {
    let mut layer = Layer::new();
    if let Some(listen) = &flags.listen {
        layer.set(&["listen"], listen.as_str(), Origin::Flag("--listen"));
    }
    if let Some(admin) = &flags.admin {
        layer.set(&["admin"], admin.as_str(), Origin::Flag("--admin"));
    }
    if let Some(threads) = flags.threads {
        layer.set(&["threads"], threads, Origin::Flag("--threads"));
    }
    layer
}

/// The checked value as the types of a file. What the check lets through fits them, as a test
/// sees to; the error is for the case that it does not, and holds no value.
fn typed<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, Box<Problem>> {
    value.deserialize().map_err(|error| {
        Box::new(Problem {
            origin: Origin::Default,
            path: error.path.join("."),
            value: None,
            message: "a value of this kind does not belong here".to_owned(),
            allowed: None,
            nearest: None,
        })
    })
}

/// The problems of a configuration, in the order of files and lines, and in the words of the
/// file that they are in.
fn refused(mut problems: Vec<Problem>) -> ConfigError {
    for problem in &mut problems {
        if let Some(name) = properties_name(problem) {
            problem.path = name.to_owned();
        }
    }
    let place = |problem: &Problem| match &problem.origin {
        Origin::File { path, line } => (Some(path.clone()), *line),
        _ => (None, None),
    };
    problems.sort_by_key(place);
    ConfigError { problems }
}

/// What a properties file calls the key of a problem that lies in it.
fn properties_name(problem: &Problem) -> Option<&'static str> {
    let Origin::File { path, .. } = &problem.origin else { return None };
    if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("properties")) {
        return None;
    }
    let client = format!("clients.{}.", properties::CLIENT);
    let key = problem.path.strip_prefix(&client).map(|key| (true, key));
    let grant = || {
        let (table, key) = problem.path.split_once('.')?;
        (table == GRANT_PREFIX || table.starts_with("routes[")).then_some((false, key))
    };
    properties::name_of(key.or_else(grant)?)
}
