//! Creation of tenants and apps, and validation of their attributes. `apps.rs` manages apps and their keys, `deletion.rs` deletes
//! tenants.

use data_encoding::BASE64;
use serde_json::json;
use url::Url;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::app::{ApiKey, App, AppKind, KeyGrant, KeyRecord};
use crate::model::audit::{Action, AuditContext, AuditEntry};
use crate::model::display_text::display_text;
use crate::model::event::EventKind;
use crate::model::ids::{AppId, TenantId};
use crate::model::patch::Patch;
use crate::model::phone::E164;
use crate::model::secret::Secret;
use crate::model::settings::TenantSettings;
use crate::model::signature;
use crate::model::tenant::{Tenant, TenantLimits, TenantStatus};
use crate::model::trigger_token::TriggerToken;
use crate::outbound;
use crate::retry::{Attempt, retry_on_conflict};
use crate::store::{
    ChangeOutcome, Idempotency, IdempotentOutcome, SealedSecret, SigningSecrets, TenantChange, WriteOutcome,
};
use crate::vault::{Binding, Owner, Purpose};

/// The attributes of a new tenant.
#[derive(Debug)]
pub struct TenantSpec {
    pub name: String,
    pub limits: TenantLimits,
    pub return_url: Option<String>,
}

/// Creates a tenant. Requests with the same idempotency key create one.
///
/// # Errors
/// [`Error::IdempotencyReused`] and [`Error::IdempotencyInProgress`].
pub async fn create_tenant(
    gateway: &Gateway,
    audit: &AuditContext,
    spec: TenantSpec,
    key: Option<&str>,
) -> Result<Tenant> {
    let TenantLimits { requests_per_minute, tenant_requests_per_minute, connect_tokens_per_hour, apps } =
        spec.limits;
    let content = json!([
        spec.name,
        requests_per_minute,
        tenant_requests_per_minute,
        connect_tokens_per_hour,
        apps,
        spec.return_url
    ]);
    let key = key.map(|key| Idempotency::of(key, &content));
    let mut tenant = Tenant {
        id: TenantId::generate(),
        name: spec.name,
        status: TenantStatus::Active,
        limits: spec.limits,
        return_url: spec.return_url,
        settings: TenantSettings::default(),
        cursor_key: Secret::random(),
        apps_registered: 0,
        created_at: gateway.clock.now(),
        deletion: None,
    };
    let action = Action::TenantCreated;
    let entry =
        AuditEntry { context: audit, action, tenant: &tenant.id, subject: tenant.id.as_str(), fields: &[] };
    match gateway.store.create_tenant(&tenant, key.as_ref(), &entry).await? {
        IdempotentOutcome::Applied => tracing::info!(tenant.id = %tenant.id, "tenant created"),
        IdempotentOutcome::Replayed(stored) => {
            if key.is_some_and(|key| key.fingerprint != stored.fingerprint) {
                return Err(Error::IdempotencyReused);
            }
            (tenant.id, tenant.created_at) = (stored.id, stored.created_at);
        }
        IdempotentOutcome::Refused => {
            return Err(Error::Internal { what: "a new tenant whose id exists", source: None });
        }
        IdempotentOutcome::InProgress => return Err(Error::IdempotencyInProgress),
    }
    Ok(tenant)
}

pub async fn change_tenant(
    gateway: &Gateway,
    audit: &AuditContext,
    id: &TenantId,
    change: &TenantChange,
) -> Result<Tenant> {
    let changed = [
        ("name", change.name.is_some()),
        ("status", change.status.is_some()),
        ("limits.requestsPerMinute", change.requests_per_minute.is_some()),
        ("limits.tenantRequestsPerMinute", change.tenant_requests_per_minute.is_some()),
        ("limits.connectTokensPerHour", change.connect_tokens_per_hour.is_some()),
        ("limits.apps", change.apps.is_some()),
        ("returnUrl", change.return_url != Patch::Keep),
    ];
    let fields: Vec<&'static str> =
        changed.into_iter().filter(|(_, is_changed)| *is_changed).map(|(name, _)| name).collect();
    let action = match change.status {
        Some(TenantStatus::Suspended) => Action::TenantSuspended,
        Some(TenantStatus::Active) => Action::TenantResumed,
        Some(TenantStatus::Deleting) | None => Action::TenantChanged,
    };
    let entry = AuditEntry { context: audit, action, tenant: id, subject: id.as_str(), fields: &fields };
    match gateway.store.change_tenant(id, change, &entry).await? {
        ChangeOutcome::Applied => gateway.store.tenant(id).await?.ok_or(Error::NotFound),
        ChangeOutcome::NotFound => Err(Error::NotFound),
        ChangeOutcome::Conflict => Err(Error::TenantDeleting),
    }
}

