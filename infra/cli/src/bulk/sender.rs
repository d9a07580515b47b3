//! Sends the planned rows: at a pace, several at a time, and each until its outcome is known.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use jiff::SignedDuration;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::journal::{Entry, Journal, NOT_PROCESSED, State};
use super::plan::{BulkPlan, PlannedRow};
use crate::api::{self, ListMessagesQuery, SendRequest};
use crate::args::BulkArguments;
use crate::client::{Failure, Pauses};
use crate::commands::Context;
use crate::environment;
use crate::error::{CliError, CliResult, Exit};
use crate::output::Progress;
use crate::persistent::PersistentClient;
use crate::times;

/// The gateway keeps an idempotency key for 24 hours. This is less, because clocks differ.
const KEY_LIFETIME: SignedDuration = SignedDuration::from_hours(23);
/// How much the clocks of this machine and of the gateway may differ.
const CLOCK_MARGIN: SignedDuration = SignedDuration::from_mins(15);
/// How long requests in flight are awaited after Ctrl-C.
const LAST_RESPONSES: Duration = Duration::from_secs(10);

pub enum End {
    Done,
    Interrupted,
}

pub struct Sender<'a> {
    client: &'a PersistentClient,
    plan: &'a BulkPlan,
    concurrency: usize,
    journal: RefCell<Journal>,
    next_request: Cell<Instant>,
    interval: Duration,
    stopped: Cell<bool>,
    /// Ends the pauses when it is stopped.
    stop: Notify,
    done: Cell<usize>,
    rejected: Cell<usize>,
}

impl<'a> Sender<'a> {
    pub fn new(
        client: &'a PersistentClient,
        arguments: &BulkArguments,
        plan: &'a BulkPlan,
        journal: Journal,
    ) -> Self {
        Self {
            client,
            plan,
            concurrency: usize::from(arguments.concurrency),
            journal: RefCell::new(journal),
            next_request: Cell::new(Instant::now()),
            interval: Duration::from_secs(60) / plan.rate,
            stopped: Cell::new(false),
            stop: Notify::new(),
            done: Cell::new(0),
            rejected: Cell::new(0),
        }
    }

    pub fn into_journal(self) -> Journal {
        self.journal.into_inner()
    }

    /// Sends all rows. Ctrl-C ends it after the requests that are in flight; a second one at once.
    pub async fn run(&self, context: &Context) -> CliResult<End> {
        let mut progress = context.output.progress();
        let mut work = std::pin::pin!(self.send_all(&mut progress));
        let outcome = tokio::select! {
            outcome = &mut work => outcome.map(|()| End::Done),
            _ = tokio::signal::ctrl_c() => {
                self.stopped.set(true);
                self.stop.notify_waiters();
                tokio::select! {
                    outcome = tokio::time::timeout(LAST_RESPONSES, &mut work) => {
                        outcome.unwrap_or(Ok(())).map(|()| End::Interrupted)
                    }
                    _ = tokio::signal::ctrl_c() => Ok(End::Interrupted),
                }
            }
        };
        outcome
    }

    async fn send_all(&self, progress: &mut Progress) -> CliResult<()> {
        let total = self.plan.rows.len();
        let began = Instant::now();
        let rows = stream::iter(&self.plan.rows).map(|row| self.send(row));
        let mut outcomes = std::pin::pin!(rows.buffer_unordered(self.concurrency));
        while let Some(outcome) = outcomes.next().await {
            outcome?;
            let (done, rejected) = (self.done.get(), self.rejected.get());
            progress.bar(done, total, || {
                let rejected = if rejected == 0 { String::new() } else { format!(", {rejected} rejected") };
                format!("accepted by about {}{rejected}", self.plan.finish(done, began.elapsed()))
            });
        }
        Ok(())
    }

