//! `GET /restapi/v1.0/account/{accountId}`, `…/extension` and `…/extension/{extensionId}`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde_json::{Value, json};

use crate::platform::accounts::{AccountRecord, ExtensionRecord};
use crate::platform::errors::RestError;
use crate::platform::state::PlatformState;
use crate::platform::urls::BaseUrls;
use crate::rules::caller::ApiCaller;
use crate::rules::paging::page_of;
use crate::rules::query::QueryString;
use crate::runtime::simulator_core::SimulatorCore;
use crate::server::query::Query;

pub async fn get_account(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path(account): Path<String>,
) -> Result<Json<Value>, RestError> {
    core.update(|state, _| Ok(Json(account_json(&core.urls(state), state, caller.account(state, &account)?))))
}

/// All extensions of the account that the query selects by `status`, `type`, `extensionId`, `extensionNumber` and `email`.
pub async fn list_extensions(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path(account): Path<String>,
    Query(query): Query,
) -> Result<Json<Value>, RestError> {
    check_values(&query, "status", &EXTENSION_STATUSES)?;
    check_values(&query, "type", &EXTENSION_TYPES)?;
    core.update(|state, _| {
        let account = caller.account(state, &account)?;
        let urls = core.urls(state);
        let is_selected = |e: &&ExtensionRecord| {
            e.account_id == account.id
                && query.allows("status", &e.status)
                && query.allows("type", &e.kind)
                && query.allows("extensionId", &e.id.to_string())
                && query.allows("extensionNumber", &e.number)
                && query.get("email").is_none_or(|email| e.email.eq_ignore_ascii_case(email))
        };
        let selected = state.extensions.values().filter(is_selected);
        let records = selected.map(|e| extension_list_json(&urls, state, e)).collect();
        let path = format!("/restapi/v1.0/account/{}/extension", account.id);
        Ok(Json(page_of(&query, &urls.api(&path), records)?.into_json()))
    })
}

fn check_values(query: &QueryString, name: &str, known: &[&str]) -> Result<(), RestError> {
    match query.all(name).into_iter().find(|value| !known.contains(value)) {
        Some(unknown) => Err(RestError::parameter(name, unknown)),
        None => Ok(()),
    }
}

pub async fn get_extension(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
    Path((account, extension)): Path<(String, String)>,
) -> Result<Json<Value>, RestError> {
    core.update(|state, _| {
        let extension = caller.extension(state, &account, &extension)?;
        Ok(Json(extension_json(&core.urls(state), state, extension)))
    })
}

const EXTENSION_STATUSES: [&str; 5] = ["Enabled", "Disabled", "Frozen", "NotActivated", "Unassigned"];
const EXTENSION_TYPES: [&str; 23] = [
    "User",
    "Department",
    "Announcement",
    "Voicemail",
    "DigitalUser",
    "VirtualUser",
    "FaxUser",
    "PagingOnly",
    "SharedLinesGroup",
    "DelegatedLinesGroup",
    "GroupCallPickup",
    "IvrMenu",
    "ApplicationExtension",
    "ProxyAdmin",
    "RoomConnector",
    "ParkLocation",
    "Limited",
    "Bot",
    "Site",
    "Room",
    "FlexibleUser",
    "TieLine",
    "Unknown",
];

fn country(urls: &BaseUrls) -> Value {
    json!({"uri": urls.api("/restapi/v1.0/dictionary/country/1"), "id": "1", "name": "United States", "isoCode": "US",
        "callingCode": "1"})
}

fn regional_settings(urls: &BaseUrls) -> Value {
    json!({
        "homeCountry": country(urls),
        "timezone": {"uri": urls.api("/restapi/v1.0/dictionary/timezone/58"), "id": "58", "name": "US/Pacific",
            "description": "Pacific Time (US & Canada)", "bias": "-480"},
        "language": {"id": "1033", "name": "English (United States)", "localeCode": "en-US"},
        "greetingLanguage": {"id": "1033", "name": "English (United States)", "localeCode": "en-US"},
        "formattingLocale": {"id": "1033", "name": "English (United States)", "localeCode": "en-US"},
        "timeFormat": "12h",
    })
}

