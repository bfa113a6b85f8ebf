//! The documentation, held to the program: configurations load, command lines parse, links lead
//! somewhere, files that are named are there.
//!
//! What a page shows need not be whole. A configuration that is a part of one is completed before
//! it is loaded: with a client where it has none, with a route where it has none, and keys that
//! belong to a route are put into one. Of shell blocks, the lines that call this program, cargo or
//! a script of this repository are looked at; the whole block must be valid shell.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Parser as _;
use clap::error::ErrorKind;
use maskinporten_proxy::cli::Cli;
use maskinporten_proxy::config::{self, LoadRequest, Overrides};

const CLIENT: &str = r#"
[clients.test]
environment = "test"
client_id = "238259d7-f0ab-4bd5-b253-0f0159375096"
key = { file = "virksomhet.p12", password = { env = "KEYSTORE_PASSWORD" } }
"#;

const ROUTE: &str = r#"
[[routes]]
name = "example"
path = "/example"
upstream = "https://api.example.no/v1"
scopes = ["example:read"]
"#;

/// A fenced block of a page.
struct Block {
    place: String,
    language: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page, by its path in the repository.
fn pages() -> BTreeMap<PathBuf, String> {
    let mut pages = BTreeMap::new();
    for folder in ["", "docs", "docs/deploy", "benches", "fuzz", "tests/e2e", "tests/keystores"] {
        let Ok(entries) = std::fs::read_dir(root().join(folder)) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = std::fs::read_to_string(&path).expect("a page");
                pages.insert(path.strip_prefix(root()).expect("a page of ours").to_owned(), text);
            }
        }
    }
    assert!(pages.len() > 12, "only {:?}", pages.keys());
    pages
}

fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for (path, page) in pages() {
        let mut open: Option<(Block, usize)> = None;
        for (number, line) in page.lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            open = match (open, fence) {
                (None, Some(language)) => {
                    let place = format!("{}:{}", path.display(), number + 1);
                    let indent = line.len() - line.trim_start().len();
                    let block = Block { place, language: language.trim().to_owned(), text: String::new() };
                    Some((block, indent))
                }
                (Some((block, _)), Some(_)) => {
                    blocks.push(block);
                    None
                }
                (Some((mut block, indent)), None) => {
                    block.text.push_str(line.get(indent..).unwrap_or_default());
                    block.text.push('\n');
                    Some((block, indent))
                }
                (None, None) => None,
            };
        }
        assert!(open.is_none(), "{} ends within a block", path.display());
    }
    blocks
}

fn blocks_in<'a>(blocks: &'a [Block], language: &'a str) -> impl Iterator<Item = &'a Block> {
    blocks.iter().filter(move |block| block.language == language)
}

