//! `key generate`: an RSA key in a file of its own, and the public JWK set to register.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use crate::cli::args::{Bits, KeyGenerateArgs};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::print_line;
use crate::keys::{self, KeyBits};

pub(super) fn run(args: &KeyGenerateArgs) -> Outcome {
    if args.kid.as_deref().is_some_and(|kid| kid.trim().is_empty() || kid.chars().any(char::is_control)) {
        return Err(Failure::usage(anyhow::anyhow!("the --kid is empty, or holds control characters")));
    }
    let path = args.out.as_path();
    // Asked again, and for certain, when the file is made.
    if path.symlink_metadata().is_ok() {
        return Err(exists(path));
    }
    let bits = match args.bits {
        Bits::B2048 => KeyBits::B2048,
        Bits::B3072 => KeyBits::B3072,
    };
    let key = keys::generate(bits, args.kid.as_deref()).map_err(Failure::run_time)?;
    write(path, key.pem.expose()).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        kind => {
            let failure =
                Failure::run_time(error).context(format!("the key cannot be written to {}", path.display()));
            match kind {
                io::ErrorKind::NotFound => failure.hint("make the folder first"),
                io::ErrorKind::PermissionDenied => failure.hint("choose a folder that you may write to"),
                _ => failure,
            }
        }
    })?;
    // The explanations go where they are not in the way of `> jwks.json`.
    eprintln!("{}", explanation(path, &key.kid));
    print_line(format!("{:#}", key.public_jwks))
}

fn exists(path: &Path) -> Failure {
    Failure::run_time(anyhow::anyhow!("{} exists already, and a key is never overwritten", path.display()))
        .hint("choose another name with --out")
}

/// The file is made here and now (`O_EXCL`), readable by its owner alone, or not at all.
fn write(path: &Path, pem: &str) -> io::Result<()> {
    let mut file = create(path)?;
    let written = file.write_all(pem.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // Best effort: half a key is of no use, and the error that is told is the one that matters.
        let _ = std::fs::remove_file(path);
    }
    written
}

#[cfg(unix)]
fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

fn explanation(path: &Path, kid: &str) -> String {
    let file = toml::Value::from(path.to_string_lossy().into_owned()).to_string();
    let kid = toml::Value::from(kid).to_string();
    format!(
        "wrote the private key to {}; keep it secret and back it up\n\
         \n\
         In proxy.toml:\n\
         \n\
         \x20 [clients.NAME.key]\n\
         \x20 file = {file}\n\
         \x20 kid  = {kid}\n\
         \n\
         Register the public key below on the client: paste it in the self-service, or, with this output in\n\
         jwks.json and a proxy that has the scope idporten:dcr.write:\n\
         \n\
         \x20 curl http://localhost:8080/clients/CLIENT_ID/jwks -H 'Content-Type: application/json' -d @jwks.json\n\
         \n\
         The set replaces the client's keys as a whole: add those that are still in use. Keys live for one year.\n",
        path.display(),
    )
}
