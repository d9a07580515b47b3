//! `/_sim/clock`.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::platform::clock::{SECOND, format_time};
use crate::runtime::simulator_core::SimulatorCore;
use crate::server::control::replies::{ControlError, ControlReply, parse_json};

/// Ten years.
const MAX_ADVANCE_SECONDS: i64 = 10 * 366 * 86_400;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AdvanceBody {
    advance_seconds: i64,
}

/// Parses the body of a call that advances a clock: `{advanceSeconds}`, 0 to ten years. The error names the field.
pub fn parse_advance_seconds(body: &[u8]) -> Result<i64, String> {
    let seconds = parse_json::<AdvanceBody>(body)?.advance_seconds;
    if (0..=MAX_ADVANCE_SECONDS).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("advanceSeconds: must be 0 to ten years".to_owned())
    }
}

pub async fn get_clock(State(core): State<Arc<SimulatorCore>>) -> Json<Value> {
    clock_json(&core)
}

pub async fn advance_clock(State(core): State<Arc<SimulatorCore>>, body: Bytes) -> ControlReply {
    core.advance(parse_advance_seconds(&body).map_err(ControlError::bad_request)?);
    Ok(clock_json(&core))
}

fn clock_json(core: &SimulatorCore) -> Json<Value> {
    let offset_seconds = core.clock.offset() / SECOND;
    Json(json!({"now": format_time(core.clock.now()), "offsetSeconds": offset_seconds}))
}
