//! Integration tests: the real app on free ports, a file for each area.

mod support;

mod identities;
mod smoke;
mod tokens;
