//! The worker of a sender: sends the messages in its outbox, in order, as fast as RingCentral allows.
//!
//! The worker holds the sender's lease, which outlives the worker: no other worker sends for the extension meanwhile. It
//! claims a message and counts the send in one write, and only then reads the message: a message canceled before the claim is
//! not sent, a claimed message cannot be canceled. To wait, the worker releases the lease with a wake-up time and re-enqueues
//! itself with that delay, so that a wait costs nothing.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::Instrument;

use super::find::{FoundMessage, find_message};
use super::keyword;
use super::worker::{
    Content, DueKeyword, NextRun, SenderConnection, TokenReplacement, Worker, retry_after, whole_seconds,
};
use super::{Wakeup, reconcile, reports, wake};
use crate::clock::saturating_add;
use crate::consents;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::consent::ConsentStatus;
use crate::model::failure;
use crate::model::ids::{ExtensionId, MessageId, TenantId};
use crate::model::message::{DeliveryReport, Direction, Message, MessagePart, MessageStatus, PartStage};
use crate::model::phone::E164;
use crate::model::random;
use crate::model::secret::Secret;
use crate::model::sender::{
    self, HeadAction, InFlight, MessageUpdate, Remaining, SendOutcome, SenderState, StatusCheck, reconcile_at,
};
use crate::model::settings::TenantSettings;
use crate::model::tenant::Tenant;
use crate::ringcentral::{self, ErrorKind, RateLimit, Sent, Sms};
use crate::span;
use crate::store::{
    Correlation, LeaseOutcome, LeaseUpdate, OutboxHead, PendingIn, SaveOutcome, SenderLease, WriteOutcome,
};

/// The error of pending messages whose sender is not connected any more.
const NOT_CONNECTED: &str = "RingCentral not connected for this tenant";

/// Runs the worker of a sender, unless another one holds its lease. Returns the connection whose messages are to be synced
/// now, because the statuses of sent messages are due.
///
/// # Errors
/// If the store fails; SQS then redelivers the wake-up.
pub async fn run(gateway: &Gateway, wakeup: &Wakeup) -> Result<Option<SenderConnection>> {
    let invalid = || Error::Internal { what: "a wake-up with invalid ids", source: None };
    let lease = SenderLease {
        tenant: TenantId::from_record(&wakeup.tenant_id).ok_or_else(invalid)?,
        extension: ExtensionId::parse(&wakeup.extension_id).ok_or_else(invalid)?,
        owner: Secret::random().expose().to_owned(),
    };
    span::set_tenant(&lease.tenant);
    let LeaseOutcome::Acquired(mut sender) = gateway.store.lease_sender(&lease).await? else {
        return Ok(None);
    };
    let mut worker =
        Worker { gateway, lease: &lease, started: Instant::now(), token: None, keywords: Vec::new() };
    let result = worker.run(&mut sender).await;
    let now = gateway.clock.now();
    let next_run = result.unwrap_or_else(|error| {
        tracing::warn!(alarm = "failure", tenant.id = %lease.tenant, extension.id = %lease.extension,
            message.id = sender.in_flight.as_ref().map(|in_flight| in_flight.message.as_str()),
            error = error.chain(), "sending stopped for sender");
        let pause = match error {
            Error::Unreadable(_) => limits::UNREADABLE_RETRY_SECONDS,
            _ => limits::SENDER_BLOCKED_RETRY_SECONDS,
        };
        NextRun::At(saturating_add(now, SignedDuration::from_secs(pause)))
    });
    let has_time = worker.started.elapsed() < Duration::from_millis(limits::STATUS_RUN_MS);
    let status_check = if has_time { sender.take_status_check(now) } else { StatusCheck::NotDue };
    let (update, wait) = match (next_run, sender.statuses_due) {
        (NextRun::At(at), statuses_due) => {
            let at = statuses_due.map_or(at, |due| due.min(at));
            (LeaseUpdate::ReleaseUntil(at), Some(whole_seconds(now, at)))
        }
        (NextRun::Now, _) => (LeaseUpdate::Release, Some(0)),
        // Messages that are accepted until then are sent at once.
        (NextRun::WhenWoken, due) => (LeaseUpdate::Release, due.map(|due| whole_seconds(now, due))),
    };
    if gateway.store.save_sender(&lease, &sender, update).await? == SaveOutcome::LeaseLost {
        return Ok(None);
    }
    if let Some(wait) = wait {
        wake(gateway, &lease.tenant, &lease.extension, wait).await;
    }
    match next_run {
        NextRun::At(_) | NextRun::Now => {}
        NextRun::WhenWoken => {
            // The wake-up of a message that was accepted while the lease was held had no effect, and a run moves only some of the
            // scheduled messages whose time has come.
            let first = gateway.store.first_pending(&lease.tenant, &lease.extension).await?;
            match first.map(|(pending_in, _)| pending_in) {
                Some(PendingIn::Outbox) => wake(gateway, &lease.tenant, &lease.extension, 0).await,
                Some(PendingIn::Scheduled(at)) if at <= now => {
                    wake(gateway, &lease.tenant, &lease.extension, 0).await;
                }
                Some(PendingIn::Reconciling | PendingIn::Scheduled(_) | PendingIn::Media(_)) | None => {}
            }
        }
    }
    match status_check {
        StatusCheck::NotDue => Ok(None),
        StatusCheck::Due => worker.sender_connection().await,
    }
}

