//! The JSON of tenants, apps, keys and the audit log.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits;
use crate::model::app::{ApiKey, App, AppKind, KeyRecord, Scope};
use crate::model::audit::AuditRecord;
use crate::model::event::EventKind;
use crate::model::ids::KeyId;
use crate::model::phone::E164;
use crate::model::tenant::{Deletion, Tenant, TenantLimits, TenantStatus};
use crate::registration::RegisteredApp;
use crate::views::iso;

/// The limits of a tenant in a request; absent ones have their default or are kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LimitsRequest {
    /// Requests of one API key in a rolling minute.
    #[serde(default, deserialize_with = "crate::model::whole_number::optional")]
    #[schemars(range(min = 1, max = limits::REQUESTS_PER_MINUTE_MAX))]
    pub requests_per_minute: Option<u32>,
    /// Requests of all API keys together in a rolling minute. Default: 1,000.
    #[serde(default, deserialize_with = "crate::model::whole_number::optional")]
    #[schemars(range(min = 1, max = limits::REQUESTS_PER_MINUTE_MAX))]
    pub tenant_requests_per_minute: Option<u32>,
    /// Connect and invite tokens together in a rolling hour.
    #[serde(default, deserialize_with = "crate::model::whole_number::optional")]
    #[schemars(range(min = 1, max = limits::CONNECT_TOKENS_PER_HOUR_MAX))]
    pub connect_tokens_per_hour: Option<u32>,
    /// Apps, Power Automate flows included.
    #[serde(default, deserialize_with = "crate::model::whole_number::optional")]
    #[schemars(range(min = 1, max = limits::APPS_PER_TENANT_MAX))]
    pub apps: Option<u32>,
}

impl LimitsRequest {
    pub fn check(self) -> Result<Self> {
        let limit = |value: Option<u32>, max, field| match value {
            Some(value) if !(1..=max).contains(&value) => {
                Err(Error::InvalidField { text: format!("{field} must be 1-{max}"), field })
            }
            _ => Ok(()),
        };
        limit(self.requests_per_minute, limits::REQUESTS_PER_MINUTE_MAX, "limits.requestsPerMinute")?;
        limit(
            self.tenant_requests_per_minute,
            limits::REQUESTS_PER_MINUTE_MAX,
            "limits.tenantRequestsPerMinute",
        )?;
        limit(
            self.connect_tokens_per_hour,
            limits::CONNECT_TOKENS_PER_HOUR_MAX,
            "limits.connectTokensPerHour",
        )?;
        limit(self.apps, limits::APPS_PER_TENANT_MAX, "limits.apps")?;
        Ok(self)
    }

    pub fn or_default(self) -> TenantLimits {
        let default = TenantLimits::default();
        TenantLimits {
            requests_per_minute: self.requests_per_minute.unwrap_or(default.requests_per_minute),
            tenant_requests_per_minute: self
                .tenant_requests_per_minute
                .unwrap_or(default.tenant_requests_per_minute),
            connect_tokens_per_hour: self.connect_tokens_per_hour.unwrap_or(default.connect_tokens_per_hour),
            apps: self.apps.unwrap_or(default.apps),
        }
    }
}

/// A tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Tenant")]
pub struct TenantView<'a> {
    /// The id of the tenant.
    tenant_id: &'a str,
    /// The name of the tenant.
    name: &'a str,
    /// `active`; `suspended`: its keys are rejected; `deleting`: its data is being deleted.
    status: TenantStatus,
    /// The limits of the tenant.
    limits: LimitsView,
    /// The URL that the success page links to, unless the invite has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    return_url: Option<&'a str>,
    /// When the tenant was created.
    #[schemars(with = "Timestamp")]
    created_at: String,
    /// The progress of the deletion; absent unless the tenant is being deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion: Option<DeletionView>,
}

/// The limits of a tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TenantLimits")]
struct LimitsView {
    /// Requests of one API key in a rolling minute.
    requests_per_minute: u32,
    /// Requests of all API keys together in a rolling minute.
    tenant_requests_per_minute: u32,
    /// Connect and invite tokens together in a rolling hour.
    connect_tokens_per_hour: u32,
    /// Apps, Power Automate flows included.
    apps: u32,
}

