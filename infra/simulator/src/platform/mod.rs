//! The records of the simulated platform, without rules and without HTTP handlers: what is saved and restored as one
//! value, [`state::PlatformState`].

pub mod accounts;
pub mod clock;
pub mod consents;
pub mod errors;
pub mod events;
pub mod faults;
pub mod filters;
pub mod images;
pub mod ledger;
pub mod messages;
pub mod rate_limits;
pub mod sessions;
pub mod settings;
pub mod state;
pub mod subscriptions;
pub mod urls;
pub mod variants;
