//! The parts of a running stack that share its clock.

use crate::aws::endpoints::AwsEndpoints;
use crate::clock::StackClock;
use crate::functions::FunctionPools;
use crate::logs::FunctionLogs;
use crate::sim::RunningSimulator;
use crate::state_file::StateFile;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::timeout;

/// How long the clock waits for running work, before and after it moves.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

pub struct RunningParts {
    pub clock: StackClock,
    pub clock_file: StateFile,
    pub functions: Option<FunctionPools>,
    pub aws: Option<Arc<AwsEndpoints>>,
    pub simulator: Arc<OnceLock<RunningSimulator>>,
    pub logs: FunctionLogs,
}

/// The clock between runs.
#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedClock {
    pub offset_seconds: i64,
}

impl RunningParts {
    /// Moves the clock of all parts, fires what became due, and waits until the stack is idle: `{now, fired}`.
    pub async fn advance_clock(&self, seconds: i64) -> Value {
        self.wait_until_idle().await;
        let _locked = match &self.aws {
            Some(aws) => Some(aws.clock_lock.lock().await),
            None => None,
        };
        if let Some(aws) = &self.aws {
            aws.measure();
        }
        self.clock.advance(seconds);
        let saved = SavedClock { offset_seconds: self.clock.offset_seconds() };
        if let Err(error) = self.clock_file.save(&saved) {
            tracing::warn!(error = %format!("{error:#}"), "clock could not be saved");
        }
        if let Some(functions) = &self.functions {
            functions.restart();
        }
        if let Some(simulator) = self.simulator.get() {
            simulator.advance(seconds);
        }
        let mut fired = Vec::new();
        if let Some(aws) = &self.aws {
            aws.services.delete_expired().await;
            aws.services.dynamodb.notify_streams();
            if let Ok(names) = timeout(IDLE_TIMEOUT, aws.fire_due()).await {
                fired = names;
            }
        }
        self.wait_until_idle().await;
        if let Some(aws) = &self.aws {
            aws.measure();
        }
        json!({ "now": self.clock.now().to_string(), "fired": fired })
    }

    /// Waits until no invocation runs, no message or stream record waits for a function, and no webhook delivery of the
    /// simulator is in progress; at most 30 seconds.
    pub async fn wait_until_idle(&self) {
        let idle = async {
            loop {
                if let Some(simulator) = self.simulator.get() {
                    simulator.wait_until_idle().await;
                }
                if let Some(aws) = &self.aws {
                    aws.wait_until_idle().await;
                }
                // The functions may have made the simulator send something.
                if self.simulator.get().is_none_or(RunningSimulator::is_idle) {
                    return;
                }
            }
        };
        let _ = timeout(IDLE_TIMEOUT, idle).await;
    }
}
