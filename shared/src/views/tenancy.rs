//! What the API shows of tenants, apps, keys and the audit log: the contract's field names.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits;
use crate::model::app::{ApiKey, App, AppKind, KeyRecord};
use crate::model::audit::Entry;
use crate::model::ids::KeyId;
use crate::model::phone::E164;
use crate::model::tenant::{Deletion, Tenant, TenantLimits};
use crate::registration;
use crate::views::iso;

/// Limits as the operator writes them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LimitsOrder {
    /// Requests of one app key in a minute.
    #[schemars(range(min = 1, max = limits::REQUESTS_PER_MINUTE_MAX))]
    pub requests_per_minute: Option<u32>,
    /// Connect and invite tokens together in a rolling hour.
    #[schemars(range(min = 1, max = limits::CONNECT_TOKENS_PER_HOUR_MAX))]
    pub connect_tokens_per_hour: Option<u32>,
}

impl LimitsOrder {
    /// The same if every value is within its bounds.
    pub fn check(self) -> Result<Self> {
        let bound = |value: Option<u32>, max, field| match value {
            Some(value) if !(1..=max).contains(&value) => {
                Err(Error::InvalidField { text: format!("{field} must be 1-{max}"), field })
            }
            _ => Ok(()),
        };
        bound(self.requests_per_minute, limits::REQUESTS_PER_MINUTE_MAX, "limits.requestsPerMinute")?;
        bound(
            self.connect_tokens_per_hour,
            limits::CONNECT_TOKENS_PER_HOUR_MAX,
            "limits.connectTokensPerHour",
        )?;
        Ok(self)
    }

    /// With the product's own limits where nothing was said.
    pub fn or_default(self) -> TenantLimits {
        let usual = TenantLimits::default();
        TenantLimits {
            requests_per_minute: self.requests_per_minute.unwrap_or(usual.requests_per_minute),
            connect_tokens_per_hour: self.connect_tokens_per_hour.unwrap_or(usual.connect_tokens_per_hour),
        }
    }
}

/// A tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Tenant")]
pub struct TenantView<'a> {
    tenant_id: &'a str,
    name: &'a str,
    /// `active`, `suspended` or `deleting`.
    status: &'static str,
    limits: LimitsView,
    /// Where the page after success links to, unless the link says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    return_url: Option<&'a str>,
    #[schemars(with = "Timestamp")]
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion: Option<DeletionView>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Limits")]
struct LimitsView {
    /// Requests of one app key in a rolling minute.
    requests_per_minute: u32,
    /// Connect and invite tokens together in a rolling hour.
    connect_tokens_per_hour: u32,
}

/// How far the deletion of a tenant has come.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Deletion")]
struct DeletionView {
    #[schemars(with = "Timestamp")]
    ordered_at: String,
    /// From when on nothing could open what was sealed for the tenant.
    #[schemars(with = "Option<Timestamp>")]
    data_keys_erased_at: Option<String>,
    /// Records that are still to be erased, by their kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<BTreeMap<String, usize>>,
}

impl<'a> From<&'a Tenant> for TenantView<'a> {
    fn from(tenant: &'a Tenant) -> Self {
        let deletion = |deletion: Deletion| DeletionView {
            ordered_at: iso(deletion.ordered_at),
            data_keys_erased_at: deletion.keys_erased_at.map(iso),
            left: None,
        };
        Self {
            tenant_id: tenant.id.as_str(),
            name: &tenant.name,
            status: tenant.status.as_str(),
            limits: LimitsView {
                requests_per_minute: tenant.limits.requests_per_minute,
                connect_tokens_per_hour: tenant.limits.connect_tokens_per_hour,
            },
            return_url: tenant.return_url.as_deref(),
            created_at: iso(tenant.created_at),
            deletion: tenant.deletion.map(deletion),
        }
    }
}

