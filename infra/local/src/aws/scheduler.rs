//! EventBridge Scheduler: a store of schedules by name and group, each with the moment when it is due next.
//!
//! It decides when; whoever takes what is due calls the functions.

use super::Refusal;
use super::expression::Expression;
use super::lambda::AsyncCall;
use super::request::Request;
use crate::names;
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
    /// The input of Create or Update.
    input: Value,
    created: Timestamp,
    modified: Timestamp,
    /// When it is due by its expression, without the flexible window.
    planned: Option<Timestamp>,
    /// When it fires.
    next: Option<Timestamp>,
}

/// A schedule whose time has come.
#[derive(Clone, Debug)]
pub struct Due {
    /// Its name.
    pub name: String,
    /// When it was due.
    pub at: Timestamp,
    group: String,
    target: Value,
}

impl Due {
    /// The call of its target.
    #[must_use]
    pub fn into_call(self) -> AsyncCall {
        let schedule_arn = names::schedule_arn(&self.group, &self.name);
        let execution = uuid::Uuid::new_v4().to_string();
        let payload = match self.target["Input"].as_str() {
            Some(input) => input
                .replace("<aws.scheduler.schedule-arn>", &schedule_arn)
                .replace("<aws.scheduler.scheduled-time>", &self.at.to_string())
                .replace("<aws.scheduler.execution-id>", &execution)
                .replace("<aws.scheduler.attempt-number>", "1"),
            None => json!({
                "version": "0",
                "id": execution,
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
        let most = policy["MaximumRetryAttempts"].as_u64().unwrap_or(185);
        let age = policy["MaximumEventAgeInSeconds"].as_i64().unwrap_or(86_400);
        AsyncCall {
            function: self.target["Arn"].as_str().unwrap_or_default().to_owned(),
            payload: payload.into(),
            failures: 0,
            // Lambda itself repeats a failed call twice; a schedule may ask for less.
            repetitions: usize::try_from(most.min(2)).unwrap_or(2),
            expires: self.at.checked_add(SignedDuration::from_secs(age)).ok(),
            dead_letters: self.target["DeadLetterConfig"]["Arn"].as_str().map(str::to_owned),
        }
    }
}

/// The schedules.
pub struct Scheduler {
    state: Mutex<State>,
    file: StateFile,
}

impl Scheduler {
    /// Loads the schedules.
    pub fn open(file: StateFile, groups: &[String]) -> Result<Self> {
        let mut state: State = file.load()?;
        state.groups.insert("default".to_owned());
        state.groups.extend(groups.iter().cloned());
        Ok(Self { state: Mutex::new(state), file })
    }

    /// Makes or renews a schedule of the template; one that is unchanged keeps its beat.
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
            plan(input, now, now).map_err(|refusal| anyhow!("schedule {name}: {}", refusal.message))?;
        state.schedules.insert(key(&group, &name), schedule);
        self.file.save(&*state)
    }

    /// Answers an operation.
    pub fn answer(&self, request: &Request, now: Timestamp) -> Result<Value, Refusal> {
        let input = &request.input;
        let (name, group) = (text(input, "Name"), group(input));
        let key = key(&group, &name);
        let mut state = self.lock();
        let missing = || {
            Refusal::with_status(404, "ResourceNotFoundException", format!("Schedule {name} does not exist."))
        };
        let no_group = |group: &str| {
            Refusal::with_status(
                404,
                "ResourceNotFoundException",
                format!("Schedule group {group} does not exist."),
            )
        };
        let answer = match request.operation.as_str() {
            "CreateSchedule" => {
                if !state.groups.contains(&group) {
                    return Err(no_group(&group));
                }
                match state.schedules.get(&key) {
                    // The same request again is answered as the first one was.
                    Some(earlier) if repeats(&earlier.input, input) => {}
                    Some(_) => {
                        let message = format!("Schedule {name} already exists.");
                        return Err(Refusal::with_status(409, "ConflictException", message));
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
                    return Err(Refusal::with_status(
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
            other => {
                return Err(Refusal::new(
                    "UnknownOperationException",
                    format!("{other} is not part of the local stack"),
                ));
            }
        };
        self.save(&state)?;
        Ok(answer)
    }

    /// Takes what is due, in time order; each schedule at most once, with its next time after `now`.
    pub fn take_due(&self, now: Timestamp) -> Vec<Due> {
        let mut state = self.lock();
        let mut due: Vec<Due> = Vec::new();
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
            tracing::warn!(error = %format!("{error:#}"), "the schedules could not be saved");
        }
        due.sort_by(|left, right| (left.at, &left.name).cmp(&(right.at, &right.name)));
        due
    }

    /// Takes one schedule now, whenever it would be due; `name` may have its group in front (`group/name`).
    pub fn take(&self, name: &str, now: Timestamp) -> Option<Due> {
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

    /// What the control API shows.
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

    fn save(&self, state: &State) -> Result<(), Refusal> {
        self.file
            .save(state)
            .map_err(|error| Refusal::with_status(500, "InternalServerException", format!("{error:#}")))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn repeats(earlier: &Value, input: &Value) -> bool {
    !input["ClientToken"].is_null() && earlier["ClientToken"] == input["ClientToken"]
}

fn take(state: &mut State, key: &str, now: Timestamp) -> Option<Due> {
    let schedule = state.schedules.get_mut(key)?;
    let due = Due {
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

/// Checks the input of Create and Update, and finds out when the schedule is due first.
fn plan(input: Value, created: Timestamp, now: Timestamp) -> Result<Schedule, Refusal> {
    let invalid = |message: String| Refusal::new("ValidationException", message);
    let name = text(&input, "Name");
    let fits = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        return Err(invalid(format!("Name \"{name}\" must be 1 to 64 of letters, digits, - _ and .")));
    }
    let expression = Expression::parse(&text(&input, "ScheduleExpression")).map_err(invalid)?;
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
    let mut schedule =
        Schedule { group: group(&input), name, input, created, modified: now, planned: None, next: None };
    // A moment that has passed already is not lost: it is due at once.
    let before = if once { Timestamp::MIN } else { now };
    set_next(&mut schedule, before);
    Ok(schedule)
}

fn set_next(schedule: &mut Schedule, after: Timestamp) {
    schedule.planned = None;
    schedule.next = None;
    let input = &schedule.input;
    if input["State"] == "DISABLED" {
        return;
    }
    let (Ok(expression), Ok(zone)) = (Expression::parse(&text(input, "ScheduleExpression")), zone(input))
    else {
        return;
    };
    let start = instant(&input["StartDate"]);
    let after = match start.filter(|_| !expression.is_once()) {
        Some(start) if start > after => start.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(start),
        _ => after,
    };
    let beat = start.unwrap_or(schedule.modified);
    let Some(planned) = expression.next(after, beat, &zone) else { return };
    if instant(&input["EndDate"]).is_some_and(|end| planned > end) {
        return;
    }
    schedule.planned = Some(planned);
    schedule.next = Some(planned.checked_add(delay(schedule, planned)).unwrap_or(planned));
}

/// Where in its flexible window a schedule fires: spread evenly, and the same each time one asks.
fn delay(schedule: &Schedule, planned: Timestamp) -> SignedDuration {
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

fn zone(input: &Value) -> Result<TimeZone, Refusal> {
    match input["ScheduleExpressionTimezone"].as_str() {
        None | Some("UTC") => Ok(TimeZone::UTC),
        Some(name) => TimeZone::get(name).map_err(|_| {
            Refusal::new("ValidationException", format!("Invalid Schedule Expression Timezone: {name}"))
        }),
    }
}

/// Times travel as seconds, in templates as text.
fn instant(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.parse().ok(),
        number => {
            #[expect(clippy::cast_possible_truncation, reason = "milliseconds of any sensible date fit")]
            let milliseconds = (number.as_f64()? * 1000.0) as i64;
            Timestamp::from_millisecond(milliseconds).ok()
        }
    }
}

fn describe(schedule: &Schedule) -> Value {
    let mut answer = schedule.input.clone();
    if let Some(fields) = answer.as_object_mut() {
        fields.remove("ClientToken");
    }
    answer["Arn"] = json!(names::schedule_arn(&schedule.group, &schedule.name));
    answer["GroupName"] = json!(schedule.group);
    answer["CreationDate"] = json!(schedule.created.as_second());
    answer["LastModificationDate"] = json!(schedule.modified.as_second());
    for (key, default) in
        [("State", "ENABLED"), ("ActionAfterCompletion", "NONE"), ("ScheduleExpressionTimezone", "UTC")]
    {
        if answer[key].is_null() {
            answer[key] = json!(default);
        }
    }
    answer
}

fn describe_group(name: &str) -> Value {
    json!({
        "Name": name,
        "Arn": names::schedule_group_arn(name),
        "State": "ACTIVE",
    })
}

fn list(state: &State, input: &Value) -> Result<Value, Refusal> {
    let wanted = |key: &str, is: &str| input[key].as_str().is_none_or(|wanted| wanted == is);
    let prefix = input["NamePrefix"].as_str().unwrap_or_default();
    let most = match input["MaxResults"].as_str().map(str::parse::<usize>) {
        None => 100,
        Some(Ok(most @ 1..=100)) => most,
        Some(_) => return Err(Refusal::new("ValidationException", "MaxResults must be from 1 to 100")),
    };
    let after = input["NextToken"].as_str().unwrap_or_default();
    let mut found = state.schedules.iter().filter(|(key, schedule)| {
        key.as_str() > after
            && wanted("GroupName", &schedule.group)
            && wanted("State", schedule.input["State"].as_str().unwrap_or("ENABLED"))
            && schedule.name.starts_with(prefix)
    });
    let page: Vec<(&String, &Schedule)> = found.by_ref().take(most).collect();
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
    let mut answer = json!({ "Schedules": schedules });
    if let (Some((key, _)), Some(_)) = (page.last(), found.next()) {
        answer["NextToken"] = json!(key);
    }
    Ok(answer)
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
