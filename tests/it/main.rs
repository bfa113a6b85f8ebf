//! Integration tests: the real app on free ports, a file for each area.

mod support;

<<<<<<< HEAD
mod forward;
=======
mod canary;
mod guards;
mod inbound;
mod problems;
>>>>>>> p2-guards
mod smoke;

mod http1;
