//! `/restapi/v2/accounts/{accountId}/sms/consents`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::{Extension, Json};
use serde_json::Value;

use crate::platform::errors::RestError;
use crate::rules::caller::ApiCaller;
use crate::rules::consents::{ConsentSearch, ConsentUpdate, update_consents};
use crate::rules::query::QueryString;
use crate::runtime::simulator_core::SimulatorCore;

/// `GET …/sms/consents`: by default only opt-outs.
pub async fn list_consents(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path(account): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, RestError> {
    let search = ConsentSearch::from_query(&QueryString::parse(query.as_deref()), Some("OptOut"))?;
    core.update(|state, _| {
        let account = caller.account(state, &account)?.id;
        search.run(&state.consents.latest, account).map(Json)
    })
}

/// `GET …/sms/consents/history`.
pub async fn list_consent_history(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path(account): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, RestError> {
    let search = ConsentSearch::from_query(&QueryString::parse(query.as_deref()), None)?;
    core.update(|state, _| {
        let account = caller.account(state, &account)?.id;
        search.run(&state.consents.history, account).map(Json)
    })
}

/// `POST …/sms/consents/search`.
pub async fn search_consents(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path(account): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, RestError> {
    let search: ConsentSearch = serde_json::from_slice(&body).map_err(|_| RestError::invalid_json())?;
    core.update(|state, _| {
        let account = caller.account(state, &account)?.id;
        search.run(&state.consents.latest, account).map(Json)
    })
}

/// `PATCH …/sms/consents`.
pub async fn patch_consents(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path(account): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, RestError> {
    let update: ConsentUpdate = serde_json::from_slice(&body).map_err(|_| RestError::invalid_json())?;
    core.update(|state, now| {
        let account = caller.account(state, &account)?.id;
        update_consents(state, now, account, update).map(Json)
    })
}
