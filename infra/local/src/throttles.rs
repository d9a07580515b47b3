//! The throttles of the HTTP API: a token bucket for each route, which the stack's clock refills. They are enforced on request.

use crate::template::ThrottleSettings;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub struct RouteThrottles {
    settings: ThrottleSettings,
    /// The buckets by route key, full ones excepted. `None` if throttles are not enforced.
    buckets: Mutex<Option<BTreeMap<String, Bucket>>>,
}

struct Bucket {
    tokens: f64,
    filled_at: Timestamp,
}

impl RouteThrottles {
    #[must_use]
    pub fn new(settings: ThrottleSettings) -> Self {
        Self { settings, buckets: Mutex::default() }
    }

    #[must_use]
    pub fn are_enforced(&self) -> bool {
        self.lock().is_some()
    }

    /// Begins, with full buckets, or ends to enforce throttles.
    pub fn enforce(&self, enforce: bool) {
        let mut buckets = self.lock();
        if buckets.is_some() != enforce {
            *buckets = enforce.then(BTreeMap::new);
        }
    }

    /// Takes a token of the route's bucket. False if there is none: the request is rejected.
    #[must_use]
    pub fn admit(&self, route_key: &str, now: Timestamp) -> bool {
        let mut buckets = self.lock();
        let Some(buckets) = buckets.as_mut() else { return true };
        let Some(throttle) = self.settings.of(route_key) else { return true };
        let full = Bucket { tokens: throttle.burst, filled_at: now };
        let bucket = buckets.entry(route_key.to_owned()).or_insert(full);
        let seconds = now.duration_since(bucket.filled_at).as_secs_f64().max(0.0);
        bucket.tokens = throttle.rate.mul_add(seconds, bucket.tokens).min(throttle.burst);
        bucket.filled_at = now;
        let is_admitted = bucket.tokens >= 1.0;
        if is_admitted {
            bucket.tokens -= 1.0;
        }
        is_admitted
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<String, Bucket>>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::RouteThrottles;
    use crate::template::{Throttle, ThrottleSettings};
    use jiff::{SignedDuration, Timestamp};
    use std::collections::BTreeMap;

    fn throttles() -> RouteThrottles {
        let own = Throttle { rate: 2.0, burst: 4.0 };
        let routes = BTreeMap::from([("GET /own".to_owned(), own)]);
        RouteThrottles::new(ThrottleSettings { default: Some(Throttle { rate: 1.0, burst: 10.0 }), routes })
    }

    fn admitted(throttles: &RouteThrottles, route: &str, now: Timestamp) -> usize {
        (0..100).filter(|_| throttles.admit(route, now)).count()
    }

    #[test]
    fn a_bucket_holds_a_burst_and_refills_at_its_rate() {
        let (throttles, start) = (throttles(), Timestamp::UNIX_EPOCH);
        let at = |milliseconds| start + SignedDuration::from_millis(milliseconds);
        throttles.enforce(true);
        assert_eq!(admitted(&throttles, "GET /own", start), 4);
        for (milliseconds, expected) in [(400, 0), (500, 1), (1_000, 1), (2_000, 2), (60_000, 4), (60_000, 0)]
        {
            assert_eq!(admitted(&throttles, "GET /own", at(milliseconds)), expected, "{milliseconds} ms");
        }
        // A clock that goes back adds nothing.
        assert_eq!(admitted(&throttles, "GET /own", start), 0);
    }

    #[test]
    fn routes_without_settings_have_a_bucket_each_with_the_default() {
        let (throttles, now) = (throttles(), Timestamp::UNIX_EPOCH);
        throttles.enforce(true);
        for route in ["GET /a", "POST /a", "GET /own"] {
            let expected = if route == "GET /own" { 4 } else { 10 };
            assert_eq!(admitted(&throttles, route, now), expected, "{route}");
        }
    }

    #[test]
    fn nothing_is_throttled_unless_requested() {
        let (throttles, now) = (throttles(), Timestamp::UNIX_EPOCH);
        assert_eq!(admitted(&throttles, "GET /own", now), 100);
        throttles.enforce(true);
        throttles.enforce(true);
        assert_eq!(admitted(&throttles, "GET /own", now), 4);
        throttles.enforce(false);
        assert!(!throttles.are_enforced());
        assert_eq!(admitted(&throttles, "GET /own", now), 100);
        throttles.enforce(true);
        assert_eq!(admitted(&throttles, "GET /own", now), 4, "the bucket is full again");
    }
}