/// The progress of a deletion.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TenantDeletion")]
struct DeletionView {
    /// When the deletion was requested.
    #[schemars(with = "Timestamp")]
    ordered_at: String,
    /// Since when nothing can decrypt the sealed data of the tenant; `null` if the data keys are not erased yet.
    #[schemars(with = "Option<Timestamp>")]
    data_keys_erased_at: Option<String>,
    /// Number of remaining items by kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<BTreeMap<String, usize>>,
}

impl<'a> From<&'a Tenant> for TenantView<'a> {
    fn from(tenant: &'a Tenant) -> Self {
        let deletion = |deletion: Deletion| DeletionView {
            ordered_at: iso(deletion.requested_at),
            data_keys_erased_at: deletion.keys_erased_at.map(iso),
            left: None,
        };
        Self {
            tenant_id: tenant.id.as_str(),
            name: &tenant.name,
            status: tenant.status,
            limits: LimitsView {
                requests_per_minute: tenant.limits.requests_per_minute,
                tenant_requests_per_minute: tenant.limits.tenant_requests_per_minute,
                connect_tokens_per_hour: tenant.limits.connect_tokens_per_hour,
                apps: tenant.limits.apps,
            },
            return_url: tenant.return_url.as_deref(),
            created_at: iso(tenant.created_at),
            deletion: tenant.deletion.map(deletion),
        }
    }
}

impl TenantView<'_> {
    /// With the remaining items, by kind.
    #[must_use]
    pub fn with_remaining(mut self, remaining: BTreeMap<String, usize>) -> Self {
        if let Some(deletion) = &mut self.deletion {
            deletion.left = Some(remaining);
        }
        self
    }
}

/// The deletion of a tenant has started.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeletionStarted {
    /// The status of the tenant, `deleting`.
    pub status: TenantStatus,
}

/// `GET /v1/tenants`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TenantList")]
pub struct Tenants<'a> {
    /// The tenants, newest first.
    tenants: Vec<TenantView<'a>>,
    /// Send it as `cursor` to get the next page; `null` on the last page.
    next_cursor: Option<String>,
}

impl<'a> Tenants<'a> {
    pub fn of(tenants: &'a [Tenant], next_cursor: Option<String>) -> Self {
        Self { tenants: tenants.iter().map(TenantView::from).collect(), next_cursor }
    }
}

/// The last use of each key of an app.
pub type Uses = HashMap<KeyId, Timestamp>;

/// An app of a tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "App")]
pub struct AppView<'a> {
    /// The id of the app.
    app_id: &'a str,
    /// `program`, or `trigger` for a Power Automate flow.
    kind: AppKind,
    /// The name of the app.
    name: &'a str,
    /// The tenant of the app.
    tenant_id: &'a str,
    /// A label that the tenant chose.
    role: Option<&'a str>,
    /// The URL that events are sent to. Only the origin of a flow's URL is shown: anyone with the whole URL can trigger it.
    webhook_url: Option<&'a str>,
    /// Only events of these types are delivered; all if empty.
    event_types: Vec<EventKind>,
    /// Only events of these numbers are delivered; all if empty. Events without a number are always delivered.
    numbers: Vec<&'a str>,
    /// The beginning of the main key.
    api_key_prefix: Option<String>,
    /// When the app was registered.
    #[schemars(with = "Timestamp")]
    created_at: String,
    /// When one of its keys was last used, to the minute; `null` if never.
    #[schemars(with = "Option<Timestamp>")]
    last_used_at: Option<String>,
}

