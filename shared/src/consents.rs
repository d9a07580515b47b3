//! Recording what was learned about consents: one place merges it into what is known.

use futures_util::{TryStreamExt, stream};
use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::consent::{
    ConsentPair, ConsentReport, ConsentReporter, ConsentSource, ConsentState, ConsentStatus, ConsentUpdate,
};
use crate::model::consent_keyword::{Keyword, KeywordHandler, KeywordIntent};
use crate::model::failure;
use crate::model::ids::TenantId;
use crate::model::message::{DeliveryReport, Message, PartStage};
use crate::model::phone::E164;
use crate::retry::{Attempt, retry_on_conflict};
use crate::ringcentral;
use crate::ringcentral::consents::{ConsentCoverage, OptStatus};
use crate::store::WriteOutcome;

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

/// Records what RingCentral's records say. Those that cannot be used are left out.
///
/// # Errors
/// If the store fails; the records may then be recorded again.
pub(crate) async fn record_all(
    gateway: &Gateway,
    tenant: &TenantId,
    account: &str,
    source: ConsentSource,
    records: impl IntoIterator<Item = ringcentral::consents::Consent>,
) -> Result<()> {
    let now = gateway.clock.now();
    let reports: Vec<_> =
        records.into_iter().filter_map(|record| report_of(&record, account, source, now)).collect();
    stream::iter(reports.into_iter().map(Ok))
        .try_for_each_concurrent(limits::CONSENTS_AT_ONCE, |(pair, report)| async move {
            record(gateway, tenant, &pair, &report, None).await.map(drop)
        })
        .await
}

/// What a record of RingCentral says. An opt-out from one type of campaign counts for its number: the gateway does not know the types of
/// messages. `None` if it cannot be known what the record covers, or when an opt-in happened.
fn report_of(
    found: &ringcentral::consents::Consent,
    account: &str,
    source: ConsentSource,
    now: Timestamp,
) -> Option<(ConsentPair, ConsentReport)> {
    let (status, at) = match status_of(found)? {
        ConsentStatus::OptedIn => (ConsentStatus::OptedIn, found.last_modified_time?),
        status => (status, found.last_modified_time.unwrap_or(now)),
    };
    let pair = pair_of(found, account)?;
    let is_own_opt_in = status == ConsentStatus::OptedIn
        && found.source == Some(ringcentral::consents::ConsentSource::Recipient);
    let reporter = if is_own_opt_in { ConsentReporter::Recipient } else { ConsentReporter::RingCentral };
    Some((pair, ConsentReport { status, source, reporter, at: at.min(now) }))
}

/// The status of all messages that a record covers. An opt-in to one type of campaign says nothing of the others.
fn status_of(found: &ringcentral::consents::Consent) -> Option<ConsentStatus> {
    let is_specific =
        matches!(found.coverage, None | Some(ConsentCoverage::PhoneNumber | ConsentCoverage::Account));
    match found.opt_status {
        OptStatus::OptOut => Some(ConsentStatus::OptedOut),
        OptStatus::OptIn if is_specific => Some(ConsentStatus::OptedIn),
        _ => None,
    }
}

/// The pair that a record covers; `None` if its numbers cannot be read.
fn pair_of(found: &ringcentral::consents::Consent, account: &str) -> Option<ConsentPair> {
    let to = E164::read(&found.to, None)?;
    let from = found.from.as_deref().filter(|from| *from != ALL_NUMBERS);
    Some(match (from, &found.coverage) {
        (None, _) | (_, Some(ConsentCoverage::Account)) => ConsentPair::of_account(account, to),
        (Some(from), _) => ConsentPair::of_number(E164::read(from, None)?, to),
    })
}

/// What RingCentral's records show about messages from a number to a recipient, and since when. Records about all numbers count too,
/// and an opt-out wins over an opt-in.
pub(crate) fn status_in(
    records: &[ringcentral::consents::Consent],
    from: &E164,
    to: &E164,
) -> (ConsentStatus, Option<Timestamp>) {
    let covers = |record: &&ringcentral::consents::Consent| {
        pair_of(record, "")
            .is_some_and(|pair| pair.to == *to && pair.scope.from().is_none_or(|own| own == from))
    };
    let statuses = records.iter().filter(covers).filter_map(|record| {
        let status = status_of(record)?;
        Some((status == ConsentStatus::OptedOut, record.last_modified_time, status))
    });
    let decisive = statuses.max_by_key(|(is_opted_out, at, _)| (*is_opted_out, *at));
    decisive.map_or((ConsentStatus::Unknown, None), |(_, at, status)| (status, at))
}

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

    #[test]
    fn records_of_a_recipient_are_read_for_one_number() {
        let (us, them) = (E164::parse("+14155550100").unwrap(), E164::parse("+16505550111").unwrap());
        let record = |from: Option<&str>, status: &str, coverage: Option<&str>| {
            let record = serde_json::json!({ "from": from, "to": them.as_str(), "optStatus": status, "coverage": coverage });
            ringcentral::events::from_slice(&serde_json::to_vec(&record).unwrap()).unwrap()
        };
        let (own, other, all) = (Some("+14155550100"), Some("+14155550101"), Some("*"));
        for (records, status) in [
            (vec![], ConsentStatus::Unknown),
            (vec![record(own, "OptIn", None)], ConsentStatus::OptedIn),
            (vec![record(Some("(415) 555-0100"), "OptIn", None)], ConsentStatus::OptedIn),
            (vec![record(Some("14155550100"), "OptOut", None)], ConsentStatus::OptedOut),
            (vec![record(all, "OptIn", None)], ConsentStatus::OptedIn),
            (vec![record(all, "OptOut", None), record(own, "OptIn", None)], ConsentStatus::OptedOut),
            (vec![record(None, "OptOut", Some("Account"))], ConsentStatus::OptedOut),
            (vec![record(other, "OptOut", Some("Account"))], ConsentStatus::OptedOut),
            (vec![record(other, "OptOut", Some("PhoneNumber"))], ConsentStatus::Unknown),
            (vec![record(own, "OptOut", Some("CampaignType"))], ConsentStatus::OptedOut),
            (vec![record(own, "OptIn", Some("CampaignType"))], ConsentStatus::Unknown),
            (vec![record(own, "OptIn", Some("VirtualSender"))], ConsentStatus::Unknown),
        ] {
            assert_eq!(status_in(&records, &us, &them).0, status, "{records:?}");
        }
        let elsewhere = E164::parse("+16505550112").unwrap();
        assert_eq!(
            status_in(&[record(own, "OptOut", None)], &us, &elsewhere),
            (ConsentStatus::Unknown, None)
        );
    }
}
