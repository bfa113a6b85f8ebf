//! `healthcheck`: asks a running proxy's admin listener, for containers without curl.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use super::args::{Global, HealthcheckArgs};
use super::failure::{Failure, Outcome};
use super::{print_line, setup};
use crate::config::{Listen, Overrides};

const LIMIT: Duration = Duration::from_secs(3);

pub(super) fn run(global: &Global, args: &HealthcheckArgs) -> Outcome {
    let overrides = Overrides { admin: args.admin.clone(), ..Overrides::default() };
    let admin = match &args.admin {
        Some(address) => address.parse::<Listen>().map_err(Failure::usage)?,
        None => setup::load(global, overrides)?.config.admin.ok_or_else(|| {
            Failure::usage(anyhow::anyhow!("`admin` is off, so there is nothing to ask")).hint("name another listener with --admin")
        })?,
    };
    let path = if args.ready { "/readyz" } else { "/healthz" };
    let status = ask(&admin, path)
        .map_err(|error| Failure::run_time(error).context(format!("no answer from the admin listener at {admin}")))?;
    print_line(format!("{path}: {status}"))?;
    Ok(if status == "200" { ExitCode::SUCCESS } else { ExitCode::from(1) })
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
