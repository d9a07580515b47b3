//! Recording what was learned about consents: one place merges it into what is known.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::connection::Connection;
use crate::model::consent::{
    ConsentPair, ConsentReport, ConsentReporter, ConsentSource, ConsentState, ConsentStatus, ConsentUpdate,
};
use crate::model::consent_keyword::{Keyword, KeywordHandler, KeywordIntent};
use crate::model::failure;
use crate::model::ids::TenantId;
use crate::model::message::{DeliveryReport, Message, PartStage};
use crate::model::phone::E164;
use crate::retry::{Attempt, retry_on_conflict};
use crate::ringcentral::consents::{ConsentCoverage, ConsentQuery, OptStatus};
use crate::ringcentral::{self, Api};
use crate::store::WriteOutcome;
use crate::tokens::{self, CallError};

/// Merges a report into a consent, with its history entry and event. Returns the state of the consent after that. A report that is
/// late or repeated changes nothing.
///
/// # Errors
/// If the store fails; the report may then be recorded again.
pub async fn record(
    gateway: &Gateway,
    tenant: &TenantId,
    pair: &ConsentPair,
    report: &ConsentReport,
    note: Option<&str>,
) -> Result<ConsentState> {
    let exhausted = || Error::unavailable("a consent that keeps changing", "recording a report");
    retry_on_conflict(limits::CONFLICT_ATTEMPTS, exhausted, || async {
        let current = gateway.store.consent(tenant, pair).await?;
        let Some(update) = ConsentUpdate::of(tenant, pair, &current, report, note, gateway.clock.now())
        else {
            return Ok(Attempt::Done(current.state()));
        };
        Ok(match gateway.store.apply_consent(&update).await? {
            WriteOutcome::Applied => {
                log_update(&update);
                Attempt::Done(update.consent.state)
            }
            WriteOutcome::Conflict => Attempt::Conflict,
        })
    })
    .await
}

/// Logs that a consent was recorded.
pub(crate) fn log_update(update: &ConsentUpdate) {
    tracing::info!(tenant.id = %update.consent.tenant, consent.status = update.entry.status.as_str(),
        consent.source = update.entry.report.source.as_str(), "consent recorded");
}

/// What a keyword says about the consent of its sender, who must have a phone number. Its time is RingCentral's, so that messages that
/// arrive late or in another order come to the same result.
pub(crate) fn of_keyword(
    message: &Message,
    sent_at: Option<Timestamp>,
    keyword: Keyword,
) -> Option<(ConsentPair, ConsentReport)> {
    let status = match keyword.intent {
        KeywordIntent::Stop => ConsentStatus::OptedOut,
        KeywordIntent::Start => ConsentStatus::OptedIn,
        KeywordIntent::Help => return None,
    };
    let reporter = match keyword.handler {
        KeywordHandler::RingCentral => ConsentReporter::Recipient,
        KeywordHandler::Gateway => ConsentReporter::RecipientToGateway,
    };
    let pair = ConsentPair::of_number(E164::parse(&message.to)?, E164::parse(&message.from)?);
    let now = message.created_at;
    let at = sent_at.unwrap_or(now).min(now);
    Some((pair, ConsentReport { status, source: ConsentSource::Keyword, reporter, at }))
}

/// Records the opt-out that a delivery report shows, if it shows one. RingCentral decided after the part was submitted, so a later
/// opt-in wins.
///
/// # Errors
/// If the store fails; the report may then be applied again.
pub(crate) async fn record_delivery_error(
    gateway: &Gateway,
    message: &Message,
    part: usize,
    report: &DeliveryReport,
) -> Result<()> {
    let is_opt_out =
        report.stage == PartStage::Failed && report.error_code.as_deref().is_some_and(failure::is_opt_out);
    let Some((from, to)) = E164::parse(&message.from).zip(E164::parse(&message.to)).filter(|_| is_opt_out)
    else {
        return Ok(());
    };
    let submitted_at = message.parts.get(part).and_then(|part| part.submitted_at);
    let report = ConsentReport {
        status: ConsentStatus::OptedOut,
        source: ConsentSource::DeliveryError,
        reporter: ConsentReporter::RingCentral,
        at: submitted_at.unwrap_or(message.created_at),
    };
    record(gateway, &message.tenant, &ConsentPair::of_number(from, to), &report, None).await.map(drop)
}

/// Reads the consents that RingCentral has for the account of a connection, and records them: what neither a message nor an event has
/// shown. Of several connections of an account, one does this. Reads at most [`limits::CONSENT_SEARCH_RECORDS`].
///
/// # Errors
/// If RingCentral or the store fails. What was read before that is recorded.
pub async fn search(gateway: &Gateway, connection: &Connection, within: Duration) -> Result<(), CallError> {
    let Some(account) = connection.identity.account.as_deref() else { return Ok(()) };
    let connections = gateway.store.connections(&connection.tenant).await?;
    let is_of_account = |other: &&Connection| {
        other.identity.account.as_deref() == Some(account) && other.status.is_connected()
    };
    let first = connections.iter().filter(is_of_account).map(|other| &other.extension).min();
    if first.is_some_and(|first| *first != connection.extension) {
        return Ok(());
    }
    let read = |api, connection| read_consents(gateway, account, api, connection);
    let searched = tokens::call(gateway, &connection.tenant, &connection.id, read);
    tokio::time::timeout(within, searched).await.unwrap_or(Err(CallError::Timeout))
}

