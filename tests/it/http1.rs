//! The proxy between raw sockets: what goes out is what came in, but for what must change.

mod bodies;
mod limits;
mod paths;
mod requests;
mod responses;
mod retries;
mod routing;
