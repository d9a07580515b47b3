//! `keys`: the API keys of an app.

use super::{Context, app_id};
use crate::api::{self, CreateKeyRequest, RotateKeyRequest};
use crate::args::KeysCommand;
use crate::error::CliResult;
use crate::output;
use crate::times;

pub async fn run(context: &Context, command: KeysCommand) -> CliResult<()> {
    let client = context.app()?;
    let output = &context.output;
    match command {
        KeysCommand::List { app } => {
            let app = app_id(&client, app).await?;
            let reply = client.call(&api::list_keys(&app)).await?;
            if output.json {
                output.json(&reply.json());
                return Ok(());
            }
            let rows: Vec<Vec<String>> = reply
                .value
                .keys
                .iter()
                .map(|key| {
                    let end = key.expires_at.as_deref().map(times::shown);
                    let used = key.last_used_at.as_deref().map(times::shown);
                    vec![
                        key.key_id.clone(),
                        format!("{}…", key.api_key_prefix),
                        if key.is_main { "main" } else { "" }.to_owned(),
                        key.scopes.join(","),
                        output::text(end.as_deref()),
                        output::text(used.as_deref()),
                    ]
                })
                .collect();
            output.table(&["id", "key", "", "scopes", "expires", "last used"], &rows);
        }
        KeysCommand::Create { app, scopes, expires, allowed_ips } => {
            let app = app_id(&client, app).await?;
            let request = CreateKeyRequest {
                scopes,
                expires_at: expires.as_deref().map(times::parse).transpose()?,
                allowed_ips: Some(allowed_ips).filter(|addresses| !addresses.is_empty()),
            };
            let reply = client.call(&api::create_key(&app, &request)).await?;
            if output.json {
                output.json(&reply.json());
            } else {
                output.line(&reply.value.api_key);
                output.note(&format!("{} is shown only now.", reply.value.key_id));
            }
        }
        KeysCommand::Delete { key_id, app } => {
            let app = app_id(&client, app).await?;
            let reply = client.call(&api::delete_key(&app, &key_id)).await?;
            if output.json {
                output.json(&reply.json());
            } else {
                output.line(&format!("{key_id} is deleted"));
            }
        }
        KeysCommand::Rotate { app, overlap } => {
            let app = app_id(&client, app).await?;
            let seconds = i64::try_from(overlap.as_secs()).unwrap_or(i64::MAX);
            let request = RotateKeyRequest { overlap_seconds: Some(seconds) };
            let reply = client.call(&api::rotate_key(&app, &request)).await?;
            if output.json {
                output.json(&reply.json());
            } else {
                output.line(&reply.value.api_key);
                output.note("The key is shown only now.");
            }
        }
    }
    Ok(())
}
