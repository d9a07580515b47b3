//! A connection: the consent of one RingCentral user that we hold for a tenant.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::event::{Event, EventKind};
use super::ids::{ConnectionId, ExtensionId, TenantId};
use super::refresh::{Cause, Upkeep};

/// Bytes that only the vault can read. The one form in which the store takes a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub(crate) Vec<u8>);

impl Sealed {
    /// The ciphertext as it was stored.
    pub fn from_record(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The ciphertext.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// A token at rest: its ciphertext, and the data key that opens it, itself wrapped by KMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedToken {
    /// The token, sealed under the data key.
    pub token: Sealed,
    /// The data key, wrapped by KMS.
    pub key: Sealed,
    /// When RingCentral lets the token die.
    pub expires_at: Timestamp,
}

/// Whether the tenant can use a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionStatus {
    /// Yes.
    Active,
    /// Refreshing fails at present; it is retried by itself.
    RefreshFailed,
    /// A new authorization is needed.
    Revoked,
}

impl ConnectionStatus {
    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::RefreshFailed => "refresh_failed",
            Self::Revoked => "revoked",
        }
    }

    /// The status behind a stored word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::RefreshFailed, Self::Revoked].into_iter().find(|status| status.as_str() == text)
    }

    /// True unless a new authorization is needed.
    pub fn is_connected(self) -> bool {
        self != Self::Revoked
    }
}

/// A part of the set-up after a connection was stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Part {
    /// Not done yet.
    #[default]
    Pending,
    /// Done.
    Done,
    /// Tried without success; will be tried again. A sentence for the tenant.
    Failed(String),
}

impl Part {
    /// True if nothing is left to do.
    pub fn is_done(&self) -> bool {
        *self == Self::Done
    }

    /// `pending`, `done` or `failed`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Failed(_) => "failed",
        }
    }

    /// Why it failed.
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Pending | Self::Done => None,
        }
    }
}

/// What has to be learned and made after a connection was stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setup {
    /// Account and name of the extension.
    pub identity: Part,
    /// The numbers that can text.
    pub numbers: Part,
    /// The webhook subscription.
    pub subscription: Part,
    /// How often it was tried.
    pub attempts: u32,
}

impl Setup {
    /// True if nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.identity.is_done() && self.numbers.is_done() && self.subscription.is_done()
    }
}

/// Who the extension is, learned after the connection was stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// RingCentral's account id.
    pub account: Option<String>,
    /// The user's name.
    pub name: Option<String>,
    /// The short number inside the company, such as `101`.
    pub extension_number: Option<String>,
}

/// RingCentral's word for a subscription that delivers events.
pub const ACTIVE: &str = "Active";

/// A verification token that was replaced: events that were sent before still come with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousToken {
    /// SHA-256 of it.
    pub digest: String,
    /// Until when it is good.
    pub until: Timestamp,
}

/// Why events may have been missed, so that the message store has to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackfillReason {
    /// There was no subscription before.
    Connected,
    /// The subscription was gone.
    Expired,
    /// RingCentral had stopped it, since our address failed.
    Blacklisted,
    /// RingCentral had stopped it for another reason.
    Suspended,
    /// The connection could not be used for a while.
    Recovered,
}

impl Connection {
    /// So many seconds, a fifth more or less: each connection at a pace of its own, so that they don't come all at once.
    pub fn at_its_pace(&self, seconds: i64) -> SignedDuration {
        let pace = self.id.as_str().bytes().fold(0_i64, |sum, byte| (sum * 31 + i64::from(byte)) % 10_007);
        SignedDuration::from_secs(seconds * (80 + pace % 41) / 100)
    }
}

impl BackfillReason {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Expired => "expired",
            Self::Blacklisted => "blacklisted",
            Self::Suspended => "suspended",
            Self::Recovered => "recovered",
        }
    }
}

/// A webhook subscription at RingCentral.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// RingCentral's id.
    pub id: String,
    /// SHA-256 of the verification token that comes with every event.
    pub token_digest: String,
    /// The token before it, for a short while.
    pub previous: Option<PreviousToken>,
    /// RingCentral's word for its state: `Active`, `Blacklisted`, …
    pub status: String,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// How often in a row it was looked at, or made again, without success.
    pub failures: u32,
}

/// The consent of one RingCentral user that we hold for a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its id.
    pub id: ConnectionId,
    /// The RingCentral user.
    pub extension: ExtensionId,
    /// The RingCentral server that issued the tokens.
    pub issuer: String,
    /// Counts token pairs: a new pair is one more. It is part of what a token is sealed to.
    pub generation: u64,
    /// Whether the tenant can use it.
    pub status: ConnectionStatus,
    /// The access token.
    pub access: SealedToken,
    /// The refresh token.
    pub refresh: SealedToken,
    /// What RingCentral granted.
    pub scope: String,
    /// When the extension was first connected; kept when it is authorized again.
    pub connected_at: Timestamp,
    /// When this consent was given.
    pub authorized_at: Timestamp,
    /// Who the extension is.
    pub identity: Identity,
    /// What is done of the set-up.
    pub setup: Setup,
    /// The webhook subscription.
    pub subscription: Option<Subscription>,
    /// What is known about refreshing its tokens.
    pub upkeep: Upkeep,
    /// RingCentral's penalty: until then no call of its API is made in the connection's name but sending, which has a
    /// limit of its own.
    pub rate_limited_until: Option<Timestamp>,
}

impl Connection {
    /// Something that happens to the connection, as the tenant's programs are told.
    pub fn event(&self, kind: EventKind, now: Timestamp) -> Event {
        let data = json!({
            "extensionId": self.extension.as_str(),
            "rcAccountId": self.identity.account,
            "status": self.status.as_str(),
            "cause": self.upkeep.cause.map(Cause::as_str),
        });
        Event::new(&self.tenant, kind, now, data)
    }
}

/// A session at RingCentral that has to be ended: what is left of a connection that the tenant gave up or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The tenant whose connection it was.
    pub tenant: TenantId,
    /// The connection.
    pub connection: ConnectionId,
    /// The RingCentral user.
    pub extension: ExtensionId,
    /// The server that issued the tokens.
    pub issuer: String,
    /// The generation that the tokens are sealed to.
    pub generation: u64,
    /// The access token, to delete the subscription with while it lives.
    pub access: SealedToken,
    /// The refresh token: revoking it ends the whole session.
    pub refresh: SealedToken,
    /// The subscription to delete first.
    pub subscription: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
}

impl From<&Connection> for Revocation {
    fn from(connection: &Connection) -> Self {
        Self {
            tenant: connection.tenant.clone(),
            connection: connection.id.clone(),
            extension: connection.extension.clone(),
            issuer: connection.issuer.clone(),
            generation: connection.generation,
            access: connection.access.clone(),
            refresh: connection.refresh.clone(),
            subscription: connection.subscription.as_ref().map(|s| s.id.clone()),
            attempts: 0,
        }
    }
}
