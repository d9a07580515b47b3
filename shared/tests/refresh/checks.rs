//! The checks: the protocol keeps its properties, and the checker finds each broken variant.

use proptest::prelude::*;
use stateright::{Checker, Model};

use crate::{Protocol, Server, Variant};

fn sound(server: Server) -> Protocol {
    let workers =
        std::env::var("RINGBRIDGE_CHECK_WORKERS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    Protocol {
        server,
        variant: Variant::Sound,
        workers,
        attempts: 2,
        rotations: 3,
        crashes: 1,
        losses: 1,
        store_faults: 0,
        rate_limits: 0,
        disconnects: false,
        reliable_leases: false,
    }
}

/// A protocol with a server that limits the call rate.
fn rate_limited() -> Protocol {
    Protocol { rate_limits: 2, losses: 0, rotations: 2, reliable_leases: true, ..sound(Server::Forgiving) }
}

/// Asserts that every reachable state has every property.
fn holds(protocol: Protocol) {
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    println!("{} states, {} of them unique", checker.state_count(), checker.unique_state_count());
    checker.assert_properties();
}

/// Asserts that the checker finds a state without the property.
fn is_found(variant: Variant, property: &'static str) {
    is_found_in(Protocol { variant, ..sound(Server::Forgiving) }, property);
}

fn is_found_in(protocol: Protocol, property: &'static str) {
    let variant = protocol.variant;
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    let path = checker.discovery(property).unwrap_or_else(|| panic!("{variant:?} was not found"));
    println!("{variant:?} fails in {} steps", path.into_actions().len());
}

#[test]
fn no_grant_is_lost_through_crashes_lost_responses_or_expired_leases() {
    holds(sound(Server::Forgiving));
}

#[test]
fn no_grant_is_lost_through_lost_responses_of_the_store() {
    holds(Protocol { store_faults: 1, crashes: 0, losses: 1, ..sound(Server::Forgiving) });
}

#[test]
fn no_session_outlives_a_disconnect() {
    holds(Protocol { disconnects: true, crashes: 0, losses: 0, rotations: 2, ..sound(Server::Forgiving) });
}

#[test]
fn with_a_strict_server_no_grant_is_lost_unless_a_response_is_lost() {
    for server in [Server::Strict, Server::FamilyKill] {
        holds(Protocol { crashes: 0, losses: 0, reliable_leases: true, ..sound(server) });
    }
}

#[test]
fn with_a_strict_server_no_redeemable_connection_is_marked_as_revoked() {
    for server in [Server::Strict, Server::FamilyKill] {
        holds(Protocol { reliable_leases: true, ..sound(server) });
    }
}

#[test]
fn no_call_is_made_during_a_penalty() {
    holds(rate_limited());
}

#[test]
fn a_lease_that_overwrites_other_attempts_is_found() {
    is_found_in(
        Protocol { variant: Variant::BlindLease, ..rate_limited() },
        "no call while the row is blocked",
    );
}

#[test]
fn a_write_without_compare_and_swap_is_found() {
    is_found(Variant::NoCompareAndSwap, "the generation only increases");
}

#[test]
fn a_use_before_the_write_is_found() {
    is_found(Variant::UseBeforeWrite, "no token is used before it is stored");
    is_found(Variant::UseBeforeWrite, "the stored grant can be redeemed");
}

#[test]
fn an_unconditional_revocation_is_found() {
    is_found(Variant::UnconditionalRevocation, "the grant of a revoked connection can't be redeemed");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Long random walks, with higher limits than an exhaustive search allows. The seed is printed on failure.
    #[test]
    fn random_walks_keep_every_property(choices in proptest::collection::vec(any::<u16>(), 20..160), workers in 2_usize..5) {
        let protocol = Protocol {
            workers, attempts: 40, rotations: 60, crashes: 8, losses: 8, store_faults: 8, rate_limits: 8,
            disconnects: false,
            ..sound(Server::Forgiving)
        };
        let mut world = protocol.init_states().remove(0);
        for choice in choices {
            let mut acts = Vec::new();
            protocol.actions(&world, &mut acts);
            if acts.is_empty() {
                break;
            }
            let Some(next) = protocol.next_state(&world, acts[usize::from(choice) % acts.len()]) else { continue };
            world = next;
            for property in protocol.properties() {
                if property.name != "a refresh succeeds" {
                    prop_assert!((property.condition)(&protocol, &world), "{}: {world:?}", property.name);
                }
            }
        }
    }
}
