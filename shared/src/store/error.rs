//! Why a call to DynamoDB failed.

use std::time::Duration;

use crate::error::Error;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB did not answer, or throttled the request; with its error code. A write may have been applied.
    #[error("DynamoDB: {0}")]
    Unavailable(String),
    /// A record lacks this attribute, or has a value of another form than this version writes.
    #[error("a record has no valid attribute {0}")]
    Damaged(&'static str),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable {
                what: "the store",
                retry_after: Duration::from_secs(5),
                source: Some(error.into()),
            },
            StoreError::Damaged(_) => Self::Unreadable(error.into()),
        }
    }
}
