//! Integration tests: the real app on free ports, a file for each area.

mod support;

mod canary;
mod forward;
mod guards;
mod inbound;
mod problems;
mod smoke;
