//! `config show`: the configuration in force, each value with its source; secrets as `***`.

use super::args::{ConfigCommand, Global};
use super::failure::Outcome;
use super::{print, print_line, setup};
use crate::config;

pub(super) fn run(global: &Global, command: &ConfigCommand) -> Outcome {
    let ConfigCommand::Show { json, upstream } = command;
    let loaded = setup::load(global, setup::upstream(upstream.as_ref()))?;
    for warning in &loaded.config.warnings {
        eprintln!("warning: {warning}");
    }
    if *json {
        return print_line(config::show_json(&loaded).to_string());
    }
    print(config::show(&loaded).as_bytes())
}
