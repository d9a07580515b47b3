//! `/_sim`: the control API, for programs of this machine only.

pub mod authorize;
pub mod clock;
pub mod inbound;
pub mod replies;
pub mod routes;
