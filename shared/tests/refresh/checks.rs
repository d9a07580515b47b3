//! What the protocol keeps, and how ways to get it wrong are found out.

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
        limits: 0,
        disconnects: false,
        honest_leases: false,
    }
}

/// A server that makes callers wait.
fn limiting() -> Protocol {
    Protocol { limits: 2, losses: 0, rotations: 2, honest_leases: true, ..sound(Server::Forgiving) }
}

/// Every world that can be reached has every property.
fn holds(protocol: Protocol) {
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    println!("{} worlds, {} of them different", checker.state_count(), checker.unique_state_count());
    checker.assert_properties();
}

/// The checker finds a way to a world without the property.
fn is_found(variant: Variant, property: &'static str) {
    is_found_in(Protocol { variant, ..sound(Server::Forgiving) }, property);
}

fn is_found_in(protocol: Protocol, property: &'static str) {
    let variant = protocol.variant;
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    let way = checker.discovery(property).unwrap_or_else(|| panic!("{variant:?} was not found out"));
    println!("{variant:?} fails in {} steps", way.into_actions().len());
}

#[test]
fn nothing_is_lost_whatever_crashes_gets_lost_or_runs_out() {
    holds(sound(Server::Forgiving));
}

#[test]
fn nothing_is_lost_when_the_stores_answers_are() {
    holds(Protocol { store_faults: 1, crashes: 0, losses: 1, ..sound(Server::Forgiving) });
}

#[test]
fn no_session_outlives_a_disconnect() {
    holds(Protocol { disconnects: true, crashes: 0, losses: 0, rotations: 2, ..sound(Server::Forgiving) });
}

#[test]
fn servers_without_grace_lose_nothing_as_long_as_no_answer_is_lost() {
    for server in [Server::Strict, Server::FamilyKill] {
        holds(Protocol { crashes: 0, losses: 0, honest_leases: true, ..sound(server) });
    }
}

#[test]
fn servers_without_grace_never_flag_falsely() {
    for server in [Server::Strict, Server::FamilyKill] {
        holds(Protocol { honest_leases: true, ..sound(server) });
    }
}

#[test]
fn nobody_calls_within_a_penalty() {
    holds(limiting());
}

#[test]
fn a_lease_that_forgets_what_others_have_noted_is_found_out() {
    is_found_in(Protocol { variant: Variant::BlindLease, ..limiting() }, "no call while the row is blocked");
}

#[test]
fn a_write_without_compare_and_swap_is_found_out() {
    is_found(Variant::NoCompareAndSwap, "the generation only grows");
}

#[test]
fn a_use_before_the_write_is_found_out() {
    is_found(Variant::UseBeforeWrite, "no token is used before it is stored");
    is_found(Variant::UseBeforeWrite, "the stored grant can be redeemed");
}

#[test]
fn an_unconditional_flag_is_found_out() {
    is_found(Variant::UnconditionalFlag, "a flagged connection can't be redeemed");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Long random walks, with more of everything than can be searched through. The seed is printed on failure.
    #[test]
    fn random_walks_keep_every_property(choices in proptest::collection::vec(any::<u16>(), 20..160), workers in 2_usize..5) {
        let protocol = Protocol {
            workers, attempts: 40, rotations: 60, crashes: 8, losses: 8, store_faults: 8, limits: 8,
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
