//! What a simulation of many connections is about, and what it reports.

use shared::limits;

use crate::virtual_time::{DAY, HOUR};

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub connections: u32,
    /// How each of them is used, by its number.
    pub usage: fn(u32) -> Usage,
    /// `TokenCallsPerMinute`.
    pub budget: u32,
    /// The period that is measured, the outage of the token endpoint, and the end, in milliseconds.
    pub measured: (i64, i64),
    pub outage: (i64, i64),
    pub end: i64,
}

/// How a connection is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// No messages.
    Idle,
    /// A message every six hours on average. As everywhere, sent and received ones alternate.
    Few,
    /// A hundred messages every ten minutes, from 8 to 18 o'clock.
    Busy,
    /// A message every 23 hours: the class of two hours.
    Recent,
    /// A message every 40 minutes: the class of ten minutes.
    Active,
}

impl Usage {
    pub const ALL: [Self; 5] = [Self::Idle, Self::Few, Self::Busy, Self::Recent, Self::Active];
}

/// 95 % idle, 4 % with a few messages a day, 1 % busy.
pub fn mixed(connection: u32) -> Usage {
    match connection % 100 {
        0..95 => Usage::Idle,
        95..99 => Usage::Few,
        _ => Usage::Busy,
    }
}

/// What the connections of one usage did in the measured period.
#[derive(Debug, Default, Clone, Copy)]
pub struct UsageReport {
    pub connections: u64,
    pub refreshes: u64,
    pub syncs: u64,
    /// Syncs that had to wait, because the others needed the token calls.
    pub late_syncs: u64,
    pub sends: u64,
    /// Sends that had to wait for a token.
    pub late_sends: u64,
}

/// Calls of RingCentral's API in the measured period.
#[derive(Debug, Default, Clone, Copy)]
pub struct ApiCalls {
    pub syncs: u64,
    pub checks: u64,
    pub sends: u64,
    pub reconciliations: u64,
}

#[derive(Debug, Default)]
pub struct FleetReport {
    pub usages: [UsageReport; Usage::ALL.len()],
    /// Token calls a minute in the measured period.
    pub mean: f64,
    pub peak: u32,
    /// The most token calls in any minute of the clock, and of one connection.
    pub most_calls: u32,
    pub most_calls_of_one: u32,
    pub during_outage: u32,
    pub most_waiting: usize,
    /// Until every connection was refreshed after the outage.
    pub recovered_after: Option<i64>,
    pub shortest_lifetime: i64,
    pub api_calls: ApiCalls,
    /// The most sends, and syncs, of one connection in a minute.
    pub most_sends: usize,
    pub most_syncs: u32,
}

impl UsageReport {
    /// How often something happened to one connection on a day.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below the limit")]
    pub fn a_day(&self, count: u64, plan: Plan) -> f64 {
        let days = (plan.measured.1 - plan.measured.0) as f64 / DAY as f64;
        count as f64 / self.connections.max(1) as f64 / days
    }
}

impl FleetReport {
    /// What must hold for a fleet whose budget is large enough.
    pub fn assert_sound(&self, plan: Plan) {
        assert!(
            self.most_calls <= plan.budget && self.peak <= self.most_calls,
            "the budget is kept: {self:?}"
        );
        assert!(self.during_outage <= 60 * plan.budget, "also in an outage: {self:?}");
        assert!(self.most_calls_of_one <= limits::TOKEN_CALLS_PER_USER, "RingCentral's limit: {self:?}");
        assert!(self.shortest_lifetime > 2 * DAY, "no grant is near its end: {self:?}");
        let recovered = self.recovered_after.is_some_and(|after| after < 2 * HOUR);
        assert!(recovered && self.most_waiting > 0, "all connections recover soon: {self:?}");
        assert!(
            self.most_sends < 40 && self.most_syncs < 40,
            "the pace is below RingCentral's limit: {self:?}"
        );
        let sum = |of: fn(&UsageReport) -> u64| self.usages.iter().map(of).sum::<u64>();
        let ApiCalls { syncs, checks, sends, reconciliations } = self.api_calls;
        assert_eq!((syncs, sends), (sum(|one| one.syncs), sum(|one| one.sends)));
        assert!(checks > 0 && reconciliations <= sends / 500, "{self:?}");
        assert!(self.mean <= f64::from(self.peak), "{self:?}");
        assert_eq!(sum(|one| one.late_sends), 0, "no message waits for a token: {self:?}");
        // A few connections more in a minute than on average fill a small budget.
        let permitted_late = if plan.budget < 100 { syncs / 50 } else { syncs / 200 };
        assert!(sum(|one| one.late_syncs) <= permitted_late, "hardly a sync waits for the others: {self:?}");
    }
}
