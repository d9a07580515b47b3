//! The local stack: the real function binaries behind a local API Gateway, AWS endpoints, and the RingCentral simulator,
//! on loopback, without Docker and without an account.
//!
//! `cargo local` runs it (`examples/local.rs`), tests start it with [`Stack::start`]. What runs is read from
//! `template.yaml` and nowhere else. Code map, in the order of a request:
//!
//! | module | what |
//! | --- | --- |
//! | [`stack`] | starts and stops the parts, moves the one clock |
//! | [`template`] | reads `template.yaml` |
//! | [`gateway`], [`routes`], [`event`] | HTTP request to API Gateway event and back; `/_local` |
//! | [`functions`], [`instance`], [`guard`], [`runtime_api`] | the function processes over the Lambda Runtime API |
//! | [`aws`] | DynamoDB, KMS, SQS, Secrets Manager, Scheduler, Lambda on one address; rights, faults, call log; `/_aws` |
//! | [`sim`] | the RingCentral simulator as a part |
//! | [`data`], [`state_file`] | what survives the runner |
//! | [`cli`], [`build`], [`bootstrap`], [`demo`], `client`, [`bench`], [`watch`] | what `cargo local` does around it |

#![expect(clippy::disallowed_methods, reason = "a server on a developer's machine, not a function on Lambda")]

pub mod aws;
pub mod bench;
pub mod bootstrap;
pub mod browser;
pub mod build;
pub mod cli;
mod client;
pub mod clock;
pub mod data;
pub mod demo;
mod demo_receiver;
pub mod event;
pub mod functions;
pub mod gateway;
pub mod guard;
pub mod instance;
pub mod logs;
pub mod names;
pub mod options;
pub mod ports;
pub mod routes;
pub mod runtime_api;
pub mod server;
pub mod sim;
pub mod stack;
pub mod state_file;
pub mod template;
pub mod watch;

pub use options::{Data, Options};
pub use stack::{Stack, StackInfo};