impl TenantView<'_> {
    /// With what its deletion has still to erase.
    #[must_use]
    pub fn with_left(mut self, left: BTreeMap<String, usize>) -> Self {
        if let Some(deletion) = &mut self.deletion {
            deletion.left = Some(left);
        }
        self
    }
}

/// `GET /v1/tenants`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tenants<'a> {
    tenants: Vec<TenantView<'a>>,
    next_cursor: Option<String>,
}

impl<'a> Tenants<'a> {
    /// A part of the list.
    pub fn of(tenants: &'a [Tenant], next_cursor: Option<String>) -> Self {
        Self { tenants: tenants.iter().map(TenantView::from).collect(), next_cursor }
    }
}

/// When the keys of an app were last used.
pub type Uses = HashMap<KeyId, Timestamp>;

/// An app.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "App")]
pub struct AppView<'a> {
    app_id: &'a str,
    /// `program`, or `trigger` for a flow of Power Automate.
    kind: &'static str,
    name: &'a str,
    tenant_id: &'a str,
    role: Option<&'a str>,
    /// Not shown of a flow: whoever has its address can start it.
    webhook_url: Option<&'a str>,
    /// Which events it is told of; of all if there is nothing here.
    event_types: Vec<&'static str>,
    /// Of which numbers; of all if there is nothing here.
    numbers: Vec<&'a str>,
    /// The beginning of its main key.
    api_key_prefix: Option<String>,
    #[schemars(with = "Timestamp")]
    created_at: String,
    #[schemars(with = "Option<Timestamp>")]
    last_used_at: Option<String>,
}

impl<'a> AppView<'a> {
    /// An app, with the last use of any of its keys.
    pub fn of(app: &'a App, uses: Option<&Uses>) -> Self {
        Self {
            app_id: app.id.as_str(),
            kind: app.kind.as_str(),
            name: &app.name,
            tenant_id: app.tenant.as_str(),
            role: app.role.as_deref(),
            webhook_url: app.webhook_url.as_deref().filter(|_| app.kind == AppKind::Program),
            event_types: app.event_types.iter().map(|kind| kind.as_str()).collect(),
            numbers: app.numbers.iter().map(E164::as_str).collect(),
            api_key_prefix: app.main_key.as_ref().map(|id| id.key_prefix(&app.tenant)),
            created_at: iso(app.created_at),
            last_used_at: uses.and_then(|uses| uses.values().max()).copied().map(iso),
        }
    }
}

/// `GET /v1/apps`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Apps<'a> {
    apps: Vec<AppView<'a>>,
    next_cursor: Option<String>,
}

impl<'a> Apps<'a> {
    /// A part of the list.
    pub fn of(apps: Vec<AppView<'a>>, next_cursor: Option<String>) -> Self {
        Self { apps, next_cursor }
    }
}

/// A flow that was just subscribed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NewTrigger {
    id: String,
}

impl From<&App> for NewTrigger {
    fn from(app: &App) -> Self {
        Self { id: app.id.as_str().to_owned() }
    }
}

/// A key, without its secret.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Key")]
pub struct KeyView {
    key_id: String,
    api_key_prefix: String,
    scopes: Vec<&'static str>,
    /// Where it may be used from; anywhere if there is nothing here.
    allowed_ips: Vec<String>,
    /// The one that `rotate-key` replaces.
    is_main: bool,
    #[schemars(with = "Timestamp")]
    created_at: String,
    #[schemars(with = "Option<Timestamp>")]
    expires_at: Option<String>,
    #[schemars(with = "Option<Timestamp>")]
    last_used_at: Option<String>,
}

impl KeyView {
    /// A key of an app.
    pub fn of(record: &KeyRecord, app: &App, uses: Option<&Uses>) -> Self {
        Self {
            key_id: record.id.to_string(),
            api_key_prefix: record.prefix(),
            scopes: record.scopes.iter().map(|scope| scope.as_str()).collect(),
            allowed_ips: record.allowed_ips.iter().map(ToString::to_string).collect(),
            is_main: app.main_key.as_ref() == Some(&record.id),
            created_at: iso(record.created_at),
            expires_at: record.expires_at.map(iso),
            last_used_at: uses.and_then(|uses| uses.get(&record.id)).copied().map(iso),
        }
    }
}