async fn read_consents(
    gateway: &Gateway,
    account: &str,
    api: Api,
    connection: Connection,
) -> Result<(), CallError> {
    let query = ConsentQuery { per_page: Some(SEARCH_PAGE), ..ConsentQuery::default() };
    let found = api.consents(&query).take(limits::CONSENT_SEARCH_RECORDS).map_err(CallError::from);
    let record_found = |found| record_found(gateway, account, &connection.tenant, found);
    found.try_for_each_concurrent(limits::CONSENTS_AT_ONCE, record_found).await
}

async fn record_found(
    gateway: &Gateway,
    account: &str,
    tenant: &TenantId,
    found: ringcentral::consents::Consent,
) -> Result<(), CallError> {
    let now = gateway.clock.now();
    if let Some((pair, report)) = report_of(&found, account, ConsentSource::RingcentralSearch, now) {
        record(gateway, tenant, &pair, &report, None).await?;
    }
    Ok(())
}

/// What a record of RingCentral says. An opt-out from one type of campaign counts for its number: the gateway does not know the types of
/// messages. `None` if it cannot be known what the record covers, or when an opt-in happened.
fn report_of(
    found: &ringcentral::consents::Consent,
    account: &str,
    source: ConsentSource,
    now: Timestamp,
) -> Option<(ConsentPair, ConsentReport)> {
    let is_specific =
        matches!(found.coverage, None | Some(ConsentCoverage::PhoneNumber | ConsentCoverage::Account));
    let (status, at) = match found.opt_status {
        OptStatus::OptOut => (ConsentStatus::OptedOut, found.last_modified_time.unwrap_or(now)),
        OptStatus::OptIn if is_specific => (ConsentStatus::OptedIn, found.last_modified_time?),
        _ => return None,
    };
    let to = E164::read(&found.to, None)?;
    let from = found.from.as_deref().filter(|from| *from != ALL_NUMBERS);
    let pair = match (from, &found.coverage) {
        (None, _) | (_, Some(ConsentCoverage::Account)) => ConsentPair::of_account(account, to),
        (Some(from), _) => ConsentPair::of_number(E164::read(from, None)?, to),
    };
    let is_own_opt_in = status == ConsentStatus::OptedIn
        && found.source == Some(ringcentral::consents::ConsentSource::Recipient);
    let reporter = if is_own_opt_in { ConsentReporter::Recipient } else { ConsentReporter::RingCentral };
    Some((pair, ConsentReport { status, source, reporter, at: at.min(now) }))
}

/// Consents in one call of the search, RingCentral's maximum.
const SEARCH_PAGE: u32 = 1_000;

/// How RingCentral names all numbers of an account.
const ALL_NUMBERS: &str = "*";

#[cfg(test)]
mod tests {
    use super::*;

    fn found(record: &serde_json::Value) -> Option<(ConsentPair, ConsentReport)> {
        let json = serde_json::to_vec(record).unwrap();
        let record = ringcentral::events::from_slice(&json).unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        report_of(&record, "500100", ConsentSource::RingcentralSearch, now)
    }

    #[test]
    fn a_record_of_ringcentral_says_what_it_covers() {
        let (us, them, at) = ("+14155550100", "+16505550111", "2026-11-30T10:00:00Z");
        let number = ConsentPair::of_number(E164::parse(us).unwrap(), E164::parse(them).unwrap());
        let account = ConsentPair::of_account("500100", E164::parse(them).unwrap());
        let record = |fields: serde_json::Value| {
            let mut record = serde_json::json!({ "to": them, "optStatus": "OptOut", "source": "Recipient", "lastModifiedTime": at });
            record.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            found(&record)
        };
        for (fields, pair) in [
            (serde_json::json!({ "from": us }), &number),
            (serde_json::json!({ "from": us, "coverage": "PhoneNumber" }), &number),
            (serde_json::json!({ "from": us, "coverage": "phoneNumber" }), &number),
            (serde_json::json!({ "from": us, "coverage": "CampaignType" }), &number),
            (serde_json::json!({ "from": us, "coverage": "Account" }), &account),
            (serde_json::json!({ "coverage": "Account" }), &account),
            (serde_json::json!({ "from": "*" }), &account),
        ] {
            let (found, report) = record(fields.clone()).unwrap();
            assert_eq!((&found, report.status), (pair, ConsentStatus::OptedOut), "{fields}");
        }
        let opt_in = |fields: serde_json::Value| {
            let mut all = serde_json::json!({ "from": us, "optStatus": "OptIn" });
            all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            record(all)
        };
        assert_eq!(opt_in(serde_json::json!({})).unwrap().1.reporter, ConsentReporter::Recipient);
        assert_eq!(
            opt_in(serde_json::json!({ "source": "Api" })).unwrap().1.reporter,
            ConsentReporter::RingCentral
        );
        assert!(
            opt_in(serde_json::json!({ "coverage": "CampaignType" })).is_none(),
            "it is not known for which messages"
        );
        assert!(
            opt_in(serde_json::json!({ "lastModifiedTime": null })).is_none(),
            "it is not known since when"
        );
        assert!(record(serde_json::json!({ "optStatus": "Maybe" })).is_none());
        assert!(record(serde_json::json!({ "to": "12345" })).is_none());
    }
}
