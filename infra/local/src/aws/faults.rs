//! Faults for AWS calls: a list of what to match and what to do, replaced as a whole.

use super::request::{Request, Service};
use serde_json::{Map, Value, json};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What a fault does to a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Act {
    /// Answers an exception; nothing is done.
    Error {
        /// Its name.
        code: String,
        /// HTTP status.
        status: u16,
        /// Its text.
        message: String,
    },
    /// Waits, then does it.
    Delay(Duration),
    /// Never answers.
    Hang,
    /// Does it, then closes the connection.
    ApplyThenDrop,
    /// Kills the instance that calls; nothing is done.
    KillBefore,
    /// Does it, then kills the instance that calls.
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
    act: Act,
    described: Value,
    seen: u64,
    fired: u64,
}

/// The fault list.
#[derive(Default)]
pub struct Faults {
    list: Mutex<Vec<Fault>>,
}

impl Faults {
    /// Replaces the list; an error names the field.
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

    /// Removes all.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// The list, with how often each has fired.
    #[must_use]
    pub fn list(&self) -> Value {
        let faults = self.lock();
        let list = faults.iter().map(|fault| {
            let mut described = fault.described.clone();
            described["fired"] = json!(fault.fired);
            described
        });
        Value::Array(list.collect())
    }

    /// What the first fault that matches does to this call.
    #[must_use]
    pub fn next(&self, request: &Request) -> Option<Act> {
        let mut list = self.lock();
        if list.is_empty() {
            return None;
        }
        let tables = request.tables();
        for fault in list.iter_mut() {
            let fits =
                |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
            let matches = fits(&fault.service, request.service.name())
                && fits(&fault.operation, &request.operation)
                && fault.table.as_ref().is_none_or(|table| tables.iter().any(|name| is_table(name, table)))
                && fault.function.as_ref().is_none_or(|function| request.function.as_ref() == Some(function));
            if !matches || fault.times.is_some_and(|times| fault.fired >= times) {
                continue;
            }
            fault.seen += 1;
            if fault.seen <= fault.skip {
                continue;
            }
            fault.fired += 1;
            return Some(fault.act.clone());
        }
        None
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A table is named in full, or by what follows the stack's name.
fn is_table(name: &str, wanted: &str) -> bool {
    name == wanted
        || name.strip_prefix(crate::names::STACK).and_then(|rest| rest.strip_prefix('-')) == Some(wanted)
}

/// What a fault can do; `status` and `message` belong to `error`.
const ENDINGS: [&str; 5] = ["error", "delayMs", "hang", "applyThenDrop", "kill"];

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
        && !Service::ALL.iter().any(|known| known.name() == service)
    {
        return Err(format!("{at}.match.service: there is no service {service}"));
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
        act: act(fields.get("do").ok_or_else(|| format!("{at}.do: is missing"))?, &format!("{at}.do"))?,
        described: value.clone(),
        seen: 0,
        fired: 0,
    })
}

fn act(value: &Value, at: &str) -> Result<Act, String> {
    let known: Vec<&str> = ENDINGS.into_iter().chain(["status", "message"]).collect();
    let fields = object(value, at, &known)?;
    let wrong = |key: &str, rule: &str| Err(format!("{at}.{key}: {rule}"));
    let mut endings = ENDINGS.into_iter().filter_map(|key| Some((key, fields.get(key)?)));
    let (Some((key, value)), None) = (endings.next(), endings.next()) else {
        return Err(format!("{at}: needs one of {}", ENDINGS.join(", ")));
    };
    if key != "error"
        && let Some(key) = ["status", "message"].into_iter().find(|key| fields.contains_key(*key))
    {
        return wrong(key, "goes with error alone");
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
                fields.get("message").map_or(Some("a fault of the local stack"), Value::as_str)
            else {
                return wrong("message", "must be text");
            };
            Ok(Act::Error { code: code.clone(), status, message: message.to_owned() })
        }
        ("error", _) => wrong(key, "must be the name of an exception"),
        ("delayMs", delay) => match delay.as_u64() {
            Some(delay) => Ok(Act::Delay(Duration::from_millis(delay))),
            None => wrong(key, "must be a number of milliseconds"),
        },
        ("hang", Value::Bool(true)) => Ok(Act::Hang),
        ("applyThenDrop", Value::Bool(true)) => Ok(Act::ApplyThenDrop),
        ("kill", Value::Bool(true)) => Ok(Act::KillBefore),
        ("kill", Value::String(when)) if when == "before" => Ok(Act::KillBefore),
        ("kill", Value::String(when)) if when == "after" => Ok(Act::KillAfter),
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