/// The attributes of an app to register.
#[derive(Debug)]
pub struct AppSpec {
    pub tenant: TenantId,
    pub name: String,
    pub webhook_url: Option<String>,
    /// Delivers only events of these types; all if empty.
    pub event_types: Vec<EventKind>,
    /// Delivers only events of these numbers; all if empty.
    pub numbers: Vec<E164>,
    pub role: Option<String>,
}

/// A new app with the secrets that are shown only once.
#[derive(Debug)]
pub struct RegisteredApp {
    pub app: App,
    pub key: ApiKey,
    /// In the form of Standard Webhooks: `whsec_` and base64 of 32 bytes.
    pub webhook_secret: Secret,
}

/// Registers an app, whose first key has this grant.
pub async fn register_app(
    gateway: &Gateway,
    audit: &AuditContext,
    spec: AppSpec,
    grant: KeyGrant,
) -> Result<RegisteredApp> {
    let now = gateway.clock.now();
    let key = ApiKey::generate(&spec.tenant);
    let app = App {
        tenant: spec.tenant,
        id: AppId::generate(),
        kind: AppKind::Program,
        name: spec.name,
        webhook_url: spec.webhook_url,
        event_types: spec.event_types,
        numbers: spec.numbers,
        role: spec.role,
        main_key: Some(key.id().clone()),
        keys: vec![key.id().clone()],
        trigger_token: None,
        created_at: now,
    };
    let record = KeyRecord::of(&key, &app.id, grant, now);
    let webhook_secret = new_webhook_secret();
    let sealed =
        seal_webhook_secret(gateway, &app.tenant, &app.id, FIRST_GENERATION, &webhook_secret).await?;
    let action = Action::AppRegistered;
    let entry =
        AuditEntry { context: audit, action, tenant: &app.tenant, subject: app.id.as_str(), fields: &[] };
    match store_app(gateway, &app, Some(&record), &sealed, &entry).await? {
        Registration::Registered => {}
        Registration::TenantUnavailable => return Err(Error::TenantUnavailable),
    }
    tracing::info!(tenant.id = %app.tenant, app.id = %app.id, "app registered");
    Ok(RegisteredApp { app, key, webhook_secret })
}

/// The subscription of a Power Automate flow.
#[derive(Debug)]
pub struct TriggerSpec {
    pub callback_url: String,
    /// The number whose inbound messages trigger the flow; all if absent.
    pub number: Option<E164>,
}

