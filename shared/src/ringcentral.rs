//! Re-exports the RingCentral client, the crate in `shared/ringcentral`.

pub use ringbridge_ringcentral::*;
