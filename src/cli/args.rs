//! What can be typed: the clap definitions, from which help, completions and the man page come.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use super::build_info;

/// A proxy that signs in to Maskinporten for you
///
/// It holds the key of your business certificate, obtains and refreshes tokens in the
/// background, and puts `Authorization: Bearer …` on every request that passes. Point Postman,
/// curl or a test suite at it; they need no auth configuration at all.
#[derive(Debug, Parser)]
#[command(name = "maskinporten-proxy", version = build_info::SHORT, long_version = build_info::LONG.as_str(), max_term_width = 100)]
#[command(after_help = "With no command it serves ./proxy.toml. New here? Run: maskinporten-proxy demo")]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,

    /// The same flags as `serve`, for when no command is given
    #[command(flatten)]
    pub serve: ServeArgs,

    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Args, Clone, Debug)]
pub struct Global {
    /// A proxy.toml, or a .properties file of jwt-grant-generator; may be repeated, a later file
    /// wins key by key [default: proxy.toml]
    #[arg(long, short, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    pub config: Vec<PathBuf>,

    /// How log lines look: `auto` is human on a terminal and JSON otherwise
    #[arg(long, value_name = "FORMAT", global = true, value_enum, default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Auto,
    Human,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the proxy (what happens without a command, too)
    Serve(ServeArgs),
    /// Try it: a sandbox and a proxy in one process, no files needed
    Demo(DemoArgs),
    /// A built-in Maskinporten and self-service API, for offline tests of any client
    Sandbox(SandboxArgs),
    /// Print an access token
    Token(TokenArgs),
    /// Examine the set-up; say what is wrong and how to mend it
    Check(CheckArgs),
    /// Run a command behind a proxy of its own
    Run(RunArgs),
    /// Look into keystores, make keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Write a Postman collection and environment for the configured routes
    Postman(PostmanArgs),
    /// The local CA for TLS interception
    #[command(subcommand)]
    Ca(CaCommand),
    /// Write a proxy.toml
    Init(InitArgs),
    /// Show the effective configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Ask a running proxy's admin listener whether it serves: exit code 0 or 1
    Healthcheck(HealthcheckArgs),
    /// Print shell completions
    Completions {
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the manual page (roff)
    Man,
}

#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    /// Where to listen: ADDRESS:PORT (port 0: a free one) or unix:/path.sock
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Where the status page, health and metrics are: ADDRESS:PORT, unix:/path.sock or off
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<String>,
    /// Worker threads [default: the cores there are]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// With a .properties file: the API to proxy, as one route at /
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub upstream: Option<String>,
}

#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Where the status page is [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<String>,
}

#[derive(Args, Debug)]
pub struct SandboxArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    pub listen: std::net::SocketAddr,
    /// Write a key and a proxy.toml that work with this sandbox into DIR
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct TokenArgs {
    /// The route whose token is asked for; needed where several routes are configured
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// Print one line of JSON: {"grant":…,"token":{…}}
    #[arg(long)]
    pub json: bool,
    /// Print the signed grant and ask for nothing
    #[arg(long)]
    pub grant: bool,
    /// With a .properties file: the API that the token is for
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub upstream: Option<String>,
    /// A value for a claim that the route takes from a request header
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
}

#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Ask nothing of the network
    #[arg(long)]
    pub offline: bool,
    /// Print JSON: {"ok":…,"checks":[{"name","status","detail","hint"}]}
    #[arg(long)]
    pub json: bool,
    /// Language of causes and mends [default: from the locale]
    #[arg(long, value_enum)]
    pub lang: Option<Lang>,
    /// With a .properties file: the API to check
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub upstream: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    En,
    Nb,
}

#[derive(Args, Debug)]
pub struct RunArgs {
    /// Set HTTP(S)_PROXY and the CA variables of the common runtimes for CMD too
    #[arg(long)]
    pub proxy_env: bool,
    /// With a .properties file: the API to proxy, as one route at /
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub upstream: Option<String>,
    /// The command and its arguments; {url} in an argument becomes the proxy's URL
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true, allow_hyphen_values = true, value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<std::ffi::OsString>,
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List the entries of a keystore, PEM or JWK
    Inspect(KeyInspectArgs),
    /// Make an RSA key and print the public JWKS to register
    Generate(KeyGenerateArgs),
}

#[derive(Args, Debug)]
pub struct KeyInspectArgs {
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    #[command(flatten)]
    pub password: PasswordArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Passwords never stand in arguments: other users of the machine can read those.
#[derive(Args, Debug)]
#[group(multiple = false)]
pub struct PasswordArgs {
    /// The environment variable that holds the password
    #[arg(long, value_name = "VAR")]
    pub password_env: Option<String>,
    /// The file that holds the password
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub password_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct KeyGenerateArgs {
    /// The PEM file to write (mode 0600); an existing file is never overwritten
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: PathBuf,
    /// Size of the modulus
    #[arg(long, value_enum, default_value_t = Bits::B2048)]
    pub bits: Bits,
    /// The key's id [default: made from the key itself]
    #[arg(long)]
    pub kid: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Bits {
    #[value(name = "2048")]
    B2048,
    #[value(name = "3072")]
    B3072,
}

#[derive(Args, Debug)]
pub struct PostmanArgs {
    /// The folder to write into
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// The proxy's URL in the environment [default: from `listen`]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// With a .properties file: the API to proxy
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub upstream: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Make the CA for the configured upstream hosts
    Init {
        /// Replace a CA that is there
        #[arg(long)]
        force: bool,
    },
    /// Show fingerprint, names, dates, and how to trust or remove it
    Show,
    /// Print the path of the root certificate (PEM)
    Path,
}

#[derive(Args, Debug)]
pub struct InitArgs {
    /// The file to write
    #[arg(long, short, value_name = "FILE", default_value = "proxy.toml", value_hint = ValueHint::FilePath)]
    pub out: PathBuf,
    /// Maskinporten's environment
    #[arg(long, value_parser = ["test", "prod"], conflicts_with = "issuer")]
    pub environment: Option<String>,
    /// Another issuer in place of an environment, such as a sandbox: http://127.0.0.1:8090/
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub issuer: Option<String>,
    /// The client's id in Maskinporten
    #[arg(long)]
    pub client_id: Option<String>,
    /// The keystore, PEM or JWK with the signing key
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key: Option<PathBuf>,
    /// The key's alias in the keystore
    #[arg(long)]
    pub alias: Option<String>,
    /// The key id, where the key is registered on the client
    #[arg(long)]
    pub kid: Option<String>,
    /// The environment variable that holds the keystore's password
    #[arg(long, value_name = "VAR")]
    pub password_env: Option<String>,
    /// The API's base URL
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub upstream: Option<String>,
    /// A scope to ask for; may be repeated
    #[arg(long, value_name = "SCOPE")]
    pub scope: Vec<String>,
    /// Where the API appears on the proxy
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// Ask nothing; what is needed and not given is an error
    #[arg(long)]
    pub no_input: bool,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every value in force and where it came from; secrets as ***
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// With a .properties file: the API to proxy
        #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
        upstream: Option<String>,
    },
}

#[derive(Args, Debug)]
pub struct HealthcheckArgs {
    /// The admin listener [default: from the configuration]
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<String>,
    /// Ask /readyz in place of /healthz
    #[arg(long)]
    pub ready: bool,
}
