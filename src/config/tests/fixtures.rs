//! Files that must load, and files that must not, each with its message.

use std::collections::BTreeSet;

use super::*;

/// The configuration files of a folder. Other files there are an error, so that none is passed
/// over for its name.
fn fixtures(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(repository(folder)).unwrap() {
        let path = entry.unwrap().path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml" | "properties") => found.push(path),
            Some("expected") => {}
            _ => panic!("{} is no fixture", path.display()),
        }
    }
    found.sort();
    found
}

fn request(fixture: &Path) -> LoadRequest {
    LoadRequest {
        files: vec![fixture.file_name().unwrap().into()],
        cwd: fixture.parent().unwrap().to_owned(),
        ..LoadRequest::default()
    }
}

#[test]
fn every_valid_file_loads() {
    let fixtures = fixtures("tests/config/valid");
    assert_eq!(fixtures.len(), 7);
    for fixture in fixtures {
        if let Err(error) = load(&request(&fixture)) {
            panic!("{}: {error}", fixture.display());
        }
    }
}

#[test]
fn every_invalid_file_is_refused_in_the_expected_words() {
    let fixtures = fixtures("tests/config/invalid");
    assert_eq!(fixtures.len(), 51);
    for fixture in &fixtures {
        let Err(error) = load(&request(fixture)) else { panic!("{} was loaded", fixture.display()) };
        assert!(!error.problems.is_empty());
        let told = format!("{error}\nhint: {}\n", error.hint());
        // The fixtures' secrets all hold this word.
        assert!(!told.contains("hemmelig"), "{}: {told}", fixture.display());
        assert!(!format!("{error:?}").contains("hemmelig"), "{}", fixture.display());
        assert_matches_file(&told, &fixture.with_extension("expected"));
    }
    // No message is left over from a file that is gone.
    let stems = |paths: &[PathBuf]| paths.iter().map(|path| path.with_extension("")).collect::<BTreeSet<_>>();
    let expected: Vec<PathBuf> = std::fs::read_dir(repository("tests/config/invalid"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "expected"))
        .collect();
    assert_eq!(stems(&expected), stems(&fixtures));
}

#[test]
fn the_example_at_the_top_level_loads() {
    let loaded = load(&request(&repository("proxy.toml"))).unwrap_or_else(|error| panic!("{error}"));
    let config = loaded.config;
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(config.clients.len(), 3);
    let access: Vec<_> = config.routes.iter().map(|route| (route.name.as_str(), route.access)).collect();
    use Access::{ReadOnly, ReadWrite};
    assert_eq!(
        access,
        [
            ("clients", ReadWrite),
            ("clients-write", ReadWrite),
            ("scopes-prod", ReadOnly),
            ("supplier", ReadWrite),
            ("person", ReadWrite),
            ("altinn", ReadWrite),
            ("consent", ReadWrite),
        ]
    );
    assert_eq!(
        config.routes[5].client.altinn.as_ref().unwrap().to_string(),
        "https://platform.tt02.altinn.no/"
    );
}

/// The lines of the example that are commented out are settings too, and must stay true.
#[test]
fn every_key_stands_in_the_example() {
    let example = std::fs::read_to_string(repository("proxy.toml")).unwrap();
    for key in schema::KEYS {
        let name = key.pattern.rsplit('.').next().unwrap();
        let stands = example.lines().any(|line| {
            let line = line.trim_start_matches("# ");
            let named = |text: &str| {
                let rest = text.trim_start().strip_prefix(name).map(str::trim_start);
                rest.is_some_and(|rest| rest.starts_with('='))
            };
            named(line) || line.match_indices(['.', '{', ',']).any(|(at, _)| named(&line[at + 1..]))
        });
        assert!(stands, "{}", key.pattern);
    }
}

#[test]
fn the_example_s_commented_settings_are_valid() {
    let example = std::fs::read_to_string(repository("proxy.toml")).unwrap();
    // One of the four forms of the password stands there already, and `consumer_org` as well.
    let uncommented: String = example
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting)
                if (setting.contains(" = ") || setting.starts_with('['))
                    && !setting.starts_with("password = ")
                    && !setting.starts_with("consumer_org")
                    && setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') =>
            {
                format!("{setting}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let setup = Setup::empty().file("proxy.toml", &uncommented);
    let config = setup.config();
    assert!(config.inbound.tls.is_some_and(|tls| tls.client_ca.is_some()));
    assert_eq!(config.upstream.proxy.unwrap().authority.to_string(), "proxy.example.no:3128");
    assert!(config.clients["test"].key.certificate.is_some());
}

#[test]
fn the_configuration_reference_is_made_from_the_table() {
    assert_matches_file(&reference(), &repository("docs/configuration.md"));
}
