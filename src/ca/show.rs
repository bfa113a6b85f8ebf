//! [`Shown`]: the CA as a person wants to see it, with how to trust it and how to stop.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use time::macros::format_description;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::{Ca, RoutedNames, list};

/// What `ca show` prints; its `Display` is the whole text.
#[derive(Clone, Debug)]
pub struct Shown {
    pub root_pem: PathBuf,
    /// The SHA-256 of the root certificate, as browsers and `openssl x509 -fingerprint` write it.
    pub fingerprint: String,
    pub names: RoutedNames,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
    pub trust: Vec<Trust>,
}

/// How one kind of client comes to trust the root, and how it is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    pub client: &'static str,
    /// One step or command in each line.
    pub how: String,
    pub undo: String,
}

impl Shown {
    pub(super) fn new(ca: &Ca) -> Self {
        let root_pem = ca.root_pem_path();
        let fingerprint: Vec<String> =
            digest(&SHA256, &ca.root).as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        Self {
            fingerprint: fingerprint.join(":"),
            names: ca.names().clone(),
            not_before: ca.not_before.into(),
            not_after: ca.not_after.into(),
            trust: trust(&root_pem, &common_name(&ca.root)),
            root_pem,
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "root certificate  {}", self.root_pem.display())?;
        writeln!(f, "SHA-256           {}", self.fingerprint)?;
        writeln!(f, "can vouch for     {}, and nothing else", list(self.names.iter()))?;
        writeln!(f, "valid             {} to {}", minute(self.not_before), minute(self.not_after))?;
        writeln!(f)?;
        writeln!(f, "Let only those clients trust it that need to:")?;
        for Trust { client, how, undo } in &self.trust {
            writeln!(f, "\n{client}")?;
            for line in how.lines() {
                writeln!(f, "  {line}")?;
            }
            writeln!(f, "  undo: {undo}")?;
        }
        Ok(())
    }
}

fn minute(at: SystemTime) -> String {
    OffsetDateTime::from(at)
        .format(format_description!("[year]-[month]-[day] [hour]:[minute] UTC"))
        .unwrap_or_else(|_| "?".to_owned())
}

/// By which stores list the root; every CA has another.
fn common_name(root: &CertificateDer<'_>) -> String {
    X509Certificate::from_der(root)
        .ok()
        .and_then(|(_, root)| root.subject().iter_common_name().next()?.as_str().ok().map(str::to_owned))
        .unwrap_or_default()
}

fn trust(root_pem: &Path, common_name: &str) -> Vec<Trust> {
    let root = quoted(root_pem);
    let plain = root_pem.display();
    let unset = |variable: &str| format!("unset {variable}");
    vec![
        Trust {
            client: "Postman",
            how: format!("Settings > Certificates: turn on \"CA certificates\" and choose\n{plain}"),
            undo: "turn it off there".to_owned(),
        },
        Trust {
            client: "curl",
            how: format!("curl --cacert {root} -x http://127.0.0.1:8080 https://…"),
            undo: "nothing stays".to_owned(),
        },
        Trust {
            client: "Node (newman too)",
            how: format!("export NODE_EXTRA_CA_CERTS={root}"),
            undo: unset("NODE_EXTRA_CA_CERTS"),
        },
        Trust {
            client: "Java",
            how: format!(
                "cp \"$JAVA_HOME/lib/security/cacerts\" truststore.p12\n\
                 keytool -importcert -noprompt -alias maskinporten-proxy -file {root} \
                 -keystore truststore.p12 -storepass changeit\n\
                 java -Djavax.net.ssl.trustStore=truststore.p12 -Djavax.net.ssl.trustStorePassword=changeit …"
            ),
            undo: "delete truststore.p12 and leave the properties out".to_owned(),
        },
        Trust {
            client: "Python (requests, httpx; the variables replace the usual roots, hence the bundle)",
            how: format!(
                "cat \"$(python3 -m certifi)\" {root} > bundle.pem\n\
                 export REQUESTS_CA_BUNDLE=\"$PWD/bundle.pem\" SSL_CERT_FILE=\"$PWD/bundle.pem\""
            ),
            undo: "unset REQUESTS_CA_BUNDLE SSL_CERT_FILE".to_owned(),
        },
        Trust {
            client: ".NET on Linux (and other programs on OpenSSL)",
            how: format!(
                "cat /etc/ssl/certs/ca-certificates.crt {root} > bundle.pem\n\
                 export SSL_CERT_FILE=\"$PWD/bundle.pem\""
            ),
            undo: unset("SSL_CERT_FILE"),
        },
        Trust {
            client: "Windows: .NET, PowerShell, Edge, Chrome (for this user)",
            how: format!("certutil -user -addstore Root \"{plain}\""),
            undo: format!("certutil -user -delstore Root \"{common_name}\""),
        },
        Trust {
            client: "macOS: .NET, Safari, Chrome (for this user)",
            how: format!(
                "security add-trusted-cert -r trustRoot -k ~/Library/Keychains/login.keychain-db {root}"
            ),
            undo: format!("security remove-trusted-cert {root}"),
        },
        Trust {
            client: "Chrome and Chromium on Linux",
            how: format!("certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n maskinporten-proxy -i {root}"),
            undo: "certutil -d sql:$HOME/.pki/nssdb -D -n maskinporten-proxy".to_owned(),
        },
        Trust {
            client: "Firefox",
            how: format!(
                "Settings > Privacy & Security > View Certificates > Authorities > Import\n{plain}\n\
                 and let it identify websites"
            ),
            undo: "delete it in the same list".to_owned(),
        },
    ]
}

/// For a POSIX shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+:@%,".contains(&b);
    if text.bytes().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
