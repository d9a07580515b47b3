//! What comes after a connection is stored: who the extension is, its numbers, the webhook subscription.
//!
//! Each part can fail and be repeated by itself; the connection stands meanwhile and shows what is missing. The callback
//! tries once, the sweep repeats with growing pauses.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use crate::batch;
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::connection::{ACTIVE, Connection, Part, Subscription};
use crate::model::ids::{ExtensionId, TenantId};
use crate::model::number::{AccountNumber, Features, Number, Readiness};
use crate::model::phone::E164;
use crate::model::secret::Secret;
use crate::ringcentral::subscriptions::{NewSubscription, Subscription as Listed};
use crate::ringcentral::{self, AccessToken, Api, Kind, PhoneNumber};
use crate::store::{ClaimOutcome, DueWork, WorkKind};
use crate::tokens::{self, Failure};

/// Does what is left of the set-up of a connection that was stored just now, with its access token, within a time, and
/// records how far it came.
///
/// # Errors
/// If that can't be recorded, or RingCentral refuses more than a part of it; the sweep goes on.
pub async fn complete(
    gateway: &Gateway,
    connection: &Connection,
    access: &AccessToken,
    within: Duration,
) -> Result<()> {
    let set_up = |api, connection| go_on(gateway, api, connection, within);
    tokens::call_with(gateway, access, connection.clone(), set_up).await?;
    Ok(())
}

/// Does what is left of a set-up and records how far it came. True if nothing is left.
async fn go_on(
    gateway: &Gateway,
    api: Api,
    mut connection: Connection,
    within: Duration,
) -> Result<bool, Failure> {
    let mut setup = connection.setup.clone();
    let identity = if setup.identity.is_done() { None } else { Some(learn_identity(&api, &connection)) };
    let numbers = if setup.numbers.is_done() { None } else { Some(discover(gateway, &api, &connection)) };
    let subscription =
        if setup.subscription.is_done() { None } else { Some(subscribe(gateway, &api, &connection)) };
    let (identity, numbers, subscription) =
        tokio::join!(bounded(within, identity), bounded(within, numbers), bounded(within, subscription),);
    let refusals = [of_all(&identity), of_all(&numbers), of_all(&subscription)];
    setup.attempts += 1;
    if let Some(found) = note(&mut setup.identity, identity) {
        connection.identity = found;
    }
    note(&mut setup.numbers, numbers);
    let now = gateway.clock.now();
    let mut renewal_due = None;
    if let Some(made) = note(&mut setup.subscription, subscription) {
        connection.subscription = Some(made);
        renewal_due = Some(next_check(&connection, now));
    }
    connection.setup = setup;
    let due = (!connection.setup.is_done()).then(|| next_attempt(now, connection.setup.attempts));
    let recorded = gateway.store.record_setup(&connection, due, renewal_due).await?;
    if let (false, Some(made)) = (recorded, &connection.subscription) {
        // Disconnected meanwhile: nobody else knows of this subscription.
        unsubscribe(&api, &made.id).await?;
    }
    // A penalty counts more than a token: with another one the calls would begin it anew.
    let refusal = refusals.into_iter().flatten().max_by_key(|error| error.kind() == Kind::RateLimited);
    refusal.map_or(Ok(connection.setup.is_done()), |error| Err(error.into()))
}

/// What RingCentral refuses to more than this part: the token, or every call for a while.
fn of_all<T>(outcome: &Option<Result<T, Failure>>) -> Option<ringcentral::Error> {
    match outcome {
        Some(Err(Failure::RingCentral(error)))
            if matches!(error.kind(), Kind::AccessToken | Kind::RateLimited) =>
        {
            Some(error.clone())
        }
        _ => None,
    }
}

/// Notes that a set-up could not even be tried, and when to try again.
async fn postpone(gateway: &Gateway, due: &DueWork, why: &str) -> Result<()> {
    let Some(mut connection) = gateway.store.connection(&due.tenant, &due.connection).await? else {
        return Ok(());
    };
    let setup = &mut connection.setup;
    setup.attempts += 1;
    for part in [&mut setup.identity, &mut setup.numbers, &mut setup.subscription] {
        if !part.is_done() {
            *part = Part::Failed(why.to_owned());
        }
    }
    let due = next_attempt(gateway.clock.now(), connection.setup.attempts);
    gateway.store.record_setup(&connection, Some(due), None).await?;
    Ok(())
}

/// Discovers the numbers of all of a tenant's usable connections again. Fails only if none of them could be asked.
pub async fn rediscover_all(gateway: &Gateway, tenant: &TenantId) -> Result<()> {
    let mut usable = gateway.store.connections(tenant).await?;
    usable.retain(|connection| connection.status.is_connected());
    if usable.is_empty() {
        return Err(Error::NotConnected);
    }
    let within = Duration::from_millis(limits::SETUP_IN_CALLBACK_MS);
    let asked =
        usable.into_iter().map(|connection| async move { rediscover(gateway, &connection, within).await });
    let outcomes: Vec<_> = stream::iter(asked).buffer_unordered(4).collect().await;
    match outcomes.into_iter().reduce(Result::or) {
        Some(Err(error)) => Err(error),
        Some(Ok(())) | None => Ok(()),
    }
}

