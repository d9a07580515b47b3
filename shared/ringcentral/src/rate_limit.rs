//! RingCentral's rate limits: the groups in which it counts calls, and the headers that report them.

use reqwest::header::HeaderMap;

/// The usage plan group of a call, as published in the API Reference. Responses name the group that really applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum UsageGroup {
    Light,
    Medium,
    Heavy,
    Auth,
}

impl UsageGroup {
    /// The group's name in the headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Medium => "medium",
            Self::Heavy => "heavy",
            Self::Auth => "auth",
        }
    }

    /// The published number of calls per minute, which applies until a response reports another.
    pub fn published_limit(self) -> usize {
        match self {
            Self::Light => 50,
            Self::Medium => 40,
            Self::Heavy => 10,
            Self::Auth => 5,
        }
    }
}

/// The rate limit that a response reports in its `X-Rate-Limit-…` headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// The group in which the call counts, such as `light`. RingCentral may add names: compare them, do not interpret
    /// them.
    pub group: String,
    /// Calls allowed in the window.
    pub limit: u32,
    /// Calls left in the window.
    pub remaining: u32,
    /// Length of the window in seconds.
    pub window_seconds: u32,
}

/// The largest limit that is read from the headers. RingCentral's limits are a few calls a minute; programs keep a record
/// of each call.
const MAX_LIMIT: u32 = 10_000;

/// The longest window that is read from the headers, in seconds.
const MAX_WINDOW_SECONDS: u32 = 24 * 3_600;

impl RateLimit {
    /// Returns `None` unless all four headers are present and well formed. Values are clamped to their ranges.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
        let number = |name: &str, max: u32| text(name)?.parse::<u32>().ok().map(|number| number.min(max));
        Some(Self {
            group: text("x-rate-limit-group").filter(|group| group.len() <= 64)?.to_ascii_lowercase(),
            limit: number("x-rate-limit-limit", MAX_LIMIT)?,
            remaining: number("x-rate-limit-remaining", MAX_LIMIT)?,
            window_seconds: number("x-rate-limit-window", MAX_WINDOW_SECONDS)?,
        })
    }
}
