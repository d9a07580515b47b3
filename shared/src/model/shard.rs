//! Shards of the indexes that span all tenants.
//!
//! DynamoDB writes 1,000 units a second to one partition key value, and an index that throttles blocks the writes to its table.
//! So each kind of work, and each list of the operator, has one partition key value per shard: `<kind>#<shard>`.

use std::sync::OnceLock;

use aws_lc_rs::digest;

use crate::limits;

/// How many shards the stack has. It is the same in all processes of a stack, and set before the first use.
static COUNT: OnceLock<u8> = OnceLock::new();

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u8);

impl Shard {
    /// Sets the number of shards of this process; [`limits::DEFAULT_SHARDS`] otherwise. Only the first call has an effect.
    pub fn set_count(count: u8) {
        COUNT.get_or_init(|| count);
    }

    fn count() -> u8 {
        *COUNT.get_or_init(|| limits::DEFAULT_SHARDS)
    }

    /// The shard of an id. With more shards an id has another shard, and what is in the old one is still found. With fewer, what is
    /// in the shards that are gone is not.
    pub fn of(id: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, id.as_bytes());
        Self(digest.as_ref()[0] % Self::count())
    }

    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::count()).map(Self)
    }

    /// `None` if there are fewer shards.
    pub fn from_number(number: u8) -> Option<Self> {
        (number < Self::count()).then_some(Self(number))
    }

    pub fn number(self) -> u8 {
        self.0
    }

    /// The partition key value of the shard.
    pub fn partition(self, kind: &str) -> String {
        format!("{kind}#{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn ids_are_spread_evenly_over_the_shards() {
        let mut counts = BTreeMap::new();
        for at in 0..8_000 {
            *counts.entry(Shard::of(&format!("conn_{at:016x}"))).or_insert(0_u32) += 1;
        }
        assert!(counts.keys().copied().eq(Shard::all()));
        assert!(counts.values().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }

    #[test]
    fn the_shard_of_an_id_is_stable() {
        let shards = ["conn_0123456789abcdef", "tenant_0123456789abcdef", "62290148"].map(Shard::of);
        assert_eq!(shards.map(Shard::number), [6, 0, 1]);
        assert_eq!(shards[0].partition("sync"), "sync#6");
    }

    #[test]
    fn a_number_beyond_the_shards_is_none() {
        assert!(Shard::all().all(|shard| Shard::from_number(shard.number()) == Some(shard)));
        assert_eq!(Shard::from_number(limits::DEFAULT_SHARDS), None);
    }
}
