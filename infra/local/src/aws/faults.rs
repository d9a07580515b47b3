//! Fault injection for AWS calls. The list of faults is always replaced as a whole.

use super::request::{AwsCall, AwsService};
use serde_json::{Map, Value, json};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AwsFaultAction {
    /// Returns an exception without applying the call.
    Error { code: String, status: u16, message: String },
    /// Waits, then applies the call.
    Delay(Duration),
    /// Never responds.
    Hang,
    /// Applies the call, then closes the connection.
    ApplyThenDrop,
    /// Kills the calling instance without applying the call.
    KillBefore,
    /// Applies the call, then kills the calling instance.
    KillAfter,
}

#[derive(Clone, Debug)]
struct Fault {
    service: Option<String>,
    operation: Option<String>,
    table: Option<String>,
    function: Option<String>,
    skip: u64,
    times: Option<u64>,
    action: AwsFaultAction,
    /// The fault as it was sent.
    source: Value,
    matched: u64,
    fired: u64,
}

#[derive(Default)]
pub struct AwsFaults {
    list: Mutex<Vec<Fault>>,
}

impl AwsFaults {
    /// An error names the invalid field.
    pub fn replace(&self, body: &[u8]) -> Result<(), String> {
        let value: Value =
            serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
        let Value::Array(list) = value else { return Err("the body must be a list of faults".to_owned()) };
        let mut faults = Vec::with_capacity(list.len());
        for (index, fault) in list.iter().enumerate() {
            faults.push(read(fault, &format!("[{index}]"))?);
        }
        *self.lock() = faults;
        Ok(())
    }

    pub fn clear(&self) {
        self.lock().clear();
    }

    /// The faults, each with the number of times it has fired.
    #[must_use]
    pub fn list(&self) -> Value {
        let faults = self.lock();
        let list = faults.iter().map(|fault| {
            let mut source = fault.source.clone();
            source["fired"] = json!(fault.fired);
            source
        });
        Value::Array(list.collect())
    }

    /// The action of the first fault that matches this call.
    #[must_use]
    pub fn next(&self, request: &AwsCall) -> Option<AwsFaultAction> {
        if self.lock().is_empty() {
            return None;
        }
        let tables = request.tables();
        self.next_of(request.service.name(), &request.operation, &tables, request.function.as_deref())
    }

    /// The action of the first fault that matches a call of a function or of a service.
    #[must_use]
    pub fn next_of(
        &self,
        service: &str,
        operation: &str,
        tables: &[String],
        function: Option<&str>,
    ) -> Option<AwsFaultAction> {
        let mut list = self.lock();
        for fault in list.iter_mut() {
            let equals = |wanted: &Option<String>, actual: &str| {
                wanted.as_deref().is_none_or(|wanted| wanted == actual)
            };
            let matches = equals(&fault.service, service)
                && equals(&fault.operation, operation)
                && fault.table.as_ref().is_none_or(|table| tables.iter().any(|name| is_table(name, table)))
                && fault.function.as_ref().is_none_or(|wanted| function == Some(wanted.as_str()));
            if !matches || fault.times.is_some_and(|times| fault.fired >= times) {
                continue;
            }
            fault.matched += 1;
            if fault.matched <= fault.skip {
                continue;
            }
            fault.fired += 1;
            return Some(fault.action.clone());
        }
        None
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `wanted` is a table name with or without the stack's prefix.
fn is_table(name: &str, wanted: &str) -> bool {
    name == wanted
        || name.strip_prefix(crate::names::STACK).and_then(|rest| rest.strip_prefix('-')) == Some(wanted)
}

/// The keys of `do` that select an action. `status` and `message` belong to `error`.
const ACTIONS: [&str; 5] = ["error", "delayMs", "hang", "applyThenDrop", "kill"];

fn read(value: &Value, at: &str) -> Result<Fault, String> {
    let fields = object(value, at, &["match", "times", "skip", "do", "fired"])?;
    let wanted = match fields.get("match") {
        Some(matcher) => {
            object(matcher, &format!("{at}.match"), &["service", "operation", "table", "function"])?.clone()
        }
        None => Map::new(),
    };
    let text = |key: &str| -> Result<Option<String>, String> {
        match wanted.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("{at}.match.{key}: must be text")),
        }
    };
    let service = text("service")?;
    if let Some(service) = &service
        && !AwsService::ALL.iter().any(|known| known.name() == service)
    {
        return Err(format!("{at}.match.service: unknown service {service}"));
    }
    let number = |key: &str| -> Result<Option<u64>, String> {
        match fields.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                value.as_u64().map(Some).ok_or_else(|| format!("{at}.{key}: must be a number or null"))
            }
        }
    };
    Ok(Fault {
        operation: text("operation")?,
        table: text("table")?,
        function: text("function")?,
        service,
        skip: number("skip")?.unwrap_or(0),
        times: number("times")?,
        action: action(
            fields.get("do").ok_or_else(|| format!("{at}.do: is required"))?,
            &format!("{at}.do"),
        )?,
        source: value.clone(),
        matched: 0,
        fired: 0,
    })
}

