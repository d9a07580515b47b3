//! The RingCentral client, a crate of its own: `shared/ringcentral`.

pub use ringbridge_ringcentral::*;
