//! What a warm function remembers for a short time: bounded in number and in age, lost when the process ends.
//!
//! What is remembered saves the work of refusing again, or of asking twice. It lets a request pass in one place alone: a
//! message is accepted by a key and a sender that were looked up at most ten seconds ago.
//! Access tokens are remembered for a minute, so that a busy connection costs no read; wake-ups and sync
//! requests that an earlier one covers are skipped.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::limits;
use crate::model::app::KeyRecord;
use crate::model::connection::Connection;
use crate::model::ids::ExtensionId;
use crate::model::rate_limit::Slots;
use crate::model::secret::Secret;
use crate::model::tenant::Tenant;

/// What a process remembers.
#[derive(Debug)]
pub struct Cache {
    /// Public parts of keys that nobody has.
    pub unknown_keys: TtlCache<()>,
    /// Keys that exist, by their public part.
    pub known_keys: TtlCache<KnownKey>,
    /// Keys that were looked up a moment ago, by their public part.
    pub checked_keys: TtlCache<Arc<(Tenant, KeyRecord)>>,
    /// Extensions by the numbers that they send from.
    pub senders: TtlCache<ExtensionId>,
    /// Wake-ups that were sent to senders within the debounce time.
    pub recent_wakeups: TtlCache<RecentWakeup>,
    /// Events that report a change, by their authentication, while the sync that they request is due.
    pub requested_syncs: TtlCache<()>,
    /// Keys whose use is written down for the present.
    pub noted_uses: TtlCache<()>,
    /// Counters that were full, with their limit then and when they are not any more.
    pub full_counters: TtlCache<(u32, Timestamp)>,
    /// What this process counts alone while the counters fail.
    pub counted_alone: TtlCache<Slots>,
    /// While this is remembered, the counters are not asked.
    pub failing_counters: TtlCache<()>,
    /// Access tokens that were read a short time ago, by their connection.
    pub tokens: TtlCache<KnownToken>,
    /// Whose turn it is to read or refresh a connection.
    pub turns: KeyedMutex,
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
    /// The connection.
    pub connection: Connection,
    /// Its access token; wiped when it is dropped.
    pub access: Secret,
}

/// One turn for each name: whoever has it goes on, the others of this process wait.
#[derive(Debug, Default)]
pub struct KeyedMutex(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl KeyedMutex {
    /// The turn of a name. Those that nobody waits for are forgotten.
    pub fn of(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(name.to_owned()).or_default())
    }
}

/// A key that exists.
#[derive(Debug, Clone)]
pub struct KnownKey {
    /// The digest of the whole key; it never changes.
    pub digest: String,
    /// Requests in a minute, when the key was last looked up.
    pub requests_per_minute: u32,
    /// When that was.
    pub read_at: Timestamp,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            unknown_keys: TtlCache::at_most(limits::REMEMBERED),
            known_keys: TtlCache::at_most(limits::REMEMBERED),
            checked_keys: TtlCache::at_most(limits::REMEMBERED),
            senders: TtlCache::at_most(limits::REMEMBERED),
            recent_wakeups: TtlCache::at_most(limits::REMEMBERED),
            requested_syncs: TtlCache::at_most(limits::REMEMBERED),
            noted_uses: TtlCache::at_most(limits::REMEMBERED),
            full_counters: TtlCache::at_most(limits::REMEMBERED),
            counted_alone: TtlCache::at_most(limits::REMEMBERED),
            failing_counters: TtlCache::at_most(1),
            tokens: TtlCache::at_most(limits::DATA_KEY_CACHE_ENTRIES),
            turns: KeyedMutex::default(),
        }
    }
}

/// Values by name, each until a moment, at most so many.
#[derive(Debug)]
pub struct TtlCache<V> {
    most: usize,
    inner: Mutex<Inner<V>>,
}

#[derive(Debug)]
struct Inner<V> {
    values: HashMap<String, (V, Timestamp)>,
    /// Names in the order in which they came; the oldest goes first when there is no room.
    order: VecDeque<String>,
}

impl<V: Clone> TtlCache<V> {
    /// Remembers at most so many values.
    pub fn at_most(most: usize) -> Self {
        Self { most, inner: Mutex::new(Inner { values: HashMap::new(), order: VecDeque::new() }) }
    }

    /// The value of a name, unless it is forgotten.
    pub fn get(&self, name: &str, now: Timestamp) -> Option<V> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.values.get(name).filter(|(_, until)| *until > now).map(|(value, _)| value.clone())
    }

    /// Remembers a value until a moment.
    pub fn insert(&self, name: &str, value: V, until: Timestamp) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.values.insert(name.to_owned(), (value, until)).is_some() {
            return;
        }
        inner.order.push_back(name.to_owned());
        while inner.order.len() > self.most {
            let Some(oldest) = inner.order.pop_front() else { break };
            inner.values.remove(&oldest);
        }
    }

    /// Forgets the value of a name.
    pub fn remove(&self, name: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.values.remove(name).is_some() {
            inner.order.retain(|known| known != name);
        }
    }

    /// Changes the value of a name in place, or what `new` makes if it is forgotten.
    pub fn change<T>(
        &self,
        name: &str,
        now: Timestamp,
        until: Timestamp,
        new: impl FnOnce() -> V,
        change: impl FnOnce(&mut V) -> T,
    ) -> T {
        let mut value = self.get(name, now).unwrap_or_else(new);
        let outcome = change(&mut value);
        self.insert(name, value, until);
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
    fn a_value_is_forgotten_at_its_end() {
        let cache = TtlCache::at_most(2);
        cache.insert("a", 1, at(60));
        assert_eq!(cache.get("a", at(59)), Some(1));
        assert_eq!(cache.get("a", at(60)), None);
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_room() {
        let cache = TtlCache::at_most(2);
        for name in ["a", "b", "a", "c"] {
            cache.insert(name, name.to_owned(), at(60));
        }
        assert_eq!(cache.get("a", at(0)), None);
        assert_eq!(cache.get("b", at(0)).as_deref(), Some("b"));
        assert_eq!(cache.get("c", at(0)).as_deref(), Some("c"));
    }
}
