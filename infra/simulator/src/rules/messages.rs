//! The life of a message: stored, accepted, sent, delivered or failed.

use serde_json::{Value, json};

use crate::platform::clock::{Millis, SECOND};
use crate::platform::ledger::LedgerKind;
use crate::platform::messages::{
    MessageDirection, MessageRecord, MessageRecordStatus, ScheduledStep, StoredAttachment,
};
use crate::platform::settings::FinalStatus;
use crate::platform::state::PlatformState;
use crate::rules::events::{ChangedMailbox, MailboxChange};

impl PlatformState {
    /// Stores a message as of `at`, without an event.
    pub fn store_message_silently(&mut self, at: Millis, mut message: MessageRecord) {
        message.created_at = at;
        message.modified_at = at;
        message.visible_at = at + self.settings.store_lag_seconds * SECOND;
        if message.direction == MessageDirection::Outbound {
            let next = at + self.settings.status_step_seconds * SECOND;
            self.mail.schedule(next, ScheduledStep::AdvanceStatus(message.id));
        }
        self.mail.messages.insert(message.id, message);
    }

    /// Stores a message as of `at` and publishes the change of the mailbox.
    pub fn store_message(&mut self, at: Millis, message: MessageRecord) {
        let (mailbox, id) = (ChangedMailbox::of(&message), message.id);
        self.store_message_silently(at, message);
        self.publish_mailbox_change(at, mailbox, MailboxChange::MessageCreated(id));
    }

    /// Accepts a send as of `at`.
    pub fn accept_send(&mut self, at: Millis, mut message: MessageRecord) {
        let account = message.account_id;
        message.is_blocked = message.to.iter().any(|to| self.is_opted_out(account, &message.from, to));
        let to = match message.to.as_slice() {
            [one] => json!(one),
            group => json!(group),
        };
        let attachments: Vec<Value> = message.attachments.iter().map(StoredAttachment::to_json).collect();
        self.ledger.add(
            at,
            LedgerKind::SmsAccepted,
            json!({
                "messageId": message.id.to_string(),
                "extensionId": message.extension_id.to_string(),
                "accountId": message.account_id.to_string(),
                "from": message.from,
                "to": to,
                "text": message.text,
                "attachments": attachments,
            }),
        );
        self.store_message(at, message);
    }

    /// Runs a step that is due at `at`.
    pub fn run_step(&mut self, at: Millis, step: ScheduledStep) {
        match step {
            ScheduledStep::AcceptSend(message) => self.accept_send(at, *message),
            ScheduledStep::AdvanceStatus(id) => self.advance_status(at, id),
        }
    }

    fn advance_status(&mut self, at: Millis, id: i64) {
        let Some(message) = self.mail.messages.get(&id) else { return };
        let settings = &self.settings;
        let configured_error =
            || Some(settings.delivery_error_code.clone().unwrap_or_else(|| "SMS-CAR-431".to_owned()));
        let (next, error) = match (message.status, self.sending_error(message), settings.final_status) {
            (MessageRecordStatus::Queued, Some(code), _) => {
                (MessageRecordStatus::SendingFailed, Some(code.to_owned()))
            }
            (MessageRecordStatus::Queued, None, FinalStatus::SendingFailed) => {
                (MessageRecordStatus::SendingFailed, configured_error())
            }
            (MessageRecordStatus::Queued, None, _) => (MessageRecordStatus::Sent, None),
            (MessageRecordStatus::Sent, _, FinalStatus::Delivered) => (MessageRecordStatus::Delivered, None),
            (MessageRecordStatus::Sent, _, FinalStatus::DeliveryFailed) => {
                (MessageRecordStatus::DeliveryFailed, configured_error())
            }
            _ => return,
        };
        let next_step = at + settings.status_step_seconds * SECOND;
        let Some(message) = self.mail.messages.get_mut(&id) else { return };
        message.status = next;
        message.error_code = error;
        message.modified_at = at;
        if next == MessageRecordStatus::Delivered {
            message.delivered_at = Some(at);
        }
        let mailbox = ChangedMailbox::of(message);
        if next == MessageRecordStatus::Sent {
            self.mail.schedule(next_step, ScheduledStep::AdvanceStatus(id));
        }
        self.publish_mailbox_change(at, mailbox, MailboxChange::MessageUpdated);
    }

    /// The delivery error code of a message that RingCentral accepts but does not send.
    fn sending_error(&self, message: &MessageRecord) -> Option<&'static str> {
        if message.is_blocked {
            return Some("SMS-RC-413");
        }
        let number = self.number(&message.from)?;
        let registered = number.is_toll_free() || number.campaign.as_deref() == Some("Confirmed");
        (!registered).then_some("SMS-UP-414")
    }
}
