//! Many connections over days of virtual time: token calls, syncs, sends and the keepalive of all of them together. The example
//! `connections` runs the same simulation with a million.

use crate::fleet_report::{Plan, Usage, UsageReport, mixed};
use crate::fleet_simulation::Fleet;
use crate::virtual_time::{DAY, HOUR};

#[test]
fn a_fleet_stays_within_its_budget_and_loses_no_grant() {
    let plan = Plan {
        connections: 2_000,
        usage: mixed,
        budget: 20,
        measured: (2 * DAY, 4 * DAY),
        outage: (5 * DAY, 5 * DAY + HOUR),
        end: 7 * DAY,
    };
    let report = Fleet::new(plan, 0x5eed).run();
    report.assert_sound(plan);
    let idle = report.usages[Usage::Idle as usize];
    let a_day = |count| idle.a_day(count, plan);
    assert!(a_day(idle.refreshes) <= 2.15 && a_day(idle.syncs) <= 2.15, "{report:?}");
}

/// With too small a budget, syncs wait, and messages and the keepalive do not.
#[test]
fn message_sync_alone_waits_for_a_budget_that_is_too_small() {
    let plan = Plan {
        connections: 2_000,
        usage: mixed,
        budget: 4,
        measured: (DAY, 3 * DAY),
        outage: (0, 0),
        end: 8 * DAY,
    };
    let report = Fleet::new(plan, 0x5eed).run();
    let late = |of: fn(&UsageReport) -> u64| report.usages.iter().map(of).sum::<u64>();
    assert!(report.most_calls <= plan.budget, "{report:?}");
    assert!(late(|one| one.late_syncs) > 500, "{report:?}");
    assert!(late(|one| one.late_sends) * 100 <= late(|one| one.sends), "{report:?}");
    assert!(report.shortest_lifetime > 2 * DAY, "no grant is near its end: {report:?}");
}

/// docs/capacity.md has the token calls and syncs of each class.
#[test]
fn each_class_of_activity_costs_what_the_documentation_says() {
    let plan = Plan {
        connections: 300,
        usage: |connection| [Usage::Idle, Usage::Recent, Usage::Active][connection as usize % 3],
        budget: 300,
        measured: (2 * DAY, 6 * DAY),
        outage: (0, 0),
        end: 6 * DAY,
    };
    let report = Fleet::new(plan, 0x5eed).run();
    let of = |usage: Usage| {
        let one = report.usages[usage as usize];
        (one.a_day(one.refreshes, plan), one.a_day(one.syncs, plan))
    };
    for (usage, refreshes, syncs) in [
        (Usage::Idle, 1.9..2.2, 1.9..2.2),
        // An hour after each message has the short intervals.
        (Usage::Recent, 11.0..14.0, 15.0..20.0),
        // And one sync for each message.
        (Usage::Active, 22.0..26.0, 140.0..190.0),
    ] {
        let (refreshed, synced) = of(usage);
        println!("{usage:?}: {refreshed:.2} refreshes, {synced:.2} syncs a day");
        assert!(refreshes.contains(&refreshed) && syncs.contains(&synced), "{usage:?} {refreshed} {synced}");
    }
}
