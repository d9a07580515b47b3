//! Connections. A connection is the authorization that one RingCentral user gave to a tenant, with its sealed tokens.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::event::{Event, EventKind};
use super::ids::{ConnectionId, ExtensionId, TenantId};
use super::string_enum::string_enum;
use crate::clock::plausible_expiry;
use crate::limits;

/// Ciphertext that only the vault can open. The store accepts tokens in no other form.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub(crate) Vec<u8>);

impl Sealed {
    pub fn from_record(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// A token at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedToken {
    /// The token, encrypted with the data key.
    pub token: Sealed,
    /// The data key, wrapped by KMS.
    pub key: Sealed,
    pub expires_at: Timestamp,
}

/// An access token and a refresh token, sealed to the same generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPair {
    pub access: SealedToken,
    pub refresh: SealedToken,
}

string_enum! {
    pub enum ConnectionStatus {
        Active = "active",
        /// Refreshing the tokens fails at the moment. It is retried automatically.
        RefreshFailed = "refresh_failed",
        /// RingCentral rejects the refresh token. The user has to authorize again.
        Revoked = "revoked",
    }
}

impl ConnectionStatus {
    pub fn is_connected(self) -> bool {
        self != Self::Revoked
    }
}

string_enum! {
    /// Why a connection is not active.
    pub enum StatusCause {
        /// The token endpoint does not respond, or not with a usable response.
        RingCentralUnavailable = "ringcentral_unavailable",
        /// RingCentral rejects the refresh token: the user or an administrator revoked the access.
        RevokedByUser = "revoked_by_user",
        /// The refresh token has expired.
        Expired = "expired",
        /// The response to an earlier refresh was lost, and RingCentral no longer repeats it.
        LostRotation = "lost_rotation",
    }
}

/// The exclusive right to call the token endpoint for a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RefreshLease {
    /// Id of the attempt that holds the lease.
    pub owner: String,
    /// Later than the deadline of the owner's process.
    pub until: Timestamp,
}

/// A call of the token endpoint whose outcome is not stored yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RefreshIntent {
    /// Id of the attempt that made the latest such call.
    pub id: String,
    /// Time of the first call whose outcome is still unknown.
    pub since: Timestamp,
}

/// The state of refreshing a connection's tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RefreshState {
    pub lease: Option<RefreshLease>,
    pub intent: Option<RefreshIntent>,
    /// Id of the attempt that stored the current pair.
    pub writer: Option<String>,
    /// The token endpoint is not called before this time: each call during a penalty restarts it.
    pub blocked_until: Option<Timestamp>,
    /// Attempts without a usable response since the last success.
    pub failures: u32,
    /// When RingCentral first rejected the current refresh token.
    pub denied_at: Option<Timestamp>,
    /// `None` while the connection is active.
    pub cause: Option<StatusCause>,
    /// When the connection got its current status.
    pub status_since: Option<Timestamp>,
    /// When the next refresh is due. This is authoritative; schedules and queue messages only trigger it.
    pub due: Option<Timestamp>,
}

/// The state of one step of the set-up after a connection was stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SetupStep {
    #[default]
    Pending,
    Done,
    /// The last attempt failed, and the next one is scheduled. The text is for the tenant.
    Failed(String),
}

impl SetupStep {
    pub fn is_done(&self) -> bool {
        *self == Self::Done
    }

    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Failed(_) => "failed",
        }
    }

    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Pending | Self::Done => None,
        }
    }
}

/// The set-up after a connection was stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setup {
    /// Reading the account id and the extension's name.
    pub identity: SetupStep,
    /// Reading the numbers that can send messages.
    pub numbers: SetupStep,
    /// Creating the webhook subscription.
    pub subscription: SetupStep,
    pub attempts: u32,
}

impl Setup {
    pub fn is_done(&self) -> bool {
        self.identity.is_done() && self.numbers.is_done() && self.subscription.is_done()
    }
}

/// What the set-up learns about the extension.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtensionIdentity {
    /// RingCentral's account id.
    pub account: Option<String>,
    /// The user's name.
    pub name: Option<String>,
    /// The short number inside the company, such as `101`.
    pub extension_number: Option<String>,
}

/// RingCentral's status of a subscription that delivers events.
pub const SUBSCRIPTION_ACTIVE: &str = "Active";

/// The verification token of a replaced subscription. Events that were sent before the replacement still carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousVerificationToken {
    /// SHA-256 of the token.
    pub digest: String,
    pub valid_until: Timestamp,
}

/// When an access token expires, given what RingCentral reports.
pub fn access_expiry(reported: Timestamp, now: Timestamp) -> Timestamp {
    let (default, max) = (limits::ACCESS_TOKEN_SECONDS, limits::ACCESS_TOKEN_MAX_SECONDS);
    plausible_expiry(Some(reported), now, default, max)
}

/// When a refresh token expires, given what RingCentral reports.
pub fn refresh_expiry(reported: Option<Timestamp>, now: Timestamp) -> Timestamp {
    plausible_expiry(reported, now, limits::REFRESH_TOKEN_SECONDS, limits::REFRESH_TOKEN_MAX_SECONDS)
}

