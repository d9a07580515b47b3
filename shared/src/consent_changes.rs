//! Consents that a tenant sets: recorded here, and written to RingCentral with one call for each account.
//!
//! An opt-out is recorded first, so that it blocks the recipient even if RingCentral does not respond. An opt-in counts only as far as the
//! recipient has not opted out; where the recipient has, RingCentral is asked what it made of the change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::consents;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::connection::Connection;
use crate::model::consent::{
    ConsentPair, ConsentReport, ConsentReporter, ConsentScope, ConsentSource, ConsentStatus, DecisiveConsents,
};
use crate::model::consent_change::{ChangeResult, ConsentChange, ConsentResult, RequestedStatus};
use crate::model::ids::TenantId;
use crate::model::phone::E164;
use crate::ringcentral::{Api, consents as rc};
use crate::store::Inventory;
use crate::tokens::{self, CallError};

/// A row of a request.
#[derive(Debug, Default)]
pub struct ConsentOrder {
    pub from: Option<String>,
    pub to: Option<String>,
    pub status: Option<String>,
    pub note: Option<String>,
}

/// Validates the rows of a request: 1 to 1,000, each of another pair.
pub fn validate(rows: Option<Vec<ConsentOrder>>) -> Result<Vec<ConsentChange>> {
    let missing = || Error::MissingField { text: "consents is required", field: "consents" };
    let rows = rows.ok_or_else(missing)?;
    if !(1..=limits::CONSENT_CHANGES).contains(&rows.len()) {
        let text = format!("consents must have 1-{} rows", limits::CONSENT_CHANGES);
        return Err(Error::InvalidField { text, field: "consents" });
    }
    let mut pairs = BTreeSet::new();
    let mut changes = Vec::with_capacity(rows.len());
    for (at, row) in rows.into_iter().enumerate() {
        let invalid = |name: &str, rule: &str| {
            let field = format!("consents[{at}]{name}");
            Error::InvalidItem { text: format!("{field} must be {rule}"), field }
        };
        let number = |name: &str, text: Option<String>| {
            let number = text.as_deref().and_then(E164::parse);
            number.ok_or_else(|| invalid(name, "a valid E.164 phone number"))
        };
        let (from, to) = (number(".from", row.from)?, number(".to", row.to)?);
        let status = row.status.as_deref().and_then(RequestedStatus::parse);
        let status = status.ok_or_else(|| invalid(".status", "opted_in or opted_out"))?;
        let is_note = |note: &String| {
            (1..=limits::NOTE_CHARS).contains(&note.chars().count()) && !note.chars().any(char::is_control)
        };
        if row.note.as_ref().is_some_and(|note| !is_note(note)) {
            return Err(invalid(".note", "1-200 characters without control characters"));
        }
        if !pairs.insert((from.clone(), to.clone())) {
            return Err(invalid("", "of another pair of numbers than the rows before"));
        }
        changes.push(ConsentChange { pair: ConsentPair::of_number(from, to), status, note: row.note });
    }
    Ok(changes)
}

/// Applies changes. Returns their outcomes, in the same order.
///
/// # Errors
/// If the store fails; the changes may then be sent again.
pub async fn apply(
    gateway: &Gateway,
    tenant: &TenantId,
    changes: Vec<ConsentChange>,
) -> Result<Vec<ConsentResult>> {
    let inventory = gateway.store.inventory(tenant).await?;
    let mut results: Vec<ConsentResult> = stream::iter(changes)
        .map(|change| record(gateway, tenant, &inventory, change))
        .buffered(limits::CONSENTS_AT_ONCE)
        .try_collect()
        .await?;
    let mut by_account: BTreeMap<&str, (&Connection, Vec<usize>)> = BTreeMap::new();
    for (at, result) in results.iter_mut().enumerate() {
        match place(&inventory, &result.change) {
            Place::Unknown(from) => {
                let reason = format!("Phone number {from} is not registered in this RingCentral account");
                end(result, ChangeResult::Refused, reason);
            }
            Place::NotConnected => {
                end(result, ChangeResult::Failed, "RingCentral not connected for this sender".to_owned());
            }
            Place::Connected(connection) => {
                // A connection whose account is not known yet makes its own call.
                let account = connection.identity.account.as_deref().unwrap_or(connection.id.as_str());
                by_account.entry(account).or_insert_with(|| (connection, Vec::new())).1.push(at);
            }
        }
    }
    for (connection, rows) in by_account.into_values() {
        write_through(gateway, connection, &mut results, &rows).await?;
    }
    Ok(results)
}

fn end(result: &mut ConsentResult, outcome: ChangeResult, reason: String) {
    result.result = outcome;
    result.reason = Some(reason);
}

/// Where a change belongs.
enum Place<'a> {
    /// No connected extension of the tenant has this number.
    Unknown(E164),
    NotConnected,
    Connected(&'a Connection),
}

