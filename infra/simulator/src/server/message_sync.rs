//! `GET …/message-sync`.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::{Extension, Json};
use serde_json::{Value, json};

use crate::platform::errors::RestError;
use crate::rules::caller::ApiCaller;
use crate::rules::query::QueryString;
use crate::rules::sync::sync_messages;
use crate::runtime::simulator_core::SimulatorCore;

pub async fn get_message_sync(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path((account, extension)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, RestError> {
    let query = QueryString::parse(query.as_deref());
    core.update(|state, now| {
        let extension = caller.extension(state, &account, &extension)?;
        let urls = core.urls(state);
        let result = sync_messages(state, extension.id, now, &query, &urls)?;
        let path =
            format!("/restapi/v1.0/account/{}/extension/{}/message-sync", extension.account_id, extension.id);
        Ok(Json(json!({
            "uri": urls.api(&path), "records": result.records, "syncInfo": result.sync_info,
        })))
    })
}
