//! Consent: keywords of inbound messages, changes by API, searches, history, export.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::platform::clock::{Millis, format_time};
use crate::platform::consents::{
    ALL_NUMBERS, CampaignType, ConsentCoverage, ConsentOrigin, ConsentRecord, OptStatus,
};
use crate::platform::errors::RestError;
use crate::platform::ledger::LedgerKind;
use crate::platform::messages::{MessageDirection, MessageDraft, MessageRecord, MessageRecordStatus};
use crate::platform::state::PlatformState;
use crate::platform::variants::{parse_variant, variant_name};
use crate::rules::query::QueryString;

const OPT_OUT_KEYWORDS: [&str; 5] = ["STOP", "UNSUBSCRIBE", "QUIT", "CANCEL", "END"];
const OPT_IN_KEYWORDS: [&str; 5] = ["START", "SUBSCRIBE", "RESUME", "CONTINUE", "UNSTOP"];
pub const OPT_OUT_REPLY: &str =
    "You have opted out and will receive no more messages from this number. Reply START to opt in.";
const HELP_REPLY: &str = "For help, write to this company. Reply STOP to opt out.";
const OPT_IN_REPLY: &str = "You have opted in to messages from this number. Reply STOP to opt out.";
/// Numbers in one list of a search.
const MAX_NUMBERS: usize = 20;
/// Records of one change.
const MAX_RECORDS: usize = 1000;
const DEFAULT_PER_PAGE: usize = 100;
const MAX_PER_PAGE: usize = 1000;

/// What an inbound text asks for, if it is a keyword.
#[derive(Debug, Clone, Copy)]
enum Keyword {
    Consent(OptStatus),
    Help,
}

impl Keyword {
    fn of(text: &str) -> Option<Self> {
        match text.trim().to_ascii_uppercase().as_str() {
            word if OPT_OUT_KEYWORDS.contains(&word) => Some(Self::Consent(OptStatus::OptOut)),
            word if OPT_IN_KEYWORDS.contains(&word) => Some(Self::Consent(OptStatus::OptIn)),
            "HELP" => Some(Self::Help),
            _ => None,
        }
    }

    fn reply(self) -> &'static str {
        match self {
            Self::Consent(OptStatus::OptOut) => OPT_OUT_REPLY,
            Self::Consent(OptStatus::OptIn) => OPT_IN_REPLY,
            Self::Help => HELP_REPLY,
        }
    }
}

impl PlatformState {
    /// Applies the keyword of an inbound message, if its text is one.
    pub fn apply_keyword(&mut self, at: Millis, message: &MessageRecord) {
        let Some(keyword) = Keyword::of(&message.text) else { return };
        let own = self.own_number(message).to_owned();
        if let Keyword::Consent(opt_status) = keyword {
            let coverage = self.settings.consent_coverage;
            let is_of_campaign = coverage == ConsentCoverage::CampaignType;
            self.save_consent(ConsentRecord {
                account_id: message.account_id,
                from: own.clone(),
                to: message.from.clone(),
                opt_status,
                source: ConsentOrigin::Recipient,
                coverage,
                campaign_type: is_of_campaign.then_some(self.settings.campaign_type),
                at,
            });
        }
        if self.settings.keyword_replies {
            self.send_keyword_reply(at, message, &own, keyword.reply());
        }
    }

    /// Whether a customer opted out of messages from a number.
    #[must_use]
    pub fn is_opted_out(&self, account_id: i64, from: &str, to: &str) -> bool {
        let decision = self.consents.decision(account_id, from, to, self.settings.campaign_type);
        decision.is_some_and(|decision| decision.opt_status == OptStatus::OptOut)
    }

    /// Sends the platform's confirmation of a keyword. An opt-out does not block it.
    fn send_keyword_reply(&mut self, at: Millis, message: &MessageRecord, own: &str, text: &str) {
        let Some(owner) = self.extensions.get(&message.extension_id) else { return };
        let mut reply = self.mail.create(MessageDraft {
            owner,
            direction: MessageDirection::Outbound,
            from: own,
            to: std::slice::from_ref(&message.from),
            text,
            files: Vec::new(),
        });
        reply.status = MessageRecordStatus::Sent;
        self.store_message(at, reply);
    }

    fn save_consent(&mut self, consent: ConsentRecord) {
        self.ledger.add(consent.at, LedgerKind::ConsentChanged, consent.to_json());
        self.publish_consents(consent.at, consent.account_id, &[consent.event_json()]);
        self.consents.save(consent);
    }
}

/// A token of a page: the index of its first record.
fn parse_page_token(token: Option<&str>) -> Result<usize, RestError> {
    let parse = |token: &str| token.parse().map_err(|_| RestError::parameter("pageToken", token));
    token.map_or(Ok(0), parse)
}

