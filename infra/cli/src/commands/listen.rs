//! `listen`: forwards events to a program on this machine, as webhooks.

use std::time::Duration;

use super::Context;
use super::account::warn_of_expiry;
use super::forward::{self, EventToForward, Forwarder};
use super::place::Place;
use crate::api::{self, ListEventsQuery};
use crate::args::ListenArguments;
use crate::client::{Failure, Pauses};
use crate::environment;
use crate::error::{CliError, CliResult};
use crate::output::{self, Color};
use crate::persistent::PersistentClient;
use crate::times;

const PAGE: i64 = 100;

pub async fn run(context: &Context, arguments: ListenArguments) -> CliResult<()> {
    let target = context.target()?;
    let (secret, is_new) = forward::secret(arguments.secret.clone(), &target)?;
    let forwarder = Forwarder::new(&arguments.forward_to, &secret, arguments.timeout)?;
    let client = PersistentClient::new(target.clone(), context.output)?;
    let key = client.until_done(&api::get_key()).await?.value;
    let mut place = Place::open(target.origin(), &key.tenant_id, forwarder.url())?;
    let resumes = !place.is_new() && arguments.since.is_none();
    if let Some(since) = &arguments.since {
        place.start_at(times::parse(since)?)?;
    } else if place.is_new() {
        place.start_at(times::iso(environment::now()))?;
    }
    let output = &context.output;
    output.note(&format!("Forwarding events of {} to {}", key.tenant_name, forwarder.url()));
    if is_new {
        output.note(&format!("Webhook secret of this run: {}", output.paint_err(Color::Bold, &secret)));
    }
    if resumes {
        output.note("Going on where the last run ended; --since starts elsewhere.");
    }
    output.note("Events appear 15 seconds after they happened. Press Ctrl-C to stop.");
    warn_of_expiry(output, &key);
    let listener = Listener { context, client: &client, forwarder: &forwarder, arguments: &arguments };
    tokio::select! {
        result = listener.follow(&mut place) => result?,
        _ = tokio::signal::ctrl_c() => {}
    }
    let failed = place.failed_events().len();
    if failed > 0 {
        output.note(&format!(
            "{} not accepted; send again with: ringbridge events resend --failed --forward-to {}",
            output::count(failed, "event"),
            forwarder.url()
        ));
    }
    output.note("Stopped. The next run goes on here.");
    Ok(())
}

struct Listener<'a> {
    context: &'a Context,
    client: &'a PersistentClient,
    forwarder: &'a Forwarder,
    arguments: &'a ListenArguments,
}

impl Listener<'_> {
    /// Forwards events until the program is stopped. The place is saved in each step, so it may be stopped anywhere.
    async fn follow(&self, place: &mut Place) -> CliResult<()> {
        loop {
            let (events, next) = self.page(place).await?;
            for event in &events {
                if place.is_done(&event.id) {
                    continue;
                }
                if self.arguments.events.is_empty() || self.arguments.events.contains(&event.kind) {
                    self.forward(event, place).await?;
                } else {
                    place.done(&event.id)?;
                }
            }
            place.next_page(next)?;
            if events.len() < usize::try_from(PAGE).unwrap_or_default() {
                tokio::time::sleep(self.arguments.interval.max(Duration::from_millis(100))).await;
            }
        }
    }

    async fn page(&self, place: &mut Place) -> CliResult<(Vec<EventToForward>, Option<String>)> {
        let mut pauses = Pauses::default();
        loop {
            let query = ListEventsQuery { limit: Some(PAGE), cursor: place.cursor(), from: place.from() };
            match self.client.attempt(&api::list_events(&query), &mut pauses).await? {
                Ok(reply) => return Ok((forward::events_of(&reply.text), reply.value.next_cursor)),
                Err(failure) if is_bad_cursor(&failure) && query.cursor.is_some() => {
                    self.context
                        .output
                        .warning("the cursor is no longer valid; going on after the last event");
                    place.without_cursor()?;
                }
                Err(failure) if failure.is_temporary() || failure.status() == 401 => {}
                Err(failure) => return Err(CliError::from(failure)),
            }
        }
    }

    /// Sends an event until there is a response. A response other than 2xx is recorded, and the next event follows.
    async fn forward(&self, event: &EventToForward, place: &mut Place) -> CliResult<()> {
        let output = &self.context.output;
        let mut pauses = Pauses::default();
        let mut waiting = false;
        loop {
            match self.forwarder.send(event).await? {
                Ok(response) => {
                    if response.is_success() {
                        place.done(&event.id)?;
                    } else {
                        place.failed(&event.id)?;
                    }
                    forward::show(output, event, &response);
                    return Ok(());
                }
                Err(reason) => {
                    if !waiting {
                        output.warning(&format!("waiting for {}: {reason}", self.forwarder.url()));
                        waiting = true;
                    }
                    tokio::time::sleep(pauses.next(None).min(Duration::from_secs(5))).await;
                }
            }
        }
    }
}

fn is_bad_cursor(failure: &Failure) -> bool {
    matches!(failure, Failure::Rejected { error, .. } if error.code == "invalid_query" && error.field.as_deref() == Some("cursor"))
}
