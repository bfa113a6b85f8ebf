//! [`Refusal`]: why bytes are no request.

use http::StatusCode;

/// Why a request was refused before it became one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("a line of the head does not end in CRLF")]
    LineEnding,
    #[error("the request line is not a method, a target and a version, with one space between them")]
    RequestLine,
    #[error("the version is neither HTTP/1.1 nor HTTP/1.0")]
    Version,
    #[error("the request line is longer than 16 KiB")]
    TargetTooLong,
    #[error("the head is longer than 64 KiB or has more than 100 fields")]
    HeadTooLarge,
    #[error("a field line has no name, a character that no name holds, or a space before the colon")]
    FieldName,
    #[error("a field value holds a control character")]
    FieldValue,
    #[error("a field is folded over several lines")]
    Folded,
    #[error("the request has no Host field, or more than one")]
    Host,
    #[error("Content-Length is not one plain decimal number")]
    ContentLength,
    #[error("Transfer-Encoding is not exactly `chunked`, or stands in an HTTP/1.0 request")]
    TransferEncoding,
    #[error("the request has both Content-Length and Transfer-Encoding")]
    LengthAndEncoding,
    #[error("a CONNECT request has a body")]
    ConnectBody,
    #[error("the head took too long to arrive (more than 30 seconds)")]
    Timeout,
}

impl Refusal {
    /// The status that answers it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}
