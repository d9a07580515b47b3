//! Caches of a warm function, limited in size and age.
//!
//! They save repeated rejections and reads, and wake-ups and writes that would repeat a recent one. A cached API key authenticates
//! only send requests, for ten seconds. Access tokens are cached for a minute.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::limits;
use crate::model::app::KeyRecord;
use crate::model::connection::Connection;
use crate::model::number::Number;
use crate::model::rate_limit::Tally;
use crate::model::secret::Secret;
use crate::model::tenant::{Tenant, TenantLimits};

#[derive(Debug)]
pub struct Cache {
    /// API keys that do not exist, by prefix.
    pub unknown_keys: TtlCache<()>,
    /// API keys that exist, by prefix.
    pub known_keys: TtlCache<KnownKey>,
    /// API keys that were authenticated recently, by prefix.
    pub authenticated_keys: TtlCache<Arc<(Tenant, KeyRecord)>>,
    /// Numbers that can send, by tenant and number.
    pub senders: TtlCache<Arc<SendingNumber>>,
    /// Wake-ups sent to senders within the debounce period.
    pub recent_wakeups: TtlCache<RecentWakeup>,
    /// Change notifications, by their proof of origin, whose message sync is already scheduled.
    pub requested_syncs: TtlCache<()>,
    /// Unreadable rows that are quarantined, by name.
    pub quarantined_rows: TtlCache<()>,
    /// API keys whose use was recorded recently.
    pub recorded_key_uses: TtlCache<()>,
    /// Counters that reached their limit: the limit, and when requests are allowed again.
    pub exhausted_counters: TtlCache<(u32, Timestamp)>,
    /// Local counts, while the counters in the table are unavailable.
    pub local_counts: TtlCache<Tally>,
    /// Attributes of counters that the next write removes.
    pub outdated_cells: TtlCache<Arc<Vec<String>>>,
    /// Has an entry while the counters in the table are not used because they are unavailable.
    pub counter_outages: TtlCache<()>,
    /// Whether the last check of the tables and the encryption key succeeded.
    pub readiness: TtlCache<ReadinessOutcome>,
    /// Access tokens, by connection.
    pub tokens: TtlCache<KnownToken>,
    /// Serialises reading and refreshing a connection within this process.
    pub connection_locks: KeyedMutex,
}

/// A number of a connected extension that can send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendingNumber {
    pub number: Number,
    /// RingCentral's id of the account of its extension, if it is known.
    pub account: Option<String>,
}

/// The outcome of a readiness check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadinessOutcome {
    Ready,
    Unavailable,
}

/// The wake-ups that this process has sent to a sender within the debounce time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecentWakeup {
    /// One wake-up, which the worker may have handled.
    Sent,
    /// A second one, which the queue delivers after the debounce time.
    Delayed,
}

/// An access token, and the connection as it was read with it.
#[derive(Debug, Clone)]
pub struct KnownToken {
    pub connection: Connection,
    /// Zeroized on drop.
    pub access: Secret,
}

/// One mutex per key.
#[derive(Debug, Default)]
pub struct KeyedMutex(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl KeyedMutex {
    /// The mutex of a key. Unused mutexes are dropped.
    pub fn of(&self, key: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut mutexes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mutexes.retain(|_, mutex| Arc::strong_count(mutex) > 1);
        Arc::clone(mutexes.entry(key.to_owned()).or_default())
    }
}

/// An API key that exists.
#[derive(Debug, Clone)]
pub struct KnownKey {
    /// The digest of the whole key, which never changes.
    pub digest: String,
    /// The tenant's limits when the key was last read.
    pub limits: TenantLimits,
    pub read_at: Timestamp,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            unknown_keys: TtlCache::with_capacity(limits::CACHE_ENTRIES),
            known_keys: TtlCache::with_capacity(limits::CACHE_ENTRIES),
            authenticated_keys: TtlCache::with_capacity(limits::CACHE_ENTRIES),
            senders: TtlCache::with_capacity(limits::CACHE_ENTRIES),
            recent_wakeups: TtlCache::with_capacity(limits::CACHE_ENTRIES),
            requested_syncs: TtlCache::with_capacity(limits::CACHE_ENTRIES),
            quarantined_rows: TtlCache::with_capacity(limits::CACHE_ENTRIES),
            recorded_key_uses: TtlCache::with_capacity(limits::CACHE_ENTRIES),
            exhausted_counters: TtlCache::with_capacity(limits::CACHE_ENTRIES),
            local_counts: TtlCache::with_capacity(limits::CACHE_ENTRIES),
            outdated_cells: TtlCache::with_capacity(limits::CACHE_ENTRIES),
            counter_outages: TtlCache::with_capacity(1),
            readiness: TtlCache::with_capacity(1),
            tokens: TtlCache::with_capacity(limits::DATA_KEY_CACHE_ENTRIES),
            connection_locks: KeyedMutex::default(),
        }
    }
}

/// A cache of limited capacity whose entries expire. When it is full, the oldest entry is evicted.
#[derive(Debug)]
pub struct TtlCache<V> {
    capacity: usize,
    inner: Mutex<Inner<V>>,
}

#[derive(Debug)]
struct Inner<V> {
    values: HashMap<String, (V, Timestamp)>,
    /// Keys in the order of insertion.
    order: VecDeque<String>,
}

impl<V: Clone> TtlCache<V> {
    pub fn with_capacity(capacity: usize) -> Self {
        Self { capacity, inner: Mutex::new(Inner { values: HashMap::new(), order: VecDeque::new() }) }
    }

    pub fn get(&self, key: &str, now: Timestamp) -> Option<V> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.values.get(key).filter(|(_, until)| *until > now).map(|(value, _)| value.clone())
    }

    pub fn insert(&self, key: &str, value: V, until: Timestamp) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.values.insert(key.to_owned(), (value, until)).is_some() {
            return;
        }
        inner.order.push_back(key.to_owned());
        while inner.order.len() > self.capacity {
            let Some(oldest) = inner.order.pop_front() else { break };
            inner.values.remove(&oldest);
        }
    }

    pub fn remove(&self, key: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.values.remove(key).is_some() {
            inner.order.retain(|known| known != key);
        }
    }

    /// Updates a value, or a new one if there is none.
    pub fn update<T>(
        &self,
        key: &str,
        now: Timestamp,
        until: Timestamp,
        new: impl FnOnce() -> V,
        change: impl FnOnce(&mut V) -> T,
    ) -> T {
        let mut value = self.get(key, now).unwrap_or_else(new);
        let outcome = change(&mut value);
        self.insert(key, value, until);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_entry_expires() {
        let cache = TtlCache::with_capacity(2);
        cache.insert("a", 1, at(60));
        assert_eq!(cache.get("a", at(59)), Some(1));
        assert_eq!(cache.get("a", at(60)), None);
    }

    #[test]
    fn the_oldest_entry_is_evicted_from_a_full_cache() {
        let cache = TtlCache::with_capacity(2);
        for name in ["a", "b", "a", "c"] {
            cache.insert(name, name.to_owned(), at(60));
        }
        assert_eq!(cache.get("a", at(0)), None);
        assert_eq!(cache.get("b", at(0)).as_deref(), Some("b"));
        assert_eq!(cache.get("c", at(0)).as_deref(), Some("c"));
    }
}