impl Worker<'_> {
    async fn run(&mut self, sender: &mut SenderState) -> Result<NextRun> {
        if let Some(in_flight) = sender.in_flight.clone() {
            self.recover_in_flight(sender, &in_flight).await?;
        }
        self.enqueue_due_scheduled().await?;
        let reconciling = self.gateway.store.reconciling(&self.lease.tenant, &self.lease.extension).await?;
        let can_send = match self.check_access(sender, &reconciling).await? {
            Access::Ready => true,
            Access::NotBefore(at) => return Ok(NextRun::At(at)),
            Access::NotConnected => false,
        };
        reconcile::run(self, sender, &reconciling).await?;
        if !can_send {
            keyword::drop_all(self).await?;
            self.fail_pending(sender).await?;
            return Ok(NextRun::WhenWoken);
        }
        if let Some(api) = self.api()? {
            keyword::run(self, &api).await?;
        }
        self.send_pending(sender).await
    }

    fn is_time_over(&self) -> bool {
        self.started.elapsed() >= Duration::from_millis(limits::SEND_RUN_MS)
    }

    /// Records the outcome of a send that a crashed worker left in flight. It is ambiguous unless the message shows it.
    async fn recover_in_flight(&self, sender: &mut SenderState, in_flight: &InFlight) -> Result<()> {
        sender.apply_outcome(&SendOutcome::Ambiguous, 0, self.now());
        let remaining = match find_message(self.gateway, &self.lease.tenant, &in_flight.message).await? {
            FoundMessage::Readable(message) => {
                if !in_flight.is_recorded_in(&message) {
                    tracing::warn!(tenant.id = %message.tenant, extension.id = %message.extension,
                        message.id = %message.id, "in-flight send of a crashed worker found");
                    sender.assume_rate_limited(in_flight);
                }
                self.save_outcome(message, in_flight, &SendOutcome::Ambiguous).await?
            }
            FoundMessage::Absent => Remaining::Nothing,
            FoundMessage::Unreadable => {
                // It may have been sent, so it is not sent again even if it can be read later.
                let (tenant, extension) = (&self.lease.tenant, &self.lease.extension);
                self.gateway.store.remove_orphan(tenant, extension, &in_flight.message).await?;
                Remaining::Nothing
            }
        };
        sender.complete_send(remaining);
        Ok(())
    }

    /// Moves scheduled messages whose time has come to the outbox, and those that could not be read to where they were. Inbound messages
    /// are keywords to follow up.
    async fn enqueue_due_scheduled(&mut self) -> Result<()> {
        let (store, lease) = (&self.gateway.store, self.lease);
        for (at, id) in store.due_scheduled(&lease.tenant, &lease.extension).await? {
            let found = find_message(self.gateway, &lease.tenant, &id).await?;
            if found == FoundMessage::Unreadable {
                self.hold_unreadable(&id).await?;
            }
            let FoundMessage::Readable(mut message) = found else {
                store.remove_scheduled(&lease.tenant, &lease.extension, (at, &id)).await?;
                continue;
            };
            if message.direction == Direction::Inbound {
                self.keywords.push(DueKeyword { at, inbound: message });
                continue;
            }
            let previous_status = message.status;
            message.release(self.now());
            let is_submitted = |part: &MessagePart| part.stage == PartStage::Submitted;
            let to = match message.status {
                MessageStatus::Queued | MessageStatus::Sending if message.parts.iter().any(is_submitted) => {
                    Some(PendingIn::Reconciling)
                }
                MessageStatus::Queued | MessageStatus::Sending => Some(PendingIn::Outbox),
                _ => None,
            };
            // The only other writer cancels the message: after a conflict there is nothing to send.
            let from = Some(PendingIn::Scheduled(at));
            let _: WriteOutcome = store.move_message(&message, previous_status, from, to).await?;
        }
        Ok(())
    }

    /// Checks that the tenant is active and the extension connected, and gets an access token. Skipped if nothing is
    /// pending.
    async fn check_access(&mut self, sender: &SenderState, reconciling: &[MessageId]) -> Result<Access> {
        let store = &self.gateway.store;
        if reconciling.is_empty() && self.keywords.is_empty() && self.head(sender).await?.is_none() {
            return Ok(Access::Ready);
        }
        let now = self.now();
        if let Some(until) = sender.paused_until.filter(|until| *until > self.sleep_limit()) {
            return Ok(Access::NotBefore(until));
        }
        let is_active = store.tenant(&self.lease.tenant).await?.is_some_and(|tenant| tenant.is_active());
        match self.access_token().await {
            Ok(token) => self.token = Some(token),
            Err(Error::NotConnected) => return Ok(Access::NotConnected),
            Err(Error::Unavailable { retry_after, what, .. }) => {
                tracing::warn!(tenant.id = %self.lease.tenant, extension.id = %self.lease.extension, what,
                    "no access token for sender");
                if !is_active {
                    return Ok(Access::NotConnected);
                }
                let least = Duration::from_secs(limits::SENDER_BLOCKED_RETRY_SECONDS.unsigned_abs());
                let wait = SignedDuration::try_from(retry_after.max(least)).unwrap_or(SignedDuration::ZERO);
                return Ok(Access::NotBefore(saturating_add(now, wait)));
            }
            Err(error) => return Err(error),
        }
        Ok(if is_active { Access::Ready } else { Access::NotConnected })
    }

    /// Until this moment the worker sleeps; for a later one it ends and is woken again.
    fn sleep_limit(&self) -> Timestamp {
        saturating_add(self.now(), SignedDuration::from_millis(limits::SENDER_SLEEP_MAX_MS))
    }

    async fn send_pending(&mut self, sender: &mut SenderState) -> Result<NextRun> {
        while let Some(head) = self.head(sender).await? {
            let now = self.now();
            // There is no token if the message was accepted after check_access found nothing pending.
            if self.is_time_over() || self.token.is_none() || sender.are_statuses_due(now) {
                return Ok(NextRun::Now);
            }
            let next_send_at = sender.next_send_at(now);
            if next_send_at > self.sleep_limit() {
                return Ok(NextRun::At(next_send_at));
            }
            if next_send_at > now {
                let wait = Duration::try_from(next_send_at.duration_since(now)).unwrap_or_default();
                tokio::time::sleep(wait).await;
                continue;
            }
            self.sync_while_active().await;
            let in_flight = sender.begin_send(&head.message, now);
            let claimed = self.claim(sender, &head).await.inspect_err(|_| sender.abort_send())?;
            if !claimed.is_tenant_active {
                sender.abort_send();
                self.fail_pending(sender).await?;
                return Ok(NextRun::WhenWoken);
            }
            match claimed.message {
                Some(message) => {
                    let span = tracing::error_span!("message", extension.id = %message.extension,
                        message.id = %message.id);
                    let (recipient, settings) = (claimed.recipient, &claimed.settings);
                    let processed = self.process_head(sender, message, recipient, settings, &in_flight);
                    processed.instrument(span).await?;
                }
                None => sender.discard_head(),
            }
        }
        Ok(NextRun::WhenWoken)
    }

    /// The message to send next.
    async fn head(&self, sender: &SenderState) -> Result<Option<OutboxHead>> {
        if let Some(message) = sender.partly_sent.clone() {
            return Ok(Some(OutboxHead { message, parties: None }));
        }
        Ok(self.gateway.store.outbox_head(&self.lease.tenant, &self.lease.extension).await?)
    }

    /// Claims a message by saving that it is in flight, and only then reads it and whether its recipient has opted out: an opt-out that
    /// was stored before the claim stops it.
    async fn claim(&self, sender: &SenderState, head: &OutboxHead) -> Result<Claim> {
        let store = &self.gateway.store;
        if store.save_sender(self.lease, sender, LeaseUpdate::Keep).await? == SaveOutcome::LeaseLost {
            // Another worker may be sending the message.
            return Err(Error::unavailable("a sender", "its lease has expired"));
        }
        let consents = head.parties.as_ref().map(|(from, to)| self.decisive_consents(from, to));
        let others = async { Ok(store.recipient_and_tenant(&self.lease.tenant, consents.as_ref()).await?) };
        let (message, (mut recipient, tenant)) =
            tokio::try_join!(self.pending_message(&head.message), others)?;
        if let Some(message) = message.as_ref().filter(|_| head.parties.is_none())
            && let Some((from, to)) = E164::parse(&message.from).zip(E164::parse(&message.to))
        {
            recipient = store.recipient_status(&message.tenant, &self.decisive_consents(&from, &to)).await?;
        }
        Ok(Claim {
            message,
            recipient,
            is_tenant_active: tenant.as_ref().is_some_and(Tenant::is_active),
            settings: tenant.map(|tenant| tenant.settings).unwrap_or_default(),
        })
    }

    async fn process_head(
        &mut self,
        sender: &mut SenderState,
        mut message: Message,
        recipient: ConsentStatus,
        settings: &TenantSettings,
        in_flight: &InFlight,
    ) -> Result<()> {
        let previous_status = message.status;
        match sender::head_action(&mut message, sender, recipient, in_flight.at) {
            HeadAction::Remove => {
                sender.discard_head();
                Ok(self.gateway.store.remove_from_outbox(&message).await?)
            }
            HeadAction::SaveEnded => {
                sender.discard_head();
                self.end_pending(&message, previous_status).await
            }
            HeadAction::Send(part) => {
                if let Some(until) = settings.held_until(&message, self.now()) {
                    sender.discard_head();
                    return self.hold_until(message, until).await;
                }
                let confirms = message.confirms.clone();
                // An error here is one of ours: nothing was submitted to RingCentral.
                let (outcome, rate_limit) =
                    self.submit(&message, part).await.inspect_err(|_| sender.in_flight = None)?;
                let now = self.now();
                sender.apply_outcome(&outcome, jitter_ms(), now);
                if let Some(reported) = rate_limit {
                    sender.update_limit(reported.limit, reported.remaining, reported.window_seconds, now);
                }
                // From here on an error leaves the send in flight: the next worker recovers it.
                let remaining = self.save_outcome(message, in_flight, &outcome).await?;
                sender.complete_send(remaining);
                if let (Some(inbound), SendOutcome::Accepted(_), Some(api)) =
                    (confirms, &outcome, self.api()?)
                {
                    keyword::write_confirmed(self, &api, &inbound).await;
                }
                Ok(())
            }
        }
    }

    /// Saves the outcome of a send in its message, and does what follows from it.
    async fn save_outcome(
        &self,
        mut message: Message,
        in_flight: &InFlight,
        outcome: &SendOutcome,
    ) -> Result<Remaining> {
        let store = &self.gateway.store;
        for _ in 0..limits::CONFLICT_ATTEMPTS {
            let (previous_status, now) = (message.status, self.now());
            let from = Some(PendingIn::Outbox);
            let written = match sender::record_outcome(&mut message, in_flight, outcome, now) {
                MessageUpdate::Accepted => store.save_message(&message).await?,
                MessageUpdate::Ended => {
                    // Idempotent, so it comes first.
                    self.record_opt_out(&message, outcome).await?;
                    store.move_message(&message, previous_status, from, None).await?
                }
                MessageUpdate::ReconcileAt(_) => {
                    let to = Some(PendingIn::Reconciling);
                    store.move_message(&message, previous_status, from, to).await?
                }
                MessageUpdate::Unchanged => return Ok(remaining_of(&message)),
                MessageUpdate::AlreadyRecorded => {
                    return self.finish_send(&message, in_flight, StatusEvent::PerhapsMissing).await;
                }
            };
            if written == WriteOutcome::Applied {
                let is_new_status = message.status != previous_status;
                tracing::info!(tenant.id = %message.tenant, extension.id = %message.extension,
                    message.id = %message.id, message.status = message.status.as_str(), attempts = message.attempts,
                    "send outcome saved");
                let event = if is_new_status { StatusEvent::Missing } else { StatusEvent::NotNeeded };
                return self.finish_send(&message, in_flight, event).await;
            }
            // Another writer has changed the message, or this write was applied and its response lost.
            match find_message(self.gateway, &message.tenant, &message.id).await? {
                FoundMessage::Readable(changed) => message = changed,
                FoundMessage::Absent | FoundMessage::Unreadable => {
                    // It was submitted, so it must not be sent again.
                    store.remove_orphan(&message.tenant, &message.extension, &message.id).await?;
                    return Ok(Remaining::Nothing);
                }
            }
        }
        Err(Error::unavailable("a message", "it keeps changing"))
    }

    /// Records the opt-out that RingCentral's rejection of a message shows, if it shows one.
    async fn record_opt_out(&self, message: &Message, outcome: &SendOutcome) -> Result<()> {
        let SendOutcome::Rejected { code, .. } = outcome else { return Ok(()) };
        let stage = PartStage::Failed;
        let part = message.parts.iter().position(|part| part.stage == stage).unwrap_or_default();
        let report = DeliveryReport { stage, error_code: code.clone() };
        consents::record_delivery_error(self.gateway, message, part, &report).await
    }

    /// Does what follows from a saved outcome: correlates the record, appends the event, removes the outbox entry, or
    /// schedules the reconciliation. Idempotent.
    async fn finish_send(
        &self,
        message: &Message,
        in_flight: &InFlight,
        status_event: StatusEvent,
    ) -> Result<Remaining> {
        let mut parts = message.parts.iter().enumerate();
        let sent = parts.find(|(_, part)| in_flight.is_recorded_in_part(part));
        let Some((index, part)) = sent else { return Ok(Remaining::Nothing) };
        let Some(rc_id) = part.rc_id.as_deref() else {
            if part.stage == PartStage::Submitted {
                let delay = whole_seconds(self.now(), reconcile_at(in_flight.at)) + 1;
                wake(self.gateway, &self.lease.tenant, &self.lease.extension, delay).await;
            }
            return Ok(Remaining::Nothing);
        };
        let store = &self.gateway.store;
        if part.stage == PartStage::Failed {
            // The write that ended the message appended its event and removed it from the outbox.
            store.correlate_record(message, index, rc_id).await?;
            return Ok(Remaining::Nothing);
        }
        let remaining = remaining_of(message);
        let append = async {
            match status_event {
                StatusEvent::NotNeeded => Ok(()),
                StatusEvent::Missing => store.append_event(&store.status_event(message)).await.map(|_| ()),
                StatusEvent::PerhapsMissing => store.append_late(&store.status_event(message)).await,
            }
        };
        let remove = async {
            match remaining {
                Remaining::Parts => Ok(()),
                Remaining::Nothing => store.remove_from_outbox(message).await,
            }
        };
        let (correlation, (), ()) =
            tokio::try_join!(store.correlate_record(message, index, rc_id), append, remove)?;
        if let Correlation::Correlated(Some(report)) = correlation {
            reports::apply(self.gateway, &message.tenant, &message.id, index, &report).await?;
        }
        Ok(remaining)
    }

    /// Ends every pending message: the sender is not connected, or its tenant is suspended.
    async fn fail_pending(&self, sender: &mut SenderState) -> Result<()> {
        sender.partly_sent = None;
        while let Some(head) = self.head(sender).await? {
            if self.is_time_over() {
                return Ok(());
            }
            let Some(mut message) = self.pending_message(&head.message).await? else { continue };
            let previous_status = message.status;
            // Nothing is sent, so opt-outs do not matter.
            let action = sender::head_action(&mut message, sender, ConsentStatus::Unknown, self.now());
            if action == HeadAction::Remove {
                self.gateway.store.remove_from_outbox(&message).await?;
                continue;
            }
            if message.status != MessageStatus::Expired {
                message.end(MessageStatus::Failed, Some(NOT_CONNECTED.to_owned()), None, self.now());
            }
            self.end_pending(&message, previous_status).await?;
        }
        Ok(())
    }

    /// Saves a message that has ended without being sent. After a conflict it is still the head of the outbox, and is
    /// processed again.
    async fn end_pending(&self, message: &Message, previous_status: MessageStatus) -> Result<()> {
        let store = &self.gateway.store;
        let from = Some(PendingIn::Outbox);
        if store.move_message(message, previous_status, from, None).await? == WriteOutcome::Applied {
            tracing::info!(tenant.id = %message.tenant, extension.id = %message.extension,
                message.id = %message.id, message.status = message.status.as_str(), error = message.error,
                "message ended without being sent");
        }
        Ok(())
    }

    /// Submits a part to RingCentral; once more with a new access token if RingCentral rejects the token.
    async fn submit(&mut self, message: &Message, part: usize) -> Result<(SendOutcome, Option<RateLimit>)> {
        let sms = Sms::new(&message.from, &message.to, message.part_text(part));
        let mms = match self.mms(message).await? {
            Content::Sms => None,
            Content::Mms(mms) => Some(mms),
            Content::Missing => {
                let error = "A file of the message is no longer stored".to_owned();
                let code = Some(failure::MEDIA_UNREACHABLE.to_owned());
                return Ok((SendOutcome::Rejected { code, error, rc_id: None }, None));
            }
        };
        for attempt in 0..2 {
            let Some(api) = self.api()? else { break };
            let response = match &mms {
                None => api.send_sms_with_rate_limit(&sms).await,
                Some(mms) => api.send_mms_with_rate_limit(mms).await,
            };
            let error = match response {
                Ok((record, rate_limit)) => {
                    let rejected = reports::rejection(&record);
                    let accepted = || SendOutcome::Accepted(record.id.to_string());
                    return Ok((rejected.unwrap_or_else(accepted), rate_limit));
                }
                Err(error) => error,
            };
            if error.kind() != ErrorKind::AccessToken || attempt == 1 {
                let outcome = outcome_of(&error, message);
                let text = match outcome {
                    SendOutcome::Accepted(_) | SendOutcome::Ambiguous => "outcome of send unknown",
                    SendOutcome::Rejected { .. } => "message rejected by RingCentral",
                    SendOutcome::Retryable(_) => "send failed and will be retried",
                    SendOutcome::RateLimited(_) => "send rate-limited by RingCentral",
                };
                tracing::warn!(tenant.id = %message.tenant, extension.id = %message.extension,
                    message.id = %message.id, part, error = %error, "{text}");
                return Ok((outcome, error.rate_limit().cloned()));
            }
            if self.replace_token().await? == TokenReplacement::Unavailable {
                break;
            }
        }
        tracing::warn!(tenant.id = %message.tenant, extension.id = %message.extension,
            message.id = %message.id, part, "no valid access token for send");
        Ok((SendOutcome::Retryable(Duration::ZERO), None))
    }
}

