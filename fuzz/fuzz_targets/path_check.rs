//! What the path check lets through stays inside, whichever way a server reads paths.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maskinporten_proxy::http::path;

fuzz_target!(|text: &str| {
    let rest = format!("/{text}");
    if path::check(&rest).is_ok() {
        for habits in 0..1 << 6 {
            assert!(stays_inside(&rest, habits), "{rest:?} climbs out with {habits:06b}");
        }
    } else {
        assert!(rest.contains("..") || rest.to_ascii_lowercase().contains("%2e"), "{rest:?} is harmless");
    }
    let _ = path::check(text);
});

/// Reads the path as a server does: each bit of `habits` is something that some servers do.
fn stays_inside(path: &str, habits: u32) -> bool {
    let has = |habit: u32| habits & (1 << habit) != 0;
    let mut path = path.to_owned();
    // Path parameters, ahead of decoding or behind it.
    let cut = |path: &str| path.split('/').map(|segment| segment.split(';').next().unwrap_or("")).collect::<Vec<_>>().join("/");
    if has(0) {
        path = cut(&path);
    }
    let mut escapes = vec!["%2e", "%2E"];
    if has(1) {
        escapes.extend(["%2f", "%2F"]);
    }
    if has(2) {
        escapes.extend(["%5c", "%5C"]);
    }
    path = decoded(&path, &escapes);
    if has(3) {
        path = path.replace('\\', "/");
    }
    if has(4) {
        path = cut(&path);
    }
    let merges = has(5);
    let mut depth = 0_i64;
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            "" if merges => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 {
            return false;
        }
    }
    true
}

/// All at once, so that nothing is decoded twice.
fn decoded(path: &str, escapes: &[&str]) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        match escapes.iter().find(|escape| rest.starts_with(**escape)) {
            Some(escape) => {
                out.push(match escape.to_ascii_lowercase().as_str() {
                    "%2e" => '.',
                    "%2f" => '/',
                    _ => '\\',
                });
                rest = &rest[escape.len()..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}
