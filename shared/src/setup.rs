//! The set-up after a connection is stored: the extension's identity, its numbers, and the webhook subscription.
//!
//! Each step can fail and is retried independently. Meanwhile the connection is usable, and the API shows the incomplete
//! steps. The callback tries once; the sweep retries with growing pauses.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use crate::clock::saturating_add;
use crate::due_work::{self, DueOutcome, ShardOutcome, ShardTask};
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::connection::{
    Connection, ExtensionIdentity, SUBSCRIPTION_ACTIVE, Setup, SetupStep, Subscription,
};
use crate::model::event::{Event, EventKind};
use crate::model::event_route::EventRoute;
use crate::model::ids::{ConnectionId, ExtensionId, TenantId};
use crate::model::number::{AccountNumber, Features, Number, Readiness};
use crate::model::phone::E164;
use crate::model::quarantine::QuarantineKind;
use crate::model::secret::Secret;
use crate::quarantine;
use crate::ringcentral::subscriptions::{NewSubscription, Subscription as Listed};
use crate::ringcentral::{self, AccessToken, Api, ErrorKind, Extension, PhoneNumber, events};
use crate::store::{ClaimOutcome, DueWork, WorkKind, WriteOutcome};
use crate::tokens::{self, CallError};

/// Runs the incomplete steps of a new connection's set-up with its access token, and stores the progress.
///
/// # Errors
/// If the progress can't be stored, or RingCentral rejects the token or limits the call rate. The sweep continues then.
pub async fn run_setup(
    gateway: &Gateway,
    connection: &Connection,
    access: &AccessToken,
    within: Duration,
) -> Result<()> {
    let set_up = |api, connection| run_steps(gateway, api, connection, within);
    tokens::call_with_token(gateway, access, connection.clone(), set_up).await?;
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SetupProgress {
    Complete,
    Incomplete,
}

/// Runs the incomplete steps of a set-up and stores the progress.
async fn run_steps(
    gateway: &Gateway,
    api: Api,
    mut connection: Connection,
    within: Duration,
) -> Result<SetupProgress, CallError> {
    let before = connection.setup.clone();
    let mut setup = before.clone();
    let identity = if setup.identity.is_done() { None } else { Some(read_identity(&api, &connection)) };
    let numbers = if setup.numbers.is_done() { None } else { Some(read_numbers(gateway, &api, &connection)) };
    let subscription =
        if setup.subscription.is_done() { None } else { Some(subscribe(gateway, &api, &connection)) };
    let (identity, numbers, subscription) =
        tokio::join!(bounded(within, identity), bounded(within, numbers), bounded(within, subscription),);
    let general_errors = [general_error(&identity), general_error(&numbers), general_error(&subscription)];
    setup.attempts += 1;
    if let Some(found) = record_step(&mut setup.identity, "The extension could not be read", identity) {
        connection.identity = found;
    }
    record_step(&mut setup.numbers, "The phone numbers could not be read", numbers);
    let created =
        record_step(&mut setup.subscription, "The webhook subscription could not be created", subscription);
    connection.setup = setup;
    let now = gateway.clock.now();
    let due = (!connection.setup.is_done()).then(|| next_attempt(now, connection.setup.attempts));
    let first_check =
        created.as_ref().map(|created| (created, next_check(&connection.id, created.expires_at, now)));
    let event = connected_event(&before, &connection, now);
    let outcome = gateway.store.record_setup(&connection, due, first_check, event.as_ref()).await?;
    if outcome == WriteOutcome::Conflict
        && let Some(created) = created.as_ref().or(connection.subscription.as_ref())
    {
        // The connection was deleted or set up again meanwhile, so no row refers to this subscription.
        unsubscribe(&api, &created.id).await?;
    }
    // A penalty takes precedence over a rejected token: calls with a new token would restart it.
    let error =
        general_errors.into_iter().flatten().max_by_key(|error| error.kind() == ErrorKind::RateLimited);
    let is_done = connection.setup.is_done();
    let progress = if is_done { SetupProgress::Complete } else { SetupProgress::Incomplete };
    error.map_or(Ok(progress), |error| Err(error.into()))
}

/// An error that affects all steps: the token is rejected, or the call rate is limited.
fn general_error<T>(result: &Option<Result<T, CallError>>) -> Option<ringcentral::Error> {
    match result {
        Some(Err(CallError::RingCentral(error)))
            if matches!(error.kind(), ErrorKind::AccessToken | ErrorKind::RateLimited) =>
        {
            Some(error.clone())
        }
        _ => None,
    }
}

/// Records that a set-up could not be tried, and schedules the next attempt.
async fn postpone(gateway: &Gateway, due: &DueWork, reason: &str) -> Result<()> {
    let Some(mut connection) = gateway.store.connection(&due.tenant, &due.connection).await? else {
        return Ok(());
    };
    let before = connection.setup.clone();
    let setup = &mut connection.setup;
    setup.attempts += 1;
    for step in [&mut setup.identity, &mut setup.numbers, &mut setup.subscription] {
        if !step.is_done() {
            *step = SetupStep::Failed(format!("The set-up could not be tried: {reason}"));
        }
    }
    let now = gateway.clock.now();
    let due = next_attempt(now, connection.setup.attempts);
    let event = connected_event(&before, &connection, now);
    // The condition fails if the connection was deleted, which ends its set-up.
    let _ = gateway.store.record_setup(&connection, Some(due), None, event.as_ref()).await?;
    Ok(())
}

/// The event that an extension was connected. It is appended once: when the account is known, or without it when the identity
/// could not be read in [`limits::CONNECTED_EVENT_ATTEMPTS`] attempts.
fn connected_event(before: &Setup, connection: &Connection, now: Timestamp) -> Option<Event> {
    let is_known = !before.identity.is_done() && connection.setup.identity.is_done();
    let was_appended = before.attempts >= limits::CONNECTED_EVENT_ATTEMPTS;
    let is_last = connection.setup.attempts == limits::CONNECTED_EVENT_ATTEMPTS;
    let is_due = !was_appended && (is_known || (is_last && !connection.setup.identity.is_done()));
    is_due.then(|| connection.event(EventKind::RcConnected, now))
}

/// Reads the numbers of all usable connections of a tenant again.
///
/// # Errors
/// If the numbers of no connection could be read.
pub async fn rediscover_all(gateway: &Gateway, tenant: &TenantId) -> Result<()> {
    let mut usable = gateway.store.connections(tenant).await?;
    usable.retain(|connection| connection.status.is_connected());
    if usable.is_empty() {
        return Err(Error::NotConnected);
    }
    let within = Duration::from_millis(limits::SETUP_IN_CALLBACK_MS);
    let reads =
        usable.into_iter().map(|connection| async move { rediscover(gateway, &connection, within).await });
    let results: Vec<_> = stream::iter(reads).buffer_unordered(4).collect().await;
    match results.into_iter().reduce(Result::or) {
        Some(Err(error)) => Err(error),
        Some(Ok(())) | None => Ok(()),
    }
}

/// Reads the numbers of a connection again, and its account while that is unknown.
///
/// # Errors
/// If there is no usable token, or RingCentral or the store does not respond.
pub async fn rediscover(gateway: &Gateway, connection: &Connection, within: Duration) -> Result<()> {
    tokens::check_rate_limit(gateway, connection)?;
    let read = |api, mut connection: Connection| async move {
        let read = async {
            connection.identity.account = account(gateway, &api, &connection).await?;
            read_numbers(gateway, &api, &connection).await
        };
        bounded(within, Some(read)).await.unwrap_or(Ok(()))
    };
    Ok(tokens::call(gateway, &connection.tenant, &connection.id, read).await?)
}

/// When the next check of a connection's subscription and numbers is due: in about a day, and after half of the subscription's
/// lifetime at the latest.
pub fn next_check(connection: &ConnectionId, expires_at: Timestamp, now: Timestamp) -> Timestamp {
    let half_life = expires_at.duration_since(now).as_secs() / 2;
    let interval = connection.spread_interval(limits::CHECK_SECONDS.min(half_life));
    saturating_add(now, interval.max(SignedDuration::from_secs(limits::CHECK_MIN_SECONDS)))
}

/// When a subscription expires, given what RingCentral reports: the earlier of both forms, if it is in the future. Without a
/// plausible one it is `fallback`.
pub fn subscription_expiry(listed: &Listed, fallback: Timestamp, now: Timestamp) -> Timestamp {
    let relative =
        listed.expires_in_seconds.map(|seconds| saturating_add(now, SignedDuration::from_secs(seconds)));
    let reported = [listed.expiration_time, relative].into_iter().flatten().filter(|at| *at > now).min();
    let most = saturating_add(now, SignedDuration::from_secs(limits::SUBSCRIPTION_MAX_SECONDS));
    reported.unwrap_or(fallback).min(most)
}

fn next_attempt(now: Timestamp, attempts: u32) -> Timestamp {
    let pause = limits::SETUP_RETRY_SECONDS.saturating_mul(1 << attempts.saturating_sub(1).min(20));
    saturating_add(now, SignedDuration::from_secs(pause.min(limits::SETUP_RETRY_MAX_SECONDS)))
}

async fn bounded<T>(
    within: Duration,
    work: Option<impl Future<Output = Result<T, CallError>>>,
) -> Option<Result<T, CallError>> {
    let outcome = tokio::time::timeout(within, work?).await;
    Some(outcome.unwrap_or(Err(CallError::Timeout)))
}

/// Records the result of a step that was tried, and returns what it has read or created. `what_failed` is the sentence for
/// the tenant.
fn record_step<T>(
    step: &mut SetupStep,
    what_failed: &str,
    result: Option<Result<T, CallError>>,
) -> Option<T> {
    match result? {
        Ok(value) => {
            *step = SetupStep::Done;
            Some(value)
        }
        Err(error) => {
            let text = format!("{what_failed}: {}", error.reason());
            tracing::warn!(error = text, "set-up step failed");
            *step = SetupStep::Failed(text);
            None
        }
    }
}

async fn read_identity(api: &Api, connection: &Connection) -> Result<ExtensionIdentity, CallError> {
    let extension = api.extension().await?;
    let known = &connection.identity;
    let account = match &known.account {
        Some(account) => Some(account.clone()),
        None => account_of(api, &extension).await?,
    };
    Ok(ExtensionIdentity {
        account,
        name: extension.name.map(reported_text).or_else(|| known.name.clone()),
        extension_number: extension
            .extension_number
            .map(reported_text)
            .or_else(|| known.extension_number.clone()),
    })
}

/// The account of an extension. Only the account itself names it if the extension does not.
async fn account_of(api: &Api, extension: &Extension) -> Result<Option<String>, CallError> {
    if let Some(id) = extension.account_id() {
        return Ok(Some(id.to_string()));
    }
    match api.account().await {
        Ok(account) => Ok(Some(account.id.to_string())),
        Err(error) if matches!(error.kind(), ErrorKind::AccessToken | ErrorKind::RateLimited) => {
            Err(error.into())
        }
        Err(error) => {
            tracing::info!(error = %error, "RingCentral did not report the account of an extension");
            Ok(None)
        }
    }
}

/// The account of a connection. Once it is learned, it is stored.
async fn account(gateway: &Gateway, api: &Api, connection: &Connection) -> Result<Option<String>, CallError> {
    if let Some(account) = &connection.identity.account {
        return Ok(Some(account.clone()));
    }
    let account = account_of(api, &api.extension().await?).await?;
    if let Some(account) = &account {
        // A conflict means that the connection was deleted.
        _ = gateway.store.set_account(&connection.tenant, &connection.id, account).await?;
    }
    Ok(account)
}

/// A text that RingCentral reports, no longer than is stored.
fn reported_text(text: String) -> String {
    match text.char_indices().nth(limits::REPORTED_TEXT_CHARS) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

/// Reads the extension's numbers that can send messages, and the account-wide list, and stores both.
async fn read_numbers(gateway: &Gateway, api: &Api, connection: &Connection) -> Result<(), CallError> {
    let listed = api.extension_phone_numbers().await?;
    quarantine::add_all(gateway, QuarantineKind::PhoneNumber, connection, listed.unreadable()).await?;
    let home = home(&listed);
    let mut numbers: Vec<Number> = Vec::new();
    for listed in &listed {
        let reason = match number(listed, &connection.extension, home.as_ref()) {
            NumberOutcome::Messaging(number) => {
                if numbers.len() < limits::NUMBERS {
                    numbers.push(number);
                }
                continue;
            }
            NumberOutcome::Irrelevant => continue,
            NumberOutcome::Unusable(reason) => reason,
        };
        let kind = QuarantineKind::PhoneNumber;
        quarantine::add_record(gateway, kind, connection, reason, listed.json()).await?;
    }
    let ids: Vec<_> =
        listed.iter().filter(|listed| listed.can_send_sms()).filter_map(|listed| listed.id).collect();
    let readiness: Vec<(String, Readiness)> = stream::iter(ids.into_iter().take(limits::READINESS_LOOKUPS))
        .map(async |id| Ok::<_, CallError>((id.to_string(), readiness(api, id).await?)))
        .buffer_unordered(4)
        .try_collect()
        .await?;
    for (id, readiness) in readiness {
        if let Some(number) = numbers.iter_mut().find(|number| number.id == id) {
            number.readiness = readiness;
        }
    }
    gateway.store.replace_numbers(&connection.tenant, &connection.extension, &numbers).await?;
    read_account_numbers(gateway, api, connection).await
}

/// The account-wide list needs the permissions of an administrator, and its rate limit is low. Without it, only the
/// extension's own numbers are known.
async fn read_account_numbers(
    gateway: &Gateway,
    api: &Api,
    connection: &Connection,
) -> Result<(), CallError> {
    let listed = match api.account_phone_numbers().await {
        Ok(listed) => listed,
        Err(error) if error.kind() == ErrorKind::Forbidden => {
            tracing::info!(tenant.id = %connection.tenant, error = %error, "account-wide list of phone numbers is not available to this user");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let Some(account) = account(gateway, api, connection).await? else { return Ok(()) };
    quarantine::add_all(gateway, QuarantineKind::PhoneNumber, connection, listed.unreadable()).await?;
    let home = home(&listed);
    let numbers: Vec<AccountNumber> = listed
        .into_iter()
        .filter_map(|listed| {
            Some(AccountNumber {
                number: E164::read(&listed.phone_number, home.as_ref())?,
                account: account.clone(),
                extension: listed.extension.as_ref().and_then(|e| ExtensionId::parse(&e.id?.to_string())),
                extension_name: listed.extension.and_then(|extension| extension.name).map(reported_text),
                usage: listed.usage_type.map(|usage| reported_text(usage.to_string())),
            })
        })
        .take(limits::NUMBERS)
        .collect();
    Ok(gateway.store.replace_account_numbers(&connection.tenant, &account, &numbers).await?)
}

/// A number of the list in international form: the others may be in the national form of its country.
fn home(listed: &[PhoneNumber]) -> Option<E164> {
    listed.iter().find_map(|listed| E164::parse(&listed.phone_number))
}

/// The features of a number that can send or receive messages.
fn features(listed: &PhoneNumber) -> Option<Vec<String>> {
    let features = listed.features.iter().take(limits::NUMBER_FEATURES);
    let features: Vec<String> = features.map(|feature| reported_text(feature.to_string())).collect();
    Features::of(&features).any().then_some(features)
}

/// What a record of the extension's list is for the gateway.
#[derive(Debug)]
enum NumberOutcome {
    Messaging(Number),
    /// It cannot send or receive messages.
    Irrelevant,
    /// It may be able to, but lacks what is needed to use it.
    Unusable(&'static str),
}

fn number(listed: &PhoneNumber, extension: &ExtensionId, home: Option<&E164>) -> NumberOutcome {
    let Some(features) = features(listed) else {
        let is_unclear = listed.has_unreadable_features;
        return if is_unclear {
            NumberOutcome::Unusable("the features cannot be read")
        } else {
            NumberOutcome::Irrelevant
        };
    };
    let Some(number) = E164::read(&listed.phone_number, home) else {
        return NumberOutcome::Unusable("the number has no E.164 form");
    };
    NumberOutcome::Messaging(Number {
        // Numbers of other providers may have no id.
        id: listed.id.map_or_else(|| number.as_str().trim_start_matches('+').to_owned(), |id| id.to_string()),
        number,
        extension: extension.clone(),
        features,
        usage: listed.usage_type.as_ref().map(|usage| reported_text(usage.to_string())),
        label: listed.label.clone().map(reported_text),
        readiness: Readiness::Unknown,
    })
}

/// Processes a quarantined record of a list again: if it can be read now, the connection's numbers or subscriptions are read
/// again at once.
///
/// # Errors
/// [`Error::StillUnreadable`], or if the store is unavailable.
pub async fn reprocess_record(
    gateway: &Gateway,
    connection: &Connection,
    kind: QuarantineKind,
    json: &[u8],
) -> Result<()> {
    let readable = match kind {
        QuarantineKind::PhoneNumber => events::from_slice::<PhoneNumber>(json).is_some_and(|listed| {
            !matches!(number(&listed, &connection.extension, None), NumberOutcome::Unusable(_))
        }),
        _ => events::from_slice::<Listed>(json).is_some(),
    };
    if !readable {
        return Err(Error::StillUnreadable { reason: "the record cannot be read".to_owned() });
    }
    // A conflict means that the check is due.
    _ = gateway.store.make_due(WorkKind::Renewal, &connection.tenant, &connection.id).await?;
    Ok(())
}

/// The 10DLC readiness of a number. It is unknown if RingCentral does not report it; an error that affects all calls, or that
/// is not RingCentral's, is returned.
async fn readiness(api: &Api, number: ringcentral::Id) -> ringcentral::Result<Readiness> {
    match api.sms_configuration(number).await {
        Ok(configuration) if configuration.is_confirmed() => Ok(Readiness::Ready),
        Ok(configuration) => Ok(match configuration.campaign.and_then(|campaign| campaign.status) {
            Some(status) => Readiness::Pending(reported_text(status.to_string())),
            None => Readiness::Unregistered,
        }),
        Err(error) => match error.kind() {
            ErrorKind::AccessToken | ErrorKind::RateLimited | ErrorKind::Intermediary => Err(error),
            _ => Ok(Readiness::Unknown),
        },
    }
}

/// Creates the webhook subscription. Before that, it deletes subscriptions that an earlier attempt or authorization of the
/// same user has left: RingCentral allows 20 for each user, and two would deliver every event twice.
///
/// # Errors
/// RingCentral's error; `SUB-505` if the user has too many subscriptions of other applications.
pub async fn subscribe(
    gateway: &Gateway,
    api: &Api,
    connection: &Connection,
) -> Result<Subscription, CallError> {
    let listed = api.subscriptions().await?;
    quarantine::add_all(gateway, QuarantineKind::Subscription, connection, listed.unreadable()).await?;
    for old in listed {
        if is_ours(gateway, &old) {
            unsubscribe(api, &old.id).await?;
        }
    }
    create_subscription(gateway, api, connection, &EVENT_FILTERS).await
}

/// Creates a webhook subscription with a new verification token.
///
/// # Errors
/// RingCentral's error.
pub async fn create_subscription(
    gateway: &Gateway,
    api: &Api,
    connection: &Connection,
    filters: &[&str],
) -> Result<Subscription, CallError> {
    let address = subscription_url(gateway, connection).await?;
    let token = Secret::random();
    let made = api
        .create_subscription(&NewSubscription {
            event_filters: filters.iter().map(|filter| (*filter).to_owned()).collect(),
            address,
            verification_token: Some(token.clone()),
            expires_in_seconds: u64::try_from(limits::SUBSCRIPTION_SECONDS).ok(),
        })
        .await?;
    let now = gateway.clock.now();
    let default_expiry = saturating_add(now, SignedDuration::from_secs(limits::SUBSCRIPTION_SECONDS));
    Ok(Subscription {
        expires_at: subscription_expiry(&made, default_expiry, now),
        id: made.id,
        token_digest: token.digest(),
        previous: None,
        status: made
            .status
            .map_or_else(|| SUBSCRIPTION_ACTIVE.to_owned(), |status| reported_text(status.to_string())),
        failures: 0,
    })
}

/// The URL of the connection's webhook subscription.
pub async fn subscription_url(gateway: &Gateway, connection: &Connection) -> Result<String> {
    let key = gateway.event_tag_key().await?;
    Ok(gateway.config.subscription_url(&EventRoute::new(&connection.tenant, &connection.id, key)))
}

/// True if a subscription delivers to this deployment, for any connection.
pub fn is_ours(gateway: &Gateway, listed: &Listed) -> bool {
    let ours = gateway.config.subscription_url_prefix();
    listed.address().is_some_and(|address| address.split('?').next() == Some(ours.as_str()))
}

/// Deletes a subscription, if it exists.
///
/// # Errors
/// RingCentral's error.
pub async fn unsubscribe(api: &Api, id: &str) -> Result<(), CallError> {
    match api.delete_subscription(id).await {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Inbound messages with their content, changes of inbound messages, changes of the extension's numbers. Each sent message
/// would cause three events; its status is read by message sync instead.
const EVENT_FILTERS: [&str; 3] = [
    "/restapi/v1.0/account/~/extension/~/message-store/instant?type=SMS",
    "/restapi/v1.0/account/~/extension/~/message-store?type=SMS&direction=Inbound",
    "/restapi/v1.0/account/~/extension/~",
];

/// Continues incomplete set-ups. A failure does not affect the others. Returns how many were completed.
///
/// # Errors
/// If the index can't be read.
pub async fn sweep(gateway: &Gateway, task: &ShardTask) -> Result<ShardOutcome> {
    let within = SignedDuration::from_millis(limits::SWEEP_MS);
    due_work::drain(gateway, task, limits::SWEEP_AT_ONCE, within, async |due| {
        continue_setup(gateway, due).await
    })
    .await
}

async fn continue_setup(gateway: &Gateway, due: &DueWork) -> Result<DueOutcome> {
    if gateway.store.claim_work(due).await? == ClaimOutcome::NotDue {
        return Ok(DueOutcome::Left);
    }
    let within = Duration::from_millis(limits::SETUP_IN_CALLBACK_MS);
    let set_up = |api, connection| run_steps(gateway, api, connection, within);
    match tokens::call(gateway, &due.tenant, &due.connection, set_up).await {
        Err(error @ CallError::Gateway(Error::NotConnected | Error::Unavailable { .. })) => {
            postpone(gateway, due, &error.reason()).await?;
            Ok(DueOutcome::Left)
        }
        progress => Ok(match progress? {
            SetupProgress::Complete => DueOutcome::Processed,
            // The row says when it is due again.
            SetupProgress::Incomplete => DueOutcome::Left,
        }),
    }
}