impl<'a> AppView<'a> {
    pub fn of(app: &'a App, uses: Option<&Uses>) -> Self {
        Self {
            app_id: app.id.as_str(),
            kind: app.kind,
            name: &app.name,
            tenant_id: app.tenant.as_str(),
            role: app.role.as_deref(),
            webhook_url: app.webhook_url.as_deref(),
            event_types: app.event_types.clone(),
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
#[schemars(rename = "AppList")]
pub struct Apps<'a> {
    /// The apps, sorted by id.
    apps: Vec<AppView<'a>>,
    /// Send it as `cursor` to get the next page; `null` on the last page.
    next_cursor: Option<String>,
}

impl<'a> Apps<'a> {
    pub fn of(apps: Vec<AppView<'a>>, next_cursor: Option<String>) -> Self {
        Self { apps, next_cursor }
    }
}

/// A new subscription of a Power Automate flow.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CreatedTrigger")]
pub struct NewTrigger {
    /// The id of the trigger.
    id: String,
}

impl From<&App> for NewTrigger {
    fn from(app: &App) -> Self {
        Self { id: app.id.as_str().to_owned() }
    }
}

/// A key without its secret.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ApiKey")]
pub struct KeyView {
    /// The id of the key.
    key_id: String,
    /// The beginning of the key.
    api_key_prefix: String,
    /// The scopes of the key.
    scopes: Vec<Scope>,
    /// Where the key may be used from; anywhere if empty.
    allowed_ips: Vec<String>,
    /// True for the key that `POST /v1/apps/{appId}/rotate-key` replaces.
    is_main: bool,
    /// When the key was created.
    #[schemars(with = "Timestamp")]
    created_at: String,
    /// When the key expires; `null` if it does not.
    #[schemars(with = "Option<Timestamp>")]
    expires_at: Option<String>,
    /// When the key was last used, to the minute; `null` if never.
    #[schemars(with = "Option<Timestamp>")]
    last_used_at: Option<String>,
}

impl KeyView {
    pub fn of(record: &KeyRecord, app: &App, uses: Option<&Uses>) -> Self {
        Self {
            key_id: record.id.to_string(),
            api_key_prefix: record.prefix(),
            scopes: record.grant.scopes.clone(),
            allowed_ips: record.grant.allowed_ips.iter().map(ToString::to_string).collect(),
            is_main: app.main_key.as_ref() == Some(&record.id),
            created_at: iso(record.created_at),
            expires_at: record.grant.expires_at.map(iso),
            last_used_at: uses.and_then(|uses| uses.get(&record.id)).copied().map(iso),
        }
    }
}

/// `GET /v1/apps/{appId}/keys`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ApiKeyList")]
pub struct Keys {
    /// The keys, oldest first.
    pub keys: Vec<KeyView>,
}

/// The key that a request is sent with.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CurrentApiKey")]
pub struct CurrentKeyView<'a> {
    /// The id of the key.
    key_id: &'a str,
    /// The beginning of the key.
    api_key_prefix: String,
    /// The app of the key.
    app_id: &'a str,
    /// The tenant of the app.
    tenant_id: &'a str,
    /// The name of the tenant.
    tenant_name: &'a str,
    /// The scopes of the key.
    scopes: &'a [Scope],
    /// Where the key may be used from; anywhere if empty.
    allowed_ips: Vec<String>,
    /// When the key was created.
    #[schemars(with = "Timestamp")]
    created_at: String,
    /// When the key expires; `null` if it does not.
    #[schemars(with = "Option<Timestamp>")]
    expires_at: Option<String>,
}

impl<'a> CurrentKeyView<'a> {
    pub fn of(record: &'a KeyRecord, tenant: &'a Tenant) -> Self {
        Self {
            key_id: record.id.as_str(),
            api_key_prefix: record.prefix(),
            app_id: record.app.as_str(),
            tenant_id: tenant.id.as_str(),
            tenant_name: &tenant.name,
            scopes: &record.grant.scopes,
            allowed_ips: record.grant.allowed_ips.iter().map(ToString::to_string).collect(),
            created_at: iso(record.created_at),
            expires_at: record.grant.expires_at.map(iso),
        }
    }
}

/// A new key. Its secret is shown only once.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CreatedApiKey")]
pub struct NewKey<'a> {
    /// The id of the key.
    key_id: &'a str,
    /// The key itself.
    api_key: &'a str,
    /// The beginning of the key.
    api_key_prefix: String,
    /// The scopes of the key.
    scopes: Vec<Scope>,
    /// Where the key may be used from; anywhere if empty.
    allowed_ips: Vec<String>,
    /// When the key was created.
    #[schemars(with = "Timestamp")]
    created_at: String,
    /// When the key expires; `null` if it does not.
    #[schemars(with = "Option<Timestamp>")]
    expires_at: Option<String>,
}

