//! What the API shows of events on their way.

use serde::Serialize;

use crate::delivery;
use crate::limits;
use crate::outbound::Exchange;

/// `POST /v1/apps/{appId}/test-webhook`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TestedView {
    /// True if the address answered with a status that counts as received.
    delivered: bool,
    status_code: Option<u16>,
    duration_ms: u64,
    /// Why there is no answer.
    error: Option<String>,
    /// The beginning of the answer.
    body: Option<String>,
}

impl From<&Exchange> for TestedView {
    fn from(exchange: &Exchange) -> Self {
        let answer = exchange.outcome.as_ref().ok();
        let shown = |body: &[u8]| {
            let text = String::from_utf8_lossy(body);
            text.chars().take(limits::OUTBOUND_SHOWN_CHARS).collect()
        };
        Self {
            delivered: delivery::is_received(exchange),
            status_code: answer.map(|answer| answer.status),
            duration_ms: u64::try_from(exchange.took.as_millis()).unwrap_or(u64::MAX),
            error: exchange.outcome.as_ref().err().map(ToString::to_string),
            body: answer.map(|answer| shown(&answer.body)),
        }
    }
}
