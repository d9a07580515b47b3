//! `/restapi/v2/accounts/{accountId}/sms/consents`. Every successful reply has an `ETag`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::Value;

use crate::platform::errors::RestError;
use crate::platform::ledger::fingerprint;
use crate::rules::caller::ApiCaller;
use crate::rules::consents::{
    ConsentSearch, ConsentSearchBody, ConsentUpdateBody, consent_history, export_consents, update_consents,
};
use crate::runtime::simulator_core::SimulatorCore;
use crate::server::query::Query;

fn with_etag(body: &str, response: impl IntoResponse) -> Response {
    ([(header::ETAG, format!("\"{}\"", fingerprint(body)))], response).into_response()
}

fn json_reply(body: Value) -> Response {
    with_etag(&body.to_string(), Json(body))
}

/// `GET …/sms/consents`.
pub async fn list_consents(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path(account): Path<String>,
    Query(query): Query,
) -> Result<Response, RestError> {
    let search = ConsentSearch::from_query(&query)?;
    core.update(|state, _| {
        let account = caller.account(state, &account)?.id;
        search.run(state, account).map(json_reply)
    })
}

/// `GET …/sms/consents/history`.
pub async fn list_consent_history(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path(account): Path<String>,
    Query(query): Query,
) -> Result<Response, RestError> {
    core.update(|state, _| {
        let account = caller.account(state, &account)?.id;
        consent_history(state, account, &query).map(json_reply)
    })
}

/// `GET …/sms/consents/export`.
pub async fn get_consent_export(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path(account): Path<String>,
) -> Result<Response, RestError> {
    core.update(|state, _| {
        let csv = export_consents(state, caller.account(state, &account)?.id);
        Ok(with_etag(&csv, ([(header::CONTENT_TYPE, "text/csv")], csv.clone())))
    })
}

/// `POST …/sms/consents/search`.
pub async fn search_consents(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path(account): Path<String>,
    body: Bytes,
) -> Result<Response, RestError> {
    let body: ConsentSearchBody = serde_json::from_slice(&body).map_err(|_| RestError::invalid_json())?;
    let search = ConsentSearch::from_body(body)?;
    core.update(|state, _| {
        let account = caller.account(state, &account)?.id;
        search.run(state, account).map(json_reply)
    })
}

/// `PATCH …/sms/consents`.
pub async fn patch_consents(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path(account): Path<String>,
    body: Bytes,
) -> Result<Response, RestError> {
    let update: ConsentUpdateBody = serde_json::from_slice(&body).map_err(|_| RestError::invalid_json())?;
    core.update(|state, now| {
        let account = caller.account(state, &account)?.id;
        update_consents(state, now, account, update).map(json_reply)
    })
}