#[test]
fn every_configuration_loads() {
    let dir = tempfile::tempdir().expect("a folder");
    let blocks = blocks();
    let mut wrong = Vec::new();
    let mut count = 0;
    for block in blocks_in(&blocks, "toml") {
        count += 1;
        if let Err(error) = load(dir.path(), &completed(block)) {
            wrong.push(format!("{}: {error}", block.place));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(count > 8, "only {count} configurations found");
    // The frame alone would not hide a mistake in what it is put around.
    let broken = Block {
        text: "[forward]\nintercpet = true\n".to_owned(),
        place: String::new(),
        language: String::new(),
    };
    let error = load(dir.path(), &completed(&broken)).expect_err("a typo is refused");
    assert!(error.contains("intercpet"), "{error}");
}

#[test]
fn the_manifests_configurations_load() {
    let dir = tempfile::tempdir().expect("a folder");
    for manifest in ["gateway.yaml", "sidecar.yaml"] {
        let path = root().join("docs/deploy/kubernetes").join(manifest);
        let text = std::fs::read_to_string(&path).expect("a manifest");
        let (_, block) = text.split_once("  proxy.toml: |\n").expect("a configuration");
        let lines = block.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
        let configuration: String = lines.map(|line| format!("{}\n", line.trim_start())).collect();
        load(dir.path(), &configuration).unwrap_or_else(|error| panic!("{manifest}: {error}"));
    }
}

/// The block with what it lacks. Keys outside any table are a route's, unless they are of those
/// that stand at the top.
fn completed(block: &Block) -> String {
    let text = &block.text;
    let table: toml::Table =
        text.parse().unwrap_or_else(|error| panic!("{}: not TOML: {error}", block.place));
    let is_top = |key: &str| ["listen", "admin", "threads"].contains(&key);
    let of_route = table.iter().any(|(key, value)| !value.is_table() && !is_top(key) && key != "routes");
    let client = if table.contains_key("clients") { "" } else { CLIENT };
    let route = if table.contains_key("routes") { "" } else { ROUTE };
    if of_route { format!("{client}{route}{text}") } else { format!("{text}{client}{route}") }
}

fn load(dir: &Path, text: &str) -> Result<(), String> {
    let file = dir.join("proxy.toml");
    std::fs::write(&file, text).expect("a written configuration");
    let env = ["KEYSTORE_PASSWORD", "PROXY_PASSWORD"];
    let request = LoadRequest {
        files: vec![file],
        flags: Overrides::default(),
        env: env.iter().map(|name| ((*name).to_owned(), "a password".to_owned())).collect(),
        cwd: dir.to_owned(),
    };
    config::load(&request).map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn every_command_line_parses() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    let mut check = |place: &str, line: &str| {
        let Some(words) = command(line) else { return };
        match Cli::try_parse_from(&words) {
            Ok(cli) => {
                let debug = format!("{:?}", cli.command);
                seen.insert(debug.split(['(', ' ']).nth(1).unwrap_or_default().to_owned());
            }
            Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {}
            Err(error) => wrong.push(format!("{place}: {line}\n{error}")),
        }
    };
    for block in blocks() {
        // A line that ends in a backslash goes on.
        for line in block.text.replace("\\\n", " ").lines() {
            check(&block.place, line);
        }
    }
    for (path, page) in pages() {
        for code in inline_code(&page) {
            check(&path.display().to_string(), code);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen.len() > 8, "only these commands were found: {seen:?}");
}

/// The words of a line that calls the program, directly, by cargo, or as what a workflow or a unit
/// runs. Lines with placeholders (`…`, `[…]`, `<…>`) are for reading.
fn command(line: &str) -> Option<Vec<String>> {
    let line = line.trim();
    let line = ["- run: ", "run: ", "$ ", "ExecStart=", "sudo "]
        .iter()
        .fold(line, |line, prefix| line.strip_prefix(prefix).unwrap_or(line));
    if line.contains(['…', '[', '<']) {
        return None;
    }
    let words = words(line);
    let start = words.iter().position(|word| !is_assignment(word))?;
    let (program, arguments) = words[start..].split_first()?;
    let arguments = match program.as_str() {
        "cargo" if arguments.first().is_some_and(|word| word == "run") => {
            let at = arguments.iter().position(|word| word == "--")?;
            &arguments[at + 1..]
        }
        program if program == "maskinporten-proxy" || program.ends_with("/maskinporten-proxy") => arguments,
        _ => return None,
    };
    // The name alone is also what one calls the program in a sentence, a path or an image.
    Some(std::iter::once("maskinporten-proxy".to_owned()).chain(arguments.iter().cloned()).collect())
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    })
}

/// The words of a shell line up to a comment, pipe, list operator or redirection. Quotes group;
/// nothing is expanded.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '|' | '&' | ';' | '>') => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// What stands in single backticks, outside fenced blocks.
fn inline_code(page: &str) -> Vec<&str> {
    let mut fenced = false;
    page.lines()
        .filter(|line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        })
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect()
}

#[cfg(unix)]
#[test]
fn every_shell_block_is_valid_shell() {
    let blocks = blocks();
    let mut count = 0;
    for block in blocks_in(&blocks, "sh") {
        count += 1;
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), &block.text).expect("a written block");
        let checked = std::process::Command::new("sh").arg("-n").arg(file.path()).output().expect("sh");
        assert!(checked.status.success(), "{}: {}", block.place, String::from_utf8_lossy(&checked.stderr));
    }
    assert!(count > 15, "only {count} shell blocks found");
}

#[test]
fn scripts_targets_and_files_that_are_named_are_there() {
    let ours = ["src/", "docs/", "tests/", "benches/", "fuzz/", ".ci/", ".github/"];
    let plain = |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric() || "./_-".contains(c));
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
    let mut missing = Vec::new();
    let mut count = 0;
    let mut look = |place: &str, word: &str| {
        let word = word.strip_prefix("./").unwrap_or(word);
        if ours.iter().any(|folder| word.starts_with(folder)) && plain(word) {
            count += 1;
            // What a run leaves behind is not there before it.
            let made = word.contains("/out") || word.contains("/target") || word.contains("node_modules");
            if !made && !root().join(word).exists() {
                missing.push(format!("{place}: {word}"));
            }
        }
    };
    for block in blocks().iter().filter(|block| block.language == "sh") {
        for line in block.text.lines() {
            let words = words(line);
            // What follows `--` is the reader's own.
            for word in words.iter().take_while(|word| *word != "--") {
                look(&block.place, word);
            }
            let cargo = words.first().is_some_and(|word| word == "cargo");
            let named = |pair: &&[String]| cargo && ["--bench", "--test"].contains(&pair[0].as_str());
            for pair in words.windows(2).filter(named) {
                let (kind, name) = (pair[0].trim_start_matches("--"), &pair[1]);
                let declared = manifest.contains(&format!("name = \"{name}\""));
                let found = ["tests", "benches"].iter().any(|folder| {
                    root().join(folder).join(format!("{name}.rs")).exists()
                        || root().join(folder).join(name).join("main.rs").exists()
                });
                assert!(declared || found, "{}: there is no {kind} {name}", block.place);
            }
        }
    }
    for (path, page) in pages() {
        // Paths in a page of a folder may be meant from there; those are links' business.
        for code in inline_code(&page) {
            for word in code.split(' ') {
                look(&path.display().to_string(), word);
            }
        }
    }
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
    assert!(count > 10, "only {count} paths found");
}

