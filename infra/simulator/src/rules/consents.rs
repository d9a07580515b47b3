//! Consent: keywords of inbound messages, changes by API, searches.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::platform::clock::Millis;
use crate::platform::consents::{ALL_NUMBERS, ConsentRecord, ConsentSource, OptStatus};
use crate::platform::errors::RestError;
use crate::platform::ledger::LedgerKind;
use crate::platform::state::PlatformState;
use crate::platform::variants::parse_variant;
use crate::rules::query::QueryString;

const OPT_OUT_KEYWORDS: [&str; 5] = ["STOP", "UNSUBSCRIBE", "QUIT", "CANCEL", "END"];
const OPT_IN_KEYWORDS: [&str; 5] = ["START", "SUBSCRIBE", "RESUME", "CONTINUE", "UNSTOP"];
/// Numbers in one list of a search.
const MAX_NUMBERS: usize = 20;
/// Records of one change.
const MAX_RECORDS: usize = 1000;
const DEFAULT_PER_PAGE: usize = 100;
const MAX_PER_PAGE: usize = 1000;

/// The decision that an inbound text expresses, if it is a keyword.
fn keyword_status(text: &str) -> Option<OptStatus> {
    let word = text.trim().to_ascii_uppercase();
    if OPT_OUT_KEYWORDS.contains(&word.as_str()) {
        Some(OptStatus::OptOut)
    } else if OPT_IN_KEYWORDS.contains(&word.as_str()) {
        Some(OptStatus::OptIn)
    } else {
        None
    }
}

impl PlatformState {
    /// Applies the keyword of an inbound text, if it is one. `own` is the number of the account.
    pub fn apply_keyword(&mut self, at: Millis, account_id: i64, own: &str, sender: &str, text: &str) {
        if let Some(opt_status) = keyword_status(text) {
            self.save_consent(ConsentRecord {
                account_id,
                from: own.to_owned(),
                to: sender.to_owned(),
                opt_status,
                source: ConsentSource::Recipient,
                at,
            });
        }
    }

    fn save_consent(&mut self, consent: ConsentRecord) {
        let (at, account_id, record) = (consent.at, consent.account_id, consent.to_json());
        self.consents.save(consent);
        self.ledger.add(at, LedgerKind::ConsentChanged, record.clone());
        self.publish_consents(at, account_id, &[record]);
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsentSearch {
    from: Vec<String>,
    to: Vec<String>,
    opt_status: Option<String>,
    page_token: Option<String>,
    per_page: Option<usize>,
}

impl ConsentSearch {
    /// The search of a GET call. `default_status` applies if the query has no `optStatus`.
    pub fn from_query(query: &QueryString, default_status: Option<&str>) -> Result<Self, RestError> {
        let list = |name| query.all(name).into_iter().map(str::to_owned).collect();
        Ok(Self {
            from: list("from"),
            to: list("to"),
            opt_status: query.get("optStatus").or(default_status).map(str::to_owned),
            page_token: query.get("pageToken").map(str::to_owned),
            per_page: query.number("perPage", 1)?,
        })
    }

    /// The reply with one page of the matching records of an account.
    pub fn run(&self, all: &[ConsentRecord], account_id: i64) -> Result<Value, RestError> {
        for (name, list) in [("from", &self.from), ("to", &self.to)] {
            if list.len() > MAX_NUMBERS {
                return Err(RestError::parameter(name, list.len()));
            }
        }
        let status = match self.opt_status.as_deref() {
            None => None,
            Some(text) => {
                let parsed: Option<OptStatus> = parse_variant(text);
                Some(parsed.ok_or_else(|| RestError::parameter("optStatus", text))?)
            }
        };
        let per_page = self.per_page.unwrap_or(DEFAULT_PER_PAGE).clamp(1, MAX_PER_PAGE);
        let start: usize = match &self.page_token {
            None => 0,
            Some(token) => token.parse().map_err(|_| RestError::parameter("pageToken", token.as_str()))?,
        };
        let found: Vec<&ConsentRecord> = all
            .iter()
            .filter(|c| c.account_id == account_id)
            .filter(|c| self.from.is_empty() || self.from.contains(&c.from))
            .filter(|c| self.to.is_empty() || self.to.contains(&c.to))
            .filter(|c| status.is_none_or(|status| status == c.opt_status))
            .collect();
        let records: Vec<Value> = found.iter().skip(start).take(per_page).map(|c| c.to_json()).collect();
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
        Ok(json!({"records": records, "paging": paging}))
    }
}

#[derive(Debug, Deserialize)]
pub struct ConsentUpdate {
    records: Vec<ConsentUpdateRecord>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConsentUpdateRecord {
    from: String,
    to: String,
    opt_status: String,
}

/// Applies the records one by one. The reply lists those that were refused in `failedRecords`.
pub fn update_consents(
    state: &mut PlatformState,
    now: Millis,
    account_id: i64,
    update: ConsentUpdate,
) -> Result<Value, RestError> {
    if update.records.is_empty() || update.records.len() > MAX_RECORDS {
        return Err(RestError::parameter("records", update.records.len()));
    }
    let mut failed = Vec::new();
    for record in update.records {
        match checked_update(state, account_id, &record) {
            Ok(opt_status) => state.save_consent(ConsentRecord {
                account_id,
                from: record.from,
                to: record.to,
                opt_status,
                source: ConsentSource::Api,
                at: now,
            }),
            Err((code, message)) => failed.push(json!({
                "from": record.from, "to": record.to, "optStatus": record.opt_status,
                "source": ConsentSource::Api, "coverage": "PhoneNumber",
                "error": {"errorCode": code, "message": message},
            })),
        }
    }
    Ok(if failed.is_empty() { json!({}) } else { json!({"failedRecords": failed}) })
}

/// The new status, or the code and text of the refusal.
fn checked_update(
    state: &PlatformState,
    account_id: i64,
    record: &ConsentUpdateRecord,
) -> Result<OptStatus, (&'static str, &'static str)> {
    let status: Option<OptStatus> = parse_variant(&record.opt_status);
    let status = status.ok_or(("CMN-101", "Parameter [optStatus] value is invalid"))?;
    let is_own =
        record.from == ALL_NUMBERS || state.number(&record.from).is_some_and(|n| n.account_id == account_id);
    if !is_own {
        return Err(("CMN-102", "Resource for parameter [from] is not found"));
    }
    let latest = state.consents.find(account_id, &record.from, &record.to);
    let stopped_by_keyword =
        latest.is_some_and(|c| c.opt_status == OptStatus::OptOut && c.source == ConsentSource::Recipient);
    if status == OptStatus::OptIn && stopped_by_keyword {
        return Err(("MSG-243", "Only the recipient can opt in again"));
    }
    Ok(status)
}
