//! The audit log: who did what to what, when and from where. Never secrets, never texts.

use std::net::IpAddr;

use jiff::Timestamp;

use super::ids::{KeyId, TenantId};

/// Who does something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The operator.
    Operator,
    /// A tenant's program, by its key.
    Key(KeyId),
    /// A person with a connect link in a browser.
    Browser,
    /// The product itself, in the background.
    Background,
}

impl Actor {
    /// The word in the log.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Key(_) => "key",
            Self::Browser => "browser",
            Self::Background => "background",
        }
    }

    /// The key, if it is one.
    pub fn key(&self) -> Option<&KeyId> {
        match self {
            Self::Key(id) => Some(id),
            Self::Operator | Self::Browser | Self::Background => None,
        }
    }

    /// The actor that a word and a key of the log name.
    pub fn parse(word: &str, key: Option<&str>) -> Option<Self> {
        match word {
            "operator" => Some(Self::Operator),
            "key" => KeyId::parse(key?).map(Self::Key),
            "browser" => Some(Self::Browser),
            "background" => Some(Self::Background),
            _ => None,
        }
    }
}

/// Who does something, from where, in which request.
#[derive(Debug, Clone)]
pub struct AuditContext {
    /// Who.
    pub actor: Actor,
    /// From which address.
    pub source: Option<IpAddr>,
    /// In which request; empty in the background.
    pub request: String,
}

impl AuditContext {
    /// The product itself, in the background.
    pub fn background() -> Self {
        Self { actor: Actor::Background, source: None, request: String::new() }
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What was done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action { $($(#[$doc])* $name,)* }

        impl Action {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word in the log.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

actions! {
    /// A tenant was created.
    TenantCreated = "tenant.created",
    /// Name, limits or return address of a tenant were changed.
    TenantChanged = "tenant.changed",
    /// A tenant was suspended.
    TenantSuspended = "tenant.suspended",
    /// A tenant was resumed.
    TenantResumed = "tenant.resumed",
    /// A tenant's deletion was ordered.
    TenantDeleted = "tenant.deleted",
    /// Nothing of a deleted tenant is left but its audit log.
    TenantErased = "tenant.erased",
    /// An app was registered.
    AppRegistered = "app.registered",
    /// An app was changed.
    AppChanged = "app.changed",
    /// An app was deleted with its keys.
    AppDeleted = "app.deleted",
    /// A flow subscribed to texts that come in.
    TriggerCreated = "trigger.created",
    /// A flow ended its subscription.
    TriggerDeleted = "trigger.deleted",
    /// An app's first key was replaced.
    KeyRotated = "key.rotated",
    /// A further key was made.
    KeyCreated = "key.created",
    /// A key was revoked.
    KeyRevoked = "key.revoked",
    /// An app's webhook secret was replaced.
    WebhookSecretRotated = "webhook_secret.rotated",
    /// A connect or invite link was made.
    LinkCreated = "link.created",
    /// A RingCentral extension was connected.
    ExtensionConnected = "extension.connected",
    /// A RingCentral extension was disconnected.
    ExtensionDisconnected = "extension.disconnected",
}

/// Something that is done, to be written down together with it.
#[derive(Debug, Clone, Copy)]
pub struct AuditEntry<'a> {
    /// Who and from where.
    pub by: &'a AuditContext,
    /// What.
    pub action: Action,
    /// In whose data.
    pub tenant: &'a TenantId,
    /// To what: an id.
    pub subject: &'a str,
    /// Names of the fields that it changed; never their values.
    pub fields: &'a [&'static str],
}

/// Something that was done, as the log has it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its place in the log.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// From which address.
    pub source: Option<String>,
    /// In which request.
    pub request: Option<String>,
    /// What: a word of [`Action`].
    pub action: String,
    /// In whose data.
    pub tenant: TenantId,
    /// To what: an id.
    pub subject: String,
    /// Names of the fields that it changed.
    pub fields: Vec<String>,
}
