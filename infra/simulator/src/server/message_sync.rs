//! `GET …/message-sync`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde_json::{Value, json};

use crate::platform::errors::RestError;
use crate::rules::caller::ApiCaller;
use crate::rules::sync::sync_messages;
use crate::runtime::simulator_core::SimulatorCore;
use crate::server::query::Query;

pub async fn get_message_sync(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path((account, extension)): Path<(String, String)>,
    Query(query): Query,
) -> Result<Json<Value>, RestError> {
    core.update(|state, now| {
        let extension = caller.extension(state, &account, &extension)?;
        let urls = core.urls(state);
        let result = sync_messages(state, extension.id, now, &query, &urls)?;
        Ok(Json(json!({
            "uri": urls.api(&extension.path("message-sync")), "records": result.records, "syncInfo": result.sync_info,
        })))
    })
}
