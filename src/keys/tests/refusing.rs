//! Every way in which a key is refused: each has its own message and its own hint.

use super::*;

struct Refusal {
    file: &'static str,
    passwords: Passwords,
    alias: Option<&'static str>,
    certificate: Option<&'static str>,
    /// Parts of the message.
    says: &'static [&'static str],
    /// A part of the hint.
    hints: &'static str,
}

fn refusal(file: &'static str, says: &'static [&'static str], hints: &'static str) -> Refusal {
    Refusal { file, passwords: Passwords::one(PASSWORD), alias: None, certificate: None, says, hints }
}

fn refusals() -> Vec<Refusal> {
    let passwords =
        |store: &str, key: &str| Passwords { store: Some(Secret::from(store)), key: Some(Secret::from(key)) };
    vec![
        refusal("no-such-file.p12", &["the file does not exist"], "relative path"),
        refusal("", &["cannot be read"], "regular file"),
        // Passwords.
        Refusal {
            passwords: Passwords::one("feil"),
            ..refusal("one.jks", &["the password does not open the JKS keystore"], "keytool -list -keystore")
        },
        Refusal {
            passwords: Passwords::one("feil"),
            ..refusal("aes.p12", &["the password does not open the PKCS#12 keystore"], "keytool -list")
        },
        Refusal {
            passwords: Passwords::one("feil"),
            ..refusal("legacy.p12", &["the password does not open the PKCS#12 keystore"], "keytool -list")
        },
        Refusal {
            passwords: Passwords::one("feil"),
            ..refusal("encrypted.pem", &["the password does not open the PEM file"], "openssl pkey -in")
        },
        Refusal {
            passwords: Passwords::one(""),
            ..refusal("one.jks", &["a password is needed to open the JKS keystore"], "set `password`")
        },
        Refusal {
            passwords: Passwords::default(),
            ..refusal("aes.p12", &["a password is needed to open the PKCS#12 keystore"], "KEYSTORE_PASSWORD")
        },
        Refusal {
            passwords: Passwords::default(),
            ..refusal("encrypted.pem", &["a password is needed to open the PEM file"], "the key is encrypted")
        },
        refusal(
            "key-password.jks",
            &["its key \"virksomhet\" does not open with the keystore's password"],
            "set `key_password`",
        ),
        Refusal {
            passwords: passwords(PASSWORD, "feil"),
            ..refusal(
                "key-password.jks",
                &["does not open with the key password that is given"],
                "check `key_password`",
            )
        },
        Refusal {
            passwords: passwords(PASSWORD, "feil"),
            ..refusal(
                "aes.p12",
                &["its key \"virksomhet\" does not open with the key password"],
                "leave it out",
            )
        },
        // Aliases.
        Refusal {
            alias: Some("virksomhte"),
            ..refusal(
                "aes.p12",
                &["no entry with the alias \"virksomhte\"", "\"virksomhet\" (C=NO"],
                "did you mean \"virksomhet\"?",
            )
        },
        Refusal {
            alias: Some("xyzzy"),
            ..refusal(
                "several.jks",
                &[
                    "no entry with the alias \"xyzzy\"",
                    "\"sign\" (",
                    "digitalSignature; may sign",
                    "nonRepudiation)",
                    "\"buypass-ca\"",
                ],
                "the signing key is \"sign\"",
            )
        },
        Refusal {
            alias: Some("Buypass-CA"),
            ..refusal(
                "several.jks",
                &["the alias \"Buypass-CA\" names a trusted certificate, not a private key"],
                "the private key is under the alias \"sign\"",
            )
        },
        Refusal {
            alias: Some("buypass-ca"),
            ..refusal(
                "several.p12",
                &["names a trusted certificate, not a private key"],
                "the private key is under the alias",
            )
        },
        Refusal {
            alias: Some("secret"),
            ..refusal("two-signing.p12", &["names a secret (symmetric) key"], "\"first\" or \"second\"")
        },
        refusal(
            "two-signing.p12",
            &["several private keys", "\"first\" (", "\"second\" (", "ANNEN AS"],
            "set alias = \"first\" or alias = \"second\"",
        ),
        refusal("two.jwks", &["several private keys", "\"one\"", "\"two\""], "alias = \"one\""),
        refusal("certificates-only.jks", &["no private key", "\"buypass-ca\""], "trust store"),
        refusal("certificates-only.p12", &["no private key", "Keystore Test Root CA"], "trust store"),
        // Keys.
        refusal("ec.p12", &["of the type EC", "RSA keys alone"], "key generate"),
        refusal("ec.pem", &["of the type EC"], "key generate"),
        refusal("ec.jwk", &["of the type EC"], "key generate"),
        refusal("small.p12", &["the RSA key has 1024 bits"], "key generate"),
        refusal("without-primes.jwk", &["lacks the parameters p, q"], "export the key anew"),
        refusal("rs512.jwk", &["\"alg\": \"RS512\"", "RS256 is configured"], "set alg = \"RS512\""),
        // Certificates.
        refusal(
            "mismatch.pem",
            &["does not belong to the certificate", "ANNEN AS"],
            "export key and certificate together",
        ),
        Refusal {
            certificate: Some("certificates-only.p12"),
            ..refusal(
                "key-only.pem",
                &["certificates-only.p12: this is a private key, not a certificate"],
                "`certificate` names a file",
            )
        },
        Refusal {
            certificate: Some("no-such-chain.pem"),
            ..refusal("key-only.pem", &["no-such-chain.pem: the file does not exist"], "relative path")
        },
        refusal(
            "expired.p12",
            &["expired on 2023-01-01", "TESTVIRKSOMHET"],
            "order a new business certificate",
        ),
        refusal("expired.jks", &["expired on 2023-01-01"], "order a new business certificate"),
        refusal("future.p12", &["is not valid before 2090-01-01"], "clock"),
        refusal("key-only.pem", &["neither a certificate nor a `kid`"], "set `kid`"),
        refusal("bare.jwk", &["neither a certificate nor a `kid`"], "set `kid`"),
        // Protection that is not supported.
        refusal("rc4.p12", &["protected with PBE-SHA1-RC4-128"], "openssl pkcs12 -legacy"),
        refusal("encrypted-md5-des.pem", &["protected with PBE-MD5-DES"], "openssl pkcs8 -topk8"),
        refusal("legacy-encrypted.pem", &["Proc-Type: 4,ENCRYPTED"], "openssl pkcs8 -topk8 -in"),
        refusal("store.jceks", &["a JCEKS keystore"], "keytool -importkeystore -srcstoretype JCEKS"),
        // What is no keystore.
        refusal("certificate.pem", &["this is a public certificate"], "the private key proves it"),
        refusal("leaf.der", &["this is a public certificate"], "the private key proves it"),
        refusal("bundle.p7b", &["a bundle of public certificates"], "the private key proves it"),
        refusal("request.csr", &["a certificate signing request"], "sent to the issuer"),
        refusal("public.pem", &["this is a public key"], "name its private key"),
        refusal("public.jwk", &["this is a public key"], "name its private key"),
        refusal("openssh.key", &["an OpenSSH key"], "ssh-keygen -p -m PKCS8"),
        refusal("one.jks.base64", &["the base64 text of a JKS keystore"], "base64 -d"),
        refusal("page.html", &["an HTML or XML page"], "key inspect"),
        refusal("make.sh", &["something of no known form"], "key inspect"),
    ]
}

#[test]
fn each_refusal_has_its_message_and_its_hint() {
    for Refusal { file, passwords, alias, certificate, says, hints } in refusals() {
        let source =
            KeySource { alias: alias.map(str::to_owned), certificate: certificate.map(path), ..source(file) };
        let Err(error) = load(&source, &passwords) else { panic!("{file} was loaded") };
        let text = error.to_string();
        for part in says {
            assert!(text.contains(part), "{file}: {text}");
        }
        assert!(text.contains("tests/keystores"), "the path is named: {text}");
        assert!(!text.contains('\n'), "one line: {text}");
        let hint = error.hint().unwrap_or_else(|| panic!("{file} has no hint: {text}"));
        assert!(hint.contains(hints), "{file}: {hint}");
        for secret in ["changeit", "keypass", "feil"] {
            assert!(!format!("{text} {hint} {error:?}").contains(secret), "{file}: {text}");
        }
    }
}

fn refused(bytes: &[u8]) -> KeyError {
    SigningKey::from_bytes(bytes, &Selection::default(), &Passwords::one(PASSWORD), now()).unwrap_err()
}

#[test]
fn a_file_cut_off_anywhere_is_told_from_a_wrong_password() {
    for file in ["one.jks", "aes.p12", "legacy.p12", "bouncycastle.p12", "kid.jwk", "pkcs8.der"] {
        let whole = fixture(file);
        for share in [3, 5, 9] {
            let error = refused(&whole[..whole.len() * share / 10]);
            assert!(matches!(*error.fault, Fault::Truncated(_)), "{file}: {error}");
            assert!(error.hint().unwrap().contains("copy the file anew"), "{file}");
        }
    }
    let pem = fixture("pkcs8.pem");
    assert!(matches!(*refused(&pem[..1000]).fault, Fault::Truncated(Format::Pem)));
}

#[test]
fn empty_and_foreign_files_are_named() {
    assert!(matches!(*refused(b"").fault, Fault::Empty));
    assert!(matches!(*refused(b"\n").fault, Fault::Empty));
    let lookalike = |bytes: &[u8]| match *refused(bytes).fault {
        Fault::NotAKeystore(lookalike) => lookalike,
        fault => panic!("{fault}"),
    };
    let utf16: Vec<u8> =
        "\u{feff}-----BEGIN PRIVATE KEY-----".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(lookalike(&utf16), Lookalike::Utf16Text);
    assert_eq!(lookalike(b"PuTTY-User-Key-File-3: ssh-rsa"), Lookalike::PuttyKey);
    assert_eq!(lookalike(b"ssh-rsa AAAA me@here"), Lookalike::OpenSshKey);
    assert_eq!(
        lookalike(b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n-----END PGP PRIVATE KEY BLOCK-----"),
        Lookalike::Pgp
    );
    assert_eq!(lookalike(br#"{"issuer":"x"}"#), Lookalike::Json);
    assert_eq!(lookalike(b"\x7fELF\x02\x01\x01\0"), Lookalike::Unknown);
    let bks = [&[0, 0, 0, 2, 0, 0, 0, 20], fixture("leaf.der").as_slice()].concat();
    assert!(matches!(*refused(&bks).fault, Fault::UnsupportedStore(_)));
}

#[test]
fn a_large_file_is_not_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.img");
    std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let source = KeySource { material: KeyMaterial::File(path), ..source("") };
    let error = load(&source, &Passwords::default()).unwrap_err();
    assert!(error.to_string().ends_with("the file is larger than 4 MiB, which no keystore is"), "{error}");
}

#[test]
fn a_changed_byte_in_a_jks_is_noticed_by_its_digest() {
    let mut bytes = fixture("one.jks");
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    assert!(matches!(*refused(&bytes).fault, Fault::WrongStorePassword(Format::Jks)));
    let trailing = [fixture("one.jks"), vec![0]].concat();
    assert!(matches!(*refused(&trailing).fault, Fault::Corrupt { format: Format::Jks, .. }));
}

#[test]
fn names_in_a_file_cannot_forge_a_line_of_the_log() {
    let mut bytes = fixture("several.jks");
    let at = bytes.windows(10).position(|window| window == b"buypass-ca").unwrap();
    bytes[at..at + 10].copy_from_slice(b"x\nhint:\x1b[m");
    let selection = Selection { alias: Some("zzz"), ..Selection::default() };
    let error = SigningKey::from_bytes(&bytes, &selection, &Passwords::default(), now()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("x\\nhint:\\u{1b}[m") && !text.contains('\n') && !text.contains('\x1b'), "{text}");
}

#[test]
fn the_path_is_added_to_errors_about_bytes() {
    let error = refused(b"").at(std::path::Path::new("/etc/key.p12"));
    assert_eq!(error.to_string(), "/etc/key.p12: the file is empty");
}
