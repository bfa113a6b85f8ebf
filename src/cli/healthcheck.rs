//! `healthcheck`: asks a running proxy's admin listener, for containers without curl.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use super::args::{Global, HealthcheckArgs};
use super::failure::{Failure, Outcome};
use super::{print_line, setup};
use crate::config::{Listen, Overrides};

/// Where the admin listener is unless the configuration says otherwise.
const DEFAULT: &str = "127.0.0.1:8081";
const LIMIT: Duration = Duration::from_secs(3);

pub(super) fn run(global: &Global, args: &HealthcheckArgs) -> Outcome {
    let admin = listener(global, args)?;
    let path = if args.ready { "/readyz" } else { "/healthz" };
    let status = ask(&admin, path).map_err(|error| {
        Failure::run_time(error).context(format!("no answer from the admin listener at {admin}"))
    })?;
    print_line(format!("{path}: {status}"))?;
    Ok(if status == "200" { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The flag, the variable, the configuration, or where it is by default. A configuration that
/// does not load is not this command's business: it asks the program that runs.
fn listener(global: &Global, args: &HealthcheckArgs) -> Result<Listen, Failure> {
    let variable = || std::env::var("MASKINPORTEN_PROXY_ADMIN").ok().filter(|value| !value.is_empty());
    if let Some(address) = args.admin.clone().or_else(variable) {
        return address.parse().map_err(Failure::usage);
    }
    match setup::load(global, Overrides::default()) {
        Ok(loaded) => loaded.config.admin.ok_or_else(|| {
            Failure::usage(anyhow::anyhow!("`admin` is off, so there is nothing to ask"))
                .hint("name another listener with --admin")
        }),
        Err(_) => DEFAULT.parse().map_err(Failure::usage),
    }
}

/// The status code of a GET, by hand: a client library would be slower to start than to use.
fn ask(admin: &Listen, path: &str) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    match admin {
        Listen::Tcp(address) => {
            let mut stream = TcpStream::connect_timeout(&reachable(*address), LIMIT)?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.set_write_timeout(Some(LIMIT))?;
            stream.write_all(request.as_bytes())?;
            stream.take(1024).read_to_end(&mut answer)?;
        }
        #[cfg(unix)]
        Listen::Unix(path) => {
            let mut stream = std::os::unix::net::UnixStream::connect(path)?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.write_all(request.as_bytes())?;
            stream.take(1024).read_to_end(&mut answer)?;
        }
        #[cfg(not(unix))]
        Listen::Unix(_) => return Err(std::io::ErrorKind::Unsupported.into()),
    }
    let line = String::from_utf8_lossy(&answer);
    let status = line.split(' ').nth(1).unwrap_or("no status");
    Ok(status.to_owned())
}

/// A listener on every interface is reached over loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
