//! Tests of the client against the simulator. They check the requests that the simulator records in its ledger.

mod api;
mod attachments;
mod faults;
mod grants;
mod messaging;
mod secrecy;
mod session;
mod support;
