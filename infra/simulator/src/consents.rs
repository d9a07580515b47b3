//! Consent: who has opted out of which of our numbers, by keyword or by API.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension as Given, Path, RawQuery, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::clock::{Millis, iso};
use crate::error::ApiError;
use crate::paging::Query;
use crate::sim::Sim;
use crate::state::World;

const OPT_OUT: [&str; 5] = ["STOP", "UNSUBSCRIBE", "QUIT", "CANCEL", "END"];
const OPT_IN: [&str; 5] = ["START", "SUBSCRIBE", "RESUME", "CONTINUE", "UNSTOP"];

/// One decision of one recipient about one of our numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Consent {
    /// The account.
    pub account_id: i64,
    /// Our number, or `*` for all of them.
    pub from: String,
    /// The recipient.
    pub to: String,
    /// May we write?
    pub opted_out: bool,
    /// `Recipient` or `Api`.
    pub source: String,
    /// When it was decided.
    pub at: Millis,
}

impl Consent {
    fn record(&self) -> Value {
        json!({
            "from": self.from,
            "to": self.to,
            "optStatus": if self.opted_out { "OptOut" } else { "OptIn" },
            "source": self.source,
            "coverage": "PhoneNumber",
            "lastModifiedTime": iso(self.at),
        })
    }
}

/// All decisions, the latest of each pair, and all that came before.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Consents {
    latest: Vec<Consent>,
    history: Vec<Consent>,
}

impl Consents {
    /// May this pair not be written to?
    #[must_use]
    pub fn is_opted_out(&self, from: &str, to: &str) -> bool {
        let fits = |c: &&Consent| c.to == to && (c.from == from || c.from == "*");
        // What was said about one number goes before what was said about all.
        let one = self.latest.iter().filter(fits).max_by_key(|c| c.from != "*");
        one.is_some_and(|c| c.opted_out)
    }

    fn find(&self, account: i64, from: &str, to: &str) -> Option<&Consent> {
        self.latest.iter().find(|c| c.account_id == account && c.from == from && c.to == to)
    }

    fn set(&mut self, consent: Consent) {
        self.latest.retain(|c| {
            !(c.account_id == consent.account_id && c.from == consent.from && c.to == consent.to)
        });
        self.latest.push(consent.clone());
        self.history.push(consent);
    }
}

impl World {
    /// Looks for a keyword in an inbound text and keeps what it decides.
    pub fn heed_keyword(&mut self, at: Millis, account: i64, own: &str, sender: &str, text: &str) {
        let word = text.trim().to_ascii_uppercase();
        let opted_out = OPT_OUT.contains(&word.as_str());
        if opted_out || OPT_IN.contains(&word.as_str()) {
            let consent = Consent {
                account_id: account,
                from: own.to_owned(),
                to: sender.to_owned(),
                opted_out,
                source: "Recipient".to_owned(),
                at,
            };
            self.set_consent(at, consent);
        }
    }

    fn set_consent(&mut self, at: Millis, consent: Consent) {
        let record = consent.record();
        let account = consent.account_id;
        self.consents.set(consent);
        self.ledger.add(at, "consent_changed", record.clone());
        self.announce_consents(at, account, &[record]);
    }
}

/// What a search asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Search {
    from: Vec<String>,
    to: Vec<String>,
    opt_status: Option<String>,
    page_token: Option<String>,
    per_page: Option<usize>,
}

impl Search {
    fn from_query(query: &Query) -> Result<Self, ApiError> {
        let list = |name| query.all(name).into_iter().map(str::to_owned).collect();
        Ok(Self {
            from: list("from"),
            to: list("to"),
            // The GET variants tell about opt-outs unless asked otherwise.
            opt_status: Some(query.get("optStatus").unwrap_or("OptOut").to_owned()),
            page_token: query.get("pageToken").map(str::to_owned),
            per_page: query.number("perPage", 1)?,
        })
    }