/// Subscribes a Power Automate flow to inbound messages, and returns the token with which it unsubscribes. The flow is stored as
/// an app without keys. Its callback URL triggers it without further proof, so it is sealed as an app's webhook secret is.
pub async fn create_trigger(
    gateway: &Gateway,
    audit: &AuditContext,
    tenant: &TenantId,
    spec: TriggerSpec,
) -> Result<(App, TriggerToken)> {
    if let Some(number) = &spec.number
        && gateway.store.number(tenant, number).await?.is_none()
    {
        let text = format!("Phone number {number} is not registered in this RingCentral account");
        return Err(Error::InvalidField { text, field: "phoneNumber" });
    }
    let token = TriggerToken::generate(tenant);
    let app = App {
        tenant: tenant.clone(),
        id: AppId::generate(),
        kind: AppKind::Trigger,
        name: "Power Automate".to_owned(),
        webhook_url: Some(masked(&spec.callback_url)),
        event_types: vec![EventKind::SmsInbound],
        numbers: spec.number.into_iter().collect(),
        role: None,
        main_key: None,
        keys: Vec::new(),
        trigger_token: Some(token.digest()),
        created_at: gateway.clock.now(),
    };
    let url = Secret::new(spec.callback_url);
    let sealed = seal_webhook_secret(gateway, tenant, &app.id, FIRST_GENERATION, &url).await?;
    let entry = AuditEntry {
        context: audit,
        action: Action::TriggerCreated,
        tenant,
        subject: app.id.as_str(),
        fields: &[],
    };
    match store_app(gateway, &app, None, &sealed, &entry).await? {
        Registration::Registered => {}
        Registration::TenantUnavailable => return Err(Error::TenantSuspended),
    }
    tracing::info!(tenant.id = %tenant, app.id = %app.id, "trigger created");
    Ok((app, token))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Registration {
    Registered,
    /// The tenant does not exist or is not active.
    TenantUnavailable,
}

/// Stores an app if the tenant is below its limit of apps.
async fn store_app(
    gateway: &Gateway,
    app: &App,
    first_key: Option<&KeyRecord>,
    webhook: &SealedSecret,
    entry: &AuditEntry<'_>,
) -> Result<Registration> {
    let contended =
        || Error::unavailable("the tenant", "every attempt to register an app met a concurrent registration");
    retry_on_conflict(limits::CONFLICT_ATTEMPTS, contended, || async {
        let tenant = gateway.store.tenant(&app.tenant).await?;
        let Some(tenant) = tenant.filter(|tenant| tenant.status == TenantStatus::Active) else {
            return Ok(Attempt::Done(Registration::TenantUnavailable));
        };
        // Concurrent registrations use up the room that was read here. The write then meets a conflict.
        let limit = usize::try_from(tenant.limits.apps).unwrap_or(usize::MAX);
        let room = limit.saturating_sub(gateway.store.app_count(&tenant.id).await?);
        if room == 0 {
            return Err(Error::TooManyApps);
        }
        let most = tenant.apps_registered + room;
        Ok(match gateway.store.register_app(app, first_key, webhook, most, entry).await? {
            WriteOutcome::Applied => Attempt::Done(Registration::Registered),
            WriteOutcome::Conflict => Attempt::Conflict,
        })
    })
    .await
}

/// Encrypts a webhook secret, or the callback URL of a trigger, with a new data key. One KMS call.
pub(crate) async fn seal_webhook_secret(
    gateway: &Gateway,
    tenant: &TenantId,
    app: &AppId,
    generation: u64,
    secret: &Secret,
) -> Result<SealedSecret> {
    let owner = Owner { tenant, subject: app.as_str(), purpose: Purpose::Webhook };
    let data_key = gateway.vault().new_key(owner).await?;
    Ok(SealedSecret {
        secret: data_key.seal(owner, Binding { generation, issuer: WEBHOOK_ISSUER }, secret),
        key: data_key.wrapped().clone(),
        generation,
    })
}

/// Decrypts the webhook secrets that sign an app's events, or the callback URL of a trigger. At most one KMS call for each.
pub(crate) async fn open_webhook_secrets(
    gateway: &Gateway,
    app: &App,
    sealed: &SigningSecrets,
) -> Result<Vec<Secret>> {
    let owner = Owner { tenant: &app.tenant, subject: app.id.as_str(), purpose: Purpose::Webhook };
    let mut secrets = Vec::new();
    for sealed in std::iter::once(&sealed.current).chain(sealed.replaced.iter().map(|(secret, _)| secret)) {
        let binding = Binding { generation: sealed.generation, issuer: WEBHOOK_ISSUER };
        secrets.push(gateway.vault().open(owner, binding, &sealed.key, &sealed.secret).await?);
    }
    Ok(secrets)
}

/// The generation of an app's first webhook secret.
const FIRST_GENERATION: u64 = 1;
/// The issuer in the associated data of webhook secrets.
const WEBHOOK_ISSUER: &str = "ringbridge";

/// In the form of Standard Webhooks.
pub(crate) fn new_webhook_secret() -> Secret {
    let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).expect("the system's random generator works");
    Secret::new(format!("{}{}", signature::SECRET_PREFIX, BASE64.encode(bytes.as_slice())))
}

/// A required name.
pub fn name(text: Option<&str>) -> Result<String> {
    text.and_then(|text| display_text(text, limits::NAME_CHARS)).ok_or(Error::InvalidName)
}

