//! The OAuth endpoints and the login pages.

pub mod authorize;
pub mod discovery;
pub mod revoke;
pub mod token;