/// Discovers the numbers of one connection again: they have changed, or it is time to look.
///
/// # Errors
/// If there is no usable token at present, or RingCentral or the store does not answer.
pub async fn rediscover(gateway: &Gateway, connection: &Connection, within: Duration) -> Result<()> {
    tokens::heed_penalty(gateway, connection)?;
    let find = |api, connection| async move {
        bounded(within, Some(discover(gateway, &api, &connection))).await.unwrap_or(Ok(()))
    };
    Ok(tokens::call(gateway, &connection.tenant, &connection.id, find).await?)
}

/// When a connection's subscription and numbers are looked at next: about a day later.
pub fn next_check(connection: &Connection, now: Timestamp) -> Timestamp {
    saturating_add(now, connection.at_its_pace(limits::CHECK_SECONDS))
}

fn next_attempt(now: Timestamp, attempts: u32) -> Timestamp {
    let pause = limits::SETUP_RETRY_SECONDS.saturating_mul(1 << attempts.saturating_sub(1).min(20));
    now.saturating_add(SignedDuration::from_secs(pause.min(limits::SETUP_RETRY_MAX_SECONDS))).unwrap_or(now)
}

async fn bounded<T>(
    within: Duration,
    work: Option<impl Future<Output = Result<T, Failure>>>,
) -> Option<Result<T, Failure>> {
    let outcome = tokio::time::timeout(within, work?).await;
    Some(outcome.unwrap_or(Err(Failure::Timeout)))
}

/// Notes the outcome of a part that was tried, and gives what it found.
fn note<T>(part: &mut Part, outcome: Option<Result<T, Failure>>) -> Option<T> {
    match outcome? {
        Ok(found) => {
            *part = Part::Done;
            Some(found)
        }
        Err(failure) => {
            tracing::warn!(problem = failure.sentence(), "a part of a set-up failed");
            *part = Part::Failed(failure.sentence());
            None
        }
    }
}

async fn learn_identity(
    api: &Api,
    connection: &Connection,
) -> Result<crate::model::connection::Identity, Failure> {
    let extension = api.extension().await?;
    let known = &connection.identity;
    Ok(crate::model::connection::Identity {
        account: extension.account_id().map(|id| id.to_string()).or_else(|| known.account.clone()),
        name: extension.name.or_else(|| known.name.clone()),
        extension_number: extension.extension_number.or_else(|| known.extension_number.clone()),
    })
}

/// Finds the extension's numbers that can text, and what the account-wide list tells of the others.
async fn discover(gateway: &Gateway, api: &Api, connection: &Connection) -> Result<(), Failure> {
    let listed = api.extension_phone_numbers().await?;
    let mut numbers: Vec<Number> = listed
        .iter()
        .filter_map(|listed| number(listed, &connection.extension))
        .take(limits::NUMBERS)
        .collect();
    let ids: Vec<_> =
        listed.iter().filter(|listed| listed.can_send_sms()).filter_map(|listed| listed.id).collect();
    let readiness: Vec<(String, Readiness)> = stream::iter(ids.into_iter().take(limits::READINESS_LOOKUPS))
        .map(async |id| Ok::<_, Failure>((id.to_string(), readiness(api, id).await?)))
        .buffer_unordered(4)
        .try_collect()
        .await?;
    for (id, readiness) in readiness {
        if let Some(number) = numbers.iter_mut().find(|number| number.id == id) {
            number.readiness = readiness;
        }
    }
    gateway.store.replace_numbers(&connection.tenant, &connection.extension, &numbers).await?;
    discover_account(gateway, api, connection).await
}

