//! Journeys through the front door: HTTP against the real function binaries on the local stack, judged by the answers,
//! by the simulator's ledger and by what the tables hold. One test binary; every test starts its own stack.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected fails")]

mod activity;
mod answers;
mod audit;
mod browser;
mod circuit_breaker;
mod connect;
mod connect_faults;
mod contract;
mod deletion;
mod delivery;
mod disconnect;
mod documents;
mod endpoint_tables;
mod error_coverage;
mod errors;
mod first_tries;
mod fleet;
mod fleet_report;
mod fleet_simulation;
mod fuzz_corpus;
mod hot_keys;
mod house;
mod import_cycles;
mod inputs;
mod isolation;
mod keepalive;
mod key_grants;
mod limits;
mod logs;
mod message_sync;
mod month;
mod neighbours;
mod odd_records;
#[path = "../../infra/simulator/tests/it/packages.rs"]
mod packages;
mod proxies;
mod quarantine;
mod random;
mod receive;
mod receiver;
mod refresh;
mod renewal;
mod round_trips;
mod routes;
mod scopes;
mod secrets;
mod send;
mod send_crash;
mod send_trouble;
mod sender_batch;
mod sender_simulation;
mod setup;
mod simulator_page;
mod source;
mod template;
mod tenancy;
mod triggers;
mod unreadable_rows;
mod virtual_time;
mod vocabulary;
mod webdriver;
mod webhooks;
mod world;
