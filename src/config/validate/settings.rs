//! `[forward]` and `[upstream]`.

use std::time::Duration;

use super::Checker;
use crate::config::{Forward, Listen, OtherHosts, UpstreamSettings, file};

/// More than this is a slip of the unit, and far ahead of what the clocks can add.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn forward(forward: file::Forward, listen: &Listen) -> Forward {
    let default = if listen.is_local() { OtherHosts::Tunnel } else { OtherHosts::Deny };
    Forward {
        intercept: forward.intercept,
        other_hosts: forward.other_hosts.unwrap_or(default),
        browsers: forward.browsers,
    }
}

impl Checker<'_> {
    pub(super) fn upstream_settings(&mut self, upstream: file::Upstream) -> UpstreamSettings {
        let default = UpstreamSettings::default();
        let mut duration = |text: Option<String>, path: &str| self.duration(&text?, path);
        let connect_timeout = duration(upstream.connect_timeout, "upstream.connect_timeout");
        let response_timeout = duration(upstream.response_timeout, "upstream.response_timeout");
        let ca_file = upstream.ca_file.and_then(|text| self.watched_file("upstream.ca_file", &text));
        let proxy = upstream.proxy.and_then(|text| {
            let path = "upstream.proxy";
            let proxy: crate::config::HttpProxy =
                self.parse(path, &text, "\"http://[user:password@]host[:port]\"")?;
            if proxy.credentials.is_some() {
                self.holds_secret(path);
            }
            Some(proxy)
        });
        UpstreamSettings {
            connect_timeout: connect_timeout.unwrap_or(default.connect_timeout),
            response_timeout: response_timeout.unwrap_or(default.response_timeout),
            ca_file,
            proxy,
        }
    }

    fn duration(&mut self, text: &str, path: &str) -> Option<Duration> {
        let duration = parse_duration(text);
        if duration.is_none() {
            let allowed =
                "a whole number above 0 with its unit (ms, s, m or h), up to 24h: \"500ms\", \"5s\", \"2m\"";
            self.refuse(path, Some(text), "this is no duration", Some(allowed));
        }
        duration
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..unit].parse().ok()?;
    let milliseconds = match &text[unit..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return None,
    };
    let duration = Duration::from_millis(number.checked_mul(milliseconds)?);
    (duration > Duration::ZERO && duration <= LONGEST).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_bounds() {
        for (text, milliseconds) in [("500ms", 500), ("5s", 5000), ("2m", 120_000), ("24h", 86_400_000)] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "0s",
            "-1s",
            "1.5s",
            "5 s",
            "5S",
            "25h",
            "18446744073709551615h",
            "99999999999999999999s",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
