//! EventBridge Scheduler: one call of a function at a moment. A schedule deletes itself when it has fired.

use aws_sdk_scheduler::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, DeadLetterConfig, FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy, Target,
};
use jiff::Timestamp;
use serde::Serialize;

/// Makes schedules in one group, for one role to carry out.
#[derive(Debug, Clone)]
pub struct Schedules {
    client: aws_sdk_scheduler::Client,
    group: String,
    role: String,
    dead_letters: String,
}

/// A call of a function at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Names it among the group's: letters, digits, `-`, `_` and `.`, at most 64 of them.
    pub name: &'a str,
    /// Not before this.
    pub at: Timestamp,
    /// At most so much later.
    pub within_minutes: i32,
    /// ARN of the function.
    pub function: &'a str,
}

/// Why a schedule was not made or removed. It may have been all the same.
#[derive(Debug, thiserror::Error)]
#[error("EventBridge Scheduler: {0}")]
pub struct ScheduleError(String);

/// A call that fails is made again so often, …
const RETRIES: i32 = 3;
/// … and no longer than this; then it is a dead letter, and the sweep finds what it was for.
const AGE_SECONDS: i32 = 900;

impl Schedules {
    /// Schedules in a group. The role may call the functions, and put calls that fail into the queue `dead_letters`.
    pub fn new(
        client: aws_sdk_scheduler::Client,
        group: impl Into<String>,
        role: impl Into<String>,
        dead_letters: impl Into<String>,
    ) -> Self {
        Self { client, group: group.into(), role: role.into(), dead_letters: dead_letters.into() }
    }

    /// Makes a schedule, or moves the one of this name if there is one already.
    pub async fn create(&self, call: &Call<'_>, input: &impl Serialize) -> Result<(), ScheduleError> {
        match self.try_create(call, input).await {
            Err(error) if error.0 == "ConflictException" => self.try_update(call, input).await,
            made => made,
        }
    }

    /// Moves a schedule, or makes it if there is none of this name: it has fired, or was lost.
    pub async fn move_to(&self, call: &Call<'_>, input: &impl Serialize) -> Result<(), ScheduleError> {
        match self.try_update(call, input).await {
            Err(error) if error.0 == NOT_FOUND => self.create(call, input).await,
            moved => moved,
        }
    }

    /// Removes a schedule. One that is not there is removed already.
    pub async fn remove(&self, name: &str) -> Result<(), ScheduleError> {
        match self.client.delete_schedule().group_name(&self.group).name(name).send().await {
            Ok(_) => Ok(()),
            Err(error) => match failure(error) {
                error if error.0 == NOT_FOUND => Ok(()),
                error => Err(error),
            },
        }
    }

    async fn try_create(&self, call: &Call<'_>, input: &impl Serialize) -> Result<(), ScheduleError> {
        self.client
            .create_schedule()
            .group_name(&self.group)
            .name(call.name)
            .schedule_expression(expression(call.at))
            .flexible_time_window(window(call.within_minutes)?)
            .target(self.target(call, input)?)
            .action_after_completion(ActionAfterCompletion::Delete)
            .send()
            .await
            .map(|_| ())
            .map_err(failure)
    }

    async fn try_update(&self, call: &Call<'_>, input: &impl Serialize) -> Result<(), ScheduleError> {
        self.client
            .update_schedule()
            .group_name(&self.group)
            .name(call.name)
            .schedule_expression(expression(call.at))
            .flexible_time_window(window(call.within_minutes)?)
            .target(self.target(call, input)?)
            .action_after_completion(ActionAfterCompletion::Delete)
            .send()
            .await
            .map(|_| ())
            .map_err(failure)
    }

    fn target(&self, call: &Call<'_>, input: &impl Serialize) -> Result<Target, ScheduleError> {
        let input = serde_json::to_string(input).map_err(|error| ScheduleError(error.to_string()))?;
        let retries = RetryPolicy::builder()
            .maximum_retry_attempts(RETRIES)
            .maximum_event_age_in_seconds(AGE_SECONDS)
            .build();
        Target::builder()
            .arn(call.function)
            .role_arn(&self.role)
            .input(input)
            .retry_policy(retries)
            .dead_letter_config(DeadLetterConfig::builder().arn(&self.dead_letters).build())
            .build()
            .map_err(unbuilt)
    }
}

const NOT_FOUND: &str = "ResourceNotFoundException";

/// A moment in the words of EventBridge Scheduler; without a time zone it is UTC.
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
        error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or("no answer").to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_the_scheduler_wants_it() {
        let at: Timestamp = "2026-03-01T04:05:06.789Z".parse().unwrap();
        assert_eq!(expression(at), "at(2026-03-01T04:05:06)");
    }
}
