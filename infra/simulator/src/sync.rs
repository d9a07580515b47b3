//! `GET …/message-sync`: everything once, then what changed, with five seconds of overlap.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension as Given, Path, RawQuery, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::clock::{DAY, HOUR, Millis, SECOND, iso};
use crate::error::ApiError;
use crate::messages::Message;
use crate::paging::Query;
use crate::sim::Sim;
use crate::state::World;
use crate::store::{Frame, distinct, time, visible};

/// Changes so shortly before the last look are sent again.
const OVERLAP: Millis = 5 * SECOND;
/// A token is good for so long.
const TOKEN_LIFE: Millis = 30 * DAY;

/// What a sync token holds: whose it is, the frame, and when it was made.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    extension_id: i64,
    frame: Frame,
    from: Millis,
    at: Millis,
    /// The state it belongs to: a reset makes older tokens useless.
    epoch: String,
}

impl Token {
    fn encode(&self) -> String {
        data_encoding::BASE64URL_NOPAD.encode(json!(self).to_string().as_bytes())
    }

    fn decode(text: &str, world: &World, extension_id: i64, now: Millis) -> Result<Self, ApiError> {
        let stale = || {
            ApiError::new(StatusCode::BAD_REQUEST, "MSG-333", "Parameter [syncToken] is invalid")
                .word("InvalidParameter")
                .with("parameterName", "syncToken")
        };
        let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| stale())?;
        let token: Self = serde_json::from_slice(&bytes).map_err(|_| stale())?;
        let good = token.extension_id == extension_id
            && token.epoch == world.epoch
            && token.at <= now
            && now < token.at + TOKEN_LIFE;
        if good { Ok(token) } else { Err(stale()) }
    }
}

/// The endpoint.
pub async fn get(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path((account, extension)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let query = Query::parse(query.as_deref());
    sim.world(|world, now| {
        let extension = caller.extension_at(world, &account, &extension)?;
        let kind = match (query.get("syncType"), query.get("syncToken")) {
            (Some("FSync"), _) | (None, None) => "FSync",
            (Some("ISync") | None, Some(_)) => "ISync",
            (Some("ISync"), None) => return Err(ApiError::parameter("syncToken", Value::Null)),
            (Some(other), _) => return Err(ApiError::parameter("syncType", other)),
        };
        let (mut records, token, older) = if kind == "FSync" {
            let frame = Frame::of(&query)?;
            let until = time(&query, "dateTo")?.unwrap_or(now);
            let from = time(&query, "dateFrom")?.unwrap_or(until - world.settings.full_sync_hours * HOUR);
            let mut found: Vec<&Message> = visible(world, extension.id, now)
                .into_iter()
                .filter(|m| m.availability == "Alive" && frame.holds(m))
                .filter(|m| from <= m.created_at && m.created_at <= until)
                .collect();
            if frame.distinct {
                found = distinct(found);
            }
            let limit = query.number("recordCount", 1)?.unwrap_or(usize::MAX);
            let older = found.len() > limit;
            found.truncate(limit);
            let records: Vec<Value> = found.iter().map(|m| m.stored_record(&sim, world)).collect();
            let epoch = world.epoch.clone();
            (records, Token { extension_id: extension.id, frame, from, at: now, epoch }, older)
        } else {
            let text = query.get("syncToken").unwrap_or_default();
            let last = Token::decode(text, world, extension.id, now)?;
            let mut found: Vec<&Message> = visible(world, extension.id, now)
                .into_iter()
                .filter(|m| last.frame.holds(m) && last.from <= m.created_at)
                .filter(|m| m.changed_at() >= last.at - OVERLAP)
                .collect();
            if last.frame.distinct {
                found = distinct(found);
            }
            let records = found.iter().map(|m| changed(&sim, world, m)).collect();
            (records, Token { at: now, ..last }, false)
        };
        records.reverse();
        let path =
            format!("/restapi/v1.0/account/{}/extension/{}/message-sync", extension.account_id, extension.id);
        let mut info = json!({"syncType": kind, "syncToken": token.encode(), "syncTime": iso(now)});
        if kind == "FSync" {
            info["olderRecordsExist"] = older.into();
        }
        Ok(Json(json!({"uri": sim.uri(&path), "records": records, "syncInfo": info})))
    })
}

/// A changed record; of a deleted one only that it is deleted.
fn changed(sim: &Sim, world: &World, message: &Message) -> Value {
    if message.availability == "Alive" {
        message.stored_record(sim, world)
    } else {
        json!({"uri": sim.uri(&message.path()), "id": message.id, "availability": message.availability})
    }
}
