//! `ReportBatchItemFailures`: the response of a function to a batch of queue messages or stream records.

use serde_json::Value;

/// Which items of a batch a function reports as failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BatchItemFailures {
    Items(Vec<String>),
    /// The response is malformed, so the whole batch counts as failed.
    Malformed,
}

impl BatchItemFailures {
    #[must_use]
    pub fn parse(response: &[u8]) -> Self {
        let identifiers = |response: &Value| match response.get("batchItemFailures") {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(list) => list
                .as_array()?
                .iter()
                .map(|item| item["itemIdentifier"].as_str().map(str::to_owned))
                .collect(),
        };
        serde_json::from_slice(response)
            .ok()
            .as_ref()
            .and_then(identifiers)
            .map_or(Self::Malformed, Self::Items)
    }
}