/// The reply with the requested page of `records`.
fn token_page(records: &[Value], token: Option<&str>, per_page: Option<usize>) -> Result<Value, RestError> {
    let per_page = per_page.unwrap_or(DEFAULT_PER_PAGE).clamp(1, MAX_PER_PAGE);
    let start = parse_page_token(token)?;
    let page: Vec<&Value> = records.iter().skip(start).take(per_page).collect();
    let mut paging = json!({"perPage": per_page, "firstPageToken": "0"});
    if let Some(token) = token {
        paging["pageToken"] = token.into();
    }
    if start.saturating_add(per_page) < records.len() {
        paging["nextPageToken"] = (start + per_page).to_string().into();
    }
    if start > 0 {
        paging["previousPageToken"] = start.saturating_sub(per_page).to_string().into();
    }
    Ok(json!({"records": page, "paging": paging}))
}

fn check_numbers(name: &str, list: &[String]) -> Result<(), RestError> {
    if list.len() > MAX_NUMBERS { Err(RestError::parameter(name, list.len())) } else { Ok(()) }
}

fn parse_list<T: DeserializeOwned>(name: &str, texts: &[String]) -> Result<Vec<T>, RestError> {
    let parse = |text: &String| parse_variant(text).ok_or_else(|| RestError::parameter(name, text.as_str()));
    texts.iter().map(parse).collect()
}

/// The body of a search.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsentSearchBody {
    from: Vec<String>,
    to: Vec<String>,
    /// One status; a GET call can have several.
    opt_status: Option<String>,
    coverage: Vec<String>,
    campaign_type: Vec<String>,
    page_token: Option<String>,
    per_page: Option<usize>,
}

/// A checked search. An empty list selects every record.
#[derive(Debug)]
pub struct ConsentSearch {
    from: Vec<String>,
    to: Vec<String>,
    statuses: Vec<OptStatus>,
    coverage: Vec<ConsentCoverage>,
    campaign_types: Vec<CampaignType>,
    page_token: Option<String>,
    per_page: Option<usize>,
}

impl ConsentSearch {
    pub fn from_body(body: ConsentSearchBody) -> Result<Self, RestError> {
        let ConsentSearchBody { from, to, opt_status, coverage, campaign_type, page_token, per_page } = body;
        let statuses = parse_list("optStatus", &opt_status.into_iter().collect::<Vec<_>>())?;
        let coverage = parse_list("coverage", &coverage)?;
        let campaign_types = parse_list("campaignType", &campaign_type)?;
        Self { from, to, statuses, coverage, campaign_types, page_token, per_page }.checked()
    }

    /// The search of a GET call. Without `optStatus`, it selects opt-outs.
    pub fn from_query(query: &QueryString) -> Result<Self, RestError> {
        let list = |name| query.all(name).into_iter().map(str::to_owned).collect();
        let mut statuses = query.variants("optStatus")?;
        if statuses.is_empty() {
            statuses.push(OptStatus::OptOut);
        }
        let search = Self {
            from: list("from"),
            to: list("to"),
            statuses,
            coverage: query.variants("coverage")?,
            campaign_types: query.variants("campaignType")?,
            page_token: query.get("pageToken").map(str::to_owned),
            per_page: query.number("perPage", 1)?,
        };
        search.checked()
    }

    fn checked(self) -> Result<Self, RestError> {
        check_numbers("from", &self.from)?;
        check_numbers("to", &self.to)?;
        Ok(self)
    }

    fn selects(&self, record: &ConsentRecord) -> bool {
        (self.from.is_empty() || self.from.contains(&record.from))
            && (self.to.is_empty() || self.to.contains(&record.to))
            && (self.statuses.is_empty() || self.statuses.contains(&record.opt_status))
            && (self.coverage.is_empty() || self.coverage.contains(&record.coverage))
            && (self.campaign_types.is_empty()
                || record.campaign_type.is_some_and(|campaign| self.campaign_types.contains(&campaign)))
    }

    /// The reply with one page of the selected records of an account.
    pub fn run(&self, state: &PlatformState, account_id: i64) -> Result<Value, RestError> {
        let records = state.consents.latest.iter();
        let selected = records.filter(|c| c.account_id == account_id && self.selects(c));
        let records: Vec<Value> = selected.map(ConsentRecord::to_json).collect();
        token_page(&records, self.page_token.as_deref(), self.per_page)
    }
}

/// The reply with one page of an account's history, which the query can limit to some customers.
pub fn consent_history(
    state: &PlatformState,
    account_id: i64,
    query: &QueryString,
) -> Result<Value, RestError> {
    let to: Vec<String> = query.all("to").into_iter().map(str::to_owned).collect();
    check_numbers("to", &to)?;
    let records = state.consents.history.iter();
    let selected = records.filter(|c| c.account_id == account_id && (to.is_empty() || to.contains(&c.to)));
    let records: Vec<Value> = selected.map(ConsentRecord::history_json).collect();
    token_page(&records, query.get("pageToken"), query.number("perPage", 1)?)
}

