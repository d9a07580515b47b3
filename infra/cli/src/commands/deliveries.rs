//! `deliveries`: list, replay.

use serde_json::{Value, json};

use super::{Context, app_id};
use crate::api::{self, ListDeliveriesQuery, ReplayDeliveriesRequest, WebhookDelivery};
use crate::args::DeliveriesCommand;
use crate::error::CliResult;
use crate::output;
use crate::times;

pub async fn run(context: &Context, command: DeliveriesCommand) -> CliResult<()> {
    match command {
        DeliveriesCommand::List { app, status, kind, limit } => list(context, app, status, kind, limit).await,
        DeliveriesCommand::Replay { delivery_id: Some(id), app, .. } => {
            let client = context.app()?;
            let app = app_id(&client, app).await?;
            let reply = client.call(&api::replay_delivery(&app, &id)).await?;
            if context.output.json {
                context.output.json(&reply.json());
            } else {
                context.output.line(&format!("{id} is delivered again"));
            }
            Ok(())
        }
        DeliveriesCommand::Replay { delivery_id: None, app, since, until, status } => {
            let client = context.app()?;
            let app = app_id(&client, app).await?;
            let mut request = ReplayDeliveriesRequest {
                from: times::parse(since.as_deref().unwrap_or_default())?,
                to: until.as_deref().map(times::parse).transpose()?,
                status,
            };
            let mut replayed = 0;
            let mut progress = context.output.progress();
            // A call repeats some hundreds, and says where the next one ends.
            loop {
                let reply = client.call(&api::replay_deliveries(&app, &request)).await?.value;
                replayed += reply.replayed;
                progress.update(|| format!("{replayed} deliveries…"));
                request.to = reply.to;
                if request.to.is_none() {
                    break;
                }
            }
            progress.clear();
            if context.output.json {
                context.output.json(&json!({ "replayed": replayed }));
            } else {
                context.output.line(&format!("{replayed} deliveries are repeated"));
            }
            Ok(())
        }
    }
}

async fn list(
    context: &Context,
    app: Option<String>,
    status: Option<String>,
    kind: Option<String>,
    limit: usize,
) -> CliResult<()> {
    let client = context.app()?;
    let app = app_id(&client, app).await?;
    let mut query = ListDeliveriesQuery { status, r#type: kind, ..ListDeliveriesQuery::default() };
    let (mut deliveries, mut raw): (Vec<WebhookDelivery>, Vec<Value>) = (Vec::new(), Vec::new());
    while deliveries.len() < limit {
        query.limit = i64::try_from((limit - deliveries.len()).min(100)).ok();
        let reply = client.call(&api::list_deliveries(&app, &query)).await?;
        raw.extend(reply.json()["deliveries"].as_array().cloned().unwrap_or_default());
        deliveries.extend(reply.value.deliveries);
        if reply.value.endpoint.status == "disabled" {
            context
                .output
                .warning("the webhook URL is disabled; saving it again enables it (docs/events.md)");
        }
        query.cursor = reply.value.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    if context.output.json {
        context.output.json(&json!({ "deliveries": raw }));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = deliveries
        .iter()
        .map(|delivery| {
            let last = delivery
                .last_status_code
                .map(|code| code.to_string())
                .or_else(|| delivery.last_error.clone());
            vec![
                times::shown(&delivery.created_at),
                delivery.r#type.clone(),
                delivery.status.clone(),
                delivery.attempts.to_string(),
                output::text(last.as_deref()),
                delivery.id.clone(),
                delivery.event_id.clone(),
            ]
        })
        .collect();
    context.output.table(&["created", "type", "status", "attempts", "last", "id", "event"], &rows);
    Ok(())
}
