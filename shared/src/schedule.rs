//! EventBridge Scheduler: schedules that invoke a function once. A schedule is deleted after it has fired.

use aws_sdk_scheduler::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, DeadLetterConfig, FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy, Target,
};
use jiff::Timestamp;
use serde::Serialize;

/// The schedules of one group, which run with one role.
#[derive(Debug, Clone)]
pub struct ScheduleGroup {
    client: aws_sdk_scheduler::Client,
    group: String,
    role: String,
    dead_letters: String,
}

/// One invocation of a function.
#[derive(Debug, Clone, Copy)]
pub struct ScheduledInvocation<'a> {
    /// Unique in the group: at most 64 letters, digits, `-`, `_` and `.`.
    pub name: &'a str,
    /// Start of the window in which the schedule fires.
    pub at: Timestamp,
    /// Length of the window.
    pub window_minutes: i32,
    pub function_arn: &'a str,
}

/// A failed request, with its error code. It may have been applied.
#[derive(Debug, thiserror::Error)]
#[error("EventBridge Scheduler: {0}")]
pub struct ScheduleError(String);

const RETRIES: i32 = 3;
/// Retries end after this time. Then the invocation becomes a dead letter, and the sweep does its work.
const MAX_AGE_SECONDS: i32 = 900;

impl ScheduleGroup {
    /// `role` may invoke the functions and send failed invocations to the queue `dead_letters`.
    pub fn new(
        client: aws_sdk_scheduler::Client,
        group: impl Into<String>,
        role: impl Into<String>,
        dead_letters: impl Into<String>,
    ) -> Self {
        Self { client, group: group.into(), role: role.into(), dead_letters: dead_letters.into() }
    }

    /// Creates a schedule, or replaces the one with this name.
    pub async fn create(
        &self,
        call: &ScheduledInvocation<'_>,
        input: &impl Serialize,
    ) -> Result<(), ScheduleError> {
        match self.try_create(call, input).await {
            Err(error) if error.0 == "ConflictException" => self.try_update(call, input).await,
            created => created,
        }
    }

    /// Updates a schedule, or creates it if it has fired or was lost.
    pub async fn update(
        &self,
        call: &ScheduledInvocation<'_>,
        input: &impl Serialize,
    ) -> Result<(), ScheduleError> {
        match self.try_update(call, input).await {
            Err(error) if error.0 == NOT_FOUND => self.create(call, input).await,
            updated => updated,
        }
    }

    /// Deletes a schedule, if it exists.
    pub async fn delete(&self, name: &str) -> Result<(), ScheduleError> {
        match self.client.delete_schedule().group_name(&self.group).name(name).send().await {
            Ok(_) => Ok(()),
            Err(error) => match failure(error) {
                error if error.0 == NOT_FOUND => Ok(()),
                error => Err(error),
            },
        }
    }

    async fn try_create(
        &self,
        call: &ScheduledInvocation<'_>,
        input: &impl Serialize,
    ) -> Result<(), ScheduleError> {
        self.client
            .create_schedule()
            .group_name(&self.group)
            .name(call.name)
            .schedule_expression(expression(call.at))
            .flexible_time_window(window(call.window_minutes)?)
            .target(self.target(call, input)?)
            .action_after_completion(ActionAfterCompletion::Delete)
            .send()
            .await
            .map(|_| ())
            .map_err(failure)
    }

    async fn try_update(
        &self,
        call: &ScheduledInvocation<'_>,
        input: &impl Serialize,
    ) -> Result<(), ScheduleError> {
        self.client
            .update_schedule()
            .group_name(&self.group)
            .name(call.name)
            .schedule_expression(expression(call.at))
            .flexible_time_window(window(call.window_minutes)?)
            .target(self.target(call, input)?)
            .action_after_completion(ActionAfterCompletion::Delete)
            .send()
            .await
            .map(|_| ())
            .map_err(failure)
    }

    fn target(
        &self,
        call: &ScheduledInvocation<'_>,
        input: &impl Serialize,
    ) -> Result<Target, ScheduleError> {
        let input = serde_json::to_string(input).map_err(|error| ScheduleError(error.to_string()))?;
        let retries = RetryPolicy::builder()
            .maximum_retry_attempts(RETRIES)
            .maximum_event_age_in_seconds(MAX_AGE_SECONDS)
            .build();
        Target::builder()
            .arn(call.function_arn)
            .role_arn(&self.role)
            .input(input)
            .retry_policy(retries)
            .dead_letter_config(DeadLetterConfig::builder().arn(&self.dead_letters).build())
            .build()
            .map_err(unbuilt)
    }
}

const NOT_FOUND: &str = "ResourceNotFoundException";

/// A schedule expression. Without a time zone it is in UTC.
fn expression(at: Timestamp) -> String {
    at.strftime("at(%Y-%m-%dT%H:%M:%S)").to_string()
}

fn window(minutes: i32) -> Result<FlexibleTimeWindow, ScheduleError> {
    let window = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Flexible);
    window.maximum_window_in_minutes(minutes).build().map_err(unbuilt)
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err passes")]
fn unbuilt(error: BuildError) -> ScheduleError {
    ScheduleError(error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err passes")]
fn failure<E: ProvideErrorMetadata>(error: SdkError<E>) -> ScheduleError {
    ScheduleError(
        error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or("no response").to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_expression_has_whole_seconds() {
        let at: Timestamp = "2026-03-01T04:05:06.789Z".parse().unwrap();
        assert_eq!(expression(at), "at(2026-03-01T04:05:06)");
    }
}
