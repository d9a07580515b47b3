//! The rules of the simulated platform, on [`PlatformState`](crate::platform::state::PlatformState): no HTTP handlers, no
//! locks, no tasks. What depends on the time takes `now`, or `at` for an effect that falls due at a given time.

pub mod authorization;
pub mod caller;
pub mod client_authentication;
pub mod consents;
pub mod events;
pub mod grants;
pub mod mailbox;
pub mod message_json;
pub mod messages;
pub mod paging;
pub mod parameters;
pub mod query;
pub mod rate_limits;
pub mod schedule;
pub mod secrets;
pub mod seed;
pub mod sending;
pub mod sessions;
pub mod subscriptions;
pub mod sync;
