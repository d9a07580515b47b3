//! `send`: one message, and its outcome.

use std::io::Read;
use std::time::{Duration, Instant};

use super::{Context, media};
use crate::api::{self, Message, SendRequest};
use crate::args::SendArguments;
use crate::client::{ApiReply, Client};
use crate::error::{CliError, CliResult, Exit};
use crate::times;

/// The pauses between two looks at a message: RingCentral takes it within seconds, a carrier's report takes longer.
const PAUSES: [u64; 6] = [500, 500, 1_000, 2_000, 3_000, 5_000];

pub async fn run(context: &Context, arguments: SendArguments) -> CliResult<()> {
    let client = context.app()?;
    let from = match arguments.from.clone() {
        Some(from) => from,
        None => only_number(&client).await?,
    };
    let mut request = SendRequest {
        to: arguments.to.clone(),
        from,
        body: arguments.body.as_deref().map(body).transpose()?,
        send_at: arguments.schedule.as_deref().map(times::parse).transpose()?,
        expires_at: arguments.expires.as_deref().map(times::parse).transpose()?,
        priority: arguments.priority.clone(),
        message_class: arguments.message_class.clone(),
        ..SendRequest::default()
    };
    media::add(&client, &mut request, &arguments.media).await?;
    let key = arguments.idempotency_key.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let accepted = client.call(&api::send_sms(&request).with_idempotency_key(&key)).await?;
    for warning in accepted.value.warnings.iter().flatten() {
        context.output.warning(&warning.message);
    }
    let id = accepted.value.message_id.clone();
    if arguments.no_wait || accepted.value.status == "scheduled" {
        if context.output.json {
            context.output.json(&accepted.json());
        } else if let Some(at) = &accepted.value.send_at {
            let why = if accepted.value.held_for.is_some() { ", because of quiet hours" } else { "" };
            context.output.line(&format!("{id} is scheduled for {}{why}", times::shown(at)));
        } else {
            context.output.line(&format!("{id} {}", context.output.status(&accepted.value.status)));
        }
        return Ok(());
    }
    let last = wait(context, &client, &id, arguments.timeout).await?;
    if context.output.json {
        context.output.json(&last.json());
    } else {
        context.output.line(&format!("{id} {}", context.output.status(&last.value.status)));
    }
    outcome(&last.value, arguments.require_delivery)
}

/// The only connected number that can send.
pub async fn only_number(client: &Client) -> CliResult<String> {
    let numbers = client.call(&api::list_numbers()).await?.value.numbers;
    let mut connected = numbers.into_iter().filter(|number| number.connected);
    match (connected.next(), connected.next()) {
        (Some(number), None) => Ok(number.phone_number),
        (None, _) => {
            Err(CliError::usage("no number is connected").advice("Connect one with: ringbridge connect"))
        }
        _ => Err(CliError::usage("several numbers are connected")
            .advice("Choose one of `ringbridge numbers` with --from.")),
    }
}

fn body(argument: &str) -> CliResult<String> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    read.map_err(|error| CliError::usage(format!("the text cannot be read from stdin: {error}")))?;
    Ok(text.trim_end_matches('\n').to_owned())
}

/// Follows a message until its status is final, or for some time.
async fn wait(
    context: &Context,
    client: &Client,
    id: &str,
    timeout: Duration,
) -> CliResult<ApiReply<Message>> {
    let deadline = Instant::now() + timeout;
    let mut progress = context.output.progress();
    let mut pauses = PAUSES.iter().chain(std::iter::repeat(&PAUSES[PAUSES.len() - 1]));
    loop {
        let reply = client.call(&api::get_message(id)).await?;
        let status = reply.value.status.clone();
        let is_final = !matches!(status.as_str(), "queued" | "scheduled" | "sending" | "sent");
        let pause = Duration::from_millis(pauses.next().copied().unwrap_or_default());
        if is_final || Instant::now() + pause > deadline {
            return Ok(reply);
        }
        let shown = if status == "sent" { "sent; waiting for the carrier's report" } else { status.as_str() };
        progress.update(|| format!("{id} {shown}…"));
        tokio::time::sleep(pause).await;
    }
}

/// Whether the last status is a success.
fn outcome(message: &Message, require_delivery: bool) -> CliResult<()> {
    let reason = || {
        let code = message.error_code.as_deref().map(|code| format!(" ({code})")).unwrap_or_default();
        format!("{}{code}", message.error.as_deref().unwrap_or("the message was not delivered"))
    };
    match message.status.as_str() {
        "delivered" => Ok(()),
        // Many carriers never report a delivery.
        "sent" if !require_delivery => Ok(()),
        "sent" => Err(CliError::new(Exit::Unknown, "the carrier has not reported a delivery yet")),
        "failed" => Err(CliError::new(Exit::NotDelivered, reason())),
        "canceled" | "expired" => Err(CliError::new(
            Exit::NotDelivered,
            format!("the message was {} before it was sent", message.status),
        )),
        "unknown" => Err(CliError::new(
            Exit::Unknown,
            "RingCentral's response was lost, and its message store does not have the message",
        )
        .advice("See docs/sending.md, \"When a response is lost\".")),
        status => Err(CliError::new(Exit::Unknown, format!("the message is still {status}"))
            .advice(format!("Look again with: ringbridge messages get {}", message.message_id))),
    }
}