    /// Sends a row until its outcome is known, or the run is stopped.
    async fn send(&self, planned: &PlannedRow) -> CliResult<()> {
        let key = &planned.row.key;
        let request = SendRequest {
            to: planned.request.to.clone(),
            from: planned.request.from.clone(),
            body: Some(planned.row.body.clone()),
            priority: Some(planned.request.priority.clone()),
            message_class: Some(planned.request.message_class.clone()),
            ..SendRequest::default()
        };
        let call = api::send_sms(&request).with_idempotency_key(key);
        let mut pauses = Pauses::default();
        while !self.stopped.get() {
            if self.was_processed_before(planned).await? {
                break;
            }
            self.pace().await;
            if self.stopped.get() {
                break;
            }
            self.journal.borrow_mut().begin(key, planned.request.clone())?;
            match self.client.attempt(&call, &mut pauses).await? {
                Ok(reply) => {
                    let accepted = &reply.value;
                    self.journal.borrow_mut().accepted(key, &accepted.message_id, &accepted.status)?;
                    break;
                }
                Err(failure) if failure.is_temporary() || failure.status() == 401 => {}
                Err(failure) => {
                    self.reject(planned, failure)?;
                    break;
                }
            }
        }
        self.done.set(self.done.get() + 1);
        Ok(())
    }

    /// Records a rejection, unless it concerns all rows.
    fn reject(&self, planned: &PlannedRow, failure: Failure) -> CliResult<()> {
        let code = failure.code().to_owned();
        if failure.status() == 403 || code == "sender_not_connected" {
            let text = CliError::from(failure);
            // Nothing was accepted: the row is sent in the next run.
            self.journal.borrow_mut().rejected(&planned.row.key, NOT_PROCESSED, &text.text)?;
            return Err(CliError { text: format!("{} ({})", text.text, planned.request.from), ..text });
        }
        let error = CliError::from(failure);
        self.journal.borrow_mut().rejected(&planned.row.key, &code, &error.text)?;
        self.rejected.set(self.rejected.get() + 1);
        Ok(())
    }

    /// If the outcome of a request is not known, and the gateway may have forgotten its key: looks for its message in the list of messages.
    async fn was_processed_before(&self, planned: &PlannedRow) -> CliResult<bool> {
        let entry = self.journal.borrow().get(&planned.row.key).cloned();
        let Some(entry) = entry.filter(|entry| entry.state == State::Sending) else { return Ok(false) };
        if environment::now().duration_since(entry.first_attempt) < KEY_LIFETIME {
            return Ok(false);
        }
        if let Some((id, status)) = self.find_message(planned, &entry).await? {
            self.journal.borrow_mut().accepted(&planned.row.key, &id, &status)?;
            return Ok(true);
        }
        // It was not: the next request is the first one.
        self.journal.borrow_mut().rejected(
            &planned.row.key,
            NOT_PROCESSED,
            "the request was not processed",
        )?;
        Ok(false)
    }

    async fn find_message(&self, planned: &PlannedRow, entry: &Entry) -> CliResult<Option<(String, String)>> {
        let start = entry.first_attempt.saturating_sub(CLOCK_MARGIN).unwrap_or(entry.first_attempt);
        let end = entry.last_attempt.saturating_add(CLOCK_MARGIN).unwrap_or(entry.last_attempt);
        let mut query = ListMessagesQuery {
            direction: Some("outbound".to_owned()),
            from: Some(entry.request.from.clone()),
            to: Some(entry.request.to.clone()),
            start_date: Some(times::iso(start)),
            end_date: Some(times::iso(end)),
            limit: Some(100),
            ..ListMessagesQuery::default()
        };
        loop {
            let page = match self.client.until_done(&api::list_messages(&query)).await {
                Ok(reply) => reply.value,
                Err(error) if error.exit == Exit::Unauthorized => {
                    return Err(error.advice(
                        "A request of more than a day ago has to be looked up: use a key with sms:read.",
                    ));
                }
                Err(error) => return Err(error),
            };
            let journal = self.journal.borrow();
            let is_it = |message: &&api::Message| {
                message.body == planned.row.body && !journal.knows_message(&message.message_id)
            };
            if let Some(message) = page.messages.iter().find(is_it) {
                return Ok(Some((message.message_id.clone(), message.status.clone())));
            }
            drop(journal);
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                return Ok(None);
            }
        }
    }

    /// Waits for the turn of the next request.
    async fn pace(&self) {
        let now = Instant::now();
        let turn = self.next_request.get().max(now);
        self.next_request.set(turn + self.interval);
        if turn > now {
            tokio::select! {
                () = tokio::time::sleep_until(turn) => {}
                () = self.stop.notified() => {}
            }
        }
    }
}
