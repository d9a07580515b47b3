//! How the local stack behaves, seen from outside: over HTTP, with a real function binary.

#![expect(clippy::disallowed_methods, reason = "tests of a server on this machine")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod faults;
mod gateway;
mod world;
