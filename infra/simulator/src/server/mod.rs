//! HTTP: the listener, the way of a request, the endpoints, the pages and the control API.

mod accounts;
mod byte_range;
mod connection;
mod consents;
mod content;
mod control;
mod guard;
mod injected_limit;
pub mod listener;
pub mod local_only;
mod message_store;
mod message_sync;
mod multi_status;
mod multipart;
mod numbers;
mod oauth;
mod page;
mod pipeline;
mod query;
mod responses;
pub mod routes;
mod sms;
mod subscriptions;

pub use control::clock::parse_advance_seconds;
