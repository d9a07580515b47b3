//! Chance, as evenly as spreading work over time needs it.

use aws_lc_rs::rand;

/// A random number below `end`.
///
/// # Panics
/// If the system has no random numbers.
pub fn below(end: u64) -> u64 {
    let mut bytes = [0_u8; 8];
    rand::fill(&mut bytes).expect("the system's random generator works");
    u64::from_be_bytes(bytes) % end.max(1)
}
