//! The password of a key file, from anywhere but the command line, which other users can read.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::cli::args::PasswordArgs;
use crate::cli::failure::Failure;
use crate::config::SecretSource;
use crate::keys::Passwords;
use crate::secret::Secret;

/// The password that the flags name; `None` where they name none.
pub(super) fn named(args: &PasswordArgs) -> Result<Option<Passwords>, Failure> {
    let source = match (&args.password_env, &args.password_file) {
        (Some(variable), _) => SecretSource::Env(variable.clone()),
        (None, Some(file)) => SecretSource::File(file.clone()),
        (None, None) => return Ok(None),
    };
    let store = source.resolve().map_err(|error| {
        let hint = error.hint();
        Failure::usage(error).context("the password cannot be read").hint(hint)
    })?;
    Ok(Some(Passwords { store, key: None }))
}

/// Asks for it: on the terminal, or where stdin is none, its first line.
pub(super) fn asked(file: &Path) -> Result<Passwords, Failure> {
    let stdin = std::io::stdin();
    let password = if stdin.is_terminal() {
        rpassword::prompt_password(format!("Password of {}: ", file.display())).map(Zeroizing::new)
    } else {
        let mut line = Zeroizing::new(String::new());
        stdin.lock().read_line(&mut line).map(|_| line)
    };
    let password = password.map_err(|error| {
        Failure::run_time(error)
            .context("the password cannot be read")
            .hint("give it with --password-env VARIABLE or --password-file FILE")
    })?;
    let password = password.trim_end_matches(['\r', '\n']);
    Ok(Passwords { store: Some(Secret::from(password)), key: None })
}
