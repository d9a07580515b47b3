//! Messages: what is kept of one, how its status moves on, and how the platform shows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::{Millis, SECOND, iso};
use crate::events;
use crate::settings::FinalStatus;
use crate::sim::Sim;
use crate::state::{Extension, World};

/// Ids above 2^53: a client that reads them as floating point numbers loses the last digits.
const FIRST_CONVERSATION: i64 = 1_600_000_000_000_000_017;
const FIRST_MESSAGE: i64 = 3_100_200_300_017;
const FIRST_ATTACHMENT: i64 = 675_000_001_016;

/// A file, or the text itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attachment {
    /// Its id; the text has the message's.
    pub id: i64,
    /// Its MIME type.
    pub content_type: String,
    /// Its name, if it has one.
    pub file_name: Option<String>,
    /// How many bytes it has.
    size: usize,
    /// Its bytes, in base64.
    content: String,
}

impl Attachment {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        data_encoding::BASE64.decode(self.content.as_bytes()).unwrap_or_default()
    }
}

/// A file that is about to become an attachment.
#[derive(Debug, Clone)]
pub struct File {
    /// Its MIME type.
    pub content_type: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A stored message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Message {
    /// Its id.
    pub id: i64,
    /// The account of the mailbox.
    pub account_id: i64,
    /// The extension of the mailbox.
    pub extension_id: i64,
    /// Did we send it?
    pub outbound: bool,
    /// Who sent it.
    pub from: String,
    /// To whom.
    pub to: Vec<String>,
    /// The text.
    pub text: String,
    /// Files.
    pub files: Vec<Attachment>,
    /// The conversation.
    pub conversation_id: i64,
    /// When it was made.
    pub created_at: Millis,
    /// When it last changed.
    pub modified_at: Millis,
    /// Before that the message store doesn't show it.
    pub visible_at: Millis,
    /// `Queued`, `Sent`, …
    pub status: String,
    /// Why it failed.
    pub error_code: Option<String>,
    /// When the carrier delivered it.
    pub delivered_at: Option<Millis>,
    /// Has it been read?
    pub read: bool,
    /// `Alive`, `Deleted`, `Purged`.
    pub availability: String,
}

impl Message {
    /// When a client that synchronises can first see its latest change.
    #[must_use]
    pub fn changed_at(&self) -> Millis {
        self.modified_at.max(self.visible_at)
    }

    /// Our number in it.
    #[must_use]
    pub fn own_number<'a>(&'a self, world: &World) -> &'a str {
        if self.outbound {
            return &self.from;
        }
        let mine = |number: &&String| {
            world
                .numbers
                .values()
                .any(|n| n.phone_number == **number && n.sms_extension_id == Some(self.extension_id))
        };
        self.to.iter().find(mine).or(self.to.first()).map_or("", String::as_str)
    }
}

/// A step that falls due.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Step {
    /// A send is accepted late.
    Accept(Box<Message>),
    /// A message's status moves on.
    Progress(i64),
}

/// All mailboxes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mail {
    /// Messages by id.
    pub messages: BTreeMap<i64, Message>,
    /// What falls due, by time and order.
    #[serde(with = "pairs")]
    pub due: BTreeMap<(Millis, u64), Step>,
    conversations: BTreeMap<String, i64>,
    next_message: i64,
    next_attachment: i64,
    next_conversation: i64,
    next_step: u64,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            messages: BTreeMap::new(),
            due: BTreeMap::new(),
            conversations: BTreeMap::new(),
            next_message: FIRST_MESSAGE,
            next_attachment: FIRST_ATTACHMENT,
            next_conversation: FIRST_CONVERSATION,
            next_step: 0,
        }
    }
}

/// JSON has no maps with pairs as keys.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Step;
    use crate::clock::Millis;

    type Due = BTreeMap<(Millis, u64), Step>;

    pub fn serialize<S: Serializer>(due: &Due, serializer: S) -> Result<S::Ok, S::Error> {
        due.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Due, D::Error> {
        Ok(Vec::<((Millis, u64), Step)>::deserialize(deserializer)?.into_iter().collect())
    }
}

