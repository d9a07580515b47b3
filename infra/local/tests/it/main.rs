//! How the local stack behaves, seen from outside: over HTTP, with a real function binary.

#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod build;
mod command;
mod contract;
mod data;
mod engines;
mod faults;
mod gateway;
mod processes;
mod queues;
mod rights;
mod schedules;
mod streams;
mod template;
mod watch;
mod world;