    fn run(&self, all: &[Consent], account: i64) -> Result<Json<Value>, ApiError> {
        for (name, list) in [("from", &self.from), ("to", &self.to)] {
            if list.len() > 20 {
                return Err(ApiError::parameter(name, list.len()));
            }
        }
        if let Some(status) = self.opt_status.as_deref()
            && !["OptOut", "OptIn"].contains(&status)
        {
            return Err(ApiError::parameter("optStatus", status));
        }
        let per_page = self.per_page.unwrap_or(100).clamp(1, 1000);
        let start: usize = match &self.page_token {
            None => 0,
            Some(token) => token.parse().map_err(|_| ApiError::parameter("pageToken", token.as_str()))?,
        };
        let found: Vec<Value> = all
            .iter()
            .filter(|c| c.account_id == account)
            .filter(|c| self.from.is_empty() || self.from.contains(&c.from))
            .filter(|c| self.to.is_empty() || self.to.contains(&c.to))
            .filter(|c| self.opt_status.as_deref().is_none_or(|s| (s == "OptOut") == c.opted_out))
            .map(Consent::record)
            .collect();
        let records: Vec<&Value> = found.iter().skip(start).take(per_page).collect();
        let mut paging = json!({"perPage": per_page, "firstPageToken": "0"});
        if let Some(token) = &self.page_token {
            paging["pageToken"] = token.clone().into();
        }
        if start + per_page < found.len() {
            paging["nextPageToken"] = (start + per_page).to_string().into();
        }
        if start > 0 {
            paging["previousPageToken"] = start.saturating_sub(per_page).to_string().into();
        }
        Ok(Json(json!({"records": records, "paging": paging})))
    }
}

/// `GET /restapi/v2/accounts/{accountId}/sms/consents`.
pub async fn list(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path(account): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let search = Search::from_query(&Query::parse(query.as_deref()))?;
    sim.world(|world, _| {
        let account = caller.account(world, &account)?.id;
        search.run(&world.consents.latest, account)
    })
}

/// `GET …/sms/consents/history`.
pub async fn history(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path(account): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let query = Query::parse(query.as_deref());
    let search =
        Search { opt_status: query.get("optStatus").map(str::to_owned), ..Search::from_query(&query)? };
    sim.world(|world, _| {
        let account = caller.account(world, &account)?.id;
        search.run(&world.consents.history, account)
    })
}

/// `POST …/sms/consents/search`.
pub async fn search(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path(account): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let search: Search = serde_json::from_slice(&body).map_err(|_| ApiError::unparsable())?;
    sim.world(|world, _| {
        let account = caller.account(world, &account)?.id;
        search.run(&world.consents.latest, account)
    })
}

#[derive(Debug, Deserialize)]
struct Update {
    records: Vec<UpdateRecord>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateRecord {
    from: String,
    to: String,
    opt_status: String,
}

/// `PATCH …/sms/consents`: what cannot be changed comes back in `failedRecords`.
pub async fn update(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path(account): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let update: Update = serde_json::from_slice(&body).map_err(|_| ApiError::unparsable())?;
    if update.records.is_empty() || update.records.len() > 1000 {
        return Err(ApiError::parameter("records", update.records.len()));
    }
    sim.world(|world, now| {
        let account = caller.account(world, &account)?.id;
        let mut failed = Vec::new();
        for record in update.records {
            let UpdateRecord { from, to, opt_status } = record;
            let own = from == "*" || world.numbers.values().any(|n| n.account_id == account && n.phone_number == from);
            let by_keyword =
                world.consents.find(account, &from, &to).is_some_and(|c| c.opted_out && c.source == "Recipient");
            let problem = if !["OptOut", "OptIn"].contains(&opt_status.as_str()) {
                Some(("CMN-101", "Parameter [optStatus] value is invalid"))
            } else if !own {
                Some(("CMN-102", "Resource for parameter [from] is not found"))
            } else if opt_status == "OptIn" && by_keyword {
                Some(("MSG-243", "Only the recipient can opt in again"))
            } else {
                None
            };
            match problem {
                Some((code, message)) => failed.push(json!({
                    "from": from, "to": to, "optStatus": opt_status, "source": "Api", "coverage": "PhoneNumber",
                    "error": {"errorCode": code, "message": message},
                })),
                None => {
                    let opted_out = opt_status == "OptOut";
                    let source = "Api".to_owned();
                    world.set_consent(now, Consent { account_id: account, from, to, opted_out, source, at: now });
                }
            }
        }
        Ok(Json(if failed.is_empty() { json!({}) } else { json!({"failedRecords": failed}) }))
    })
}
