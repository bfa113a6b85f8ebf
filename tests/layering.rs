//! The house rule of `src/lib.rs`: a module imports only from floors below its own, never a
//! sibling on the same floor; a submodule belongs to its parent's floor.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const FLOORS: &[(u8, &[&str])] = &[
    (0, &["hint"]),
    (1, &["authority", "clock", "message", "secret"]),
    (2, &["config"]),
    (3, &["http", "keys", "net", "telemetry"]),
    (4, &["ca", "guard", "oauth", "routing", "sandbox", "upstream"]),
    (5, &["state"]),
    (6, &["admin", "proxy"]),
    (7, &["app"]),
    (8, &["cli"]),
];

/// Modules that are narrower than their floor: the sandbox judges our client code, so it may
/// know nothing of it.
const NARROWER: &[(&str, &[&str])] = &[("sandbox", &["authority", "clock", "secret"])];

#[test]
fn no_module_imports_upwards_or_sideways() {
    let floors: BTreeMap<&str, u8> =
        FLOORS.iter().flat_map(|(floor, modules)| modules.iter().map(|module| (*module, *floor))).collect();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = rust_files(&src);
    assert!(files.len() > 30, "only {} files found: is the walk broken?", files.len());

    let mut arrows = 0;
    let mut wrong = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&src).expect("a file under src");
        let first = relative.iter().next().expect("a name").to_string_lossy();
        let module = first.trim_end_matches(".rs").to_owned();
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let Some(own) = floors.get(module.as_str()) else {
            wrong.push(format!("{}: the module `{module}` stands on no floor", relative.display()));
            continue;
        };
        let text = fs::read_to_string(&file).expect("a readable source file");
        for used in crate_paths(&text) {
            if used == module {
                continue;
            }
            let Some(floor) = floors.get(used.as_str()) else { continue };
            arrows += 1;
            let narrow = NARROWER.iter().find(|(name, _)| *name == module);
            let allowed = narrow.is_none_or(|(_, allowed)| allowed.contains(&used.as_str()));
            if floor >= own || !allowed {
                wrong.push(format!(
                    "{}: {module} (floor {own}) uses {used} (floor {floor})",
                    relative.display()
                ));
            }
        }
    }
    assert!(arrows > 30, "only {arrows} arrows found: is the reader broken?");
    assert!(wrong.is_empty(), "upward or sideways arrows:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_of_the_library_stands_on_a_floor() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("lib.rs");
    let declared: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    let housed: Vec<&str> = FLOORS.iter().flat_map(|(_, modules)| modules.iter().copied()).collect();
    for module in &declared {
        assert!(housed.contains(module), "`{module}` is declared in lib.rs and stands on no floor");
    }
    assert_eq!(declared.len(), housed.len());
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The first segment of every `crate::…` path, those of `crate::{a, b::c}` included.
fn crate_paths(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let code: String = text
        .lines()
        .map(|line| line.find("//").map_or(line, |at| &line[..at]))
        .collect::<Vec<_>>()
        .join("\n");
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group_heads(group)),
            None => found.push(identifier(rest)),
        }
    }
    found
}

/// The heads of a brace group's items, on its outermost level.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut expect_head = true;
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expect_head = true,
            _ if depth == 0 && expect_head && !character.is_whitespace() => {
                heads.push(identifier(&group[at..]));
                expect_head = false;
            }
            _ => (),
        }
    }
    heads
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}
