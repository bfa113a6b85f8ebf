//! Every error that the proxy makes itself: one line each.

use http::StatusCode;

/// Who failed, as the metrics and the list of live requests tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failed {
    /// The request is wrong, or its sender went away.
    Client,
    /// The request is not allowed.
    Guard,
    /// No token was to be had.
    Token,
    /// The upstream, or the way to it.
    Upstream,
}

impl Failed {
    pub const ALL: [Self; 4] = [Self::Client, Self::Guard, Self::Token, Self::Upstream];

    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Guard => "guard",
            Self::Token => "token",
            Self::Upstream => "upstream",
        }
    }
}

/// The kinds, each with a slug that scripts may rely on, a status, and an error type of RFC 9209
/// §2.3.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident, $slug:literal, $status:literal, $error:ident, $failed:ident, $title:literal;)*) => {
        /// What kind of error it is. The slug and the status of a kind never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemKind {
            $($(#[$doc])* $kind,)*
        }

        impl ProblemKind {
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// The last part of the problem's type.
            pub fn slug(self) -> &'static str {
                match self { $(Self::$kind => $slug,)* }
            }

            /// `urn:maskinporten-proxy:<slug>`, the problem's `type`.
            pub fn urn(self) -> String {
                format!("urn:maskinporten-proxy:{}", self.slug())
            }

            /// The same for every occurrence (RFC 9457 §3.1.3).
            pub fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)* }
            }

            pub fn status(self) -> StatusCode {
                let code: u16 = match self { $(Self::$kind => $status,)* };
                StatusCode::from_u16(code).expect("the table holds statuses of RFC 9110")
            }

            /// The error type of `Proxy-Status` (RFC 9209 §2.3).
            pub fn proxy_error(self) -> &'static str {
                match self { $(Self::$kind => stringify!($error),)* }
            }

            /// Who failed.
            pub fn failed(self) -> Failed {
                match self { $(Self::$kind => Failed::$failed,)* }
            }
        }
    };
}

