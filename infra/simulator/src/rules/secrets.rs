//! Random tokens and ids.

/// A token with 256 random bits. It contains `CANARY`, so that test suites can search logs and tables for it.
#[must_use]
pub fn random_secret(prefix: &str) -> String {
    let mut bytes = [0_u8; 32];
    // If the system's generator fails, a UUID keeps the value unique.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        bytes[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    }
    format!("{prefix}.CANARY.{}", data_encoding::BASE64URL_NOPAD.encode(&bytes))
}

/// An id that is not a secret.
#[must_use]
pub fn random_id(prefix: &str) -> String {
    format!("{prefix}-{}", uuid::Uuid::new_v4().simple())
}