/// A claimed message, read after the claim.
struct Claim {
    message: Option<Message>,
    recipient: ConsentStatus,
    is_tenant_active: bool,
    settings: TenantSettings,
}

/// Whether the event of a message's status has to be appended.
#[derive(Debug, Clone, Copy)]
enum StatusEvent {
    NotNeeded,
    Missing,
    /// A crashed worker may have appended it.
    PerhapsMissing,
}

enum Access {
    Ready,
    NotBefore(Timestamp),
    /// The extension is not connected, or the tenant is suspended.
    NotConnected,
}

fn remaining_of(message: &Message) -> Remaining {
    if message.is_partly_sent() { Remaining::Parts } else { Remaining::Nothing }
}

/// The outcome that an error of RingCentral stands for.
fn outcome_of(error: &ringcentral::Error, message: &Message) -> SendOutcome {
    if error.is_ambiguous() {
        return SendOutcome::Ambiguous;
    }
    let wait = retry_after(error);
    if error.kind() == ErrorKind::RateLimited {
        return SendOutcome::RateLimited(wait);
    }
    let is_final = match error.kind() {
        ErrorKind::Forbidden | ErrorKind::NotFound | ErrorKind::Invalid | ErrorKind::Refused => true,
        _ => error.sent() == Sent::Yes && error.status() == Some(501),
    };
    if !is_final {
        return SendOutcome::Retryable(wait);
    }
    let code = error.code().map(str::to_owned);
    let is_foreign_number = error.codes().iter().any(|known| failure::is_foreign_number(&known.code));
    let error = if is_foreign_number {
        format!("Phone number {} is not registered in this RingCentral account", message.from)
    } else {
        failure::explain_rejection(code.as_deref()).to_owned()
    };
    SendOutcome::Rejected { code, error, rc_id: None }
}

/// Spreads out the senders whose penalties end at the same time.
fn jitter_ms() -> u64 {
    1_000 + random::below(limits::PENALTY_JITTER_MS)
}