/// `GET /v1/apps/{appId}/keys`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Keys {
    /// The oldest first.
    pub keys: Vec<KeyView>,
}

/// A further key that was just made, with what is shown once.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewKey<'a> {
    key_id: &'a str,
    api_key: &'a str,
    api_key_prefix: String,
    scopes: Vec<&'static str>,
    allowed_ips: Vec<String>,
    #[schemars(with = "Timestamp")]
    created_at: String,
    #[schemars(with = "Option<Timestamp>")]
    expires_at: Option<String>,
}

impl<'a> NewKey<'a> {
    /// A key with its record.
    pub fn of(key: &'a ApiKey, record: &'a KeyRecord) -> Self {
        Self {
            key_id: record.id.as_str(),
            api_key: key.expose(),
            api_key_prefix: key.prefix(),
            scopes: record.scopes.iter().map(|scope| scope.as_str()).collect(),
            allowed_ips: record.allowed_ips.iter().map(ToString::to_string).collect(),
            created_at: iso(record.created_at),
            expires_at: record.expires_at.map(iso),
        }
    }
}

/// A main key that was just replaced.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotatedKey<'a> {
    api_key: &'a str,
    api_key_prefix: String,
}

impl<'a> From<&'a ApiKey> for RotatedKey<'a> {
    fn from(key: &'a ApiKey) -> Self {
        Self { api_key: key.expose(), api_key_prefix: key.prefix() }
    }
}

/// A webhook secret that was just replaced.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotatedSecret<'a> {
    /// The new one.
    pub webhook_secret: &'a str,
    /// Until then the one before it signs along.
    #[schemars(with = "Timestamp")]
    pub previous_expires_at: String,
}

/// `GET /v1/audit`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditLog<'a> {
    entries: Vec<EntryView<'a>>,
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Entry")]
struct EntryView<'a> {
    id: &'a str,
    #[schemars(with = "Timestamp")]
    at: String,
    actor: ActorView<'a>,
    action: &'a str,
    tenant_id: &'a str,
    subject: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<&'a str>,
    source_ip: Option<&'a str>,
    request_id: Option<&'a str>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Actor")]
struct ActorView<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
}

impl<'a> AuditLog<'a> {
    /// A part of the log.
    pub fn of(entries: &'a [Entry], next_cursor: Option<String>) -> Self {
        let view = |entry: &'a Entry| EntryView {
            id: &entry.id,
            at: iso(entry.at),
            actor: ActorView { kind: entry.actor.as_str(), key_id: entry.actor.key().map(KeyId::as_str) },
            action: &entry.action,
            tenant_id: entry.tenant.as_str(),
            subject: &entry.subject,
            fields: entry.fields.iter().map(String::as_str).collect(),
            source_ip: entry.source.as_deref(),
            request_id: entry.request.as_deref(),
        };
        Self { entries: entries.iter().map(view).collect(), next_cursor }
    }
}

/// An app that was just registered, with what is shown once.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Registered<'a> {
    app_id: &'a str,
    name: &'a str,
    api_key: &'a str,
    api_key_prefix: String,
    webhook_secret: &'a str,
    role: Option<&'a str>,
    tenant_id: &'a str,
}

impl<'a> From<&'a registration::Registered> for Registered<'a> {
    fn from(registered: &'a registration::Registered) -> Self {
        Self {
            app_id: registered.app.id.as_str(),
            name: &registered.app.name,
            api_key: registered.key.expose(),
            api_key_prefix: registered.key.prefix(),
            webhook_secret: registered.webhook_secret.expose(),
            role: registered.app.role.as_deref(),
            tenant_id: registered.app.tenant.as_str(),
        }
    }
}