impl<'a> NewKey<'a> {
    pub fn of(key: &'a ApiKey, record: &'a KeyRecord) -> Self {
        Self {
            key_id: record.id.as_str(),
            api_key: key.expose(),
            api_key_prefix: key.prefix(),
            scopes: record.grant.scopes.clone(),
            allowed_ips: record.grant.allowed_ips.iter().map(ToString::to_string).collect(),
            created_at: iso(record.created_at),
            expires_at: record.grant.expires_at.map(iso),
        }
    }
}

/// The new main key. Its secret is shown only once.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RotatedApiKey")]
pub struct RotatedKey<'a> {
    /// The key itself.
    api_key: &'a str,
    /// The beginning of the key.
    api_key_prefix: String,
    /// What the key may do.
    scopes: Vec<Scope>,
    /// Where the key may be used from; anywhere if empty.
    allowed_ips: Vec<String>,
    /// When the key expires; `null` if it does not.
    #[schemars(with = "Option<Timestamp>")]
    expires_at: Option<String>,
}

impl<'a> RotatedKey<'a> {
    pub fn of(key: &'a ApiKey, record: &KeyRecord) -> Self {
        Self {
            api_key: key.expose(),
            api_key_prefix: key.prefix(),
            scopes: record.grant.scopes.clone(),
            allowed_ips: record.grant.allowed_ips.iter().map(ToString::to_string).collect(),
            expires_at: record.grant.expires_at.map(iso),
        }
    }
}

/// A new webhook secret.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RotatedWebhookSecret")]
pub struct RotatedSecret<'a> {
    /// The secret itself.
    pub webhook_secret: &'a str,
    /// Until then events are also signed with the previous secret.
    #[schemars(with = "Timestamp")]
    pub previous_expires_at: String,
}

/// `GET /v1/audit`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditLog<'a> {
    /// The entries, newest first.
    entries: Vec<EntryView<'a>>,
    /// Send it as `cursor` to get the next page; `null` on the last page.
    next_cursor: Option<String>,
}

/// An action that was done for a tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AuditEntry")]
struct EntryView<'a> {
    /// The id of the entry.
    id: &'a str,
    /// When it was done.
    #[schemars(with = "Timestamp")]
    at: String,
    /// Who did it.
    actor: ActorView<'a>,
    /// The action, such as `app.changed`. New actions may be added at any time.
    action: &'a str,
    /// The tenant for which it was done.
    tenant_id: &'a str,
    /// The id of the changed resource.
    subject: &'a str,
    /// The names of the changed fields; absent if the action changes none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<&'a str>,
    /// The IP address that the request came from; `null` for background work.
    source_ip: Option<&'a str>,
    /// The id of the request; `null` for background work.
    request_id: Option<&'a str>,
}

/// Who did an action.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AuditActor")]
struct ActorView<'a> {
    /// `operator`; `key`: a tenant's key; `browser`: a person with a connect link; `background`: Ringbridge.
    #[serde(rename = "type")]
    #[schemars(extend("enum" = ["operator", "key", "browser", "background"]))]
    kind: &'static str,
    /// The id of the key, if the actor is a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
}

impl<'a> AuditLog<'a> {
    pub fn of(entries: &'a [AuditRecord], next_cursor: Option<String>) -> Self {
        let view = |entry: &'a AuditRecord| EntryView {
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

/// A new app. Its key and webhook secret are shown only once.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RegisteredApp")]
pub struct RegisteredAppView<'a> {
    /// The id of the app.
    app_id: &'a str,
    /// The name of the app.
    name: &'a str,
    /// The app's first API key.
    api_key: &'a str,
    /// The beginning of the key.
    api_key_prefix: String,
    /// The secret that signs the app's webhooks.
    webhook_secret: &'a str,
    /// A label that the tenant chose.
    role: Option<&'a str>,
    /// The tenant of the app.
    tenant_id: &'a str,
}

impl<'a> From<&'a RegisteredApp> for RegisteredAppView<'a> {
    fn from(registered: &'a RegisteredApp) -> Self {
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
