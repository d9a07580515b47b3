//! The behaviour of the simulator over HTTP. Tests advance the simulator's clock and never sleep.

#![expect(clippy::disallowed_methods, reason = "tests start their own servers and clients")]
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]
#![expect(clippy::needless_pass_by_value, reason = "helpers take json!(…) by value for readable calls")]

mod authorize;
mod clients;
mod consents;
mod content;
mod control;
mod faults;
mod packages;
mod page;
mod rate_limits;
mod receiver;
mod refresh;
mod resources;
mod shapes;
mod sms;
mod store;
mod subscriptions;
mod sync;
mod test_simulator;
mod token;
mod webhooks;
