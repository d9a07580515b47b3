//! `connect`, `invite`, `numbers`.

use std::time::{Duration, Instant};

use serde_json::json;

use super::Context;
use crate::api::{self, ConnectLink, Extension, PhoneNumber};
use crate::args::{ConnectArguments, InviteArguments, NumbersArguments};
use crate::browser;
use crate::client::{ApiReply, Client};
use crate::error::{CliError, CliResult, Exit};
use crate::output::{self, Output};
use crate::target::Target;
use crate::times;

const INTERVAL: Duration = Duration::from_secs(2);

pub async fn connect(context: &Context, arguments: ConnectArguments) -> CliResult<()> {
    let target = context.target()?;
    let client = Client::of_app(&target)?;
    let before = extensions(&client).await?;
    let created = client.call(&api::create_connect_token()).await?;
    let link = absolute(&target, &created.value);
    context.output.note(&format!("Open this link, and sign in at RingCentral:\n\n  {link}\n"));
    if !arguments.no_open && !browser::open(&link) {
        context.output.note("There is no browser on this machine.");
    }
    let connected = wait(context, &client, &before, arguments.timeout).await?;
    show_connected(context, &client, &connected).await
}

pub fn absolute(target: &Target, link: &ConnectLink) -> String {
    format!("{}{}", target.origin(), link.connect_url)
}

pub async fn extensions(client: &Client) -> CliResult<Vec<Extension>> {
    Ok(client.call(&api::list_extensions()).await?.value.extensions)
}

/// Waits until an extension is connected that was not before, or was connected again, and its setup is done.
pub async fn wait(
    context: &Context,
    client: &Client,
    before: &[Extension],
    timeout: Duration,
) -> CliResult<Extension> {
    let deadline = Instant::now() + timeout;
    let mut progress = context.output.progress();
    let mut found: Option<Extension> = None;
    while Instant::now() < deadline {
        let now = extensions(client).await?;
        let is_new = |extension: &&Extension| {
            let known = before.iter().find(|known| known.extension_id == extension.extension_id);
            known.is_none_or(|known| known.connected_at != extension.connected_at)
                && extension.status == "active"
        };
        found = now.iter().find(is_new).cloned().or(found);
        if let Some(extension) = found.as_ref().filter(|extension| extension.setup.complete) {
            return Ok(extension.clone());
        }
        let what = if found.is_some() { "for the numbers" } else { "until you have signed in" };
        progress.update(|| format!("Waiting {what}…"));
        tokio::time::sleep(INTERVAL).await;
    }
    found.ok_or_else(|| {
        CliError::new(Exit::Unknown, "no extension was connected in time")
            .advice("Run the command again for a new link.")
    })
}

async fn show_connected(context: &Context, client: &Client, extension: &Extension) -> CliResult<()> {
    let numbers = client.call(&api::list_numbers()).await?.value.numbers;
    let own: Vec<PhoneNumber> = numbers
        .into_iter()
        .filter(|number| number.extension_id.as_ref() == Some(&extension.extension_id))
        .collect();
    if context.output.json {
        context.output.json(&json!({ "extension": extension, "numbers": own }));
        return Ok(());
    }
    let name = extension.name.as_deref().unwrap_or(&extension.extension_id);
    context.output.line(&format!("Connected {name}"));
    if let Some(problem) = &extension.last_error {
        context.output.warning(problem);
    }
    show_numbers(&context.output, &own);
    Ok(())
}

pub async fn invite(context: &Context, arguments: InviteArguments) -> CliResult<()> {
    let target = context.target()?;
    let client = Client::of_app(&target)?;
    let seconds = i64::try_from(arguments.expires.as_secs()).unwrap_or(i64::MAX);
    let body = api::CreateInviteTokenRequest {
        expires_in: Some(seconds),
        label: arguments.label,
        return_url: arguments.return_url,
    };
    let created = client.call(&api::create_invite_token(&body)).await?;
    let link = absolute(&target, &created.value);
    if context.output.json {
        context.output.json(&json!({ "url": link, "expiresIn": seconds }));
    } else {
        context.output.line(&link);
        context.output.note(&format!(
            "It connects one extension, and is valid for {}.",
            times::shown_duration(arguments.expires)
        ));
    }
    Ok(())
}

pub async fn numbers(context: &Context, arguments: &NumbersArguments) -> CliResult<()> {
    let client = context.app()?;
    let call = if arguments.refresh { api::refresh_numbers() } else { api::list_numbers() };
    let reply: ApiReply<api::PhoneNumberList> = client.call(&call).await?;
    if context.output.json {
        context.output.json(&reply.json());
        return Ok(());
    }
    if reply.value.numbers.is_empty() {
        context.output.note("There are no numbers yet. Connect an extension with: ringbridge connect");
    }
    show_numbers(&context.output, &reply.value.numbers);
    Ok(())
}

fn show_numbers(output: &Output, numbers: &[PhoneNumber]) {
    let rows: Vec<Vec<String>> = numbers
        .iter()
        .map(|number| {
            let features = number.features.as_ref().map_or_else(Vec::new, |features| {
                [
                    ("SMS", features.sms),
                    ("MMS", features.mms),
                    ("A2P", features.a2p),
                    ("international", features.international),
                ]
                .into_iter()
                .filter_map(|(name, has)| has.then_some(name))
                .collect()
            });
            let status = if number.connected { "connected" } else { "not connected" };
            vec![
                number.phone_number.clone(),
                status.to_owned(),
                output::text(number.extension_name.as_deref().or(number.extension_id.as_deref())),
                if features.is_empty() { "-".to_owned() } else { features.join(", ") },
                number.ten_dlc.readiness.clone(),
            ]
        })
        .collect();
    output.table(&["number", "status", "extension", "features", "10DLC"], &rows);
}
