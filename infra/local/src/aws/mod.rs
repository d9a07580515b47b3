//! The AWS endpoints.

pub mod batch_response;
pub mod calls;
pub mod cloudwatch;
pub mod control;
pub mod dynamodb;
pub mod endpoints;
pub mod error;
pub mod faults;
pub mod hot_keys;
pub mod iam;
pub mod kms;
pub mod kms_backend;
pub mod lambda;
pub mod permissions;
pub mod remote_kms;
pub mod request;
pub mod s3;
pub mod s3_wire;
pub mod scheduler;
pub mod secrets;
pub mod services;
pub mod sqs;
pub mod streams;
