//! The cost of AWS calls, from the local stack's call log with the capacity units that its DynamoDB reports.

use std::collections::BTreeMap;

use serde_json::Value;

/// Prices in US dollars per million: us-east-1, on demand, arm64, without the free tier; AWS price list of 2026.
const WRITE_UNIT: f64 = 0.625;
pub const READ_UNIT: f64 = 0.125;
const QUEUE_REQUEST: f64 = 0.40;
const KMS_REQUEST: f64 = 3.00;
const SECRET_REQUEST: f64 = 5.00;
/// An API call of EventBridge Scheduler, and an invocation by it.
pub const SCHEDULE_CALL: f64 = 1.00;
pub const LAMBDA_REQUEST: f64 = 0.20;
/// A million seconds of 256 MB.
pub const LAMBDA_SECOND: f64 = 0.25 * 13.3334;

/// Calls of one function that begin within this time of the previous one belong to one invocation.
const ONE_INVOCATION_MS: f64 = 50.0;

/// The usage of a function.
#[derive(Debug, Default, Clone)]
pub struct Use {
    /// Operations and their counts.
    pub operations: BTreeMap<String, usize>,
    /// Read and write capacity units of DynamoDB.
    pub reads: f64,
    pub writes: f64,
    /// Invocations and their duration in seconds, derived from the gaps between calls.
    pub invocations: usize,
    pub seconds: f64,
    /// Calls of other services, in dollars per million.
    others: f64,
}

impl Use {
    /// Dollars for a million repetitions.
    pub fn price(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below the limit")]
        let invocations = self.invocations as f64;
        self.reads * READ_UNIT
            + self.writes * WRITE_UNIT
            + self.others
            + invocations * LAMBDA_REQUEST
            + self.seconds * LAMBDA_SECOND
    }

    /// `2 PutItem, Query`.
    pub fn named(&self) -> String {
        let named = self.operations.iter().map(|(name, count)| format!("{count} {name}"));
        named.collect::<Vec<_>>().join(", ")
    }
}

/// The usage of each function, from entries of the call log.
pub fn used(calls: &[Value]) -> BTreeMap<String, Use> {
    let mut used: BTreeMap<String, Use> = BTreeMap::new();
    let mut spans: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for call in calls {
        let Some(function) = call["function"].as_str() else { continue };
        let function = used.entry(function.to_owned()).or_default();
        let (service, operation) = (call["service"].as_str().unwrap(), call["operation"].as_str().unwrap());
        *function.operations.entry(operation.to_owned()).or_default() += 1;
        // A failed conditional write is charged too; the engine does not report its units, so at least one is counted.
        let refused = call["error"] == "ConditionalCheckFailedException";
        let units = call["units"].as_f64().unwrap_or_default() + f64::from(u8::from(refused));
        let reads = ["Get", "Query", "Scan"].iter().any(|word| operation.contains(word));
        match service {
            "dynamodb" if reads => function.reads += units,
            "dynamodb" => function.writes += units,
            // A message is sent, received and deleted.
            "sqs" => function.others += 3.0 * QUEUE_REQUEST,
            "kms" => function.others += KMS_REQUEST,
            "secretsmanager" => function.others += SECRET_REQUEST,
            "scheduler" => function.others += SCHEDULE_CALL,
            _ => {}
        }
        let began = call["startedMs"].as_f64().unwrap();
        let name = call["function"].as_str().unwrap().to_owned();
        spans.entry(name).or_default().push((began, began + call["ms"].as_f64().unwrap()));
    }
    for (function, mut spans) in spans {
        spans.sort_by(|one, other| one.0.total_cmp(&other.0));
        let function = used.get_mut(&function).unwrap();
        let mut busy_until = f64::NEG_INFINITY;
        for (began, ended) in spans {
            if began - busy_until > ONE_INVOCATION_MS {
                function.invocations += 1;
                function.seconds += (ended - began) / 1e3;
            } else if ended > busy_until {
                function.seconds += (ended - busy_until) / 1e3;
            }
            busy_until = busy_until.max(ended);
        }
    }
    used
}
