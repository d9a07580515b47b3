//! The words of the product: plain values that know no database, no HTTP, no AWS and no `await`.

pub mod secret;

#[cfg(feature = "gateway")]
pub mod app;
#[cfg(feature = "gateway")]
pub mod audit;
#[cfg(feature = "gateway")]
pub mod connect_token;
#[cfg(feature = "gateway")]
pub mod connection;
#[cfg(feature = "gateway")]
pub mod cursor;
#[cfg(feature = "gateway")]
pub mod delivery;
#[cfg(feature = "gateway")]
pub mod event;
#[cfg(feature = "gateway")]
pub mod ids;
#[cfg(feature = "gateway")]
pub mod number;
#[cfg(feature = "gateway")]
pub mod phone;
#[cfg(feature = "gateway")]
pub mod rate;
#[cfg(feature = "gateway")]
pub mod refresh;
#[cfg(feature = "gateway")]
pub mod signature;
#[cfg(feature = "gateway")]
pub mod tenant;
