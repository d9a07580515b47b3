//! The account and the extension.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension as Given, Path, State};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::error::ApiError;
use crate::sim::Sim;
use crate::state::{Account, Extension, World};

/// `GET /restapi/v1.0/account/{accountId}`.
pub async fn account(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path(account): Path<String>,
) -> Result<Json<Value>, ApiError> {
    sim.world(|world, _| Ok(Json(account_record(&sim, world, caller.account(world, &account)?))))
}

/// `GET /restapi/v1.0/account/{accountId}/extension/{extensionId}`.
pub async fn extension(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path((account, extension)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    sim.world(|world, _| {
        Ok(Json(extension_record(&sim, world, caller.extension_at(world, &account, &extension)?)))
    })
}

fn country(sim: &Sim) -> Value {
    json!({"uri": sim.uri("/restapi/v1.0/dictionary/country/1"), "id": "1", "name": "United States", "isoCode": "US",
        "callingCode": "1"})
}

fn region(sim: &Sim) -> Value {
    json!({
        "homeCountry": country(sim),
        "timezone": {"uri": sim.uri("/restapi/v1.0/dictionary/timezone/58"), "id": "58", "name": "US/Pacific",
            "description": "Pacific Time (US & Canada)", "bias": "-480"},
        "language": {"id": "1033", "name": "English (United States)", "localeCode": "en-US"},
        "greetingLanguage": {"id": "1033", "name": "English (United States)", "localeCode": "en-US"},
        "formattingLocale": {"id": "1033", "name": "English (United States)", "localeCode": "en-US"},
        "timeFormat": "12h",
    })
}

/// Ids and names of brands.
fn brand(id: &str) -> &'static str {
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

fn account_record(sim: &Sim, world: &World, account: &Account) -> Value {
    let uri = sim.uri(&format!("/restapi/v1.0/account/{}", account.id));
    let operator = world.extensions.values().find(|e| e.account_id == account.id);
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
            "brand": {"id": account.brand_id, "name": brand(&account.brand_id), "homeCountry": country(sim)},
            "servicePlan": {"id": "1", "name": "Simulated plan", "edition": "Ultimate"},
            "billingPlan": {"id": "1", "name": "Simulated plan", "durationUnit": "Month", "duration": 1, "type": "Regular"},
            "contractedCountry": country(sim),
        },
        "setupWizardState": "Completed",
        "status": account.status,
        "regionalSettings": region(sim),
        "limits": {"freeSoftPhoneLinesPerExtension": 1, "meetingSize": 100, "maxMonitoredExtensionsPerUser": 100,
            "maxExtensionNumberLength": 5, "siteCodeLength": 0, "shortExtensionNumberLength": 3},
    })
}

fn extension_record(sim: &Sim, world: &World, extension: &Extension) -> Value {
    let account = sim.uri(&format!("/restapi/v1.0/account/{}", extension.account_id));
    let uri = format!("{account}/extension/{}", extension.id);
    let sms = world.sms_numbers_of(extension).next().is_some();
    let feature = |name: &str, enabled: bool| {
        if enabled {
            json!({"featureName": name, "enabled": true})
        } else {
            json!({"featureName": name, "enabled": false, "reason": "ExtensionLimitation"})
        }
    };
    let phone = world.numbers_of(extension).next().map(|(n, _)| n.phone_number.clone());
    json!({
        "uri": uri,
        "id": extension.id,
        "account": {"id": extension.account_id.to_string(), "uri": account},
        "extensionNumber": extension.number,
        "name": extension.name(),
        "contact": {
            "firstName": extension.first_name,
            "lastName": extension.last_name,
            "email": extension.email,
            "company": world.accounts.get(&extension.account_id).map(|a| a.name.clone()),
            "businessPhone": phone,
        },
        "permissions": {
            "admin": {"enabled": extension.admin},
            "internationalCalling": {"enabled": false},
        },
        "profileImage": {"uri": format!("{uri}/profile-image")},
        "regionalSettings": region(sim),
        "serviceFeatures": [
            feature("SMS", sms), feature("SMSReceiving", sms), feature("Voicemail", true), feature("MMS", sms),
        ],
        "setupWizardState": "Completed",
        "status": extension.status,
        "type": extension.kind,
        "hidden": false,
    })
}