impl Mail {
    /// Puts a step on the list.
    pub fn schedule(&mut self, at: Millis, step: Step) {
        self.next_step += 1;
        self.due.insert((at, self.next_step), step);
    }

    /// The conversation of a mailbox with these numbers.
    fn conversation(&mut self, extension_id: i64, from: &str, to: &[String]) -> i64 {
        let mut all: Vec<&str> = to.iter().map(String::as_str).chain([from]).collect();
        all.sort_unstable();
        let key = format!("{extension_id}:{}", all.join(","));
        *self.conversations.entry(key).or_insert_with(|| {
            self.next_conversation += 1_000_003;
            self.next_conversation - 1_000_003
        })
    }

    /// A message that is not stored yet.
    pub fn draft(
        &mut self,
        owner: &Extension,
        outbound: bool,
        from: &str,
        to: &[String],
        text: &str,
        files: Vec<File>,
    ) -> Message {
        let id = self.next_message;
        self.next_message += 1;
        let files = files
            .into_iter()
            .map(|file| {
                self.next_attachment += 1;
                Attachment {
                    id: self.next_attachment - 1,
                    content_type: file.content_type,
                    file_name: file.name,
                    size: file.bytes.len(),
                    content: data_encoding::BASE64.encode(&file.bytes),
                }
            })
            .collect();
        Message {
            id,
            account_id: owner.account_id,
            extension_id: owner.id,
            outbound,
            from: from.to_owned(),
            to: to.to_vec(),
            text: text.to_owned(),
            files,
            conversation_id: self.conversation(owner.id, from, to),
            created_at: 0,
            modified_at: 0,
            visible_at: 0,
            status: if outbound { "Queued" } else { "Received" }.to_owned(),
            error_code: None,
            delivered_at: None,
            read: outbound,
            availability: "Alive".to_owned(),
        }
    }
}

impl World {
    /// Stores a message as of `at` and tells who listens.
    pub fn store(&mut self, at: Millis, mut message: Message) {
        message.created_at = at;
        message.modified_at = at;
        message.visible_at = at + self.settings.store_lag_seconds * SECOND;
        if message.outbound {
            self.mail.schedule(at + self.settings.status_step_seconds * SECOND, Step::Progress(message.id));
        }
        let change = events::Change { new: vec![message.id], updated: 0 };
        let (account, extension, outbound) = (message.account_id, message.extension_id, message.outbound);
        self.mail.messages.insert(message.id, message);
        self.announce_change(at, account, extension, outbound, &change);
    }

    /// Accepts a send as of `at`.
    pub fn accept(&mut self, at: Millis, message: Message) {
        let to = match message.to.as_slice() {
            [one] => json!(one),
            many => json!(many),
        };
        self.ledger.add(
            at,
            "sms_accepted",
            json!({
                "messageId": message.id.to_string(),
                "extensionId": message.extension_id.to_string(),
                "accountId": message.account_id.to_string(),
                "from": message.from,
                "to": to,
                "text": message.text,
                "files": (!message.files.is_empty()).then_some(message.files.len()),
            }),
        );
        self.store(at, message);
    }

