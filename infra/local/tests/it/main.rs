//! Tests of the local stack over HTTP, with a real function binary.

#![expect(clippy::unwrap_used, reason = "an error fails the test")]

mod build;
mod cli;
mod contract;
mod data;
mod engines;
mod faults;
mod gateway;
mod permissions;
mod processes;
mod queues;
mod s3;
mod s3_client;
mod schedules;
mod streams;
mod template;
mod test_stack;
mod tools;
mod watch;
