//! The pure parts of HTTP: functions on heads, paths and header values.
//!
//! They run on every request, so the common case allocates nothing. Nothing here opens a
//! connection, knows a route or a token, or decides who may do what.

pub mod claims;
pub mod cookie;
pub mod framing;
pub mod hop_by_hop;
pub mod location;
pub mod path;
pub mod problem;
pub mod request_id;
pub mod via;
