//! Links: making them. What becomes of one is in `connect.rs`.

use jiff::SignedDuration;

use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::audit::{Action, AuditContext, AuditEntry};
use crate::model::connect_token::{ConnectToken, Link};
use crate::model::tenant::{self, Tenant};
use crate::rate_limits;

/// What a link is to be like.
#[derive(Debug, Clone)]
pub struct LinkOrder {
    /// How long it lives.
    pub lifetime: SignedDuration,
    /// The tenant's own word for it.
    pub label: Option<String>,
    /// Where the page after success links back to.
    pub return_url: Option<String>,
}

impl LinkOrder {
    /// A link with a lifetime and nothing else.
    pub fn living(seconds: i64) -> Self {
        Self { lifetime: SignedDuration::from_secs(seconds), label: None, return_url: None }
    }
}

/// How long an invite lives: a minute to seven days, by default half an hour.
pub fn lifetime(seconds: Option<i64>) -> Result<SignedDuration> {
    let seconds = seconds.unwrap_or(limits::INVITE_TOKEN_SECONDS);
    if (limits::INVITE_TOKEN_MIN_SECONDS..=limits::INVITE_TOKEN_MAX_SECONDS).contains(&seconds) {
        return Ok(SignedDuration::from_secs(seconds));
    }
    let (min, max) = (limits::INVITE_TOKEN_MIN_SECONDS, limits::INVITE_TOKEN_MAX_SECONDS);
    Err(Error::InvalidField { text: format!("expiresIn must be {min}-{max} seconds"), field: "expiresIn" })
}

/// A tenant's own word for an invite: one line of 1 to 100 characters.
pub fn label(label: Option<String>) -> Result<Option<String>> {
    let Some(label) = label else { return Ok(None) };
    let label = label.trim();
    if label.is_empty()
        || label.chars().count() > limits::LABEL_CHARS
        || label.chars().any(tenant::is_invisible)
    {
        let text = format!("label must be 1-{} characters", limits::LABEL_CHARS);
        return Err(Error::InvalidField { text, field: "label" });
    }
    Ok(Some(label.to_owned()))
}

/// Makes a link for a tenant, within its limit for an hour.
pub async fn mint(
    gateway: &Gateway,
    by: &AuditContext,
    tenant: &Tenant,
    order: LinkOrder,
) -> Result<ConnectToken> {
    rate_limits::count_link(gateway, &tenant.id, tenant.limits.connect_tokens_per_hour).await?;
    let token = ConnectToken::generate();
    let now = gateway.clock.now();
    let link = Link {
        tenant: tenant.id.clone(),
        tenant_name: tenant.name.clone(),
        label: order.label,
        return_url: order.return_url.or_else(|| tenant.return_url.clone()),
        expires_at: now.saturating_add(order.lifetime).unwrap_or(now),
        browser: None,
        used_at: None,
    };
    let digest = token.digest();
    let deed = AuditEntry {
        by,
        action: Action::LinkCreated,
        tenant: &tenant.id,
        // Enough to tell one link from another, too little to look one up.
        subject: &format!("link_{}", &digest[..16]),
        fields: &[],
    };
    gateway.store.create_link(&digest, &link, &deed).await?;
    Ok(token)
}
