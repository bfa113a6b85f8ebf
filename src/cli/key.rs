//! `key inspect` and `key generate`: looks into keystores, makes keys.

mod generate;
mod inspect;
mod password;

use super::args::KeyCommand;
use super::failure::Outcome;
use super::process;

pub(super) fn run(command: KeyCommand) -> Outcome {
    process::harden();
    match command {
        KeyCommand::Inspect(args) => inspect::run(&args),
        KeyCommand::Generate(args) => generate::run(&args),
    }
}
