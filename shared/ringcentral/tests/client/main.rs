//! The RingCentral client against the simulator, judged by the simulator's ledger.

mod api;
mod faults;
mod grants;
mod messaging;
mod secrecy;
mod session;
mod support;
