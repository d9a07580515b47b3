//! Whether a call of RingCentral's group Auth (the token endpoint and the revoke endpoint) may be made now: no penalty
//! applies, and the rate limit is not used up. [`model::circuit_breaker`](crate::model::circuit_breaker) explains when a
//! penalty applies to more than one caller.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::circuit_breaker::BreakerState;
use crate::model::ids::{ExtensionId, TenantId};
use crate::model::rate_limit::Allowance;
use crate::rate_limits::{self, TokenCaller};
use crate::ringcentral::Retry;
use crate::store::ProbeOutcome;

/// The circuit breaker as one caller sees it: a user of a tenant, or a sign-in for a tenant.
#[derive(Debug, Clone)]
pub struct Breaker {
    issuer: String,
    caller: TokenCaller,
    /// Key of the caller's own penalty. It is stored separately from the connection, which may be deleted.
    own_scope: String,
    /// The tenant's scope, then the app's.
    scopes: [BreakerScope; 2],
    /// In how many of the scopes a penalty of this caller is recorded.
    recorded_scopes: usize,
    /// Indexes of the scopes whose probe this caller has acquired.
    probing: Vec<usize>,
}

#[derive(Debug, Clone)]
struct BreakerScope {
    key: String,
    /// What the scope calls this caller.
    member: String,
}

#[derive(Debug)]
pub enum Permit {
    /// The caller makes the call at once and reports its end with [`Breaker::record_response`] or
    /// [`Breaker::record_rate_limited`]. The call counts against the rate limit whatever its outcome.
    Granted,
    RetryAfter(Duration),
}

impl Breaker {
    /// For refreshing the tokens of a user.
    pub fn for_user(issuer: &str, tenant: &TenantId, extension: &ExtensionId) -> Self {
        Self {
            recorded_scopes: 2,
            ..Self::new(
                issuer,
                tenant.as_str(),
                extension.as_str(),
                TokenCaller::User(extension.clone()),
                format!("penalty#{issuer}#user#{extension}"),
            )
        }
    }

    /// For ending a session of a user. A tenant can trigger this as often as it likes, so a penalty is not recorded in the
    /// app's scope.
    pub fn for_revocation(issuer: &str, tenant: &TenantId, extension: &ExtensionId) -> Self {
        Self { recorded_scopes: 1, ..Self::for_user(issuer, tenant, extension) }
    }

    /// For signing in. The user is not known yet, and browsers can start sign-ins as often as they like, so a penalty is
    /// not recorded in the app's scope.
    pub fn for_sign_in(issuer: &str, tenant: &TenantId) -> Self {
        Self::new(
            issuer,
            tenant.as_str(),
            "sign-in",
            TokenCaller::SignIn(tenant.clone()),
            format!("penalty#{issuer}#{tenant}#sign-in"),
        )
    }

    /// For checks of the app by the operator, who has no tenant. A penalty is not recorded for anyone else.
    pub fn for_app_check(issuer: &str) -> Self {
        let own_scope = format!("penalty#{issuer}#app-check");
        let breaker = Self::new(issuer, "operator", "app-check", TokenCaller::AppCheck, own_scope);
        Self { recorded_scopes: 0, ..breaker }
    }

    fn new(issuer: &str, tenant: &str, member: &str, caller: TokenCaller, own_scope: String) -> Self {
        let app_key = format!("penalty#{issuer}");
        let tenant_key = format!("{app_key}#{tenant}");
        Self {
            issuer: issuer.to_owned(),
            caller,
            own_scope,
            scopes: [
                BreakerScope { key: tenant_key, member: member.to_owned() },
                BreakerScope { key: app_key, member: tenant.to_string() },
            ],
            recorded_scopes: 1,
            probing: Vec::new(),
        }
    }

    /// Asks for permission to make one call: first the breakers, then the rate limits.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store does not respond. No call may be made then.
    pub async fn acquire_permit(&mut self, gateway: &Gateway) -> Result<Permit> {
        if let Permit::RetryAfter(wait) = self.check_breakers(gateway).await? {
            return Ok(Permit::RetryAfter(wait));
        }
        let wait = rate_limits::count_token_call(gateway, &self.issuer, &self.caller).await?;
        Ok(wait.map_or(Permit::Granted, Permit::RetryAfter))
    }