/// The id of a tenant in a request of the operator, or to be compared with the tenant of the caller.
pub fn tenant_id(text: &str) -> Result<TenantId> {
    TenantId::from_record(text).ok_or(Error::InvalidId { kind: "tenantId" })
}

/// A status that the operator may set: not `deleting`.
pub fn status(text: &str) -> Result<TenantStatus> {
    let invalid =
        || Error::InvalidField { text: "status must be active or suspended".to_owned(), field: "status" };
    TenantStatus::parse(text).filter(|status| *status != TenantStatus::Deleting).ok_or_else(invalid)
}

/// The role of an app, a free text: one line of 1 to 100 characters.
#[expect(clippy::needless_pass_by_value, reason = "it is what map and try_map pass")]
pub fn role(text: String) -> Result<String> {
    let invalid = || Error::InvalidField { text: "role must be 1-100 characters".to_owned(), field: "role" };
    display_text(&text, limits::NAME_CHARS).ok_or_else(invalid)
}

/// The event type filter of an app.
pub fn event_types(names: Option<Vec<String>>) -> Result<Vec<EventKind>> {
    let mut kinds = Vec::new();
    for (at, name) in names.unwrap_or_default().iter().enumerate() {
        let known = || EventKind::ALL.map(EventKind::as_str).join(", ");
        let kind = EventKind::parse(name).ok_or_else(|| Error::InvalidItem {
            text: format!("eventTypes[{at}] must be one of {}", known()),
            field: format!("eventTypes[{at}]"),
        })?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

/// The number filter of an app.
pub fn numbers(texts: Option<Vec<String>>) -> Result<Vec<E164>> {
    let texts = texts.unwrap_or_default();
    if texts.len() > limits::APP_NUMBERS {
        let text = format!("numbers must be at most {}", limits::APP_NUMBERS);
        return Err(Error::InvalidField { text, field: "numbers" });
    }
    let invalid = |at: usize| Error::InvalidItem {
        text: format!("numbers[{at}] must be a valid E.164 phone number"),
        field: format!("numbers[{at}]"),
    };
    texts.iter().enumerate().map(|(at, text)| E164::parse(text).ok_or_else(|| invalid(at))).collect()
}

pub fn webhook_url(config: &Config, text: String) -> Result<String> {
    if is_url(config, &text) { Ok(text) } else { Err(Error::InvalidWebhookUrl) }
}

/// The URL of a Power Automate flow.
pub fn callback_url(config: &Config, text: Option<String>) -> Result<String> {
    let text = text
        .filter(|text| !text.is_empty())
        .ok_or(Error::MissingField { text: "callbackUrl is required", field: "callbackUrl" })?;
    if !is_url(config, &text) {
        return Err(Error::InvalidField {
            text: "Invalid callbackUrl: must be https:// in production, max 2000 chars".to_owned(),
            field: "callbackUrl",
        });
    }
    Ok(text)
}

/// The number whose messages trigger a flow; all if it is absent or empty, which is how Power Automate sends an empty field.
pub fn trigger_number(text: Option<&str>) -> Result<Option<E164>> {
    let invalid = || Error::InvalidField {
        text: "phoneNumber must be a valid E.164 phone number".to_owned(),
        field: "phoneNumber",
    };
    let text = text.filter(|text| !text.is_empty());
    text.map(|text| E164::parse(text).ok_or_else(invalid)).transpose()
}

/// The URL that the success page links to.
pub fn return_url(config: &Config, text: String) -> Result<String> {
    if is_url(config, &text) {
        return Ok(text);
    }
    Err(Error::InvalidField {
        text: "Invalid returnUrl: must be https:// in production, max 2000 chars".to_owned(),
        field: "returnUrl",
    })
}

/// The origin of a URL whose path and query are secret.
fn masked(url: &str) -> String {
    Url::parse(url).map(|url| format!("{}/…", url.origin().ascii_serialization())).unwrap_or_default()
}

/// https with a host name and without credentials; on the local stage also http to loopback.
fn is_url(config: &Config, text: &str) -> bool {
    text.chars().count() <= limits::URL_CHARS
        && outbound::is_allowed_url(text, config.outbound_destinations())
}
