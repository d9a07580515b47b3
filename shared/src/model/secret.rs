//! Text that must not be logged or serialised.

pub use ringbridge_ringcentral::secret::Secret;