#[test]
fn every_json_block_is_json() {
    let blocks = blocks();
    for block in blocks_in(&blocks, "json") {
        let parsed = serde_json::from_str::<serde_json::Value>(&block.text);
        assert!(parsed.is_ok(), "{}: {}", block.place, parsed.expect_err("not JSON"));
    }
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (path, page) in &pages {
        let mut anchors = Vec::new();
        for target in links(page) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, a)| (file, Some(a)));
            let to = if file.is_empty() { path.clone() } else { normal(&path.with_file_name(file)) };
            if !root().join(&to).exists() {
                wrong.push(format!("{}: {target} is not there", path.display()));
            } else if let Some(anchor) = anchor {
                anchors.push((target, to, anchor));
            }
        }
        for (target, to, anchor) in anchors {
            let page = std::fs::read_to_string(root().join(&to)).expect("a page");
            if to.extension().is_some_and(|extension| extension == "md") && !slugs(&page).contains(anchor) {
                wrong.push(format!("{}: {target} names no heading of {}", path.display(), to.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 30, "only {count} links found");
}

/// The targets of links and images.
fn links(page: &str) -> Vec<&str> {
    let mut fenced = false;
    let outside = page.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    outside
        .flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| Some(rest.split_once(')')?.0.split(' ').next().unwrap_or_default()))
        .collect()
}

/// A path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => assert!(normal.pop(), "{} leads out", path.display()),
            std::path::Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

/// The anchors of a page's headings, as GitHub makes them.
fn slugs(page: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut slugs = BTreeSet::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let Some(title) = line.strip_prefix('#').filter(|_| !fenced) else { continue };
        let title = title.trim_start_matches('#').trim().to_lowercase();
        let slug: String = title
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let again = (1..).map(|number| format!("{slug}-{number}")).find(|next| !slugs.contains(next));
        let free = if slugs.contains(&slug) { again } else { None };
        slugs.insert(free.unwrap_or(slug));
    }
    slugs
}

#[test]
fn the_readme_is_short_and_opens_with_two_commands() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("a README");
    assert!(readme.lines().count() < 200, "{} lines", readme.lines().count());
    let blocks = blocks();
    let first = blocks.iter().find(|block| block.place.starts_with("README.md:")).expect("a block");
    let commands: Vec<Vec<String>> =
        first.text.lines().map(words).filter(|words| !words.is_empty()).collect();
    assert_eq!(commands, [vec!["cargo", "run", "--release", "--", "demo"], vec!["cargo", "test"]]);
    let before: usize = first.place.trim_start_matches("README.md:").parse().expect("a line");
    assert!(before < 10, "it stands in line {before}");
}

#[test]
fn pictures_are_small_enough_to_keep() {
    for entry in std::fs::read_dir(root().join("docs/images")).expect("pictures") {
        let entry = entry.expect("an entry");
        let size = entry.metadata().expect("a size").len();
        assert!(size < 400_000, "{:?} has {size} bytes", entry.file_name());
    }
}

#[test]
fn shell_lines_are_split_as_a_shell_does() {
    assert_eq!(words("a 'b c' \"d e\"f # g"), ["a", "b c", "d ef"]);
    assert_eq!(words("a#b | c"), ["a#b"]);
    assert_eq!(
        command("X=1 maskinporten-proxy check && echo"),
        Some(vec!["maskinporten-proxy".into(), "check".into()])
    );
    assert_eq!(
        command("cargo run --release -- demo"),
        Some(vec!["maskinporten-proxy".into(), "demo".into()])
    );
    assert_eq!(command("maskinporten-proxy run -- …"), None);
    assert_eq!(command("curl maskinporten-proxy"), None);
}
