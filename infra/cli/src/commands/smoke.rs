//! `smoke`: sends and receives a message through a deployment, with a tenant that exists only for that.

use std::time::{Duration, Instant};

use serde_json::json;

use super::Context;
use super::connect;
use crate::api::{
    self, CreateInviteTokenRequest, CreateTenantRequest, ListMessagesQuery, RegisterAppRequest, SendRequest,
};
use crate::args::SmokeArguments;
use crate::browser;
use crate::client::Client;
use crate::environment;
use crate::error::{CliError, CliResult, Exit};
use crate::target::Target;
use crate::times;

/// A connect link is valid for half an hour.
const CONNECTING: Duration = Duration::from_secs(1_800);
const SENDING: Duration = Duration::from_secs(120);
const REPLYING: Duration = Duration::from_secs(600);
const INTERVAL: Duration = Duration::from_secs(2);
const NAME: &str = "Smoke test";

pub async fn run(context: &Context, arguments: SmokeArguments) -> CliResult<()> {
    let target = context.target()?;
    let operator = Client::of_operator(&target)?;
    let request = CreateTenantRequest { name: NAME.to_owned(), ..CreateTenantRequest::default() };
    let key = uuid::Uuid::new_v4().to_string();
    let tenant =
        operator.call(&api::create_tenant(&request).with_idempotency_key(&key)).await?.value.tenant_id;
    step(context, "tenant", &tenant);
    let outcome = tokio::select! {
        outcome = exercise(context, &target, &operator, &tenant, &arguments) => outcome,
        _ = tokio::signal::ctrl_c() => Err(crate::persistent::interrupted()),
    };
    if arguments.keep {
        context.output.note(&format!("The tenant {tenant} is kept."));
    } else {
        operator.call(&api::delete_tenant(&tenant)).await?;
        context.output.note("The tenant is deleted, with its connection.");
    }
    outcome
}

/// A step that is done.
fn step(context: &Context, name: &str, detail: &str) {
    if context.output.json {
        context.output.json_line(&json!({ "step": name, "status": "passed", "detail": detail }));
    } else {
        context.output.line(&format!("{}  {name}: {detail}", context.output.status("passed")));
    }
}

async fn exercise(
    context: &Context,
    target: &Target,
    operator: &Client,
    tenant: &str,
    arguments: &SmokeArguments,
) -> CliResult<()> {
    let request = RegisterAppRequest {
        name: NAME.to_owned(),
        tenant_id: tenant.to_owned(),
        ..RegisterAppRequest::default()
    };
    let app = operator.call(&api::register_app(&request)).await?.value;
    let client = operator.with_key(&app.api_key);
    step(context, "app", &app.app_id);

    let invite =
        CreateInviteTokenRequest { label: Some(NAME.to_owned()), ..CreateInviteTokenRequest::default() };
    let link = connect::absolute(target, &client.call(&api::create_invite_token(&invite)).await?.value);
    context.output.note(&format!(
        "\nOpen this link, and sign in as the RingCentral user of {}:\n\n  {link}\n",
        arguments.from
    ));
    if !arguments.no_open {
        browser::open(&link);
    }
    let extension = connect::wait(context, &client, &[], CONNECTING).await?;
    if !extension.setup.complete {
        let reason = extension.last_error.unwrap_or_else(|| "a step of the setup failed".to_owned());
        return Err(CliError::new(
            Exit::Findings,
            format!("the setup of the connection is not complete: {reason}"),
        )
        .advice("Compare the app's permissions in the Developer Console with docs/going-live.md."));
    }
    step(context, "connection", extension.name.as_deref().unwrap_or(&extension.extension_id));
    let status = client.call(&api::get_status()).await?.value;
    if !status.connected {
        return Err(CliError::new(Exit::Findings, "GET /v1/rc/status says that nothing is connected"));
    }
    let numbers = client.call(&api::list_numbers()).await?.value.numbers;
    if !numbers.iter().any(|number| number.phone_number == arguments.from && number.connected) {
        let own: Vec<&str> = numbers.iter().map(|number| number.phone_number.as_str()).collect();
        return Err(CliError::new(
            Exit::Findings,
            format!("{} is not a number of this user: {}", arguments.from, own.join(", ")),
        ));
    }
    step(context, "numbers", &format!("{} numbers", numbers.len()));
    send_and_receive(context, &client, arguments).await
}

async fn send_and_receive(context: &Context, client: &Client, arguments: &SmokeArguments) -> CliResult<()> {
    let began = times::iso(environment::now());
    let ask = if arguments.reply { " Please reply." } else { "" };
    let request = SendRequest {
        from: arguments.from.clone(),
        to: arguments.to.clone(),
        body: Some(format!("This is a test of our SMS gateway.{ask}")),
        ..SendRequest::default()
    };
    let key = uuid::Uuid::new_v4().to_string();
    let id = client.call(&api::send_sms(&request).with_idempotency_key(&key)).await?.value.message_id;
    let deadline = Instant::now() + SENDING;
    let mut progress = context.output.progress();
    let last = loop {
        let message = client.call(&api::get_message(&id)).await?.value;
        let is_done = !matches!(message.status.as_str(), "queued" | "sending");
        if is_done || Instant::now() > deadline {
            break message;
        }
        progress.update(|| format!("{id} {}…", message.status));
        tokio::time::sleep(INTERVAL).await;
    };
    progress.clear();
    if !matches!(last.status.as_str(), "sent" | "delivered") {
        let reason = last.error.map(|error| format!(": {error}")).unwrap_or_default();
        return Err(CliError::new(Exit::NotDelivered, format!("the message is {}{reason}", last.status)));
    }
    step(context, "message", &format!("{id} {}", last.status));
    if !arguments.reply {
        return Ok(());
    }
    context.output.note(&format!("Reply to it from {}.", arguments.to));
    let query = ListMessagesQuery {
        direction: Some("inbound".to_owned()),
        from: Some(arguments.to.clone()),
        start_date: Some(began),
        ..ListMessagesQuery::default()
    };
    let deadline = Instant::now() + REPLYING;
    while Instant::now() < deadline {
        let messages = client.call(&api::list_messages(&query)).await?.value.messages;
        if let Some(reply) = messages.first() {
            step(context, "reply", &format!("{} received", reply.message_id));
            return Ok(());
        }
        progress.update(|| "Waiting for the reply…".to_owned());
        tokio::time::sleep(INTERVAL).await;
    }
    Err(CliError::new(Exit::Findings, "no reply was received")
        .advice("GET /v1/rc/extensions shows the state of the webhook subscription."))
}
