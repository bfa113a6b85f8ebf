//! Integration tests: the real app on free ports, a file for each area.

mod support;

mod smoke;

mod drain;
mod http1;
mod http2;
mod relay;
mod smuggling;
mod streaming;
mod upgrade;
