//! Random numbers for jitter. Not for secrets: see [`Secret::random`](super::secret::Secret::random).

use aws_lc_rs::rand;

/// A random number in `0..end`.
///
/// # Panics
/// If the system's random generator fails.
pub fn below(end: u64) -> u64 {
    let mut bytes = [0_u8; 8];
    rand::fill(&mut bytes).expect("the system's random generator works");
    u64::from_be_bytes(bytes) % end.max(1)
}
