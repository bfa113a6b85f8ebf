//! A strict reader of Prometheus' text format, version 0.0.4: it takes what a scraper must be
//! given, and panics at whatever a scraper could misread.

use std::collections::{BTreeMap, BTreeSet};

/// All families of one scrape.
#[derive(Debug)]
pub struct Scrape(BTreeMap<String, Family>);

#[derive(Debug)]
pub struct Family {
    pub help: String,
    pub kind: String,
    pub samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Scrape {
    /// Reads a whole answer; panics where it breaks a rule.
    pub fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has no line feed");
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut series = BTreeSet::new();
        let mut current: Option<String> = None;
        let mut helped: Option<(String, String)> = None;
        for line in text.lines() {
            assert_eq!(line, line.trim(), "blanks around {line:?}");
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a name and a text");
                assert!(helped.is_none(), "HELP twice in a row at {line:?}");
                helped = Some((name.to_owned(), help.to_owned()));
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                let (described, help) = helped.take().unwrap_or_else(|| panic!("no HELP before {line:?}"));
                assert_eq!(described, name);
                assert!(is_name(name, true), "{name:?} is no metric name");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind:?}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
                let family = Family { help, kind: kind.to_owned(), samples: Vec::new() };
                assert!(families.insert(name.to_owned(), family).is_none(), "{name} comes twice");
                current = Some(name.to_owned());
            } else {
                let sample = parse_sample(line);
                let name = current.as_ref().unwrap_or_else(|| panic!("no family before {line:?}"));
                let family = families.get_mut(name).expect("the current family");
                let suffix = sample.name.strip_prefix(name.as_str());
                let fits = match family.kind.as_str() {
                    "histogram" => {
                        suffix.is_some_and(|suffix| ["_bucket", "_sum", "_count"].contains(&suffix))
                    }
                    _ => suffix == Some(""),
                };
                assert!(fits, "{line:?} stands among the samples of {name}");
                let key = (sample.name.clone(), sample.labels.clone());
                assert!(series.insert(key), "{line:?} comes twice");
                family.samples.push(sample);
            }
        }
        let scrape = Self(families);
        scrape.check();
        scrape
    }

    fn check(&self) {
        for (name, family) in &self.0 {
            assert!(!family.help.is_empty(), "{name} is not explained");
            let labels: BTreeSet<Vec<&String>> = family
                .samples
                .iter()
                .map(|sample| sample.labels.keys().filter(|l| *l != "le").collect())
                .collect();
            assert!(labels.len() <= 1, "{name} has samples with different labels: {labels:?}");
            match family.kind.as_str() {
                "counter" => {
                    assert!(family.samples.iter().all(|sample| sample.value >= 0.0), "{name} is negative")
                }
                "histogram" => check_histogram(name, family),
                _ => {}
            }
        }
    }

    pub fn names(&self) -> BTreeSet<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    pub fn family(&self, name: &str) -> &Family {
        self.0.get(name).unwrap_or_else(|| panic!("no {name} among {:?}", self.names()))
    }

    /// The value of the one series with exactly these labels; `None` where there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: BTreeMap<String, String> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let family = name
            .strip_suffix("_count")
            .or_else(|| name.strip_suffix("_sum"))
            .filter(|family| self.0.contains_key(*family))
            .unwrap_or(name);
        let family = self.0.get(family)?;
        let found = family.samples.iter().find(|sample| sample.name == name && sample.labels == labels);
        found.map(|sample| sample.value)
    }

    /// Every value of every label, for each label's name.
    pub fn label_values(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for sample in self.0.values().flat_map(|family| &family.samples) {
            for (name, value) in &sample.labels {
                values.entry(name).or_default().insert(value);
            }
        }
        values
    }
}

/// Buckets that ascend in bound and count, end at infinity, and agree with `_count`.
fn check_histogram(name: &str, family: &Family) {
    let mut groups: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
    for sample in family.samples.iter().filter(|sample| sample.name.ends_with("_bucket")) {
        let mut labels = sample.labels.clone();
        let bound = labels.remove("le").unwrap_or_else(|| panic!("a bucket of {name} without a bound"));
        groups.entry(labels).or_default().push((number(&bound), sample.value));
    }
    for (labels, buckets) in groups {
        let ascending = buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        assert!(ascending, "{name}{labels:?}: {buckets:?}");
        let (bound, all) = *buckets.last().expect("a bucket");
        assert_eq!(bound, f64::INFINITY, "{name}{labels:?} has no last bucket");
        let of = |suffix: &str| {
            let wanted = format!("{name}{suffix}");
            let mut found = family.samples.iter().filter(|s| s.name == wanted && s.labels == labels);
            found.next().unwrap_or_else(|| panic!("no {wanted}{labels:?}")).value
        };
        assert_eq!(of("_count"), all, "{name}{labels:?}");
        assert!(of("_sum") >= 0.0);
    }
}

fn parse_sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value in {line:?}"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name, true), "{name:?} is no metric name");
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) =
                rest.split_once("=\"").unwrap_or_else(|| panic!("a broken label in {line:?}"));
            assert!(is_name(label, false), "{label:?} is no label name");
            let (value, after) = quoted(after).unwrap_or_else(|| panic!("an open label in {line:?}"));
            assert!(labels.insert(label.to_owned(), value).is_none(), "{label} twice in {line:?}");
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None => {
                    rest = after.strip_prefix('}').unwrap_or_else(|| panic!("no end of labels in {line:?}"));
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("no value in {line:?}"));
    assert!(!value.contains(' '), "a timestamp, or more, in {line:?}");
    Sample { name: name.to_owned(), labels, value: number(value) }
}

/// A label's value up to its closing quote, its escapes resolved, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => {
            assert!(text.starts_with(|c: char| c.is_ascii_digit() || c == '-'), "{text:?} is no number");
            text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
        }
    }
}

fn is_name(text: &str, colons: bool) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    !text.is_empty() && text.chars().all(fits) && !text.starts_with(|c: char| c.is_ascii_digit())
}

#[test]
#[should_panic(expected = "comes twice")]
fn a_series_that_comes_twice_is_refused() {
    Scrape::parse("# HELP a b\n# TYPE a gauge\na{x=\"1\"} 1\na{x=\"1\"} 2\n");
}

#[test]
#[should_panic(expected = "stands among the samples of")]
fn a_stray_sample_is_refused() {
    Scrape::parse("# HELP a b\n# TYPE a gauge\na 1\nb 2\n");
}

#[test]
fn escapes_in_labels_are_read() {
    let scrape = Scrape::parse("# HELP a b\n# TYPE a gauge\na{x=\"q\\\"\\\\\\n,}\",y=\"\"} 1.5\n");
    assert_eq!(scrape.value("a", &[("x", "q\"\\\n,}"), ("y", "")]), Some(1.5));
}
