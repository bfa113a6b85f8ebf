//! `init`: asks the few questions that a configuration takes, looks into the keystore to help
//! with the answers, and writes a proxy.toml.
//!
//! Every question has a flag; what is given is not asked. No password is ever written: the file
//! names the variable that holds it. A file that is there is never touched.

mod ask;
mod keystore;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::args::InitArgs;
use super::failure::{Failure, Outcome};
use super::{files, print, setup};
use crate::config::init::{InitAnswers, Issuer, render};
use crate::config::{self, Environment, HttpUrl, LoadRequest, PathPrefix, Upstream};

use self::ask::{Asker, Question};
use self::keystore::Key;

pub(super) fn run(args: &InitArgs) -> Outcome {
    if args.out.symlink_metadata().is_ok() {
        return Err(exists(&args.out));
    }
    let mut asker = Asker::new(args.no_input);
    let answers = answers(args, &mut asker)?;
    files::create(&args.out, render(&answers).as_bytes()).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(&args.out),
        _ => Failure::run_time(error).context(format!("cannot write {}", args.out.display())),
    })?;
    if let Err(failure) = loads(&args.out) {
        // What does not load is of no use to anybody.
        let _ = std::fs::remove_file(&args.out);
        return Err(failure);
    }
    print(next_steps(&args.out, &answers).as_bytes())
}

fn exists(path: &Path) -> Failure {
    Failure::run_time(anyhow::anyhow!("{} exists already; nothing was changed", path.display()))
        .hint("name another file with --out, or edit this one; `maskinporten-proxy config show` prints what is in force")
}

fn answers(args: &InitArgs, asker: &mut Asker) -> Result<InitAnswers, Failure> {
    let issuer = issuer(args, asker)?;
    let client_id = asker.ask(
        Question::new("--client-id", "Client id in Maskinporten").given(args.client_id.clone()),
        one_word,
    )?;
    let Key { file, alias, password_env, kid } = keystore::key(args, asker)?;

    let default = match &issuer {
        Issuer::Environment(environment) => Some(format!("{}/clients", environment.self_service())),
        Issuer::Url(_) => None,
    };
    let upstream: Upstream = asker.ask(
        Question::new("--upstream", "The API's URL").given(args.upstream.clone()).default(default),
        |text| text.parse().map_err(|error: config::UrlError| error.to_string()),
    )?;
    let given = (!args.scope.is_empty()).then(|| args.scope.join(" "));
    let scopes = asker.ask(
        Question::new("--scope", "Scopes to ask for, separated by spaces")
            .given(given)
            .default(usual_scope(&upstream).map(str::to_owned)),
        |text| Ok(text.split([' ', ',']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect()),
    )?;
    let last = upstream.path.as_str().rsplit('/').next().unwrap_or_default().to_owned();
    let path = asker.ask(
        Question::new("--path", "Where it appears on the proxy")
            .given(args.path.clone())
            .default(Some(format!("/{last}"))),
        |text| PathPrefix::new(text).ok_or_else(|| "a path begins with `/`".to_owned()),
    )?;
    Ok(InitAnswers {
        issuer,
        client_id,
        keystore: relative_to(&args.out, file),
        alias,
        password_env,
        kid,
        route_name: route_name(path.as_str()),
        route_path: path.to_string(),
        upstream: upstream.to_string(),
        scopes,
    })
}

fn issuer(args: &InitArgs, asker: &mut Asker) -> Result<Issuer, Failure> {
    let (flag, given) = match &args.issuer {
        Some(url) => ("--issuer", Some(url.clone())),
        None => ("--environment", args.environment.clone()),
    };
    let question = Question::new(flag, "Environment: test, prod, or the URL of another issuer")
        .given(given)
        .default(Some("test".to_owned()));
    asker.ask(question, |text| {
        match Environment::ALL.into_iter().find(|environment| environment.name() == text) {
            Some(environment) => Ok(Issuer::Environment(environment)),
            None => match text.parse::<HttpUrl>() {
                Ok(_) => Ok(Issuer::Url(text.to_owned())),
                Err(error) => Err(format!("neither test nor prod, and no URL of an issuer: {error}")),
            },
        }
    })
}

/// What the self-service API asks for; another API's scopes cannot be guessed.
fn usual_scope(upstream: &Upstream) -> Option<&'static str> {
    match upstream.path.as_str().rsplit('/').next() {
        Some("clients") => Some("idporten:dcr.read"),
        Some("scopes") => Some("idporten:scopes.write"),
        _ => None,
    }
}

fn one_word(text: &str) -> Result<String, String> {
    match text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        true => Err("it is one word".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// A name for the route: the last segment of its path.
fn route_name(path: &str) -> String {
    let last = path.rsplit('/').next().unwrap_or_default();
    let name: String =
        last.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    if name.is_empty() { "api".to_owned() } else { name }
}

/// A path that was typed here, as the file in `out` is to name it: what it names is relative to it.
fn relative_to(out: &Path, file: PathBuf) -> PathBuf {
    let is_here = out.parent().is_none_or(|parent| parent.as_os_str().is_empty());
    if is_here { file } else { std::path::absolute(&file).unwrap_or(file) }
}

/// The file is judged as `serve` does, in the same words, but for what the environment adds.
fn loads(path: &Path) -> Result<(), Failure> {
    let request = LoadRequest {
        files: vec![path.to_owned()],
        env: BTreeMap::new(),
        cwd: std::env::current_dir()?,
        ..LoadRequest::default()
    };
    config::load(&request).map(|_| ()).map_err(setup::of_config)
}

fn next_steps(out: &Path, answers: &InitAnswers) -> String {
    let config = match out.to_str() {
        Some("proxy.toml") => String::new(),
        _ => format!(" --config {}", out.display()),
    };
    let mut text = format!("wrote {}\n\nNext:\n", out.display());
    if let Some(variable) = &answers.password_env
        && std::env::var_os(variable).is_none()
    {
        text.push_str(&format!(
            "  read -rs {variable} && export {variable}    # type the keystore's password\n"
        ));
    }
    text.push_str(&format!("  maskinporten-proxy check{config}\n  maskinporten-proxy serve{config}\n"));
    text.push_str(&format!("  curl http://localhost:8080{}\n", answers.route_path));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_named_after_its_path() {
        for (path, name) in [("/clients", "clients"), ("/", "api"), ("/v1/my.api", "my_api")] {
            assert_eq!(route_name(path), name);
        }
    }

    #[test]
    fn a_key_is_named_so_that_the_file_finds_it() {
        assert_eq!(relative_to(Path::new("proxy.toml"), "a.p12".into()), Path::new("a.p12"));
        assert!(relative_to(Path::new("sub/proxy.toml"), "a.p12".into()).is_absolute());
    }
}
