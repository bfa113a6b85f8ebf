//! `postman`: a collection and an environment for the configured routes, to be imported as they
//! are. There is no authorization in them: that is the proxy's.

mod collection;
mod request;
mod selfservice;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::{Global, PostmanArgs};
use super::failure::{Failure, Outcome};
use super::{files, print_line, setup};
use crate::config::{Config, Listen};

const COLLECTION: &str = "maskinporten-proxy.postman_collection.json";
const ENVIRONMENT: &str = "maskinporten-proxy.postman_environment.json";

/// Stands in both files; one without it is somebody else's, and is not written over.
const GENERATOR: &str = "maskinporten-proxy postman";

/// Where the proxy is reached if the configuration does not tell.
const USUAL: &str = "http://localhost:8080";

pub(super) fn run(global: &Global, args: &PostmanArgs) -> Outcome {
    let config = setup::load(global, setup::upstream(args.upstream.as_ref()))?.config;
    if config.routes.is_empty() {
        return Err(Failure::usage(anyhow::anyhow!("the configuration has no route to make requests for"))
            .hint("name the API with --upstream URL, or add a [[routes]] table"));
    }
    let url = args.url.clone().unwrap_or_else(|| base_url(&config));
    let url = url.trim_end_matches('/');
    let collection = collection::make(&config, url).map_err(Failure::run_time)?;
    let paths = [args.out.join(COLLECTION), args.out.join(ENVIRONMENT)];
    fs::create_dir_all(&args.out).map_err(|error| cannot_write(error, &args.out))?;
    for path in &paths {
        refuse_foreign(path)?;
    }
    for (path, value) in paths.iter().zip([collection, environment(&config, url)]) {
        let mut text = serde_json::to_string_pretty(&value)?;
        text.push('\n');
        files::replace(path, text.as_bytes()).map_err(|error| cannot_write(error, path))?;
        print_line(format!("wrote {}", path.display()))?;
    }
    print_line("In Postman: Import, drop both files, and choose the environment \"maskinporten-proxy\".")
}

/// The proxy's address as the configuration has it, or the usual one: a port 0 is known only to
/// the program that got it, and Postman speaks to no Unix socket.
fn base_url(config: &Config) -> String {
    let scheme = if config.inbound.tls.is_some() { "https" } else { "http" };
    match config.listen {
        Listen::Tcp(address) if address.port() == 0 => USUAL.to_owned(),
        Listen::Tcp(address) if address.ip().is_unspecified() || address.ip().is_loopback() => {
            format!("{scheme}://localhost:{}", address.port())
        }
        Listen::Tcp(address) => format!("{scheme}://{address}"),
        Listen::Unix(_) => USUAL.to_owned(),
    }
}

fn environment(config: &Config, url: &str) -> Value {
    let mut values = vec![json!({ "key": "baseUrl", "value": url, "type": "default", "enabled": true })];
    if config.inbound.password.is_some() {
        values.push(json!({ "key": "proxyPassword", "value": "", "type": "secret", "enabled": true }));
    }
    json!({
        "name": "maskinporten-proxy",
        "values": values,
        "_postman_variable_scope": "environment",
        "_postman_exported_using": GENERATOR,
    })
}

fn refuse_foreign(path: &Path) -> Result<(), Failure> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot_write(error, path)),
    };
    let value: Value = serde_json::from_slice(&text).unwrap_or_default();
    let marks = [&value["_postman_exported_using"], &value["info"]["_exporter_id"]];
    if marks.iter().any(|mark| *mark == GENERATOR) {
        return Ok(());
    }
    Err(Failure::run_time(anyhow::anyhow!(
        "{} exists, and was not written by this command; nothing was changed",
        path.display()
    ))
    .hint("choose another folder with --out, or move the file away"))
}

fn cannot_write(error: io::Error, path: &Path) -> Failure {
    Failure::run_time(error).context(format!("cannot write {}", PathBuf::from(path).display()))
}
