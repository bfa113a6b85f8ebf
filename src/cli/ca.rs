//! `ca`: makes and shows the local CA of the configuration's routes. Trust is given by people.

use std::path::PathBuf;
use std::time::SystemTime;

use super::args::{CaCommand, Global};
use super::failure::{Failure, Outcome};
use super::{print, print_line, setup};
use crate::ca::{self, Ca, CaError, RoutedNames};
use crate::config::{Config, Overrides};

pub(super) fn run(global: &Global, command: &CaCommand) -> Outcome {
    let config = setup::load(global, Overrides::default())?.config;
    match command {
        CaCommand::Init { force } => init(&config, *force),
        CaCommand::Show => print(load(&config)?.show().to_string().as_bytes()),
        CaCommand::Path => print_line(load(&config)?.root_pem_path()),
    }
}

fn init(config: &Config, force: bool) -> Outcome {
    let created =
        ca::init(&folder(config), &RoutedNames::of(config), force, SystemTime::now()).map_err(failure)?;
    let mut text = format!("{}\n\n{}", done(created.replaced), created.ca.show());
    if !config.forward.intercept {
        text.push_str("\nIt is used once the configuration says so:\n\n  [forward]\n  intercept = true\n");
    }
    print(text.as_bytes())
}

fn done(replaced: bool) -> &'static str {
    match replaced {
        true => "made a new CA in place of the old one; clients that trust the old one are to trust this one",
        false => "made a CA; its root's key is thrown away already",
    }
}

fn load(config: &Config) -> Result<Ca, Failure> {
    Ca::load(&folder(config)).map_err(failure)
}

fn folder(config: &Config) -> PathBuf {
    ca::default_dir(&config.base_dir)
}

fn failure(error: CaError) -> Failure {
    let hint = error.hint().map(str::to_owned);
    let failure = match error {
        // The configuration is what lacks something.
        CaError::NoNames => Failure::usage(error),
        _ => Failure::run_time(error),
    };
    failure.maybe_hint(hint)
}
