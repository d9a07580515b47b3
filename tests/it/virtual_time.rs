//! Virtual time for simulations: milliseconds since its start, events in the order of their time, and a random generator.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use jiff::Timestamp;

pub const SECOND: i64 = 1_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;
/// The start, long after 1970, so that earlier times can be represented.
const START: i64 = 1_767_225_600_000;
const LATEST: i64 = 4_000_000_000_000;

/// Events in the order of their time. Those of later seconds are not sorted yet.
pub struct TimedEvents<E> {
    later: Vec<Vec<(i64, E)>>,
    second: usize,
    current: BinaryHeap<Reverse<(i64, E)>>,
}

impl<E: Ord> TimedEvents<E> {
    pub fn until(end: i64) -> Self {
        Self { later: (0..=second(end)).map(|_| Vec::new()).collect(), second: 0, current: BinaryHeap::new() }
    }

    /// What comes after the end is dropped.
    pub fn push(&mut self, at: i64, event: E) {
        if second(at) <= self.second {
            self.current.push(Reverse((at, event)));
        } else if let Some(bucket) = self.later.get_mut(second(at)) {
            bucket.push((at, event));
        }
    }

    pub fn pop(&mut self) -> Option<(i64, E)> {
        while self.current.is_empty() {
            self.second += 1;
            let bucket = std::mem::take(self.later.get_mut(self.second)?);
            self.current = bucket.into_iter().map(Reverse).collect();
        }
        self.current.pop().map(|Reverse(event)| event)
    }
}

pub fn stamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(START.saturating_add(ms).min(LATEST)).unwrap()
}

pub fn virtual_ms(at: Timestamp) -> i64 {
    at.as_millisecond() - START
}

pub fn minute(ms: i64) -> usize {
    usize::try_from(ms / MINUTE).unwrap()
}

fn second(ms: i64) -> usize {
    usize::try_from(ms / SECOND).unwrap()
}

/// A deterministic generator, so that all runs are equal.
pub struct SeededRandom(pub u64);

impl SeededRandom {
    /// From -20 to 20.
    pub fn jitter(&mut self) -> i64 {
        self.below(41) - 20
    }

    pub fn below(&mut self, bound: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((mixed ^ (mixed >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }
}
