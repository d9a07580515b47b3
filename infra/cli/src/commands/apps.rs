//! `apps`: for the operator and for a tenant.

use serde_json::json;

use super::Context;
use super::account;
use crate::api::{self, App, ListAppsQuery, RegisterAppRequest};
use crate::args::AppsCommand;
use crate::client::Client;
use crate::error::{CliError, CliResult, Exit};
use crate::output;
use crate::times;

pub async fn run(context: &Context, command: AppsCommand) -> CliResult<()> {
    match command {
        AppsCommand::Register { name, tenant, webhook_url, event_types, save } => {
            let request = RegisterAppRequest {
                name,
                webhook_url,
                event_types: Some(event_types).filter(|types| !types.is_empty()),
                ..RegisterAppRequest::default()
            };
            register(context, request, tenant, save).await
        }
        AppsCommand::List => list(context).await,
        AppsCommand::Get { app_id } => {
            let reply = context.app()?.call(&api::get_app(&app_id)).await?;
            if context.output.json {
                context.output.json(&reply.json());
            } else {
                context.output.table(&HEADING, &[row(&reply.value)]);
            }
            Ok(())
        }
        AppsCommand::Delete { app_id, yes } => {
            let client = context.app()?;
            let app = client.call(&api::get_app(&app_id)).await?.value;
            context.confirm(&format!("Delete the app {} with its keys?", app.name), yes)?;
            let reply = client.call(&api::delete_app(&app_id)).await?;
            if context.output.json {
                context.output.json(&reply.json());
            } else {
                context.output.line(&format!("{app_id} is deleted"));
            }
            Ok(())
        }
        AppsCommand::TestWebhook { app_id } => test_webhook(context, &app_id).await,
        AppsCommand::RotateWebhookSecret { app_id } => {
            let reply = context.app()?.call(&api::rotate_webhook_secret(&app_id)).await?;
            if context.output.json {
                context.output.json(&reply.json());
            } else {
                context.output.line(&reply.value.webhook_secret);
                let until = times::shown(&reply.value.previous_expires_at);
                context.output.note(&format!("The previous secret signs too until {until}."));
            }
            Ok(())
        }
    }
}

async fn register(
    context: &Context,
    mut request: RegisterAppRequest,
    tenant: Option<String>,
    save: Option<String>,
) -> CliResult<()> {
    let target = context.target()?;
    let client = match tenant {
        Some(tenant) => {
            request.tenant_id = tenant;
            Client::of_operator(&target)?
        }
        None => {
            let client = Client::of_app(&target)?;
            request.tenant_id = client.call(&api::get_key()).await?.value.tenant_id;
            client
        }
    };
    let reply = client.call(&api::register_app(&request)).await?;
    let app = &reply.value;
    if let Some(profile) = save {
        account::store(&target, &profile, &app.api_key, Some(&app.webhook_secret))?;
        if context.output.json {
            context.output.json(&json!({ "appId": app.app_id, "name": app.name, "tenantId": app.tenant_id, "profile": profile }));
        } else {
            context.output.line(&app.app_id);
            context.output.note(&format!("Its key and webhook secret are stored in the profile {profile}."));
        }
        return Ok(());
    }
    if context.output.json {
        context.output.json(&reply.json());
        return Ok(());
    }
    context.output.line(&format!("App             {}", app.app_id));
    context.output.line(&format!("API key         {}", app.api_key));
    context.output.line(&format!("Webhook secret  {}", app.webhook_secret));
    context.output.note("The key and the secret are shown only now.");
    Ok(())
}

const HEADING: [&str; 5] = ["id", "name", "kind", "webhook url", "last used"];

fn row(app: &App) -> Vec<String> {
    vec![
        app.app_id.clone(),
        app.name.clone(),
        app.kind.clone(),
        output::text(app.webhook_url.as_deref()),
        output::text(app.last_used_at.as_deref().map(times::shown).as_deref()),
    ]
}

async fn list(context: &Context) -> CliResult<()> {
    let client = context.app()?;
    let mut query = ListAppsQuery { limit: Some(100), cursor: None };
    let (mut rows, mut raw) = (Vec::new(), Vec::new());
    loop {
        let reply = client.call(&api::list_apps(&query)).await?;
        raw.extend(reply.json()["apps"].as_array().cloned().unwrap_or_default());
        rows.extend(reply.value.apps.iter().map(row));
        query.cursor = reply.value.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    if context.output.json {
        context.output.json(&json!({ "apps": raw }));
    } else {
        context.output.table(&HEADING, &rows);
    }
    Ok(())
}

async fn test_webhook(context: &Context, app: &str) -> CliResult<()> {
    let reply = context.app()?.call(&api::test_webhook(app)).await?;
    let result = &reply.value;
    if context.output.json {
        context.output.json(&reply.json());
    } else {
        let status = result.status_code.map(|code| code.to_string()).or_else(|| result.error.clone());
        let mark = if result.delivered { "delivered" } else { "failed" };
        let status = output::text(status.as_deref());
        context.output.line(&format!("{} {status}  {} ms", context.output.status(mark), result.duration_ms));
    }
    if result.delivered {
        Ok(())
    } else {
        Err(CliError::new(Exit::Failed, "the webhook URL did not accept the event"))
    }
}