string_enum! {
    /// Why webhook events may have been missed, so that message sync has to backfill.
    pub enum BackfillReason {
        /// There was no subscription before.
        Connected = "connected",
        /// The subscription no longer exists.
        Expired = "expired",
        /// RingCentral blacklisted the subscription because our endpoint failed.
        Blacklisted = "blacklisted",
        /// RingCentral stopped the subscription for another reason.
        Suspended = "suspended",
        /// The subscription has a URL other than that of the connection.
        AddressChanged = "address_changed",
        /// The connection could not be used for a while.
        Recovered = "recovered",
    }
}

/// A webhook subscription at RingCentral.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// RingCentral's id.
    pub id: String,
    /// SHA-256 of the verification token that every event carries.
    pub token_digest: String,
    pub previous: Option<PreviousVerificationToken>,
    /// RingCentral's status: `Active`, `Blacklisted`, …
    pub status: String,
    pub expires_at: Timestamp,
    /// Consecutive failed checks and renewals.
    pub failures: u32,
}

impl Subscription {
    /// RingCentral's status, unless the subscription has expired since.
    pub fn status_at(&self, now: Timestamp) -> &str {
        if self.expires_at <= now { "Expired" } else { &self.status }
    }
}

/// How a connection reads RingCentral's consents. One connection of each account does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsentFeed {
    /// RingCentral's id of the subscription to consent events; `None` if RingCentral refuses it.
    pub subscription: Option<String>,
    /// The token of the page with which the next search begins; `None` if it begins with the first page.
    pub next_page: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    pub tenant: TenantId,
    pub id: ConnectionId,
    /// The RingCentral user.
    pub extension: ExtensionId,
    /// The RingCentral server that issued the tokens.
    pub issuer: String,
    /// Number of the current token pair; each new pair increments it. Tokens are sealed to their generation.
    pub generation: u64,
    pub status: ConnectionStatus,
    pub access: SealedToken,
    pub refresh: SealedToken,
    /// The scopes that RingCentral granted, separated by spaces.
    pub scope: String,
    /// When the extension was first connected. Authorizing again keeps it.
    pub connected_at: Timestamp,
    /// When the user gave the current authorization.
    pub authorized_at: Timestamp,
    pub identity: ExtensionIdentity,
    pub setup: Setup,
    pub subscription: Option<Subscription>,
    pub consents: ConsentFeed,
    pub refresh_state: RefreshState,
    /// When the next message sync is due.
    pub sync_due: Option<Timestamp>,
    /// End of RingCentral's penalty. Until then no API call is made for the connection, except sending, which has its own
    /// rate limit.
    pub rate_limited_until: Option<Timestamp>,
}

/// The fields of the events about a connection.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionChange<'a> {
    /// RingCentral's id of the extension.
    pub extension_id: &'a str,
    /// RingCentral's id of the account; `null` until it is known.
    pub rc_account_id: Option<&'a str>,
    /// The status of the connection.
    pub status: ConnectionStatus,
    /// Why the connection is not active.
    pub cause: Option<StatusCause>,
}

string_enum! {
    /// The status of a connection that was removed.
    pub enum DisconnectedStatus {
        Disconnected = "disconnected",
    }
}

/// The fields of the event that an extension was disconnected.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Disconnection<'a> {
    /// RingCentral's id of the extension.
    pub extension_id: &'a str,
    /// RingCentral's id of the account; `null` if it was never known.
    pub rc_account_id: Option<&'a str>,
    /// Always `disconnected`.
    pub status: DisconnectedStatus,
}

impl Connection {
    /// The event that the connection exists and has its present status, for the tenant's apps.
    pub fn event(&self, kind: EventKind, now: Timestamp) -> Event {
        let data = ConnectionChange {
            extension_id: self.extension.as_str(),
            rc_account_id: self.identity.account.as_deref(),
            status: self.status,
            cause: self.refresh_state.cause,
        };
        Event::new(&self.tenant, kind, now, &data)
    }
}

/// A session that is still to be ended at RingCentral, after its connection was disconnected or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    pub tenant: TenantId,
    pub connection: ConnectionId,
    /// The RingCentral user.
    pub extension: ExtensionId,
    /// The RingCentral server that issued the tokens.
    pub issuer: String,
    /// The generation that the tokens are sealed to.
    pub generation: u64,
    /// Deletes the subscriptions, unless it has expired.
    pub access: SealedToken,
    /// Revoking the refresh token ends the whole session.
    pub refresh: SealedToken,
    /// The subscriptions to delete first.
    pub subscriptions: Vec<String>,
    /// Failed attempts to end the session.
    pub attempts: u32,
}

impl From<&Connection> for Revocation {
    fn from(connection: &Connection) -> Self {
        let subscription = connection.subscription.as_ref().map(|subscription| subscription.id.clone());
        Self {
            tenant: connection.tenant.clone(),
            connection: connection.id.clone(),
            extension: connection.extension.clone(),
            issuer: connection.issuer.clone(),
            generation: connection.generation,
            access: connection.access.clone(),
            refresh: connection.refresh.clone(),
            subscriptions: subscription.into_iter().chain(connection.consents.subscription.clone()).collect(),
            attempts: 0,
        }
    }
}
