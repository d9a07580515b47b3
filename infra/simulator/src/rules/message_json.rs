//! The JSON of messages: in replies to a send, in the message store, in events.

use serde_json::{Value, json};

use crate::platform::accounts::ExtensionRecord;
use crate::platform::clock::format_time;
use crate::platform::messages::{MessageDirection, MessageRecord};
use crate::platform::state::PlatformState;
use crate::platform::urls::BaseUrls;

/// Ids are numbers in replies and text in events.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IdFormat {
    Number,
    Text,
}

impl IdFormat {
    fn write(self, id: i64) -> Value {
        match self {
            Self::Number => json!(id),
            Self::Text => json!(id.to_string()),
        }
    }
}

/// A rough location of a number.
fn location(number: &str) -> &'static str {
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

/// Segments of a text: one of up to 160 GSM-7 characters or several of 153; with other characters, one of up to 70 UTF-16
/// code units or several of 67.
fn segment_count(text: &str) -> usize {
    const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
    const EXTENDED: &str = "^{}\\[~]|€\u{c}";
    let gsm_units = |c: char| {
        if BASIC.contains(c) { Some(1) } else { EXTENDED.contains(c).then_some(2) }
    };
    let (units, single, multiple) = match text.chars().map(gsm_units).sum::<Option<usize>>() {
        Some(units) => (units, 160, 153),
        None => (text.encode_utf16().count(), 70, 67),
    };
    if units <= single { 1 } else { units.div_ceil(multiple) }
}

/// The owner of a mailbox, as events and stored messages show it.
fn owner_json(owner: &ExtensionRecord) -> Value {
    json!({"extensionId": owner.id.to_string(), "extensionType": owner.kind, "name": owner.name()})
}

fn attachments_json(message: &MessageRecord, media: &str, ids: IdFormat) -> Value {
    let uri = |id: i64| format!("{media}{}/content/{id}", message.path());
    let mut all = Vec::new();
    if !message.text.is_empty() || message.attachments.is_empty() {
        // The text is an attachment too; its id is the id of the message.
        let mut text = json!({"id": ids.write(message.id), "type": "Text", "contentType": "text/plain"});
        if ids == IdFormat::Number {
            text["uri"] = uri(message.id).into();
            text["size"] = message.text.len().into();
        }
        all.push(text);
    }
    for file in &message.attachments {
        let mut item = json!({
            "id": ids.write(file.id), "type": "MmsAttachment", "contentType": file.content_type,
            "uri": uri(file.id), "size": file.size,
        });
        if let Some(name) = &file.file_name {
            item["fileName"] = name.clone().into();
        }
        if ids == IdFormat::Number
            && let Some((width, height)) = file.dimensions
        {
            item["width"] = width.into();
            item["height"] = height.into();
        }
        all.push(item);
    }
    Value::Array(all)
}

impl PlatformState {
    /// The number of the mailbox's owner in a message.
    #[must_use]
    pub fn own_number<'m>(&self, message: &'m MessageRecord) -> &'m str {
        if message.direction == MessageDirection::Outbound {
            return &message.from;
        }
        let is_own = |number: &&String| {
            self.number(number).is_some_and(|n| n.sms_extension_id == Some(message.extension_id))
        };
        message.to.iter().find(is_own).or(message.to.first()).map_or("", String::as_str)
    }

    /// The reply to a send.
    #[must_use]
    pub fn message_json(&self, message: &MessageRecord, urls: &BaseUrls) -> Value {
        let owner = self.extensions.get(&message.extension_id);
        let party = |number: &str| {
            let mut party = json!({"phoneNumber": number, "location": location(number)});
            let is_own = self.number(number).is_some_and(|n| n.account_id == message.account_id);
            if is_own && let Some(owner) = owner {
                party["name"] = owner.name().into();
            }
            party
        };
        let own = self.own_number(message);
        let recipient = |(index, number): (usize, &String)| {
            let mut party = party(number);
            if message.direction == MessageDirection::Outbound {
                party["messageStatus"] = json!(message.status);
                party["recipientId"] = format!("{}{index}", message.id % 1_000_000).into();
            } else if number == own {
                party["target"] = true.into();
            }
            party
        };
        let conversation = message.conversation_id;
        let mut record = json!({
            "uri": urls.api(&message.path()),
            "id": message.id,
            "to": message.to.iter().enumerate().map(recipient).collect::<Vec<_>>(),
            "from": party(&message.from),
            "type": "SMS",
            "creationTime": format_time(message.created_at),
            "lastModifiedTime": format_time(message.modified_at),
            "readStatus": message.read_status,
            "priority": "Normal",
            "attachments": attachments_json(message, &urls.media, IdFormat::Number),
            "direction": message.direction,
            "availability": message.availability,
            "subject": message.text,
            "messageStatus": message.status,
            "conversationId": conversation,
            "conversation": {
                "id": conversation.to_string(),
                "uri": urls.api(&format!("/restapi/v1.0/conversations/{conversation}")),
            },
        });
        if message.direction == MessageDirection::Outbound {
            record["smsSendingAttemptsCount"] = 1.into();
        }
        record
    }

    /// The record of the message store: the reply to a send plus owner, segments, delivery and error.
    #[must_use]
    pub fn stored_message_json(&self, message: &MessageRecord, urls: &BaseUrls) -> Value {
        let mut record = self.message_json(message, urls);
        record["extensionId"] = message.extension_id.to_string().into();
        record["segmentCount"] = segment_count(&message.text).into();
        if let Some(code) = &message.error_code {
            record["deliveryErrorCode"] = code.clone().into();
        }
        if let Some(at) = message.delivered_at {
            record["smsDeliveryTime"] = format_time(at).into();
        }
        if let Some(owner) = self.extensions.get(&message.extension_id) {
            record["owner"] = owner_json(owner);
        }
        record
    }

    /// The body of an instant event.
    #[must_use]
    pub fn instant_event_body(&self, message: &MessageRecord, urls: &BaseUrls) -> Value {
        let own = self.own_number(message);
        let owner = self.extensions.get(&message.extension_id);
        let recipient = |number: &String| {
            let mut party = json!({"phoneNumber": number, "location": location(number)});
            if number == own {
                party["target"] = true.into();
                party["name"] = owner.map(ExtensionRecord::name).into();
            }
            party
        };
        let mut from = json!({"phoneNumber": message.from, "location": location(&message.from)});
        if let Some(digits) = message.from.strip_prefix("+1").filter(|d| d.len() == 10) {
            from["phoneNumberInfo"] = json!({
                "countryCode": "1", "nationalDestinationCode": digits[..3], "subscriberNumber": digits[3..],
            });
        }
        json!({
            "id": message.id.to_string(),
            "to": message.to.iter().map(recipient).collect::<Vec<_>>(),
            "from": from,
            "type": "SMS",
            "creationTime": format_time(message.created_at),
            "lastModifiedTime": format_time(message.modified_at),
            "readStatus": message.read_status,
            "priority": "Normal",
            "attachments": attachments_json(message, &urls.media, IdFormat::Text),
            "direction": message.direction,
            "availability": message.availability,
            "subject": message.text,
            "messageStatus": message.status,
            "conversation": {"id": message.conversation_id.to_string()},
            "eventType": "Create",
            "owner": owner.map(owner_json),
        })
    }
}