fn brand_name(id: &str) -> &'static str {
    match id {
        "3420" => "AT&T Office@Hand",
        "7710" => "BT Cloud Work",
        "7310" => "TELUS Business Connect",
        "6010" => "Avaya Cloud Office",
        "2110" => "Rainbow Office",
        "2020" => "Unify Office",
        "7010" => "Vodafone Business UC",
        "2210" => "Verizon",
        _ => "RingCentral",
    }
}

fn account_json(urls: &BaseUrls, state: &PlatformState, account: &AccountRecord) -> Value {
    let uri = urls.api(&format!("/restapi/v1.0/account/{}", account.id));
    let operator = state.extensions.values().find(|e| e.account_id == account.id);
    json!({
        "uri": uri,
        "id": account.id,
        "bsid": account.id.to_string(),
        "mainNumber": account.main_number,
        "operator": operator.map(|e| json!({
            "uri": format!("{uri}/extension/{}", e.id), "id": e.id, "extensionNumber": e.number,
        })),
        "serviceInfo": {
            "uri": format!("{uri}/service-info"),
            "brand": {"id": account.brand_id, "name": brand_name(&account.brand_id), "homeCountry": country(urls)},
            "servicePlan": {"id": "1", "name": "Simulated plan", "edition": "Ultimate"},
            "billingPlan": {"id": "1", "name": "Simulated plan", "durationUnit": "Month", "duration": 1, "type": "Regular"},
            "contractedCountry": country(urls),
        },
        "setupWizardState": "Completed",
        "status": account.status,
        "regionalSettings": regional_settings(urls),
        "limits": {"freeSoftPhoneLinesPerExtension": 1, "meetingSize": 100, "maxMonitoredExtensionsPerUser": 100,
            "maxExtensionNumberLength": 5, "siteCodeLength": 0, "shortExtensionNumberLength": 3},
    })
}

fn service_features(state: &PlatformState, extension: &ExtensionRecord) -> Value {
    let sms = state.sms_numbers_of(extension).next().is_some();
    let features = [("SMS", sms), ("SMSReceiving", sms), ("Voicemail", true), ("MMS", sms)];
    let feature = |(name, enabled): (&str, bool)| {
        let mut feature = json!({"featureName": name, "enabled": enabled});
        if !enabled {
            feature["reason"] = "ExtensionLimitation".into();
        }
        feature
    };
    features.map(feature).to_vec().into()
}

/// The fields of an extension in the list of the account.
fn extension_list_json(urls: &BaseUrls, state: &PlatformState, extension: &ExtensionRecord) -> Value {
    let account = format!("/restapi/v1.0/account/{}", extension.account_id);
    let uri = urls.api(&format!("{account}/extension/{}", extension.id));
    let phone = state.numbers_of(extension).next().map(|(n, _)| n.phone_number.clone());
    json!({
        "uri": uri,
        "id": extension.id,
        "extensionNumber": extension.number,
        "name": extension.name(),
        "contact": {
            "firstName": extension.first_name,
            "lastName": extension.last_name,
            "email": extension.email,
            "company": state.accounts.get(&extension.account_id).map(|a| a.name.clone()),
            "businessPhone": phone,
        },
        "permissions": {
            "admin": {"enabled": extension.admin},
            "internationalCalling": {"enabled": false},
        },
        "profileImage": {"uri": format!("{uri}/profile-image")},
        "status": extension.status,
        "type": extension.kind,
        "hidden": false,
    })
}

fn extension_json(urls: &BaseUrls, state: &PlatformState, extension: &ExtensionRecord) -> Value {
    let account = urls.api(&format!("/restapi/v1.0/account/{}", extension.account_id));
    let mut record = extension_list_json(urls, state, extension);
    record["account"] = json!({"id": extension.account_id.to_string(), "uri": account});
    record["regionalSettings"] = regional_settings(urls);
    record["serviceFeatures"] = service_features(state, extension);
    record["setupWizardState"] = "Completed".into();
    record
}