fn place<'a>(inventory: &'a Inventory, change: &ConsentChange) -> Place<'a> {
    let Some(from) = change.pair.scope.from() else { return Place::NotConnected };
    let number = inventory.numbers.iter().find(|number| number.number == *from);
    let Some(number) = number else {
        let is_known = inventory.account_numbers.iter().any(|number| number.number == *from);
        return if is_known { Place::NotConnected } else { Place::Unknown(from.clone()) };
    };
    let mut connections = inventory.connections.iter();
    let is_theirs = |one: &&Connection| one.extension == number.extension && one.status.is_connected();
    connections.find(is_theirs).map_or(Place::NotConnected, Place::Connected)
}

/// Records a change here, unless the number is unknown.
async fn record(
    gateway: &Gateway,
    tenant: &TenantId,
    inventory: &Inventory,
    change: ConsentChange,
) -> Result<ConsentResult> {
    let status = match (place(inventory, &change), change.status) {
        (Place::Unknown(_), _) => ConsentStatus::Unknown,
        (Place::NotConnected | Place::Connected(_), RequestedStatus::OptedOut) => {
            let report = report_of_tenant(gateway, RequestedStatus::OptedOut);
            consents::record(gateway, tenant, &change.pair, &report, change.note.as_deref()).await?.status()
        }
        // An opt-in is recorded when RingCentral has accepted it.
        (Place::NotConnected | Place::Connected(_), RequestedStatus::OptedIn) => {
            gateway.store.consent(tenant, &change.pair).await?.state().status()
        }
    };
    Ok(ConsentResult { change, status, result: ChangeResult::Applied, reason: None })
}

fn report_of_tenant(gateway: &Gateway, status: RequestedStatus) -> ConsentReport {
    ConsentReport {
        status: status.status(),
        source: ConsentSource::Api,
        reporter: ConsentReporter::Tenant,
        at: gateway.clock.now(),
    }
}

/// Writes the changes of one account to RingCentral, which responds with 200 even if it refuses some.
async fn write_through(
    gateway: &Gateway,
    connection: &Connection,
    results: &mut [ConsentResult],
    rows: &[usize],
) -> Result<()> {
    let changes: Vec<rc::ConsentChange> =
        rows.iter().map(|row| change_at_ringcentral(&results[*row].change)).collect();
    let write = |api: Api, _: Connection| {
        let changes = changes.clone();
        async move { bounded(async { Ok(api.update_consents(&changes).await?) }).await }
    };
    let failed = match tokens::call(gateway, &connection.tenant, &connection.id, write).await {
        Ok(failed) => failed,
        Err(error) => {
            for row in rows {
                let result = &mut results[*row];
                let reason = match result.status {
                    ConsentStatus::OptedOut => {
                        format!("{}; the gateway blocks the recipient", sentence(&error.reason()))
                    }
                    ConsentStatus::OptedIn | ConsentStatus::Unknown => sentence(&error.reason()),
                };
                end(result, ChangeResult::Failed, reason);
            }
            return Ok(());
        }
    };
    let mut refusals: HashMap<(String, String), String> = HashMap::new();
    let mut is_attributed = true;
    for one in failed {
        let error = format!("RingCentral refused it: {} ({})", one.error.message, one.error.code);
        match one.consent.and_then(|consent| Some((consent.from?, consent.to))) {
            Some(pair) => drop(refusals.insert(pair, error)),
            None => is_attributed = false,
        }
    }
    let mut accepted = Vec::new();
    for row in rows {
        let result = &mut results[*row];
        if let Some(reason) = refusals.remove(&numbers(&result.change)) {
            end(result, ChangeResult::Refused, reason);
        } else if !is_attributed {
            end(result, ChangeResult::Failed, "RingCentral did not say which rows it refused".to_owned());
        } else if result.change.status == RequestedStatus::OptedIn {
            accepted.push(*row);
        }
    }
    confirm_opt_ins(gateway, connection, results, &accepted).await
}

fn change_at_ringcentral(change: &ConsentChange) -> rc::ConsentChange {
    let (from, to) = numbers(change);
    let opt_status = match change.status {
        RequestedStatus::OptedIn => rc::OptStatus::OptIn,
        RequestedStatus::OptedOut => rc::OptStatus::OptOut,
    };
    rc::ConsentChange { from, to, opt_status }
}

fn numbers(change: &ConsentChange) -> (String, String) {
    let from = change.pair.scope.from().map(ToString::to_string);
    (from.unwrap_or_default(), change.pair.to.to_string())
}

