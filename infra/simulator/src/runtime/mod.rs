//! The running simulator: the state behind its lock, the tasks, the outgoing webhook calls, the file.

pub mod delivery;
pub mod handshake;
pub mod persistence;
pub mod simulator_core;
