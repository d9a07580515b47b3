//! The domain: plain values and pure functions, without database, HTTP, AWS or `await`.

pub mod app;
pub mod audit;
pub mod circuit_breaker;
pub mod connect_token;
pub mod connection;
pub mod cursor;
pub mod delivery;
pub mod event;
pub mod failure;
pub mod ids;
pub mod message;
pub mod number;
pub mod patch;
pub mod phone;
pub mod quarantine;
pub mod random;
pub mod rate_limit;
pub mod refresh;
pub mod secret;
pub mod sender;
pub mod signature;
pub(crate) mod string_enum;
pub mod tenant;
pub mod text;