fn action(value: &Value, at: &str) -> Result<AwsFaultAction, String> {
    let known: Vec<&str> = ACTIONS.into_iter().chain(["status", "message"]).collect();
    let fields = object(value, at, &known)?;
    let wrong = |key: &str, rule: &str| Err(format!("{at}.{key}: {rule}"));
    let mut actions = ACTIONS.into_iter().filter_map(|key| Some((key, fields.get(key)?)));
    let (Some((key, value)), None) = (actions.next(), actions.next()) else {
        return Err(format!("{at}: needs one of {}", ACTIONS.join(", ")));
    };
    if key != "error"
        && let Some(key) = ["status", "message"].into_iter().find(|key| fields.contains_key(*key))
    {
        return wrong(key, "is allowed with error only");
    }
    match (key, value) {
        ("error", Value::String(code)) => {
            let status = match fields.get("status").map(Value::as_u64) {
                None => Some(400),
                Some(status) => status.and_then(|status| u16::try_from(status).ok()),
            };
            let Some(status) = status.filter(|status| (400..600).contains(status)) else {
                return wrong("status", "must be from 400 to 599");
            };
            let Some(message) =
                fields.get("message").map_or(Some("fault injected by the local stack"), Value::as_str)
            else {
                return wrong("message", "must be text");
            };
            Ok(AwsFaultAction::Error { code: code.clone(), status, message: message.to_owned() })
        }
        ("error", _) => wrong(key, "must be the name of an exception"),
        ("delayMs", delay) => match delay.as_u64() {
            Some(delay) => Ok(AwsFaultAction::Delay(Duration::from_millis(delay))),
            None => wrong(key, "must be a number of milliseconds"),
        },
        ("hang", Value::Bool(true)) => Ok(AwsFaultAction::Hang),
        ("applyThenDrop", Value::Bool(true)) => Ok(AwsFaultAction::ApplyThenDrop),
        ("kill", Value::Bool(true)) => Ok(AwsFaultAction::KillBefore),
        ("kill", Value::String(when)) if when == "before" => Ok(AwsFaultAction::KillBefore),
        ("kill", Value::String(when)) if when == "after" => Ok(AwsFaultAction::KillAfter),
        ("kill", _) => wrong(key, "must be true, \"before\" or \"after\""),
        _ => wrong(key, "must be true"),
    }
}

fn object<'value>(
    value: &'value Value,
    at: &str,
    known: &[&str],
) -> Result<&'value Map<String, Value>, String> {
    let fields = value.as_object().ok_or_else(|| format!("{at}: must be an object"))?;
    match fields.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(format!("{at}.{unknown}: unknown field")),
        None => Ok(fields),
    }
}
