//! `sandbox`: the built-in Maskinporten and its APIs alone, for offline tests of any client.

use std::process::ExitCode;

use super::args::{Global, SandboxArgs};
use super::failure::{Failure, Outcome};
use super::{print_line, process, setup};
use crate::sandbox::{Sandbox, SandboxOptions};

pub(super) fn run(global: &Global, args: &SandboxArgs) -> Outcome {
    let _logging = setup::quiet_logging(global)?;
    process::runtime()?.block_on(async {
        if !args.listen.ip().is_loopback() {
            return Err(Failure::usage(anyhow::anyhow!("{} is not a loopback address", args.listen))
                .hint("the sandbox speaks plain HTTP and hands out keys; it is for this machine alone: --listen 127.0.0.1:8090"));
        }
        let sandbox = Sandbox::start(SandboxOptions { listen: args.listen, ..SandboxOptions::default() })
            .await
            .map_err(|error| bind_failure(error, args))?;
        print_line(format!("sandbox listening on {}", sandbox.api_url()))?;
        print_line(format!(
            "  issuer          {}\n  token endpoint  {}\n  self-service    {}/clients, /scopes, /delegationsources\n  echo API        {}\n  Altinn          {}",
            sandbox.issuer(),
            sandbox.token_endpoint(),
            sandbox.api_url(),
            sandbox.echo_url(),
            sandbox.altinn_url(),
        ))?;
        if let Some(dir) = &args.out {
            let written = sandbox
                .write_out(dir)
                .map_err(|error| Failure::run_time(error).context(format!("cannot write into {}", dir.display())))?;
            print_line(format!(
                "wrote {}\n  maskinporten-proxy serve --config {}",
                dir.display(),
                written.config.display()
            ))?;
        }
        let (stop, _) = process::signals()?;
        stop.await;
        drop(sandbox);
        Ok(ExitCode::SUCCESS)
    })
}

fn bind_failure(error: std::io::Error, args: &SandboxArgs) -> Failure {
    let in_use = error.kind() == std::io::ErrorKind::AddrInUse;
    let failure = Failure::run_time(error).context(format!("the sandbox cannot listen on {}", args.listen));
    match in_use {
        true => failure.hint(
            "another program listens there; choose another port with --listen, or port 0 for a free one",
        ),
        false => failure,
    }
}
