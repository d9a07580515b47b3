//! Silence of the token endpoint for more than one user: [`model::penalty`](crate::model::penalty) says when and why.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::ids::TenantId;
use crate::model::penalty::{Gate, Penalty};
use crate::model::rate::{Allowance, later};
use crate::rates;
use crate::ringcentral::Retry;

/// A user of a tenant at one of RingCentral's issuers, as its circles see it.
#[derive(Debug, Clone)]
pub struct Member {
    /// A circle's name, and how the circle calls the member.
    circles: [(String, String); 2],
    /// The circles that it goes ahead for.
    ahead: Vec<usize>,
}

/// Whether a call may be made now.
#[derive(Debug)]
pub enum Pass {
    /// Yes; how it ends is to be told to [`Member::answered`] or [`Member::limited`].
    Yes,
    /// After this.
    After(Duration),
}

impl Member {
    /// A user, by the id of its extension; for a sign-in, whose user is not known yet, any other name.
    pub fn new(issuer: &str, tenant: &TenantId, user: &str) -> Self {
        let app = format!("penalty#{issuer}");
        let of_tenant = (format!("{app}#{tenant}"), user.to_owned());
        Self { circles: [of_tenant, (app, tenant.to_string())], ahead: Vec::new() }
    }

    /// Asks the circles.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if they can't be asked: then no call is made.
    pub async fn pass(&mut self, gateway: &Gateway) -> Result<Pass> {
        let names = self.circles.each_ref().map(|(name, _)| name.as_str());
        let known = gateway.store.penalties(&names).await?;
        let (now, budget) = (gateway.clock.now(), gateway.config.token_calls_per_minute);
        let gates = names.map(|name| known.get(name).map_or(Gate::Open, |known| known.gate(budget, now)));
        // A closed circle is found before anybody goes ahead for the other one.
        let closed = gates.iter().filter_map(|gate| match gate {
            Gate::Closed(until) => Some(*until),
            _ => None,
        });
        if let Some(until) = closed.max() {
            return Ok(Pass::After(until.duration_since(now).try_into().unwrap_or_default()));
        }
        for (at, gate) in gates.into_iter().enumerate() {
            let name = &self.circles[at].0;
            match gate {
                Gate::Open | Gate::Closed(_) => {}
                Gate::Slow { minute, calls } => {
                    let counter = format!("{name}#{minute}");
                    let share = rates::count(gateway, &counter, Allowance::per_minute(calls)).await?;
                    if !share.allowed {
                        return Ok(Pass::After(share.reset));
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
        for (name, member) in &self.circles {
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
    later(gateway.clock.now(), SignedDuration::from_secs(seconds.saturating_add(1 + jitter.abs() / 4)))
}
