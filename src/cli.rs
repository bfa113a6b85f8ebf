//! The command line: a file for each command. What can be typed stands in [`args`]; a command
//! gets it, calls the floors below, and ends in an exit code or a [`Failure`].

pub mod args;
pub mod build_info;
mod ca;
mod check;
mod demo;
pub mod failure;
mod files;
mod healthcheck;
mod init;
mod key;
mod language;
mod postman;
mod process;
mod run;
mod sandbox;
mod serve;
mod setup;
mod show;
mod style;
mod token;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

pub use self::args::Cli;

use self::args::Command;
use self::failure::{Failure, Outcome};

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    if let Some(code) = run::become_command() {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // clap's own exit codes are 0 for help and 2 for usage.
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match dispatch(cli) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}

fn dispatch(cli: Cli) -> Outcome {
    let Cli { global, serve: top, command } = cli;
    match command {
        None => serve::run(&global, &top),
        Some(Command::Serve(args)) => serve::run(&global, &args.or(top)),
        Some(Command::Demo(args)) => demo::run(&global, &args),
        Some(Command::Sandbox(args)) => sandbox::run(&global, &args),
        Some(Command::Token(args)) => token::run(&global, &args),
        Some(Command::Check(args)) => check::run(&global, &args),
        Some(Command::Key(command)) => key::run(command),
        Some(Command::Run(args)) => run::run(&global, &args),
        Some(Command::Postman(args)) => postman::run(&global, &args),
        Some(Command::Ca(command)) => ca::run(&global, &command),
        Some(Command::Init(args)) => init::run(&args),
        Some(Command::Config(command)) => show::run(&global, &command),
        Some(Command::Healthcheck(args)) => healthcheck::run(&global, &args),
        Some(Command::Completions { shell }) => completions(shell),
        Some(Command::Man) => man(),
    }
}

fn completions(shell: clap_complete::Shell) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "maskinporten-proxy", &mut text);
    print(&text)
}

fn man() -> Outcome {
    let mut command = Cli::command();
    // Global flags come to the commands beneath by this.
    command.build();
    let mut page = Vec::new();
    sections(&command, "maskinporten-proxy", &mut page)?;
    print(&page)
}

/// The manual page of a command, then those of the commands beneath it.
fn sections(command: &clap::Command, name: &str, page: &mut Vec<u8>) -> std::io::Result<()> {
    clap_mangen::Man::new(command.clone().name(name.to_owned())).render(page)?;
    for beneath in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        sections(beneath, &format!("{name}-{}", beneath.get_name()), page)?;
    }
    Ok(())
}

/// Writes to stdout. A reader that has left (`| head`) is no failure.
fn print(bytes: &[u8]) -> Outcome {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::run_time(error).context("cannot write to stdout"))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// A line on stdout.
fn print_line(text: impl Into<OsString>) -> Outcome {
    let mut bytes = text.into().into_encoded_bytes();
    bytes.push(b'\n');
    print(&bytes)
}