    async fn check_breakers(&mut self, gateway: &Gateway) -> Result<Permit> {
        let [tenant, app] = &self.scopes;
        let records = gateway.store.breaker_records(&[&self.own_scope, &tenant.key, &app.key]).await?;
        let (now, budget) = (gateway.clock.now(), gateway.config.token_calls_per_minute);
        let state =
            |key: &String| records.get(key).map_or(BreakerState::Closed, |record| record.state(budget, now));
        let states = [state(&tenant.key), state(&app.key)];
        // All open breakers are found before the probe of another scope is acquired. The caller's own penalty needs no
        // probe.
        let open = [state(&self.own_scope)].into_iter().chain(states).filter_map(|state| match state {
            BreakerState::Open(until) => Some(until),
            _ => None,
        });
        if let Some(until) = open.max() {
            return Ok(Permit::RetryAfter(until.duration_since(now).try_into().unwrap_or_default()));
        }
        for (at, state) in states.into_iter().enumerate() {
            let key = &self.scopes[at].key;
            match state {
                BreakerState::Closed | BreakerState::Open(_) => {}
                BreakerState::RampUp { minute, slot } => {
                    let counter = format!("{key}#{minute}#{slot}");
                    if !rate_limits::count(gateway, &counter, Allowance::per_minute(1)).await?.allowed {
                        return Ok(Permit::RetryAfter(Duration::from_secs(limits::TOKEN_RAMP_RETRY_SECONDS)));
                    }
                }
                BreakerState::HalfOpen => match gateway.store.acquire_probe(key).await? {
                    ProbeOutcome::Acquired => self.probing.push(at),
                    ProbeOutcome::InProgress => {
                        return Ok(Permit::RetryAfter(Duration::from_secs(
                            limits::TOKEN_PROBE_RETRY_SECONDS,
                        )));
                    }
                },
            }
        }
        Ok(Permit::Granted)
    }

    /// The call got a response that is not a penalty. Closes the breakers that this caller has probed.
    pub async fn record_response(&self, gateway: &Gateway) {
        for &at in &self.probing {
            match gateway.store.close_breaker(&self.scopes[at].key).await {
                Ok(()) => tracing::info!("circuit breaker of the token endpoint closed"),
                Err(error) => {
                    let error = Error::from(error);
                    tracing::warn!(
                        error = error.chain(),
                        "circuit breaker of the token endpoint stays open: it could not be closed"
                    );
                }
            }
        }
    }

    /// The call was rate limited. The penalty ends at `until`.
    pub async fn record_rate_limited(&self, gateway: &Gateway, until: Timestamp) {
        if let Err(error) = gateway.store.open_breaker(&self.own_scope, until).await {
            tracing::warn!(
                error = Error::from(error).chain(),
                "rate limit of the token endpoint could not be stored for its caller"
            );
        }
        for scope in &self.scopes[..self.recorded_scopes] {
            if let Err(error) = record_in_scope(gateway, scope, until).await {
                tracing::warn!(
                    error = error.chain(),
                    "rate limit of the token endpoint could not be stored for other callers"
                );
            }
        }
    }
}

async fn record_in_scope(gateway: &Gateway, scope: &BreakerScope, until: Timestamp) -> Result<()> {
    let record = gateway.store.record_rate_limited(&scope.key, &scope.member).await?;
    if record.trips(&scope.member, gateway.clock.now()) {
        tracing::warn!(alarm = "tokens", until = %until, "circuit breaker of the token endpoint opened: several callers are rate limited");
        gateway.store.open_breaker(&scope.key, until).await?;
    }
    Ok(())
}

/// When a penalty of the token endpoint ends: at least half a minute from now, and a little later than requested, since
/// each call during a penalty restarts it. `jitter_percent` is from -20 to 20.
pub fn penalty_end(gateway: &Gateway, requested: Retry, jitter_percent: i64) -> Timestamp {
    let requested = match requested {
        Retry::After(wait) => i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        _ => 0,
    };
    let seconds = requested.max(limits::TOKEN_PENALTY_SECONDS);
    saturating_add(
        gateway.clock.now(),
        SignedDuration::from_secs(seconds.saturating_add(1 + jitter_percent.abs() / 4)),
    )
}
