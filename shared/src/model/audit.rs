//! The audit log: who did what, when and from where. It contains no secrets and no message bodies.

use std::net::IpAddr;

use jiff::Timestamp;

use super::ids::{KeyId, TenantId};
use super::string_enum::string_enum;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    Operator,
    /// An app, identified by its API key.
    Key(KeyId),
    /// A person with a connect link in a browser.
    Browser,
    /// A Power Automate flow, by the token of its subscription.
    Trigger,
    /// A background job.
    Background,
}

impl Actor {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Key(_) => "key",
            Self::Browser => "browser",
            Self::Trigger => "trigger",
            Self::Background => "background",
        }
    }

    pub fn key(&self) -> Option<&KeyId> {
        match self {
            Self::Key(id) => Some(id),
            Self::Operator | Self::Browser | Self::Trigger | Self::Background => None,
        }
    }

    /// The actor in a record of the log.
    pub fn parse(name: &str, key: Option<&str>) -> Option<Self> {
        match name {
            "operator" => Some(Self::Operator),
            "key" => KeyId::parse(key?).map(Self::Key),
            "browser" => Some(Self::Browser),
            "trigger" => Some(Self::Trigger),
            "background" => Some(Self::Background),
            _ => None,
        }
    }
}

#[derive(Debug, Clone)]
pub struct AuditContext {
    pub actor: Actor,
    pub source: Option<IpAddr>,
    /// The request id; empty in the background.
    pub request: String,
}

impl AuditContext {
    pub fn background() -> Self {
        Self { actor: Actor::Background, source: None, request: String::new() }
    }
}

string_enum! {
    pub enum Action {
        TenantCreated = "tenant.created",
        /// Name, limits or return URL of a tenant were changed.
        TenantChanged = "tenant.changed",
        TenantSuspended = "tenant.suspended",
        TenantResumed = "tenant.resumed",
        /// The deletion of a tenant was requested.
        TenantDeleted = "tenant.deleted",
        /// All data of a deleted tenant is gone, except its audit log.
        TenantErased = "tenant.erased",
        /// Quiet hours or the confirmation of opt-outs were changed.
        SettingsChanged = "settings.changed",
        AppRegistered = "app.registered",
        AppChanged = "app.changed",
        /// An app was deleted together with its keys.
        AppDeleted = "app.deleted",
        /// A Power Automate flow subscribed to inbound messages.
        TriggerCreated = "trigger.created",
        TriggerDeleted = "trigger.deleted",
        /// An app's main key was replaced.
        KeyRotated = "key.rotated",
        KeyCreated = "key.created",
        KeyRevoked = "key.revoked",
        WebhookSecretRotated = "webhook_secret.rotated",
        /// A connect or invite link was created.
        LinkCreated = "link.created",
        ExtensionConnected = "extension.connected",
        ExtensionDisconnected = "extension.disconnected",
    }
}

/// An entry to be written in the transaction of the change that it records.
#[derive(Debug, Clone, Copy)]
pub struct AuditEntry<'a> {
    pub context: &'a AuditContext,
    pub action: Action,
    pub tenant: &'a TenantId,
    /// The id of the object.
    pub subject: &'a str,
    /// Names of the changed fields, without their values.
    pub fields: &'a [&'static str],
}

/// A stored entry.
#[derive(Debug, Clone)]
pub struct AuditRecord {
    /// The position in the log.
    pub id: String,
    pub at: Timestamp,
    pub actor: Actor,
    pub source: Option<String>,
    /// The request id.
    pub request: Option<String>,
    /// The string of an [`Action`].
    pub action: String,
    pub tenant: TenantId,
    /// The id of the object.
    pub subject: String,
    /// Names of the changed fields.
    pub fields: Vec<String>,
}
