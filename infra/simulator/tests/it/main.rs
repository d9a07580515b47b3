//! What the simulator does, seen over HTTP. No sleeps: the simulator's own clock is moved.

#![expect(clippy::disallowed_methods, reason = "tests start servers and clients of their own")]
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]
#![expect(clippy::needless_pass_by_value, reason = "helpers read better when they take json!(…) as it is")]

mod authorize;
mod clients;
mod consents;
mod control;
mod faults;
mod hook;
mod kit;
mod limits;
mod packages;
mod page;
mod refresh;
mod resources;
mod shapes;
mod sms;
mod store;
mod subscriptions;
mod sync;
mod token;
mod webhooks;