/// The account-wide list takes an administrator and is rationed; without it, the extension's own list is all there is.
async fn discover_account(gateway: &Gateway, api: &Api, connection: &Connection) -> Result<(), Failure> {
    let listed = match api.account_phone_numbers().await {
        Ok(listed) => listed,
        Err(error) if error.kind() == Kind::Forbidden => {
            tracing::info!(tenant.id = %connection.tenant, error = %error, "no account-wide list of numbers");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let account = match &connection.identity.account {
        Some(account) => account.clone(),
        None => match api.extension().await?.account_id() {
            Some(account) => account.to_string(),
            None => return Ok(()),
        },
    };
    let numbers: Vec<AccountNumber> = listed
        .into_iter()
        .filter_map(|listed| {
            Some(AccountNumber {
                number: E164::from_ringcentral(&listed.phone_number)?,
                account: account.clone(),
                extension: listed.extension.as_ref().and_then(|e| ExtensionId::parse(&e.id?.to_string())),
                extension_name: listed.extension.and_then(|extension| extension.name),
                usage: listed.usage_type.map(|usage| usage.to_string()),
            })
        })
        .take(limits::NUMBERS)
        .collect();
    Ok(gateway.store.replace_account_numbers(&connection.tenant, &account, &numbers).await?)
}

fn number(listed: &PhoneNumber, extension: &ExtensionId) -> Option<Number> {
    let features: Vec<String> = listed.features.iter().map(ToString::to_string).collect();
    if !Features::of(&features).any() {
        return None;
    }
    Some(Number {
        number: E164::from_ringcentral(&listed.phone_number)?,
        id: listed.id?.to_string(),
        extension: extension.clone(),
        features,
        usage: listed.usage_type.as_ref().map(ToString::to_string),
        label: listed.label.clone(),
        readiness: Readiness::Unknown,
    })
}

/// What keeps one number from being looked at keeps none from being listed; only what RingCentral refuses to all is told.
async fn readiness(api: &Api, number: ringcentral::Id) -> ringcentral::Result<Readiness> {
    match api.sms_configuration(number).await {
        Ok(configuration) if configuration.is_confirmed() => Ok(Readiness::Ready),
        Ok(configuration) => Ok(match configuration.campaign.and_then(|campaign| campaign.status) {
            Some(status) => Readiness::Pending(status.to_string()),
            None => Readiness::Unregistered,
        }),
        Err(error) if matches!(error.kind(), Kind::AccessToken | Kind::RateLimited) => Err(error),
        Err(_) => Ok(Readiness::Unknown),
    }
}

/// Makes the webhook subscription, after clearing away what an earlier attempt or an earlier consent of the same user
/// left at our address: RingCentral allows a user 20 of them, and two would tell every message twice.
///
/// # Errors
/// What RingCentral answers; `SUB-505` if the user has too many, none of them ours.
pub async fn subscribe(
    gateway: &Gateway,
    api: &Api,
    connection: &Connection,
) -> Result<Subscription, Failure> {
    let address = gateway.config.webhook_address_of(&connection.tenant, &connection.id);
    for old in api.subscriptions().await? {
        if is_ours(gateway, &old) {
            // The revocation of the session that this one replaces clears away its own.
            unsubscribe(api, &old.id).await?;
        }
    }
    let token = Secret::random();
    let made = api
        .create_subscription(&NewSubscription {
            event_filters: EVENT_FILTERS.map(str::to_owned).into(),
            address,
            verification_token: Some(token.clone()),
            expires_in_seconds: u64::try_from(limits::SUBSCRIPTION_SECONDS).ok(),
        })
        .await?;
    let now = gateway.clock.now();
    let week = now.saturating_add(SignedDuration::from_secs(limits::SUBSCRIPTION_SECONDS)).unwrap_or(now);
    Ok(Subscription {
        id: made.id,
        token_digest: token.digest(),
        previous: None,
        status: made.status.map_or_else(|| ACTIVE.to_owned(), |status| status.to_string()),
        expires_at: made.expiration_time.unwrap_or(week),
        failures: 0,
    })
}

/// True if a subscription's events come to this stack, for whichever connection.
pub fn is_ours(gateway: &Gateway, listed: &Listed) -> bool {
    let ours = gateway.config.webhook_address();
    listed.address().is_some_and(|address| address.split('?').next() == Some(ours.as_str()))
}

/// Deletes a subscription. One that is not there is deleted already.
///
/// # Errors
/// What RingCentral answers.
pub async fn unsubscribe(api: &Api, id: &str) -> Result<(), Failure> {
    match api.delete_subscription(id).await {
        Err(error) if error.kind() != Kind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Inbound texts with their content, changes of outbound ones, changes of the extension's numbers.
const EVENT_FILTERS: [&str; 3] = [
    "/restapi/v1.0/account/~/extension/~/message-store/instant?type=SMS",
    "/restapi/v1.0/account/~/extension/~/message-store",
    "/restapi/v1.0/account/~/extension/~",
];

/// Finishes set-ups that a callback left undone; one that fails does not stop the others. Gives how many it did.
///
/// # Errors
/// If the index can't be read.
pub async fn sweep(gateway: &Gateway) -> Result<usize> {
    let within = SignedDuration::from_millis(limits::SWEEP_MS);
    batch::drain_due(gateway, WorkKind::Setup, limits::SWEEP_AT_ONCE, within, async |due| {
        finish(gateway, due).await
    })
    .await
}

async fn finish(gateway: &Gateway, due: &DueWork) -> Result<bool> {
    if gateway.store.claim_work(due).await? == ClaimOutcome::NotDue {
        return Ok(false);
    }
    let within = Duration::from_millis(limits::SETUP_IN_CALLBACK_MS);
    let set_up = |api, connection| go_on(gateway, api, connection, within);
    match tokens::call(gateway, &due.tenant, &due.connection, set_up).await {
        Err(failure @ Failure::Ours(Error::NotConnected | Error::Unavailable { .. })) => {
            postpone(gateway, due, &failure.sentence()).await?;
            Ok(false)
        }
        outcome => Ok(outcome?),
    }
}
