//! Whether a call of RingCentral's group Auth (the token endpoint, and revoking) may be made now: it is nobody's penalty,
//! and there is a share left. [`model::circuit_breaker`](crate::model::circuit_breaker) says when a penalty is more than one user's.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::circuit_breaker::{Gate, Penalty};
use crate::model::ids::{ExtensionId, TenantId};
use crate::model::rate_limit::Allowance;
use crate::rate_limits;
use crate::ringcentral::Retry;

/// A user of a tenant at one of RingCentral's issuers, or whoever signs in for the tenant, as its circles see it.
#[derive(Debug, Clone)]
pub struct Member {
    issuer: String,
    /// Whose calls are counted together, and how many the member may make in a minute; none: its part of all.
    counter: (String, Option<u32>),
    /// Where the member's own penalty is kept. It outlives whatever row says so, and the process that was told.
    own: String,
    /// A circle's name, and how the circle calls the member: its tenant, then the app.
    circles: [(String, String); 2],
    /// How many of the circles are told of a penalty.
    told: usize,
    /// The circles that it goes ahead for.
    ahead: Vec<usize>,
}

/// Whether a call may be made now.
#[derive(Debug)]
pub enum Pass {
    /// Yes, and it is counted; how it ends is to be told to [`Member::answered`] or [`Member::limited`].
    Yes,
    /// After this.
    After(Duration),
}

impl Member {
    /// A user, by the id of its extension, whose tokens are refreshed.
    pub fn user(issuer: &str, tenant: &TenantId, extension: &ExtensionId) -> Self {
        let allowed = Some(limits::TOKEN_CALLS_PER_USER);
        let counter = (extension.to_string(), allowed);
        Self::new(issuer, tenant, extension.as_str(), counter, format!("penalty#{issuer}#user#{extension}"))
    }

    /// The same where a session is ended: a tenant can bring that about as often as it likes.
    pub fn leaving(issuer: &str, tenant: &TenantId, extension: &ExtensionId) -> Self {
        Self { told: 1, ..Self::user(issuer, tenant, extension) }
    }

    /// Whoever signs in for a tenant. The user is not known yet, and a browser may begin as often as it likes: what
    /// RingCentral says to that concerns the tenant alone.
    pub fn sign_in(issuer: &str, tenant: &TenantId) -> Self {
        let counter = (format!("{tenant}#sign-in"), None);
        let own = format!("penalty#{issuer}#{tenant}#sign-in");
        Self { told: 1, ..Self::new(issuer, tenant, "sign-in", counter, own) }
    }

    fn new(issuer: &str, tenant: &TenantId, name: &str, counter: (String, Option<u32>), own: String) -> Self {
        let app = format!("penalty#{issuer}");
        let circles = [(format!("{app}#{tenant}"), name.to_owned()), (app, tenant.to_string())];
        Self { issuer: issuer.to_owned(), counter, own, told: circles.len(), circles, ahead: Vec::new() }
    }

    /// Asks for the call: first whether there is silence, then for a share. Whoever asks makes the call at once, or shares
    /// are used up for nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if nobody can be asked: then no call is made.
    pub async fn pass(&mut self, gateway: &Gateway) -> Result<Pass> {
        if let Pass::After(wait) = self.pass_circles(gateway).await? {
            return Ok(Pass::After(wait));
        }
        let budget = gateway.config.token_calls_per_minute;
        let (name, limit) = &self.counter;
        let limit = limit.unwrap_or((budget / limits::SIGN_INS_SHARE).max(1));
        let wait = rate_limits::count_token_call(gateway, &self.issuer, name, limit).await?;
        Ok(wait.map_or(Pass::Yes, Pass::After))
    }

    async fn pass_circles(&mut self, gateway: &Gateway) -> Result<Pass> {
        let [(tenant, _), (app, _)] = &self.circles;
        let known = gateway.store.penalties(&[&self.own, tenant, app]).await?;
        let (now, budget) = (gateway.clock.now(), gateway.config.token_calls_per_minute);
        let gate = |name: &String| known.get(name).map_or(Gate::Open, |known| known.gate(budget, now));
        let gates = [gate(tenant), gate(app)];
        // A closed circle is found before anybody goes ahead for the other one. One's own penalty needs nobody to go
        // ahead: over is over.
        let closed = [gate(&self.own)].into_iter().chain(gates).filter_map(|gate| match gate {
            Gate::Closed(until) => Some(until),
            _ => None,
        });
        if let Some(until) = closed.max() {
            return Ok(Pass::After(until.duration_since(now).try_into().unwrap_or_default()));
        }
        for (at, gate) in gates.into_iter().enumerate() {
            let name = &self.circles[at].0;
            match gate {
                Gate::Open | Gate::Closed(_) => {}
                Gate::Turn { minute, turn } => {
                    let counter = format!("{name}#{minute}#{turn}");
                    if !rate_limits::count(gateway, &counter, Allowance::per_minute(1)).await?.allowed {
                        return Ok(Pass::After(Duration::from_secs(limits::TOKEN_TURN_SECONDS)));
                    }
                }
                Gate::Ahead if gateway.store.go_ahead(name).await? => self.ahead.push(at),
                Gate::Ahead => return Ok(Pass::After(Duration::from_secs(limits::TOKEN_FOLLOW_SECONDS))),
            }
        }
        Ok(Pass::Yes)
    }

    /// The call was answered, by whatever it was: there is no penalty.
    pub async fn answered(&self, gateway: &Gateway) {
        for &at in &self.ahead {
            let circle = &self.circles[at].0;
            match gateway.store.open_circle(circle).await {
                Ok(()) => tracing::info!("RingCentral answers token calls again"),
                Err(error) => tracing::warn!(error = Error::from(error).chain(), "a circle stays closed"),
            }
        }
    }

    /// The call was answered by a penalty until a moment.
    pub async fn limited(&self, gateway: &Gateway, until: Timestamp) {
        if let Err(error) = gateway.store.close_circle(&self.own, until).await {
            tracing::warn!(error = Error::from(error).chain(), "a penalty is not remembered");
        }
        for (name, member) in &self.circles[..self.told] {
            if let Err(error) = tell(gateway, name, member, until).await {
                tracing::warn!(error = error.chain(), "others do not learn of a penalty");
            }
        }
    }
}

async fn tell(gateway: &Gateway, circle: &str, member: &str, until: Timestamp) -> Result<()> {
    let known: Penalty = gateway.store.note_penalty(circle, member).await?;
    if known.closes(member, gateway.clock.now()) {
        tracing::warn!(until = %until, "RingCentral makes several users wait with their token calls: all wait");
        gateway.store.close_circle(circle, until).await?;
    }
    Ok(())
}

/// When a penalty of the token endpoint is over: a little later than asked for, since every call within it restarts it,
/// and never in less than half a minute. The jitter is in percent, from -20 to 20.
pub fn ends(gateway: &Gateway, asked: Retry, jitter: i64) -> Timestamp {
    let asked = match asked {
        Retry::After(wait) => i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        _ => 0,
    };
    let seconds = asked.max(limits::TOKEN_PENALTY_SECONDS);
    saturating_add(
        gateway.clock.now(),
        SignedDuration::from_secs(seconds.saturating_add(1 + jitter.abs() / 4)),
    )
}
