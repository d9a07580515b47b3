//! `messages`: list, get, tail.

use std::collections::HashMap;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::Context;
use crate::api::{self, ListMessagesQuery, Message};
use crate::args::{MessagesCommand, MessagesFilter, TailArguments};
use crate::environment;
use crate::error::CliResult;
use crate::output::{Color, Output};
use crate::persistent::PersistentClient;
use crate::times;

const PAGE: usize = 100;
/// How long a message can still change its status while it is followed.
const FOLLOWED: SignedDuration = SignedDuration::from_hours(1);

pub async fn run(context: &Context, command: MessagesCommand) -> CliResult<()> {
    match command {
        MessagesCommand::List(filter) => list(context, filter).await,
        MessagesCommand::Get { message_id } => {
            let reply = context.app()?.call(&api::get_message(&message_id)).await?;
            if context.output.json {
                context.output.json(&reply.json());
            } else {
                show_details(&context.output, &reply.value);
            }
            Ok(())
        }
        MessagesCommand::Tail(arguments) => tail(context, arguments).await,
    }
}

async fn list(context: &Context, filter: MessagesFilter) -> CliResult<()> {
    let client = context.app()?;
    let mut query = ListMessagesQuery {
        direction: filter.direction,
        status: filter.status,
        from: filter.from,
        to: filter.to,
        start_date: filter.since.as_deref().map(times::day_or_time).transpose()?,
        end_date: filter.until.as_deref().map(times::day_or_time).transpose()?,
        ..ListMessagesQuery::default()
    };
    let (mut messages, mut raw): (Vec<Message>, Vec<Value>) = (Vec::new(), Vec::new());
    while messages.len() < filter.limit {
        query.limit = i64::try_from((filter.limit - messages.len()).min(PAGE)).ok();
        let reply = client.call(&api::list_messages(&query)).await?;
        raw.extend(reply.json()["messages"].as_array().cloned().unwrap_or_default());
        messages.extend(reply.value.messages);
        query.cursor = reply.value.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    if context.output.json {
        context.output.json(&json!({ "messages": raw }));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = messages
        .iter()
        .map(|message| {
            vec![
                times::shown(&message.created_at),
                arrow(message).to_owned(),
                message.from.clone(),
                message.to.clone(),
                message.status.clone(),
                message.message_id.clone(),
                first_line(&message.body),
            ]
        })
        .collect();
    context.output.table(&["created", "", "from", "to", "status", "id", "text"], &rows);
    Ok(())
}

fn arrow(message: &Message) -> &'static str {
    if message.direction == "inbound" { "<-" } else { "->" }
}

/// The beginning of a text, on one line.
fn first_line(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut characters = line.chars();
    let start: String = characters.by_ref().take(60).collect();
    if characters.next().is_some() { format!("{start}…") } else { start }
}

fn show_details(output: &Output, message: &Message) {
    let rows = [
        ("Id", Some(message.message_id.clone())),
        ("Status", Some(output.status(&message.status))),
        ("CliError", message.error.clone()),
        ("Code", message.error_code.clone()),
        ("From", Some(message.from.clone())),
        ("To", Some(message.to.clone())),
        ("Created", Some(times::shown(&message.created_at))),
        ("Updated", Some(times::shown(&message.updated_at))),
        ("Send at", message.send_at.as_deref().map(times::shown)),
        ("Held for", message.held_for.clone()),
        ("Segments", Some(message.segments.to_string())),
        ("Text", Some(message.body.clone())),
    ];
    for (name, value) in rows {
        if let Some(value) = value {
            output.line(&format!("{name:9} {value}"));
        }
    }
}

async fn tail(context: &Context, arguments: TailArguments) -> CliResult<()> {
    let client = PersistentClient::new(context.target()?, context.output)?;
    let start = environment::now();
    let mut seen: HashMap<String, String> = HashMap::new();
    context.output.note("Waiting for messages. Press Ctrl-C to stop.");
    loop {
        let now = environment::now();
        let since = now.saturating_sub(FOLLOWED).unwrap_or(start).max(start);
        let changes = tokio::select! {
            changes = changed(&client, arguments.direction.clone(), times::iso(since), &mut seen) => changes?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        for (message, raw) in changes.into_iter().rev() {
            if context.output.json {
                context.output.json_line(&raw);
            } else {
                show_line(&context.output, &message);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(arguments.interval.max(Duration::from_millis(100))) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

/// The messages that are new or have another status, newest first.
async fn changed(
    client: &PersistentClient,
    direction: Option<String>,
    since: String,
    seen: &mut HashMap<String, String>,
) -> CliResult<Vec<(Message, Value)>> {
    let limit = i64::try_from(PAGE).ok();
    let mut query =
        ListMessagesQuery { direction, start_date: Some(since), limit, ..ListMessagesQuery::default() };
    let mut changes = Vec::new();
    loop {
        let reply = client.until_done(&api::list_messages(&query)).await?;
        let raw = reply.json()["messages"].as_array().cloned().unwrap_or_default();
        for (message, raw) in reply.value.messages.into_iter().zip(raw) {
            let status = seen.insert(message.message_id.clone(), message.status.clone());
            if status.as_ref() != Some(&message.status) {
                changes.push((message, raw));
            }
        }
        query.cursor = reply.value.next_cursor;
        if query.cursor.is_none() {
            return Ok(changes);
        }
    }
}

fn show_line(output: &Output, message: &Message) {
    let time = output.paint(Color::Dim, &times::shown(&message.updated_at));
    let error = message.error.as_deref().map(|error| format!(" ({error})")).unwrap_or_default();
    output.line(&format!(
        "{time}  {} {} {}  {}{error}  {}",
        message.from,
        arrow(message).replace("<-", "->"),
        message.to,
        output.status(&message.status),
        first_line(&message.body),
    ));
}
