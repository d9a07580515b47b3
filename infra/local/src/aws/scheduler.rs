//! EventBridge Scheduler: schedules by group and name, each with the time of its next run. The caller of `take_due` invokes
//! the targets, asynchronously.

use super::error::AwsError;
use super::request::AwsCall;
use crate::names;
use crate::schedule_expression::ScheduleExpression;
use crate::state_file::StateFile;
use anyhow::{Result, anyhow};
use aws_lc_rs::digest;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default, Deserialize, Serialize)]
struct State {
    /// By `group/name`.
    schedules: BTreeMap<String, Schedule>,
    groups: BTreeSet<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Schedule {
    name: String,
    group: String,
    /// The input of CreateSchedule or UpdateSchedule.
    input: Value,
    created: Timestamp,
    modified: Timestamp,
    /// When it runs next, its flexible time window included.
    next: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub struct DueSchedule {
    pub name: String,
    pub at: Timestamp,
    group: String,
    target: Value,
}

/// A run of a schedule on its way to the target. The schedule's `RetryPolicy` and `DeadLetterConfig` apply to this way alone: once
/// Lambda has accepted the invocation, the function's own settings apply.
#[derive(Clone, Debug)]
pub struct TargetDelivery {
    pub target_arn: String,
    pub payload: String,
    pub dead_letter_queue: Option<String>,
    schedule_arn: String,
    execution_id: String,
    at: Timestamp,
    retries: u64,
    max_retries: u64,
    max_age: SignedDuration,
    due: Timestamp,
}

impl DueSchedule {
    #[must_use]
    pub fn into_delivery(self) -> TargetDelivery {
        let schedule_arn = names::schedule_arn(&self.group, &self.name);
        let execution_id = uuid::Uuid::new_v4().to_string();
        let payload = match self.target["Input"].as_str() {
            Some(input) => input
                .replace("<aws.scheduler.schedule-arn>", &schedule_arn)
                .replace("<aws.scheduler.scheduled-time>", &self.at.to_string())
                .replace("<aws.scheduler.execution-id>", &execution_id)
                .replace("<aws.scheduler.attempt-number>", "1"),
            None => json!({
                "version": "0",
                "id": execution_id,
                "detail-type": "Scheduled Event",
                "source": "aws.scheduler",
                "account": names::ACCOUNT,
                "time": self.at.to_string(),
                "region": names::REGION,
                "resources": [schedule_arn],
                "detail": "{}",
            })
            .to_string(),
        };
        let policy = &self.target["RetryPolicy"];
        TargetDelivery {
            target_arn: self.target["Arn"].as_str().unwrap_or_default().to_owned(),
            payload,
            dead_letter_queue: self.target["DeadLetterConfig"]["Arn"].as_str().map(str::to_owned),
            schedule_arn,
            execution_id,
            at: self.at,
            retries: 0,
            max_retries: policy["MaximumRetryAttempts"].as_u64().unwrap_or(185),
            max_age: SignedDuration::from_secs(policy["MaximumEventAgeInSeconds"].as_i64().unwrap_or(86_400)),
            due: self.at,
        }
    }
}

impl TargetDelivery {
    /// When this attempt was due.
    #[must_use]
    pub fn due(&self) -> Timestamp {
        self.due
    }

    /// The attributes of the message to the schedule's dead-letter queue. Its body is the payload.
    #[must_use]
    pub fn dead_letter_attributes(&self, error: &AwsError) -> Value {
        let condition = match self.retries >= self.max_retries {
            true => "MaximumRetryAttempts",
            false => "MaximumEventAgeInSeconds",
        };
        let values = [
            ("ERROR_CODE", error.code.clone()),
            ("ERROR_MESSAGE", error.message.clone()),
            ("EXECUTION_ID", self.execution_id.clone()),
            ("EXHAUSTED_RETRY_CONDITION", condition.to_owned()),
            ("IS_PAYLOAD_TRUNCATED", "false".to_owned()),
            ("RETRY_ATTEMPTS", self.retries.to_string()),
            ("SCHEDULED_TIME", self.at.to_string()),
            ("SCHEDULE_ARN", self.schedule_arn.clone()),
            ("TARGET_ARN", self.target_arn.clone()),
        ];
        let text = |value: String| json!({ "DataType": "String", "StringValue": value });
        values.into_iter().map(|(name, value)| (name.to_owned(), text(value))).collect::<Map<_, _>>().into()
    }
}

pub struct Scheduler {
    state: Mutex<State>,
    /// Runs that could not be delivered yet.
    undelivered: Mutex<Vec<TargetDelivery>>,
    file: StateFile,
}

impl Scheduler {
    pub fn open(file: StateFile, groups: &[String]) -> Result<Self> {
        let mut state: State = file.load()?;
        state.groups.insert("default".to_owned());
        state.groups.extend(groups.iter().cloned());
        Ok(Self { state: Mutex::new(state), undelivered: Mutex::default(), file })
    }

    /// Creates or updates a schedule of the template. An unchanged one keeps the times of its runs.
    pub fn ensure(&self, input: &Value, now: Timestamp) -> Result<()> {
        let mut input = input.clone();
        if input.get("FlexibleTimeWindow").is_none() {
            input["FlexibleTimeWindow"] = json!({ "Mode": "OFF" });
        }
        let (name, group) = (text(&input, "Name"), group(&input));
        let mut state = self.lock();
        state.groups.insert(group.clone());
        if state.schedules.get(&key(&group, &name)).is_some_and(|schedule| schedule.input == input) {
            return Ok(());
        }
        let schedule =
            plan(input, now, now).map_err(|error| anyhow!("schedule {name}: {}", error.message))?;
        state.schedules.insert(key(&group, &name), schedule);
        self.file.save(&*state)
    }

    pub fn handle(&self, request: &AwsCall, now: Timestamp) -> Result<Value, AwsError> {
        let input = &request.input;
        let (name, group) = (text(input, "Name"), group(input));
        let key = key(&group, &name);
        let mut state = self.lock();
        let missing = || {
            AwsError::with_status(
                404,
                "ResourceNotFoundException",
                format!("Schedule {name} does not exist."),
            )
        };
        let no_group = |group: &str| {
            AwsError::with_status(
                404,
                "ResourceNotFoundException",
                format!("Schedule group {group} does not exist."),
            )
        };
        let response = match request.operation.as_str() {
            "CreateSchedule" => {
                if !state.groups.contains(&group) {
                    return Err(no_group(&group));
                }
                match state.schedules.get(&key) {
                    // A repeated request gets the response of the first one.
                    Some(earlier) if is_repeated(&earlier.input, input) => {}
                    Some(_) => {
                        let message = format!("Schedule {name} already exists.");
                        return Err(AwsError::with_status(409, "ConflictException", message));
                    }
                    None => {
                        state.schedules.insert(key, plan(input.clone(), now, now)?);
                    }
                }
                json!({ "ScheduleArn": names::schedule_arn(&group, &name) })
            }
            "UpdateSchedule" => {
                let created = state.schedules.get(&key).ok_or_else(missing)?.created;
                state.schedules.insert(key, plan(input.clone(), created, now)?);
                json!({ "ScheduleArn": names::schedule_arn(&group, &name) })
            }
            "GetSchedule" => return state.schedules.get(&key).map(describe).ok_or_else(missing),
            "DeleteSchedule" => {
                state.schedules.remove(&key).ok_or_else(missing)?;
                json!({})
            }
            "ListSchedules" => return list(&state, input),
            "CreateScheduleGroup" => {
                if !state.groups.insert(name.clone()) {
                    return Err(AwsError::with_status(
                        409,
                        "ConflictException",
                        format!("Schedule group {name} already exists."),
                    ));
                }
                json!({ "ScheduleGroupArn": names::schedule_group_arn(&name) })
            }
            "GetScheduleGroup" if state.groups.contains(&name) => return Ok(describe_group(&name)),
            "DeleteScheduleGroup" if state.groups.remove(&name) => {
                state.schedules.retain(|_, schedule| schedule.group != name);
                json!({})
            }
            "GetScheduleGroup" | "DeleteScheduleGroup" => return Err(no_group(&name)),
            "ListScheduleGroups" => {
                let groups: Vec<Value> = state.groups.iter().map(|name| describe_group(name)).collect();
                return Ok(json!({ "ScheduleGroups": groups }));
            }
            other => return Err(AwsError::unknown_operation(other)),
        };
        self.save(&state)?;
        Ok(response)
    }

    /// Takes the due schedules in time order, each at most once. Their next runs are after `now`.
    pub fn take_due(&self, now: Timestamp) -> Vec<DueSchedule> {
        let mut state = self.lock();
        let mut due: Vec<DueSchedule> = Vec::new();
        let keys: Vec<String> = state
            .schedules
            .iter()
            .filter(|(_, schedule)| schedule.next.is_some_and(|next| next <= now))
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            due.extend(take(&mut state, &key, now));
        }
        if !due.is_empty()
            && let Err(error) = self.file.save(&*state)
        {
            tracing::warn!(error = %format!("{error:#}"), "schedules could not be saved");
        }
        due.sort_by(|left, right| (left.at, &left.name).cmp(&(right.at, &right.name)));
        due
    }

    /// Keeps a run that could not be delivered for its retry, after pauses that double from one second to five minutes. Returns it
    /// if no retry is left.
    pub fn retry_later(&self, mut delivery: TargetDelivery) -> Option<TargetDelivery> {
        const MAX_DELAY_SECONDS: i64 = 300;
        let delay = 1_i64.checked_shl(u32::try_from(delivery.retries).unwrap_or(u32::MAX));
        let delay = delay.unwrap_or(MAX_DELAY_SECONDS).clamp(1, MAX_DELAY_SECONDS);
        let due = delivery.due.checked_add(SignedDuration::from_secs(delay)).unwrap_or(delivery.due);
        if delivery.retries >= delivery.max_retries || due.duration_since(delivery.at) > delivery.max_age {
            return Some(delivery);
        }
        (delivery.retries, delivery.due) = (delivery.retries + 1, due);
        self.undelivered().push(delivery);
        None
    }

    /// Takes the runs whose delivery is to be tried again, earliest first.
    pub fn take_undelivered(&self, now: Timestamp) -> Vec<TargetDelivery> {
        let mut waiting = self.undelivered();
        let mut due: Vec<TargetDelivery> = waiting.extract_if(.., |delivery| delivery.due <= now).collect();
        due.sort_by_key(|delivery| delivery.due);
        due
    }

    fn undelivered(&self) -> MutexGuard<'_, Vec<TargetDelivery>> {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one schedule, due or not. `name` may include the group (`group/name`).
    pub fn take(&self, name: &str, now: Timestamp) -> Option<DueSchedule> {
        let mut state = self.lock();
        let key = state
            .schedules
            .iter()
            .find(|(key, schedule)| *key == name || schedule.name == name)
            .map(|(key, _)| key.clone())?;
        let due = take(&mut state, &key, now);
        let _ = self.file.save(&*state);
        due
    }

    /// The schedules as the control API shows them.
    #[must_use]
    pub fn overview(&self) -> Value {
        let state = self.lock();
        let mut schedules: Vec<&Schedule> = state.schedules.values().collect();
        schedules.sort_by_key(|schedule| (schedule.next.unwrap_or(Timestamp::MAX), schedule.name.clone()));
        let schedules: Vec<Value> = schedules
            .iter()
            .map(|schedule| {
                json!({
                    "name": schedule.name,
                    "group": schedule.group,
                    "expression": schedule.input["ScheduleExpression"],
                    "state": schedule.input["State"].as_str().unwrap_or("ENABLED"),
                    "next": schedule.next,
                    "target": schedule.input["Target"]["Arn"],
                    "input": schedule.input["Target"]["Input"],
                })
            })
            .collect();
        json!({ "schedules": schedules })
    }

    fn save(&self, state: &State) -> Result<(), AwsError> {
        self.file
            .save(state)
            .map_err(|error| AwsError::with_status(500, "InternalServerException", format!("{error:#}")))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_repeated(earlier: &Value, input: &Value) -> bool {
    !input["ClientToken"].is_null() && earlier["ClientToken"] == input["ClientToken"]
}

fn take(state: &mut State, key: &str, now: Timestamp) -> Option<DueSchedule> {
    let schedule = state.schedules.get_mut(key)?;
    let due = DueSchedule {
        name: schedule.name.clone(),
        at: schedule.next.filter(|next| *next <= now).unwrap_or(now),
        group: schedule.group.clone(),
        target: schedule.input["Target"].clone(),
    };
    set_next(schedule, now);
    if schedule.next.is_none() && schedule.input["ActionAfterCompletion"] == "DELETE" {
        state.schedules.remove(key);
    }
    Some(due)
}

/// Validates the input of CreateSchedule and UpdateSchedule, and determines the first run.
fn plan(input: Value, created: Timestamp, now: Timestamp) -> Result<Schedule, AwsError> {
    let invalid = |message: String| AwsError::new("ValidationException", message);
    let name = text(&input, "Name");
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_allowed) {
        return Err(invalid(format!(
            "Name \"{name}\" must have 1 to 64 characters: letters, digits, '-', '_' and '.'"
        )));
    }
    let expression = ScheduleExpression::parse(&text(&input, "ScheduleExpression")).map_err(invalid)?;
    zone(&input)?;
    match (
        input["FlexibleTimeWindow"]["Mode"].as_str(),
        input["FlexibleTimeWindow"].get("MaximumWindowInMinutes"),
    ) {
        (Some("OFF"), None | Some(Value::Null)) => {}
        (Some("FLEXIBLE"), Some(minutes))
            if minutes.as_u64().is_some_and(|minutes| (1..=1440).contains(&minutes)) => {}
        _ => {
            return Err(invalid(
                "FlexibleTimeWindow must be {Mode: OFF} or {Mode: FLEXIBLE, MaximumWindowInMinutes: 1 to 1440}".to_owned(),
            ));
        }
    }
    let target = &input["Target"];
    for field in ["Arn", "RoleArn"] {
        if !target[field].as_str().is_some_and(|arn| arn.starts_with("arn:")) {
            return Err(invalid(format!("Target.{field} must be an ARN")));
        }
    }
    if !matches!(input["ActionAfterCompletion"].as_str(), None | Some("NONE" | "DELETE")) {
        return Err(invalid("ActionAfterCompletion must be NONE or DELETE".to_owned()));
    }
    if !matches!(input["State"].as_str(), None | Some("ENABLED" | "DISABLED")) {
        return Err(invalid("State must be ENABLED or DISABLED".to_owned()));
    }
    let once = expression.is_once();
    let mut schedule = Schedule { group: group(&input), name, input, created, modified: now, next: None };
    // A one-time schedule in the past is due at once.
    let before = if once { Timestamp::MIN } else { now };
    set_next(&mut schedule, before);
    Ok(schedule)
}

fn set_next(schedule: &mut Schedule, after: Timestamp) {
    schedule.next = None;
    let input = &schedule.input;
    if input["State"] == "DISABLED" {
        return;
    }
    let (Ok(expression), Ok(zone)) =
        (ScheduleExpression::parse(&text(input, "ScheduleExpression")), zone(input))
    else {
        return;
    };
    let start = instant(&input["StartDate"]);
    let after = match start.filter(|_| !expression.is_once()) {
        Some(start) if start > after => start.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(start),
        _ => after,
    };
    let origin = start.unwrap_or(schedule.modified);
    let Some(planned) = expression.next(after, origin, &zone) else { return };
    if instant(&input["EndDate"]).is_some_and(|end| planned > end) {
        return;
    }
    schedule.next = Some(planned.checked_add(window_offset(schedule, planned)).unwrap_or(planned));
}

/// The offset of a run in its flexible time window: spread evenly over schedules, and stable for each run.
fn window_offset(schedule: &Schedule, planned: Timestamp) -> SignedDuration {
    let window = &schedule.input["FlexibleTimeWindow"];
    let minutes =
        window["MaximumWindowInMinutes"].as_i64().filter(|_| window["Mode"] == "FLEXIBLE").unwrap_or(0);
    if minutes == 0 {
        return SignedDuration::ZERO;
    }
    let seed = format!("{}/{}/{planned}", schedule.group, schedule.name);
    let digest = digest::digest(&digest::SHA256, seed.as_bytes());
    let number = digest.as_ref()[..4].iter().fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    SignedDuration::from_secs(number % (minutes * 60))
}

fn zone(input: &Value) -> Result<TimeZone, AwsError> {
    match input["ScheduleExpressionTimezone"].as_str() {
        None | Some("UTC") => Ok(TimeZone::UTC),
        Some(name) => TimeZone::get(name).map_err(|_| {
            AwsError::new("ValidationException", format!("Invalid Schedule Expression Timezone: {name}"))
        }),
    }
}

/// Requests state times in seconds, templates as text.
fn instant(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.parse().ok(),
        number => {
            #[expect(clippy::cast_possible_truncation, reason = "the milliseconds of any realistic date fit")]
            let milliseconds = (number.as_f64()? * 1000.0) as i64;
            Timestamp::from_millisecond(milliseconds).ok()
        }
    }
}

fn describe(schedule: &Schedule) -> Value {
    let mut description = schedule.input.clone();
    if let Some(fields) = description.as_object_mut() {
        fields.remove("ClientToken");
    }
    description["Arn"] = json!(names::schedule_arn(&schedule.group, &schedule.name));
    description["GroupName"] = json!(schedule.group);
    description["CreationDate"] = json!(schedule.created.as_second());
    description["LastModificationDate"] = json!(schedule.modified.as_second());
    for (key, default) in
        [("State", "ENABLED"), ("ActionAfterCompletion", "NONE"), ("ScheduleExpressionTimezone", "UTC")]
    {
        if description[key].is_null() {
            description[key] = json!(default);
        }
    }
    description
}

fn describe_group(name: &str) -> Value {
    json!({
        "Name": name,
        "Arn": names::schedule_group_arn(name),
        "State": "ACTIVE",
    })
}

fn list(state: &State, input: &Value) -> Result<Value, AwsError> {
    let matches = |key: &str, actual: &str| input[key].as_str().is_none_or(|wanted| wanted == actual);
    let prefix = input["NamePrefix"].as_str().unwrap_or_default();
    let limit = match input["MaxResults"].as_str().map(str::parse::<usize>) {
        None => 100,
        Some(Ok(limit @ 1..=100)) => limit,
        Some(_) => return Err(AwsError::new("ValidationException", "MaxResults must be from 1 to 100")),
    };
    let after = input["NextToken"].as_str().unwrap_or_default();
    let mut found = state.schedules.iter().filter(|(key, schedule)| {
        key.as_str() > after
            && matches("GroupName", &schedule.group)
            && matches("State", schedule.input["State"].as_str().unwrap_or("ENABLED"))
            && schedule.name.starts_with(prefix)
    });
    let page: Vec<(&String, &Schedule)> = found.by_ref().take(limit).collect();
    let schedules: Vec<Value> = page
        .iter()
        .map(|(_, schedule)| {
            let whole = describe(schedule);
            let mut short: Map<String, Value> =
                ["Arn", "Name", "GroupName", "State", "CreationDate", "LastModificationDate"]
                    .iter()
                    .map(|key| ((*key).to_owned(), whole[*key].clone()))
                    .collect();
            short.insert("Target".to_owned(), json!({ "Arn": whole["Target"]["Arn"] }));
            Value::Object(short)
        })
        .collect();
    let mut response = json!({ "Schedules": schedules });
    if let (Some((key, _)), Some(_)) = (page.last(), found.next()) {
        response["NextToken"] = json!(key);
    }
    Ok(response)
}

fn key(group: &str, name: &str) -> String {
    format!("{group}/{name}")
}

fn group(input: &Value) -> String {
    input["GroupName"].as_str().unwrap_or("default").to_owned()
}

fn text(input: &Value, key: &str) -> String {
    input[key].as_str().unwrap_or_default().to_owned()
}
