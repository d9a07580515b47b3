//! The AWS services of the stack, with the clock and the functions that they share.

use super::cloudwatch::CloudWatch;
use super::dynamodb::DynamoDb;
use super::kms_backend::KmsBackend;
use super::lambda::Lambda;
use super::s3::S3;
use super::scheduler::Scheduler;
use super::secrets::SecretsManager;
use super::sqs::Sqs;
use super::streams::position::ShardPositions;
use crate::clock::StackClock;
use crate::functions::FunctionPools;
use std::sync::{Arc, OnceLock};

pub struct AwsServices {
    pub dynamodb: DynamoDb,
    pub kms: KmsBackend,
    pub secrets: SecretsManager,
    pub scheduler: Scheduler,
    pub sqs: Arc<Sqs>,
    pub s3: S3,
    pub lambda: Lambda,
    /// How far functions have processed their streams.
    pub positions: ShardPositions,
    pub cloudwatch: CloudWatch,
    pub clock: StackClock,
    /// Set after the start, because the functions need the URL of these services.
    pub functions: OnceLock<FunctionPools>,
}

impl AwsServices {
    /// Deletes items and objects that have expired by the stack's clock.
    pub async fn delete_expired(&self) {
        let now = self.clock.now();
        self.dynamodb.delete_expired(now).await;
        self.s3.objects.delete_expired(now);
    }
}
