//! Phone numbers: the extension's list, the account's two lists, and the 10DLC registration of a number.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension as Given, Path, RawQuery, State};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::error::ApiError;
use crate::paging::{Query, page};
use crate::sim::Sim;
use crate::state::{Number, World};

/// `GET …/extension/{extensionId}/phone-number`.
pub async fn of_extension(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path((account, extension)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let query = Query::parse(query.as_deref());
    sim.world(|world, _| {
        let extension = caller.extension_at(world, &account, &extension)?;
        let records = world
            .numbers_of(extension)
            .filter(|(n, _)| wanted(&query, n))
            .map(|(n, features)| {
                let mut record = record(&sim, world, n);
                record["features"] = features.into();
                record
            })
            .collect();
        let path =
            format!("/restapi/v1.0/account/{}/extension/{}/phone-number", extension.account_id, extension.id);
        let page = page(&query, &sim.uri(&path), records)?;
        Ok(Json(json!({
            "uri": page.uri, "records": page.records, "navigation": page.navigation, "paging": page.paging,
        })))
    })
}

/// `GET /restapi/v1.0/account/{accountId}/phone-number`.
pub async fn of_account(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path(account): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let query = Query::parse(query.as_deref());
    sim.world(|world, _| {
        let account = caller.account(world, &account)?;
        let records = world
            .numbers
            .values()
            .filter(|n| n.account_id == account.id && wanted(&query, n))
            .map(|n| {
                let mut record = record(&sim, world, n);
                // This list has less than the extension's.
                if let Some(record) = record.as_object_mut() {
                    record.remove("country");
                    record.get_mut("extension").and_then(Value::as_object_mut).map(|e| e.remove("type"));
                }
                if world.settings.account_number_features {
                    record["features"] = n.features.clone().into();
                }
                record
            })
            .collect();
        let path = format!("/restapi/v1.0/account/{}/phone-number", account.id);
        let page = page(&query, &sim.uri(&path), records)?;
        Ok(Json(json!({
            "uri": page.uri, "records": page.records, "navigation": page.navigation, "paging": page.paging,
        })))
    })
}

/// `GET /restapi/v2/accounts/{accountId}/phone-numbers`.
pub async fn of_account_v2(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path(account): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let query = Query::parse(query.as_deref());
    sim.world(|world, _| {
        let account = caller.account(world, &account)?;
        let records = world
            .numbers
            .values()
            .filter(|n| n.account_id == account.id && wanted(&query, n))
            .map(|n| {
                let extension =
                    n.extension_id.or(n.sms_extension_id).and_then(|id| world.extensions.get(&id));
                let mut record = json!({
                    "id": n.id.to_string(),
                    "phoneNumber": n.phone_number,
                    "type": kind(world, n),
                    "tollType": if n.payment_type == "TollFree" { "TollFree" } else { "Toll" },
                    "usageType": n.usage_type,
                    "byocNumber": false,
                    "status": "Normal",
                    "label": n.label,
                    "primary": n.usage_type == "MainCompanyNumber",
                });
                if let Some(e) = extension {
                    record["extension"] = json!({"id": e.id.to_string(), "extensionNumber": e.number});
                }
                record
            })
            .collect();
        let path = format!("/restapi/v2/accounts/{}/phone-numbers", account.id);
        let page = page(&query, &sim.uri(&path), records)?;
        Ok(Json(json!({"records": page.records, "paging": page.paging})))
    })
}

/// `GET …/phone-number/{phoneNumberId}/sms-configuration`.
pub async fn sms_configuration(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path((account, extension, number)): Path<(String, String, String)>,
) -> Result<Json<Value>, ApiError> {
    sim.world(|world, _| {
        let extension = caller.extension_at(world, &account, &extension)?;
        let number = world
            .numbers_of(extension)
            .map(|(n, _)| n)
            .find(|n| n.id.to_string() == number)
            .ok_or_else(|| ApiError::not_found("phoneNumberId", number.as_str()))?;
        let mut reply = json!({"phoneNumberId": number.id.to_string(), "phoneNumber": number.phone_number});
        if let Some(status) = &number.campaign {
            reply["smsCampaignInfo"] = json!({
                "id": format!("C{:06X}", number.account_id),
                "status": status,
                "registrationTier": "StandardVolume",
                "useCases": ["CUSTOMER_CARE"],
                "errors": [],
                "consentSettings": {
                    "optInRequired": false,
                    "coverage": {"optIn": "PhoneNumber", "optOut": "PhoneNumber"},
                    "automaticConsentCollecting": {"enabled": false},
                },
            });
            reply["smsBrandInfo"] =
                json!({"id": format!("B{:06X}", number.account_id), "status": "Confirmed", "errors": []});
        }
        Ok(Json(reply))
    })
}

fn wanted(query: &Query, number: &Number) -> bool {
    let fits = |name: &str, value: &str| {
        let all = query.all(name);
        all.is_empty() || all.contains(&value)
    };
    fits("usageType", &number.usage_type)
        && fits("status", "Normal")
        && fits("paymentType", &number.payment_type)
}

fn kind(world: &World, number: &Number) -> String {
    if number.kind == "VoiceFax" { world.settings.number_type.clone() } else { number.kind.clone() }
}

fn record(sim: &Sim, world: &World, number: &Number) -> Value {
    let account = format!("/restapi/v1.0/account/{}", number.account_id);
    let mut record = json!({
        "uri": sim.uri(&format!("{account}/phone-number/{}", number.id)),
        "id": number.id,
        "country": {"uri": sim.uri("/restapi/v1.0/dictionary/country/1"), "id": "1", "name": "United States"},
        "location": number.location,
        "paymentType": number.payment_type,
        "phoneNumber": number.phone_number,
        "status": "Normal",
        "type": kind(world, number),
        "usageType": number.usage_type,
        "primary": number.usage_type == "MainCompanyNumber",
        "label": number.label,
    });
    let holder = number.extension_id.or(number.sms_extension_id);
    if let Some(e) = holder.and_then(|id| world.extensions.get(&id)) {
        record["extension"] = json!({
            "uri": sim.uri(&format!("{account}/extension/{}", e.id)),
            "id": e.id,
            "extensionNumber": e.number,
            "name": e.name(),
            "type": e.kind,
        });
    }
    record
}