/// Records the opt-ins that RingCentral has accepted. Where the recipient has opted out, RingCentral's own record decides.
async fn confirm_opt_ins(
    gateway: &Gateway,
    connection: &Connection,
    results: &mut [ConsentResult],
    rows: &[usize],
) -> Result<()> {
    let mut contradicted = Vec::new();
    for row in rows {
        let result = &mut results[*row];
        let ConsentChange { pair, status, note } = &result.change;
        let report = report_of_tenant(gateway, *status);
        let state = consents::record(gateway, &connection.tenant, pair, &report, note.as_deref()).await?;
        result.status = state.status();
        if is_blocked(gateway, connection, pair).await? {
            result.status = ConsentStatus::OptedOut;
            contradicted.push(*row);
        } else if result.status == ConsentStatus::Unknown {
            let reason = "RingCentral accepted it, but the gateway's record of this recipient cannot be read";
            end(result, ChangeResult::Failed, reason.to_owned());
        }
    }
    for (at, chunk) in contradicted.chunks(limits::CONSENT_SEARCH_NUMBERS).enumerate() {
        let records = if at < limits::CONSENT_SEARCHES {
            search(gateway, connection, results, chunk).await
        } else {
            Err(NOT_READ.to_owned())
        };
        for row in chunk {
            read_back(gateway, connection, &mut results[*row], &records).await?;
        }
    }
    Ok(())
}

const NOT_READ: &str = "RingCentral accepted it, but the recipient had opted out, and the gateway reads back only 100 such rows of \
                        a request and account; the recipient stays blocked";

/// What RingCentral's records say about the recipients of some rows.
async fn search(
    gateway: &Gateway,
    connection: &Connection,
    results: &[ConsentResult],
    rows: &[usize],
) -> Result<Vec<rc::Consent>, String> {
    let to = rows.iter().map(|row| results[*row].change.pair.to.to_string()).collect();
    let query = rc::ConsentQuery { to, per_page: Some(1_000), ..rc::ConsentQuery::default() };
    let read = |api: Api, _: Connection| {
        let query = query.clone();
        async move { bounded(async { Ok(api.consents(&query).try_collect::<Vec<_>>().await?) }).await }
    };
    let found = tokens::call(gateway, &connection.tenant, &connection.id, read).await;
    found.map_err(|error| {
        format!(
            "RingCentral accepted it, but its record could not be read ({}); the recipient stays blocked",
            error.reason()
        )
    })
}

/// Records what RingCentral made of an opt-in of a recipient who had opted out.
async fn read_back(
    gateway: &Gateway,
    connection: &Connection,
    result: &mut ConsentResult,
    records: &Result<Vec<rc::Consent>, String>,
) -> Result<()> {
    let records = match records {
        Ok(records) => records,
        Err(reason) => {
            end(result, ChangeResult::Failed, reason.clone());
            return Ok(());
        }
    };
    let pair = &result.change.pair;
    let Some(from) = pair.scope.from() else { return Ok(()) };
    let (status, since) = consents::status_in(records, from, &pair.to);
    match status {
        ConsentStatus::OptedOut => {
            let reason = "RingCentral keeps the recipient's opt-out: only a word of the recipient, such as START, lifts it";
            end(result, ChangeResult::Refused, reason.to_owned());
            return Ok(());
        }
        ConsentStatus::Unknown => {
            let reason = "RingCentral accepted it, but shows no consent of this recipient; the recipient stays blocked";
            end(result, ChangeResult::Failed, reason.to_owned());
            return Ok(());
        }
        ConsentStatus::OptedIn => {}
    }
    let now = gateway.clock.now();
    let report = ConsentReport {
        status: ConsentStatus::OptedIn,
        source: ConsentSource::RingcentralSearch,
        reporter: ConsentReporter::RingCentral,
        at: since.unwrap_or(now).min(now),
    };
    let note = result.change.note.as_deref();
    let state = consents::record(gateway, &connection.tenant, pair, &report, note).await?;
    if is_blocked(gateway, connection, pair).await? {
        let reason = "RingCentral shows an opt-in, but the recipient opted out with a word that only the gateway knows, or of all \
                      numbers: only a word of the recipient, such as START, lifts it";
        end(result, ChangeResult::Refused, reason.to_owned());
    } else {
        result.status = state.status();
    }
    Ok(())
}

/// True if the recipient has opted out of messages from the number, or from all numbers of its account.
async fn is_blocked(gateway: &Gateway, connection: &Connection, pair: &ConsentPair) -> Result<bool> {
    let account = connection.identity.account.clone().map(ConsentScope::Account);
    let scopes = account.into_iter().chain([pair.scope.clone()]).collect();
    let consents = DecisiveConsents { to: pair.to.clone(), scopes };
    let status = gateway.store.recipient_status(&connection.tenant, &consents).await?;
    Ok(status == ConsentStatus::OptedOut)
}

async fn bounded<T>(work: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    let within = Duration::from_millis(limits::CONSENT_CALL_MS);
    tokio::time::timeout(within, work).await.unwrap_or(Err(CallError::Timeout))
}

/// With a capital letter.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