    /// Takes a step that fell due.
    pub fn step(&mut self, at: Millis, step: Step) {
        let id = match step {
            Step::Accept(message) => return self.accept(at, *message),
            Step::Progress(id) => id,
        };
        let Some((status, pair)) = self.mail.messages.get(&id).map(|m| {
            let pairs = m.to.iter().map(|to| (m.from.clone(), to.clone())).collect::<Vec<_>>();
            (m.status.clone(), pairs)
        }) else {
            return;
        };
        let doomed = self.refusal_of(&pair);
        let settings = &self.settings;
        let wanted_error =
            || settings.delivery_error_code.clone().unwrap_or_else(|| "SMS-CAR-431".to_owned());
        let (next, error) = match (status.as_str(), doomed, settings.final_status) {
            ("Queued", Some(code), _) => ("SendingFailed", Some(code.to_owned())),
            ("Queued", None, FinalStatus::SendingFailed) => ("SendingFailed", Some(wanted_error())),
            ("Queued", None, _) => ("Sent", None),
            ("Sent", _, FinalStatus::Delivered) => ("Delivered", None),
            ("Sent", _, FinalStatus::DeliveryFailed) => ("DeliveryFailed", Some(wanted_error())),
            _ => return,
        };
        let again = at + settings.status_step_seconds * SECOND;
        let Some(message) = self.mail.messages.get_mut(&id) else { return };
        next.clone_into(&mut message.status);
        message.error_code = error;
        message.modified_at = at;
        if next == "Delivered" {
            message.delivered_at = Some(at);
        }
        let (account, extension) = (message.account_id, message.extension_id);
        if next == "Sent" {
            self.mail.schedule(again, Step::Progress(id));
        }
        self.announce_change(at, account, extension, true, &events::Change { new: vec![], updated: 1 });
    }

    /// Why the platform will not send between these pairs, as a delivery error code.
    fn refusal_of(&self, pairs: &[(String, String)]) -> Option<&'static str> {
        if pairs.iter().any(|(from, to)| self.consents.is_opted_out(from, to)) {
            return Some("SMS-RC-413");
        }
        let from = &pairs.first()?.0;
        let number = self.numbers.values().find(|n| n.phone_number == *from)?;
        let registered = number.payment_type == "TollFree" || number.campaign.as_deref() == Some("Confirmed");
        (!registered).then_some("SMS-UP-414")
    }
}

/// Where a number is, roughly.
#[must_use]
pub fn location(number: &str) -> &'static str {
    match number.get(..5) {
        Some("+1415") => "San Francisco, CA",
        Some("+1650") => "Palo Alto, CA",
        Some("+1212") => "New York, NY",
        Some("+1312") => "Chicago, IL",
        Some("+1206") => "Seattle, WA",
        _ if number.starts_with("+1") => "United States",
        _ => "International",
    }
}

/// Segments of a text: 160 characters of the GSM alphabet in one, 153 in each of several; else 70 and 67 units.
#[must_use]
pub fn segments(text: &str) -> usize {
    const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
    const EXTENDED: &str = "^{}\\[~]|€\u{c}";
    let gsm = |c: char| {
        if BASIC.contains(c) { Some(1) } else { EXTENDED.contains(c).then_some(2) }
    };
    let (units, alone, each) = match text.chars().map(gsm).sum::<Option<usize>>() {
        Some(units) => (units, 160, 153),
        None => (text.encode_utf16().count(), 70, 67),
    };
    if units <= alone { 1 } else { units.div_ceil(each) }
}

impl Message {
    /// The path of the stored message.
    #[must_use]
    pub fn path(&self) -> String {
        format!(
            "/restapi/v1.0/account/{}/extension/{}/message-store/{}",
            self.account_id, self.extension_id, self.id
        )
    }

    fn attachments(&self, media: &str, as_text: bool) -> Value {
        let id = |id: i64| if as_text { json!(id.to_string()) } else { json!(id) };
        let mut all = Vec::new();
        if !self.text.is_empty() || self.files.is_empty() {
            let mut text = json!({"id": id(self.id), "type": "Text", "contentType": "text/plain"});
            if !as_text {
                text["uri"] = format!("{media}{}/content/{}", self.path(), self.id).into();
                text["size"] = self.text.len().into();
            }
            all.push(text);
        }
        for file in &self.files {
            let mut item = json!({
                "id": id(file.id), "type": "MmsAttachment", "contentType": file.content_type,
                "uri": format!("{media}{}/content/{}", self.path(), file.id), "size": file.size,
            });
            if let Some(name) = &file.file_name {
                item["fileName"] = name.clone().into();
            }
            all.push(item);
        }
        Value::Array(all)
    }

