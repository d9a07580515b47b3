//! `events`: list, resend.

use std::time::Duration;

use serde_json::{Value, json};

use super::forward::{self, EventToForward, Forwarder};
use super::place::{self, Place};
use super::{Context, app_id};
use crate::api::{self, ListDeliveriesQuery, ListEventsQuery};
use crate::args::{EventsCommand, ResendArguments};
use crate::client::Client;
use crate::error::{CliError, CliResult, Exit};
use crate::times;

const PAGE: i64 = 100;
const TIMEOUT: Duration = Duration::from_secs(30);

pub async fn run(context: &Context, command: EventsCommand) -> CliResult<()> {
    match command {
        EventsCommand::List { since, types, limit } => {
            list(context, since.as_deref().unwrap_or("-24h"), &types, limit).await
        }
        EventsCommand::Resend(arguments) => resend(context, arguments).await,
    }
}

async fn list(context: &Context, since: &str, types: &[String], limit: usize) -> CliResult<()> {
    let client = context.app()?;
    let mut query = ListEventsQuery { limit: Some(PAGE), cursor: None, from: Some(times::parse(since)?) };
    let mut events: Vec<Value> = Vec::new();
    while events.len() < limit {
        let reply = client.call(&api::list_events(&query)).await?;
        let found = reply.json()["events"].as_array().cloned().unwrap_or_default();
        let is_last = found.len() < usize::try_from(PAGE).unwrap_or_default();
        let has_type =
            |event: &Value| types.is_empty() || types.iter().any(|kind| event["type"] == kind.as_str());
        events.extend(found.into_iter().filter(has_type));
        query.cursor = reply.value.next_cursor;
        if is_last {
            break;
        }
    }
    events.truncate(limit);
    if context.output.json {
        context.output.json(&json!({ "events": events }));
        return Ok(());
    }
    let text = |event: &Value, name: &str| event[name].as_str().unwrap_or("-").to_owned();
    let rows: Vec<Vec<String>> = events
        .iter()
        .map(|event| {
            let subject = ["messageId", "extensionId", "appId", "to"];
            let subject = subject.iter().find_map(|name| event[*name].as_str()).unwrap_or("-").to_owned();
            vec![
                times::shown(&text(event, "timestamp")),
                text(event, "type"),
                text(event, "status"),
                subject,
                text(event, "id"),
            ]
        })
        .collect();
    context.output.table(&["time", "type", "status", "about", "id"], &rows);
    Ok(())
}

async fn resend(context: &Context, arguments: ResendArguments) -> CliResult<()> {
    let target = context.target()?;
    let client = Client::of_app(&target)?;
    let Some(url) = &arguments.forward_to else {
        let event = arguments.event_id.unwrap_or_default();
        return replay(context, &client, arguments.app, &event).await;
    };
    let (secret, is_new) = forward::secret(arguments.secret.clone(), &target)?;
    let forwarder = Forwarder::new(url, &secret, TIMEOUT)?;
    if is_new {
        context.output.note(&format!("Webhook secret of this run: {secret}"));
    }
    if let Some(id) = &arguments.event_id {
        let accepted = forward_again(context, &client, &forwarder, id).await?;
        return if accepted {
            Ok(())
        } else {
            Err(CliError::new(Exit::Failed, "the event was not accepted"))
        };
    }
    let tenant = client.call(&api::get_key()).await?.value.tenant_id;
    let mut place = Place::open(target.origin(), &tenant, forwarder.url())?;
    let failed = place.failed_events().to_vec();
    let mut left = 0;
    for id in &failed {
        if forward_again(context, &client, &forwarder, id).await? {
            place.resent(id)?;
        } else {
            left += 1;
        }
    }
    context.output.note(&format!("{} of {} events were accepted.", failed.len() - left, failed.len()));
    if left == 0 {
        Ok(())
    } else {
        Err(CliError::new(Exit::Failed, format!("{left} events were not accepted")))
    }
}

/// Forwards an event of the list. True if it was accepted.
async fn forward_again(
    context: &Context,
    client: &Client,
    forwarder: &Forwarder,
    id: &str,
) -> CliResult<bool> {
    let event = find(client, id).await?;
    match forwarder.send(&event).await? {
        Ok(response) => {
            forward::show(&context.output, &event, &response);
            Ok(response.is_success())
        }
        Err(reason) => {
            Err(CliError::new(Exit::Unavailable, format!("{} did not respond: {reason}", forwarder.url())))
        }
    }
}

/// An event of the list, by its id.
async fn find(client: &Client, id: &str) -> CliResult<EventToForward> {
    let at =
        place::event_time(id).ok_or_else(|| CliError::usage(format!("{id} is not the id of an event")))?;
    let mut query = ListEventsQuery { limit: Some(PAGE), cursor: None, from: Some(times::iso(at)) };
    loop {
        let reply = client.call(&api::list_events(&query)).await?;
        let events = forward::events_of(&reply.text);
        if let Some(event) = events.iter().find(|event| event.id == id) {
            return Ok(event.clone());
        }
        // Ids are in the order of events.
        if events.last().is_none_or(|last| last.id.as_str() > id) {
            return Err(CliError::new(Exit::NotFound, format!("there is no event {id} in the last 30 days")));
        }
        query.cursor = reply.value.next_cursor;
    }
}

/// Repeats the delivery of an event to the webhook URL of an app.
async fn replay(context: &Context, client: &Client, app: Option<String>, event: &str) -> CliResult<()> {
    let at = place::event_time(event)
        .ok_or_else(|| CliError::usage(format!("{event} is not the id of an event")))?;
    let app = app_id(client, app).await?;
    let mut query = ListDeliveriesQuery {
        from: Some(times::iso(at)),
        limit: Some(PAGE),
        ..ListDeliveriesQuery::default()
    };
    loop {
        let reply = client.call(&api::list_deliveries(&app, &query)).await?;
        if let Some(delivery) = reply.value.deliveries.iter().find(|delivery| delivery.event_id == event) {
            let replayed = client.call(&api::replay_delivery(&app, &delivery.id)).await?;
            if context.output.json {
                context.output.json(&replayed.json());
            } else {
                context.output.line(&format!("{} is delivered again: {}", event, replayed.value.id));
            }
            return Ok(());
        }
        query.cursor = reply.value.next_cursor;
        if query.cursor.is_none() {
            return Err(CliError::new(Exit::NotFound, format!("the app {app} has no delivery of {event}"))
                .advice("Its webhook URL or its filters may not have included the event. Use --app or --forward-to."));
        }
    }
}
