//! Limits of consents, of the follow-up of opt-outs, and of quiet hours.

/// The largest body of a request that sets consents.
pub const CONSENTS_BODY_BYTES: usize = 512 * 1024;
/// Consents that one request may set, and the longest note of one.
pub const CONSENT_CHANGES: usize = 1_000;
pub const NOTE_CHARS: usize = 200;
/// Recipients that RingCentral searches for in one call.
pub const CONSENT_SEARCH_NUMBERS: usize = 20;
/// Searches of one request for each account: Light calls, of which an extension has 50 a minute.
pub const CONSENT_SEARCHES: usize = 5;
/// How long a request that sets consents waits for RingCentral, for each account and for each search.
pub const CONSENT_CALL_MS: u64 = 10_000;
/// Consents in one call of the daily search of an account, RingCentral's maximum, and calls of one search: Light calls, of which an
/// extension has 50 a minute.
pub const CONSENT_SEARCH_PAGE: u32 = 1_000;
pub const CONSENT_SEARCH_PAGES: usize = 10;
/// Consents in an event that are recorded. After a longer one, the search runs.
pub const CONSENT_EVENT_RECORDS: usize = 20;
/// Consents of a request or a search that are recorded concurrently.
pub const CONSENTS_AT_ONCE: usize = 16;
/// After an opt-out, its confirmation may be sent for this long (47 CFR 64.1200(a)(12)).
pub const OPT_OUT_CONFIRMATION_SECONDS: i64 = 5 * 60;
/// Until the next attempt to write an opt-out to RingCentral.
pub const OPT_OUT_RETRY_SECONDS: i64 = 60;
/// An opt-out that could not be written to RingCentral for this long is only mirrored.
pub const OPT_OUT_GIVE_UP_SECONDS: i64 = 24 * 60 * 60;
/// The longest confirmation of an opt-out, in UTF-16 code units: two segments of the smaller encoding.
pub const CONFIRMATION_UNITS: usize = 300;

/// Quiet hours hold a message for at most this long at once. They end every day.
pub const QUIET_HOURS_MAX_SECONDS: i64 = 3 * 24 * 3_600;
/// Quiet hours leave at least this many minutes of a day for each area code.
pub const ALLOWED_MINUTES_MIN: usize = 60;
