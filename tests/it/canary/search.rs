//! The search for secrets in what a program puts out: as they are, in the encodings that text
//! goes through, and in pieces.

use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};

/// A piece of a long secret that is a find by itself.
const WINDOW: usize = 20;

/// What must not be found.
#[derive(Default)]
pub(super) struct Secrets {
    /// Short secrets and encodings, whole.
    needles: Vec<(String, Vec<u8>)>,
    /// Every stretch of [`WINDOW`] bytes of the long ones.
    windows: HashMap<Vec<u8>, String>,
}

impl Secrets {
    /// Adds a secret; a long one is found by any part of it.
    pub(super) fn add(&mut self, name: &str, secret: &str) {
        assert!(secret.len() >= 8, "{name} is too short to be told from chance");
        for (how, form) in forms(secret.as_bytes()) {
            let name = format!("{name} ({how})");
            if form.len() < WINDOW {
                self.needles.push((name, form));
                continue;
            }
            for window in form.windows(WINDOW) {
                self.windows.entry(window.to_vec()).or_insert_with(|| name.clone());
            }
        }
    }

    /// The first secret in `text`, and where.
    pub(super) fn find(&self, text: &[u8]) -> Option<String> {
        let around = |at: usize, length: usize| {
            let context = &text[at.saturating_sub(120)..(at + length + 40).min(text.len())];
            String::from_utf8_lossy(context).into_owned()
        };
        for (name, needle) in &self.needles {
            if let Some(at) = memchr::memmem::find(text, needle) {
                return Some(format!("{name}: …{}…", around(at, needle.len())));
            }
        }
        text.windows(WINDOW).enumerate().find_map(|(at, window)| {
            let name = self.windows.get(window)?;
            Some(format!("{name}: …{}…", around(at, WINDOW)))
        })
    }
}

/// A secret in every spelling that it may come out in.
fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex = |upper: bool| -> String {
        let digits = secret.iter().map(|b| if upper { format!("{b:02X}") } else { format!("{b:02x}") });
        digits.collect()
    };
    let percent = |all: bool| -> String {
        let one = |b: &u8| match b {
            b if !all && b.is_ascii_alphanumeric() => char::from(*b).to_string(),
            b => format!("%{b:02X}"),
        };
        secret.iter().map(one).collect()
    };
    let mut forms = vec![
        ("plain", secret.to_vec()),
        ("hex", hex(false).into_bytes()),
        ("HEX", hex(true).into_bytes()),
        ("percent", percent(false).into_bytes()),
        ("all percent", percent(true).into_bytes()),
        // As Debug writes bytes.
        ("decimal", secret.iter().map(u8::to_string).collect::<Vec<_>>().join(", ").into_bytes()),
    ];
    // Within a longer text the encoding depends on what stands before, modulo three; what the
    // neighbours have a share in is cut off.
    for before in 0..3 {
        let padded = [vec![0; before], secret.to_vec()].concat();
        let skip = (before * 8).div_ceil(6);
        let keep = padded.len() * 8 / 6;
        for (name, text) in [
            ("base64", BASE64_STANDARD_NO_PAD.encode(&padded)),
            ("base64url", BASE64_URL_SAFE_NO_PAD.encode(&padded)),
        ] {
            forms.push((name, text.as_bytes()[skip..keep].to_vec()));
        }
    }
    forms
}

#[test]
fn the_search_finds_what_it_is_for() {
    let long = "kanari-abcdefghijklmnopqrstuvwxyz-0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut secrets = Secrets::default();
    secrets.add("long", long);
    secrets.add("short", "hemmelig:\u{e6}");
    let hidden = |text: String| format!("noise before {text} and after");
    for text in [
        long.to_owned(),
        long[13..13 + WINDOW].to_owned(),
        long[long.len() - WINDOW..].to_owned(),
        "hemmelig:\u{e6}".to_owned(),
        "hemmelig%3A%C3%A6".to_owned(),
        BASE64_STANDARD_NO_PAD.encode(format!("user:{long}")),
        BASE64_URL_SAFE_NO_PAD.encode(format!("some-user:{long}")),
        BASE64_STANDARD_NO_PAD.encode("x:hemmelig:\u{e6}"),
        BASE64_STANDARD_NO_PAD.encode("xy:hemmelig:\u{e6}"),
        BASE64_STANDARD_NO_PAD.encode("xyz:hemmelig:\u{e6}"),
        String::from_utf8(forms(b"hemmelig:\xc3\xa6")[1].1.clone()).expect("hex"),
        format!("{:?}", "hemmelig:\u{e6}".as_bytes()),
    ] {
        assert!(secrets.find(hidden(text.clone()).as_bytes()).is_some(), "{text}");
    }
    for text in ["", "kanari-abcdefghijkl", "hemmelig", "a day like any other in the log"] {
        assert_eq!(secrets.find(hidden(text.to_owned()).as_bytes()), None, "{text}");
    }
}
