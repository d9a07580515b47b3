//! Phone numbers: the list of an extension, two lists of an account, and the 10DLC registration of a number.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde_json::{Value, json};

use crate::platform::accounts::{AccountRecord, NumberRecord};
use crate::platform::errors::RestError;
use crate::platform::state::PlatformState;
use crate::platform::urls::BaseUrls;
use crate::platform::variants::variant_name;
use crate::rules::caller::ApiCaller;
use crate::rules::consents::OPT_OUT_REPLY;
use crate::rules::paging::page_of;
use crate::rules::query::QueryString;
use crate::runtime::simulator_core::SimulatorCore;
use crate::server::query::Query;

/// `GET …/extension/{extensionId}/phone-number`.
pub async fn list_extension_numbers(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path((account, extension)): Path<(String, String)>,
    Query(query): Query,
) -> Result<Json<Value>, RestError> {
    core.update(|state, _| {
        let extension = caller.extension(state, &account, &extension)?;
        let urls = core.urls(state);
        let records = state
            .numbers_of(extension)
            .filter(|(n, _)| is_selected(&query, n))
            .map(|(n, features)| {
                let mut record = number_json(&urls, state, n);
                record["features"] = features.into();
                record
            })
            .collect();
        Ok(Json(page_of(&query, &urls.api(&extension.path("phone-number")), records)?.into_json()))
    })
}

/// `GET /restapi/v1.0/account/{accountId}/phone-number`.
pub async fn list_account_numbers(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path(account): Path<String>,
    Query(query): Query,
) -> Result<Json<Value>, RestError> {
    core.update(|state, _| {
        let account = caller.account(state, &account)?;
        let urls = core.urls(state);
        let records = selected_numbers(state, account, &query)
            .map(|n| {
                let mut record = number_json(&urls, state, n);
                // Fields that only the list of an extension has.
                if let Some(record) = record.as_object_mut() {
                    record.remove("country");
                    record.get_mut("extension").and_then(Value::as_object_mut).map(|e| e.remove("type"));
                }
                if state.settings.account_number_features {
                    record["features"] = n.features.clone().into();
                }
                record
            })
            .collect();
        let path = format!("/restapi/v1.0/account/{}/phone-number", account.id);
        Ok(Json(page_of(&query, &urls.api(&path), records)?.into_json()))
    })
}

/// `GET /restapi/v2/accounts/{accountId}/phone-numbers`.
pub async fn list_account_numbers_v2(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path(account): Path<String>,
    Query(query): Query,
) -> Result<Json<Value>, RestError> {
    core.update(|state, _| {
        let account = caller.account(state, &account)?;
        let records = selected_numbers(state, account, &query)
            .map(|n| {
                let mut record = json!({
                    "id": n.id.to_string(),
                    "phoneNumber": n.phone_number,
                    "type": type_name(state, n),
                    "tollType": if n.is_toll_free() { "TollFree" } else { "Toll" },
                    "usageType": n.usage_type,
                    "byocNumber": false,
                    "status": "Normal",
                    "label": n.label,
                    "primary": n.usage_type == "MainCompanyNumber",
                });
                if let Some(e) = n.holder_id().and_then(|id| state.extensions.get(&id)) {
                    record["extension"] = json!({"id": e.id.to_string(), "extensionNumber": e.number});
                }
                record
            })
            .collect();
        let path = format!("/restapi/v2/accounts/{}/phone-numbers", account.id);
        let page = page_of(&query, &core.url(&path), records)?;
        Ok(Json(json!({"records": page.records, "paging": page.paging})))
    })
}

/// `GET …/phone-number/{phoneNumberId}/sms-configuration`.
pub async fn get_sms_configuration(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path((account, extension, number)): Path<(String, String, String)>,
) -> Result<Json<Value>, RestError> {
    core.update(|state, _| {
        let extension = caller.extension(state, &account, &extension)?;
        let number = state
            .numbers_of(extension)
            .map(|(n, _)| n)
            .find(|n| n.id.to_string() == number)
            .ok_or_else(|| RestError::not_found("phoneNumberId", number.as_str()))?;
        let mut reply = json!({"phoneNumberId": number.id.to_string(), "phoneNumber": number.phone_number});
        if let Some(status) = &number.campaign {
            let coverage = state.settings.consent_coverage;
            let keyword_replies = if state.settings.keyword_replies {
                json!({"enabled": true, "replyMessageBody": OPT_OUT_REPLY})
            } else {
                json!({"enabled": false})
            };
            reply["smsCampaignInfo"] = json!({
                "id": format!("C{:06X}", number.account_id),
                "status": status,
                "registrationTier": "StandardVolume",
                "useCases": ["CUSTOMER_CARE"],
                "errors": [],
                "consentSettings": {
                    "optInRequired": false,
                    "coverage": {"optIn": coverage, "optOut": coverage},
                    "automaticConsentCollecting": keyword_replies,
                },
            });
            reply["smsBrandInfo"] =
                json!({"id": format!("B{:06X}", number.account_id), "status": "Confirmed", "errors": []});
        }
        Ok(Json(reply))
    })
}

fn selected_numbers<'s>(
    state: &'s PlatformState,
    account: &AccountRecord,
    query: &QueryString,
) -> impl Iterator<Item = &'s NumberRecord> {
    let account_id = account.id;
    state.numbers.values().filter(move |n| n.account_id == account_id && is_selected(query, n))
}

fn is_selected(query: &QueryString, number: &NumberRecord) -> bool {
    query.allows("usageType", &number.usage_type)
        && query.allows("status", "Normal")
        && query.allows("paymentType", &number.payment_type)
}

fn type_name(state: &PlatformState, number: &NumberRecord) -> String {
    if number.kind == "VoiceFax" { variant_name(&state.settings.number_type) } else { number.kind.clone() }
}

fn number_json(urls: &BaseUrls, state: &PlatformState, number: &NumberRecord) -> Value {
    let account = format!("/restapi/v1.0/account/{}", number.account_id);
    let mut record = json!({
        "uri": urls.api(&format!("{account}/phone-number/{}", number.id)),
        "id": number.id,
        "country": {"uri": urls.api("/restapi/v1.0/dictionary/country/1"), "id": "1", "name": "United States"},
        "location": number.location,
        "paymentType": number.payment_type,
        "phoneNumber": number.phone_number,
        "status": "Normal",
        "type": type_name(state, number),
        "usageType": number.usage_type,
        "primary": number.usage_type == "MainCompanyNumber",
        "label": number.label,
    });
    if let Some(e) = number.holder_id().and_then(|id| state.extensions.get(&id)) {
        record["extension"] = json!({
            "uri": urls.api(&format!("{account}/extension/{}", e.id)),
            "id": e.id,
            "extensionNumber": e.number,
            "name": e.name(),
            "type": e.kind,
        });
    }
    record
}
