//! The sandbox is the judge of the rest of the program; these tests judge the sandbox. They talk
//! to it over TCP, and make their grants by hand.

mod apis;
mod certificates;
mod faults;
mod files;
mod grants;
mod selfservice;
mod support;