/// All records of an account as CSV.
#[must_use]
pub fn export_consents(state: &PlatformState, account_id: i64) -> String {
    let mut csv =
        "External Party Number,Internal Party Number,Consent Status,Source,Coverage,Campaign Type,Notes,\
                   Last Modified Time\r\n"
            .to_owned();
    for record in state.consents.latest.iter().filter(|c| c.account_id == account_id) {
        let coverage = match record.coverage {
            ConsentCoverage::Account => "Company".to_owned(),
            other => variant_name(&other),
        };
        let (status, source) = (variant_name(&record.opt_status), variant_name(&record.source));
        let campaign = record.campaign_type.as_ref().map(variant_name).unwrap_or_default();
        let (from, to, at) = (&record.from, &record.to, format_time(record.at));
        csv.push_str(&format!("{to},{from},{status},{source},{coverage},{campaign},,{at}\r\n"));
    }
    csv
}

#[derive(Debug, Deserialize)]
pub struct ConsentUpdateBody {
    records: Vec<ConsentUpdateRecord>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConsentUpdateRecord {
    from: String,
    to: String,
    opt_status: String,
    coverage: Option<String>,
    campaign_type: Option<String>,
}

/// Applies the records one by one. The reply lists those that were refused in `failedRecords`.
pub fn update_consents(
    state: &mut PlatformState,
    now: Millis,
    account_id: i64,
    update: ConsentUpdateBody,
) -> Result<Value, RestError> {
    if update.records.is_empty() || update.records.len() > MAX_RECORDS {
        return Err(RestError::parameter("records", update.records.len()));
    }
    let mut failed = Vec::new();
    for record in update.records {
        match checked_update(state, account_id, &record) {
            Ok((opt_status, coverage, campaign_type)) => state.save_consent(ConsentRecord {
                account_id,
                from: record.from,
                to: record.to,
                opt_status,
                source: ConsentOrigin::Api,
                coverage,
                campaign_type,
                at: now,
            }),
            Err((code, message)) => failed.push(json!({
                "from": record.from, "to": record.to, "optStatus": record.opt_status,
                "source": ConsentOrigin::Api, "coverage": ConsentCoverage::PhoneNumber,
                "error": {"errorCode": code, "message": message},
            })),
        }
    }
    Ok(if failed.is_empty() { json!({}) } else { json!({"failedRecords": failed}) })
}

/// The new status with its coverage and campaign type, or the code and text of the refusal.
fn checked_update(
    state: &PlatformState,
    account_id: i64,
    record: &ConsentUpdateRecord,
) -> Result<(OptStatus, ConsentCoverage, Option<CampaignType>), (&'static str, &'static str)> {
    let status: Option<OptStatus> = parse_variant(&record.opt_status);
    let status = status.ok_or(("CMN-101", "Parameter [optStatus] value is invalid"))?;
    let coverage = match record.coverage.as_deref() {
        // The guide and the specification spell it differently.
        None | Some("PhoneNumber" | "phoneNumber") => ConsentCoverage::PhoneNumber,
        Some("Account" | "account") => ConsentCoverage::Account,
        Some("CampaignType" | "campaignType") => ConsentCoverage::CampaignType,
        Some("VirtualSender" | "virtualSender") => ConsentCoverage::VirtualSender,
        Some(_) => return Err(("CMN-101", "Parameter [coverage] value is invalid")),
    };
    let campaign: Option<CampaignType> = record.campaign_type.as_deref().and_then(parse_variant);
    let is_of_campaign = coverage == ConsentCoverage::CampaignType;
    if campaign.is_some() != is_of_campaign || record.campaign_type.is_some() != is_of_campaign {
        return Err(("CMN-101", "Parameter [campaignType] value is invalid"));
    }
    let is_own = record.from == ALL_NUMBERS
        || coverage == ConsentCoverage::VirtualSender
        || state.number(&record.from).is_some_and(|n| n.account_id == account_id);
    if !is_own {
        return Err(("CMN-102", "Resource for parameter [from] is not found"));
    }
    let own_campaign = state.settings.campaign_type;
    let decision = state.consents.decision(account_id, &record.from, &record.to, own_campaign);
    let stopped_by_keyword =
        decision.is_some_and(|c| c.opt_status == OptStatus::OptOut && c.source == ConsentOrigin::Recipient);
    if status == OptStatus::OptIn && stopped_by_keyword && !state.settings.api_lifts_keyword_opt_out {
        return Err(("MSG-243", "Only the recipient can opt in again"));
    }
    Ok((status, coverage, campaign))
}
