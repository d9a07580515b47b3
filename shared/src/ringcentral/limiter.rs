//! RingCentral's rate limits: what the answers tell about them.

use reqwest::header::HeaderMap;

/// What an answer's `X-Rate-Limit-…` headers tell (Developer Guide, "Rate limits").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// The group that the call counts in, such as `light`. Names may change: compare, don't interpret.
    pub group: String,
    /// Calls allowed in the window.
    pub limit: u32,
    /// Calls left in the window.
    pub remaining: u32,
    /// The length of the window.
    pub window_seconds: u32,
}

impl RateLimit {
    /// Reads the headers; `None` unless all four are there.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
        let number = |name: &str| text(name)?.parse().ok();
        Some(Self {
            group: text("x-rate-limit-group").filter(|group| group.len() <= 64)?.to_ascii_lowercase(),
            limit: number("x-rate-limit-limit")?,
            remaining: number("x-rate-limit-remaining")?,
            window_seconds: number("x-rate-limit-window")?,
        })
    }
}
