//! The local stack: the real function binaries behind a local API Gateway, AWS endpoints, and the RingCentral simulator,
//! on loopback, without Docker and without an account.
//!
//! `cargo local` runs it (`examples/local.rs`), tests start it with [`Stack::start`]. What runs is read from
//! `template.yaml` and nowhere else. Code map, in the order of a request:
//!
//! | module | what |
//! | --- | --- |
//! | `stack` | starts and stops the parts, moves the one clock |
//! | `template` | reads `template.yaml` |
//! | `gateway`, `routes`, `event` | HTTP request to API Gateway event and back; `/_local` |
//! | `functions`, `instance`, `guard`, `runtime_api` | the function processes over the Lambda Runtime API |
//! | `aws` | DynamoDB, KMS, SQS, Secrets Manager, Scheduler, Lambda on one address; rights, faults, call log; `/_aws` |
//! | `sim` | the RingCentral simulator as a part |
//! | `data`, `state_file` | what survives the runner |
//! | `cli`, `build`, `bootstrap`, `demo`, `client`, `bench`, `watch` | what `cargo local` does around it |

#![expect(clippy::disallowed_methods, reason = "a server on a developer's machine, not a function on Lambda")]

mod aws;
mod bench;
mod bootstrap;
mod browser;
pub mod build;
pub mod cli;
mod client;
mod clock;
mod data;
mod demo;
mod demo_receiver;
mod event;
mod functions;
mod gateway;
mod guard;
mod instance;
mod logs;
mod names;
mod options;
mod ports;
mod routes;
mod runtime_api;
mod server;
mod sim;
mod stack;
mod state_file;
pub mod template;
pub mod watch;

pub use aws::expression::Expression;
pub use functions::{DEFAULT_INSTANCES, Failure};
pub use options::{Data, Options};
pub use stack::{Stack, StackInfo};
