//! The item of a connection in the table `connections`: its key, and how its attributes are read and written.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};

use super::StoreError;
use super::due::WorkKind;
use super::item::{self, Item, Row, Writer};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::connection::{
    BackfillReason, Connection, ConnectionStatus, ConsentFeed, ExtensionIdentity, PreviousVerificationToken,
    RefreshIntent, RefreshLease, RefreshState, Setup, SetupStep, StatusCause, Subscription,
};
use crate::model::ids::{ConnectionId, TenantId};

pub(super) fn key(tenant: &TenantId, id: &ConnectionId) -> Item {
    item::key(tenant, &WorkKind::Setup.item_name(id))
}

/// The steps of a set-up with the names that their attributes contain.
pub(super) fn steps(setup: &Setup) -> [(&'static str, &SetupStep); 3] {
    [("identity", &setup.identity), ("numbers", &setup.numbers), ("subscription", &setup.subscription)]
}

/// The item of a new connection. Its set-up and its first message sync are due after a short grace period.
pub(super) fn new_connection_item(connection: &Connection, now: Timestamp) -> Item {
    let due = saturating_add(now, SignedDuration::from_secs(limits::SETUP_GRACE_SECONDS));
    let mut item = Writer(key(&connection.tenant, &connection.id))
        .set("connection", item::text(connection.id.as_str()))
        .set("extension", item::text(connection.extension.as_str()))
        .set("issuer", item::text(&connection.issuer))
        .set("generation", item::number(connection.generation))
        .set("status", item::text(connection.status.as_str()))
        .sealed("access", &connection.access)
        .sealed("refresh", &connection.refresh)
        .set("scope", item::text(&connection.scope))
        .set("connected_at", item::time(connection.connected_at))
        .set("authorized_at", item::time(connection.authorized_at))
        .maybe("account", connection.identity.account.as_ref().map(item::text))
        .maybe("name", connection.identity.name.as_ref().map(item::text))
        .maybe("extension_number", connection.identity.extension_number.as_ref().map(item::text))
        .set("setup_attempts", item::number(connection.setup.attempts))
        .set("work_kind", WorkKind::Setup.partition(&connection.id))
        .set("due_at", item::time(due))
        .set("refresh_kind", WorkKind::Refresh.partition(&connection.id))
        .maybe("status_since", connection.refresh_state.status_since.map(item::time))
        .maybe("refresh_due", connection.refresh_state.due.map(item::time))
        .maybe("rate_limited_until", connection.rate_limited_until.map(item::time));
    item = set_backfill(item, &connection.id, BackfillReason::Connected, due);
    for (name, step) in steps(&connection.setup) {
        item = item.set(&format!("setup_{name}"), item::text(step.as_str()));
    }
    item.done()
}

pub(super) fn read_connection(row: &Row) -> Result<Connection, StoreError> {
    Ok(Connection {
        tenant: row.tenant()?,
        id: row.connection()?,
        extension: row.extension()?,
        issuer: row.text("issuer")?.to_owned(),
        generation: row.number("generation")?,
        status: ConnectionStatus::parse(row.text("status")?).ok_or(StoreError::Damaged("status"))?,
        access: row.access()?,
        refresh: row.refresh()?,
        scope: row.text("scope")?.to_owned(),
        connected_at: row.time("connected_at")?,
        authorized_at: row.time("authorized_at")?,
        identity: ExtensionIdentity {
            account: row.maybe_text("account"),
            name: row.maybe_text("name"),
            extension_number: row.maybe_text("extension_number"),
        },
        setup: Setup {
            identity: read_step(row, "setup_identity", "setup_identity_error")?,
            numbers: read_step(row, "setup_numbers", "setup_numbers_error")?,
            subscription: read_step(row, "setup_subscription", "setup_subscription_error")?,
            attempts: row.number("setup_attempts")?,
        },
        subscription: read_subscription(row)?,
        consents: ConsentFeed {
            subscription: row.maybe_text(CONSENT_SUBSCRIPTION),
            next_page: row.maybe_text(CONSENT_NEXT_PAGE),
        },
        refresh_state: read_refresh_state(row)?,
        sync_due: row.maybe_time("sync_due")?,
        rate_limited_until: row.maybe_time("rate_limited_until")?,
    })
}

pub(super) const CONSENT_SUBSCRIPTION: &str = "consent_subscription";
pub(super) const CONSENT_NEXT_PAGE: &str = "consent_next_page";

/// The subscriptions of a connection at RingCentral.
pub(super) fn subscription_ids(row: &Row) -> Vec<String> {
    ["subscription", CONSENT_SUBSCRIPTION].into_iter().filter_map(|name| row.maybe_text(name)).collect()
}

fn read_step(row: &Row, status: &'static str, error: &str) -> Result<SetupStep, StoreError> {
    Ok(match row.text(status)? {
        "done" => SetupStep::Done,
        "failed" => SetupStep::Failed(row.maybe_text(error).unwrap_or_default()),
        _ => SetupStep::Pending,
    })
}

/// All attributes of [`RefreshState`].
pub(super) const REFRESH_ATTRIBUTES: [&str; 11] = [
    "lease_owner",
    "lease_until",
    "intent",
    "intent_since",
    "writer",
    "auth_blocked_until",
    "refresh_failures",
    "denied_at",
    "cause",
    "status_since",
    "refresh_due",
];

pub(super) fn refresh_attributes(state: &RefreshState) -> Writer {
    let text = |value: &String| item::text(value);
    let failures: Option<AttributeValue> = (state.failures > 0).then(|| item::number(state.failures));
    Writer::default()
        .maybe("lease_owner", state.lease.as_ref().map(|lease| text(&lease.owner)))
        .maybe("lease_until", state.lease.as_ref().map(|lease| item::time(lease.until)))
        .maybe("intent", state.intent.as_ref().map(|intent| text(&intent.id)))
        .maybe("intent_since", state.intent.as_ref().map(|intent| item::time(intent.since)))
        .maybe("writer", state.writer.as_ref().map(text))
        .maybe("auth_blocked_until", state.blocked_until.map(item::time))
        .maybe("refresh_failures", failures)
        .maybe("denied_at", state.denied_at.map(item::time))
        .maybe("cause", state.cause.map(|cause| item::text(cause.as_str())))
        .maybe("status_since", state.status_since.map(item::time))
        .maybe("refresh_due", state.due.map(item::time))
}

fn read_refresh_state(row: &Row) -> Result<RefreshState, StoreError> {
    let lease = match (row.maybe_text("lease_owner"), row.maybe_time("lease_until")?) {
        (Some(owner), Some(until)) => Some(RefreshLease { owner, until }),
        _ => None,
    };
    let intent = match (row.maybe_text("intent"), row.maybe_time("intent_since")?) {
        (Some(id), Some(since)) => Some(RefreshIntent { id, since }),
        _ => None,
    };
    Ok(RefreshState {
        lease,
        intent,
        writer: row.maybe_text("writer"),
        blocked_until: row.maybe_time("auth_blocked_until")?,
        failures: row.maybe_number("refresh_failures")?.unwrap_or(0),
        denied_at: row.maybe_time("denied_at")?,
        cause: row.maybe_text("cause").and_then(|text| StatusCause::parse(&text)),
        status_since: row.maybe_time("status_since")?,
        due: row.maybe_time("refresh_due")?,
    })
}

/// Sets the attributes that make a backfill due.
pub(super) fn set_backfill(
    item: Writer,
    connection: &ConnectionId,
    reason: BackfillReason,
    due: Timestamp,
) -> Writer {
    item.set("sync_kind", WorkKind::Sync.partition(connection))
        .set("sync_due", item::time(due))
        .set("sync_reason", item::text(reason.as_str()))
}

pub(super) fn set_subscription(item: Writer, subscription: &Subscription) -> Writer {
    let previous = subscription.previous.as_ref();
    item.set("subscription", item::text(&subscription.id))
        .set("subscription_token_digest", item::text(&subscription.token_digest))
        .set("subscription_status", item::text(&subscription.status))
        .set("subscription_expires_at", item::time(subscription.expires_at))
        .set("renewal_failures", item::number(subscription.failures))
        .maybe("previous_token_digest", previous.map(|previous| item::text(&previous.digest)))
        .maybe("previous_token_until", previous.map(|previous| item::time(previous.valid_until)))
}

fn read_subscription(row: &Row) -> Result<Option<Subscription>, StoreError> {
    let Some(id) = row.maybe_text("subscription") else { return Ok(None) };
    let previous = match (row.maybe_text("previous_token_digest"), row.maybe_time("previous_token_until")?) {
        (Some(digest), Some(valid_until)) => Some(PreviousVerificationToken { digest, valid_until }),
        _ => None,
    };
    Ok(Some(Subscription {
        id,
        token_digest: row.text("subscription_token_digest")?.to_owned(),
        previous,
        status: row.text("subscription_status")?.to_owned(),
        expires_at: row.time("subscription_expires_at")?,
        failures: row.maybe_number("renewal_failures")?.unwrap_or(0),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::connection::{Sealed, SealedToken, access_expiry, refresh_expiry};
    use crate::model::ids::ExtensionId;

    /// Any time that a computation with a value from outside may come to.
    fn any_time() -> impl Strategy<Value = Timestamp> {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        prop_oneof![
            any::<i64>().prop_map(move |seconds| saturating_add(now, SignedDuration::from_secs(seconds))),
            any::<i64>().prop_map(|ms| Timestamp::from_millisecond(ms % 253_402_207_200_000).unwrap()),
            Just(Timestamp::MIN),
            Just(Timestamp::MAX),
        ]
    }

    fn connection(times: [Timestamp; 6], text: &str, count: u32) -> Connection {
        let [now, access, refresh, subscription, limited, due] = times;
        let token = |expires_at| SealedToken {
            token: Sealed::from_record(vec![1]),
            key: Sealed::from_record(vec![2]),
            expires_at,
        };
        Connection {
            tenant: TenantId::generate(),
            id: ConnectionId::generate(),
            extension: ExtensionId::parse("700100201").unwrap(),
            issuer: "https://platform.example".to_owned(),
            generation: u64::from(count),
            status: ConnectionStatus::Active,
            access: token(access_expiry(access, now)),
            refresh: token(refresh_expiry(Some(refresh), now)),
            scope: text.to_owned(),
            connected_at: now,
            authorized_at: now,
            identity: ExtensionIdentity {
                account: Some(text.to_owned()),
                name: Some(text.to_owned()),
                extension_number: Some(text.to_owned()),
            },
            setup: Setup { attempts: count, ..Setup::default() },
            subscription: Some(Subscription {
                id: text.to_owned(),
                token_digest: text.to_owned(),
                previous: None,
                status: text.to_owned(),
                expires_at: subscription,
                failures: count,
            }),
            consents: ConsentFeed::default(),
            refresh_state: RefreshState {
                due: Some(due),
                blocked_until: Some(limited),
                status_since: Some(now),
                failures: count,
                ..RefreshState::default()
            },
            sync_due: None,
            rate_limited_until: Some(limited),
        }
    }

    proptest! {
        #[test]
        fn a_row_with_any_computed_time_can_be_read(
            times in proptest::array::uniform6(any_time()), text in "\\PC{0,40}", count in any::<u32>()
        ) {
            let connection = connection(times, &text, count);
            let item = Writer(new_connection_item(&connection, times[0]));
            let item = set_subscription(item, connection.subscription.as_ref().unwrap()).done();
            let mut item = item;
            item.extend(refresh_attributes(&connection.refresh_state).done());
            let read = read_connection(&Row(item)).unwrap();
            prop_assert_eq!(read.generation, connection.generation);
            prop_assert_eq!(read.identity, connection.identity);
            prop_assert_eq!(read.refresh_state.failures, count);
        }

        #[test]
        fn every_time_is_written_in_a_form_that_is_read(at in any_time()) {
            let row = Row(Writer::default().set("at", item::time(at)).done());
            let read = row.time("at").unwrap();
            let ms = at.as_millisecond().clamp(limits::STORED_TIME_MIN_MS, limits::STORED_TIME_MAX_MS);
            prop_assert_eq!(read.as_millisecond(), ms);
        }
    }
}