    /// The record of the message store and of the reply to a send.
    #[must_use]
    pub fn record(&self, sim: &Sim, world: &World) -> Value {
        let owner = world.extensions.get(&self.extension_id);
        let party = |number: &str| {
            let mut party = json!({"phoneNumber": number, "location": location(number)});
            let own =
                world.numbers.values().any(|n| n.phone_number == number && n.account_id == self.account_id);
            if own && let Some(owner) = owner {
                party["name"] = owner.name().into();
            }
            party
        };
        let own = self.own_number(world);
        let to: Vec<Value> = self
            .to
            .iter()
            .enumerate()
            .map(|(index, number)| {
                let mut party = party(number);
                if self.outbound {
                    party["messageStatus"] = self.status.clone().into();
                    party["recipientId"] = format!("{}{index}", self.id % 1_000_000).into();
                } else if number == own {
                    party["target"] = true.into();
                }
                party
            })
            .collect();
        let mut record = json!({
            "uri": sim.uri(&self.path()),
            "id": self.id,
            "to": to,
            "from": party(&self.from),
            "type": "SMS",
            "creationTime": iso(self.created_at),
            "lastModifiedTime": iso(self.modified_at),
            "readStatus": if self.read { "Read" } else { "Unread" },
            "priority": "Normal",
            "attachments": self.attachments(&sim.media(world), false),
            "direction": if self.outbound { "Outbound" } else { "Inbound" },
            "availability": self.availability,
            "subject": self.text,
            "messageStatus": self.status,
            "conversationId": self.conversation_id,
            "conversation": {
                "id": self.conversation_id.to_string(),
                "uri": sim.uri(&format!("/restapi/v1.0/conversations/{}", self.conversation_id)),
            },
        });
        if self.outbound {
            record["smsSendingAttemptsCount"] = 1.into();
        }
        record
    }

    /// The record as the message store shows it: with segments, delivery and failure.
    #[must_use]
    pub fn stored_record(&self, sim: &Sim, world: &World) -> Value {
        let mut record = self.record(sim, world);
        record["extensionId"] = self.extension_id.to_string().into();
        record["segmentCount"] = segments(&self.text).into();
        if let Some(code) = &self.error_code {
            record["deliveryErrorCode"] = code.clone().into();
        }
        if let Some(at) = self.delivered_at {
            record["smsDeliveryTime"] = iso(at).into();
        }
        if let Some(owner) = world.extensions.get(&self.extension_id) {
            record["owner"] = json!({"extensionId": owner.id.to_string(), "extensionType": owner.kind, "name": owner.name()});
        }
        record
    }

    /// The body of an instant event: ids are text there.
    #[must_use]
    pub fn instant_body(&self, media: &str, world: &World) -> Value {
        let own = self.own_number(world);
        let owner = world.extensions.get(&self.extension_id);
        let to: Vec<Value> = self
            .to
            .iter()
            .map(|number| {
                let mut party = json!({"phoneNumber": number, "location": location(number)});
                if number == own {
                    party["target"] = true.into();
                    party["name"] = owner.map(Extension::name).into();
                }
                party
            })
            .collect();
        let mut from = json!({"phoneNumber": self.from, "location": location(&self.from)});
        if let Some(digits) = self.from.strip_prefix("+1").filter(|d| d.len() == 10) {
            from["phoneNumberInfo"] = json!({
                "countryCode": "1", "nationalDestinationCode": digits[..3], "subscriberNumber": digits[3..],
            });
        }
        json!({
            "id": self.id.to_string(),
            "to": to,
            "from": from,
            "type": "SMS",
            "creationTime": iso(self.created_at),
            "lastModifiedTime": iso(self.modified_at),
            "readStatus": "Unread",
            "priority": "Normal",
            "attachments": self.attachments(media, true),
            "direction": "Inbound",
            "availability": "Alive",
            "subject": self.text,
            "messageStatus": "Received",
            "conversation": {"id": self.conversation_id.to_string()},
            "eventType": "Create",
            "owner": owner.map(|e| json!({
                "extensionId": e.id.to_string(), "extensionType": e.kind, "name": e.name(),
            })),
        })
    }
}
