//! `Via` (RFC 9110 §7.6.3): says that the proxy was here, and finds loops through itself.

use http::Version;
use http::header::{HeaderValue, InvalidHeaderValue};

use crate::message::{Fields, Name};

/// The name by which one process goes in `Via`.
///
/// It is another for each process, so that two proxies in a row are no loop, and a request that
/// comes back to the one that sent it is.
#[derive(Clone, Debug)]
pub struct Via {
    pseudonym: String,
    http10: HeaderValue,
    http11: HeaderValue,
    http2: HeaderValue,
}

impl Via {
    /// A name that no other process has.
    pub fn for_this_process() -> Self {
        let unique = uuid::Uuid::new_v4().simple().to_string();
        Self::new(&unique[..12]).expect("hexadecimal digits make a header value")
    }

    /// `maskinporten-proxy-<instance>`; `instance` is made of characters of a token.
    ///
    /// # Errors
    ///
    /// Where `instance` cannot stand in a header.
    pub fn new(instance: &str) -> Result<Self, InvalidHeaderValue> {
        let pseudonym = format!("maskinporten-proxy-{instance}");
        let line = |version: &str| {
            let line = format!("{version} {pseudonym}");
            HeaderValue::from_str(&line)?;
            // There is one for each process. What is there for ever is cloned without counting.
            Ok(HeaderValue::from_static(line.leak()))
        };
        let (http10, http11, http2) = (line("1.0")?, line("1.1")?, line("2")?);
        Ok(Self { pseudonym, http10, http11, http2 })
    }

    /// Adds the proxy to the end of the list; `version` is that of the message as it came in.
    pub fn append(&self, fields: &mut Fields, version: Version) {
        let line = match version {
            Version::HTTP_09 | Version::HTTP_10 => &self.http10,
            Version::HTTP_2 => &self.http2,
            _ => &self.http11,
        };
        fields.append_known(Name::Via, line.clone());
    }

    /// Whether the message has been through this process before. Ask before hop-by-hop fields
    /// are stripped: a `Connection` line can name `Via`.
    pub fn is_loop(&self, fields: &Fields) -> bool {
        fields.may_have_any(Name::Via.bit()) && self.stands_in(fields)
    }

    #[inline(never)]
    fn stands_in(&self, fields: &Fields) -> bool {
        let pseudonym = self.pseudonym.as_bytes();
        fields.list(Name::Via).any(|member| {
            let mut words = member.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
            words.nth(1).is_some_and(|received_by| received_by.eq_ignore_ascii_case(pseudonym))
        })
    }
}

#[cfg(test)]
mod tests {
    use http::header::VIA;

    use super::*;

    fn lines(values: &[&str]) -> Fields {
        values.iter().map(|value| (VIA, value.parse().unwrap())).collect()
    }

    #[test]
    fn says_which_version_the_message_came_in() {
        let via = Via::new("1").unwrap();
        let mut headers = lines(&["1.1 before"]);
        via.append(&mut headers, Version::HTTP_10);
        via.append(&mut headers, Version::HTTP_11);
        via.append(&mut headers, Version::HTTP_2);
        let values: Vec<_> = headers.all(Name::Via).map(|value| str::from_utf8(value).unwrap()).collect();
        assert_eq!(
            values,
            ["1.1 before", "1.0 maskinporten-proxy-1", "1.1 maskinporten-proxy-1", "2 maskinporten-proxy-1"]
        );
    }

    #[test]
    fn sees_itself_anywhere_in_the_list_and_nobody_else() {
        let via = Via::new("1").unwrap();
        for looped in [
            &["1.1 maskinporten-proxy-1"][..],
            &["1.0 fred, 1.1 Maskinporten-Proxy-1 (comment)"],
            &["1.1 a", "HTTP/1.1  maskinporten-proxy-1,1.1 b"],
        ] {
            assert!(via.is_loop(&lines(looped)), "{looped:?}");
        }
        for other in [
            &[][..],
            &["1.1 maskinporten-proxy-2"],
            &["1.1 maskinporten-proxy-12"],
            &["1.1 x-maskinporten-proxy-1"],
            &["1.1 fred (maskinporten-proxy-1)"],
            &["maskinporten-proxy-1"],
        ] {
            assert!(!via.is_loop(&lines(other)), "{other:?}");
        }
    }

    #[test]
    fn two_processes_in_a_row_are_no_loop() {
        let (first, second) = (Via::for_this_process(), Via::for_this_process());
        let mut headers = Fields::new();
        first.append(&mut headers, Version::HTTP_11);
        assert!(!second.is_loop(&headers));
        assert!(first.is_loop(&headers));
    }
}