kinds! {
    // kind, slug, status, proxy-status error, who failed, title
    MalformedRequest, "malformed-request", 400, http_request_error, Client, "The request is malformed";
    /// Nobody can tell where the body ends; the connection is closed.
    Framing, "framing", 400, http_request_error, Client, "The request's length is ambiguous";
    PathClimbs, "path-climbs", 400, http_request_error, Client, "The path climbs out of its route";
    ClaimHeader, "claim-header", 400, http_request_error, Client, "A header that a claim is taken from is missing or ambiguous";
    /// The status page's own password (`Authorization`), not the proxy's.
    AdminPassword, "admin-password", 401, http_request_denied, Guard, "The admin listener asks for a password";
    HostNotAllowed, "host-not-allowed", 403, http_request_denied, Guard, "This host name is not one of the proxy's";
    OriginNotAllowed, "origin-not-allowed", 403, http_request_denied, Guard, "Web pages of this origin may not use the proxy";
    BrowserNotAllowed, "browser-not-allowed", 403, http_request_denied, Guard, "Browsers may not use the proxy for routed hosts";
    /// A change on the admin listener without the header that no web page can send.
    HeaderRequired, "header-required", 403, http_request_denied, Guard, "The request must say that it is meant";
    ReadOnly, "read-only", 403, http_request_denied, Guard, "The route is read-only";
    ClaimNotAllowed, "claim-not-allowed", 403, http_request_denied, Guard, "The value for a claim is not allowed";
    /// CONNECT to a routed host without `intercept`.
    InterceptionOff, "interception-off", 403, http_request_denied, Guard, "TLS interception is off";
    /// A routed name that the local CA was not made for.
    NameNotInCa, "name-not-in-ca", 403, proxy_configuration_error, Guard, "The local CA does not cover this name";
    OtherHostDenied, "other-host-denied", 403, http_request_denied, Guard, "Hosts without a route are denied";
    /// The proxy itself, link-local and metadata addresses.
    DestinationProhibited, "destination-prohibited", 403, destination_ip_prohibited, Guard, "The address may not be reached through the proxy";
    NoRoute, "no-route", 404, destination_not_found, Client, "No route matches";
    /// A path of the admin listener that has nothing.
    NotFound, "not-found", 404, destination_not_found, Client, "Nothing is here";
    NoSuchToken, "no-such-token", 404, destination_not_found, Client, "There is no such token";
    MethodNotAllowed, "method-not-allowed", 405, http_request_denied, Client, "The method is not served here";
    Trace, "trace", 405, http_request_denied, Guard, "TRACE is not served";
    ProxyPassword, "proxy-password", 407, http_request_denied, Guard, "The proxy asks for a password";
    RequestTimeout, "request-timeout", 408, http_request_error, Client, "The request took too long to arrive";
    BodyTooLarge, "body-too-large", 413, http_request_error, Client, "The request's body is too large";
    UriTooLong, "uri-too-long", 414, http_request_error, Client, "The request's target is too long";
    /// A request inside a tunnel for another authority than the tunnel's.
    Misdirected, "misdirected", 421, http_request_error, Guard, "The request is for another host than the connection";
    HeadTooLarge, "head-too-large", 431, http_request_error, Client, "The request's head is too large";
    /// Refused in a way that only a person can mend.
    TokenRefused, "token-refused", 502, proxy_configuration_error, Token, "Maskinporten refuses a token";
    /// Altinn's refusal of a token that Maskinporten gave.
    ExchangeRefused, "exchange-refused", 502, proxy_configuration_error, Token, "Altinn refuses to exchange the token";
    UpstreamDns, "upstream-dns", 502, dns_error, Upstream, "The upstream's name does not resolve";
    UpstreamUnreachable, "upstream-unreachable", 502, destination_ip_unroutable, Upstream, "The upstream cannot be reached";
    UpstreamRefused, "upstream-refused", 502, connection_refused, Upstream, "The upstream refuses connections";
    UpstreamCertificate, "upstream-certificate", 502, tls_certificate_error, Upstream, "The upstream's certificate is not trusted";
    UpstreamTls, "upstream-tls", 502, tls_protocol_error, Upstream, "The TLS handshake with the upstream failed";
    /// Closed before the response's head was whole.
    UpstreamClosed, "upstream-closed", 502, connection_terminated, Upstream, "The upstream closed the connection";
    /// What came is not HTTP, or is framed so that it cannot be relied on.
    UpstreamProtocol, "upstream-protocol", 502, http_protocol_error, Upstream, "The upstream's response is malformed";
    /// A 101 that nobody asked for, or to another protocol.
    UpgradeFailed, "upgrade-failed", 502, http_upgrade_failed, Upstream, "The upstream switched to a protocol that was not asked for";
    /// The proxy that stands between this one and the upstream.
    OutboundProxy, "outbound-proxy", 502, destination_unavailable, Upstream, "The outbound proxy did not make the connection";
    /// Worth trying again.
    TokenUnavailable, "token-unavailable", 503, proxy_internal_response, Token, "There is no token just now";
    /// Status pages that are open at once.
    TooManyStreams, "too-many-streams", 503, proxy_internal_response, Client, "There are too many live streams";
    UpstreamConnectTimeout, "upstream-connect-timeout", 504, connection_timeout, Upstream, "The upstream could not be connected to in time";
    UpstreamTimeout, "upstream-timeout", 504, http_response_timeout, Upstream, "The upstream did not answer in time";
    Loop, "loop", 508, proxy_loop_detected, Client, "The request came back to the proxy";
}

impl ProblemKind {
    /// Whether the connection cannot be used for another request.
    pub fn closes_connection(self) -> bool {
        matches!(
            self,
            Self::Framing | Self::RequestTimeout | Self::BodyTooLarge | Self::UriTooLong | Self::HeadTooLarge
        )
    }
}
