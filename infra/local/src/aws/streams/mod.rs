//! DynamoDB streams that call functions.

pub mod batch;
pub mod mapping;
pub mod position;
