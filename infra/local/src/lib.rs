//! The local stack: the function binaries behind a local API gateway, AWS endpoints, and the RingCentral simulator. It runs
//! on loopback, without Docker and without an AWS account.
//!
//! `cargo local` runs it (`examples/local.rs`), and tests start it with [`Stack::start`]. `template.yaml` is the only source
//! of what runs.
//!
//! | module | content |
//! | --- | --- |
//! | `stack`, `parts` | starts and stops the parts, moves their clock |
//! | `template`, `iam_policy`, `schedule_expression` | reads `template.yaml` |
//! | `gateway`, `routes`, `throttles`, `event` | from an HTTP request to an API Gateway event and back; the control API `/_local` |
//! | `functions`, `instance`, `process_guard`, `runtime_api` | function processes and the Lambda Runtime API |
//! | `logs`, `log_line` | the functions' logs |
//! | `aws` | DynamoDB, KMS, SQS, Secrets Manager, Scheduler and Lambda on one address, and the alarms of CloudWatch; policies, faults, call log; the control API `/_aws` |
//! | `sim` | the RingCentral simulator |
//! | `data`, `state_file` | state between runs |
//! | `cli`, `banner`, `build`, `progress`, `bootstrap`, `client`, `demo`, `browser`, `bench`, `watch` | the commands of `cargo local` |

#![expect(
    clippy::disallowed_methods,
    reason = "this is a server on a developer's machine, not a Lambda function"
)]

mod aws;
mod banner;
mod bench;
mod bootstrap;
mod browser;
pub mod build;
pub mod cli;
mod client;
mod clock;
mod data;
mod demo;
mod demo_pictures;
mod demo_receiver;
mod event;
mod functions;
mod gateway;
mod iam_policy;
mod instance;
mod log_line;
mod logs;
mod names;
mod options;
mod parts;
mod ports;
mod process_guard;
pub mod progress;
mod routes;
mod runtime_api;
mod schedule_expression;
mod server;
mod sim;
mod stack;
mod stack_info;
mod state_file;
pub mod template;
mod throttles;
pub mod watch;

pub use functions::DEFAULT_INSTANCES;
pub use instance::InvocationError;
pub use options::{DataLocation, StackOptions, StackParts};
pub use schedule_expression::ScheduleExpression;
pub use stack::Stack;
pub use stack_info::StackInfo;
