//! What an event of RingCentral is about, and what a record of its message store is for the gateway.

use crate::limits;
use crate::model::ids::ExtensionId;
use crate::ringcentral::consents::ConsentPage;
use crate::ringcentral::{self, Availability, Direction, MessageKind, events};

#[derive(Debug)]
pub(super) enum Content {
    /// A complete inbound message.
    Message(Box<ringcentral::Message>),
    /// Something in the message store has changed.
    MessageStoreChanged,
    /// Consents of an account have changed.
    ConsentsChanged {
        account: String,
        changed: ConsentPage,
    },
    /// Something else about the extension has changed, perhaps its numbers.
    ExtensionChanged,
    Unreadable(Reason),
}

/// Why an event or a record cannot be used.
pub(super) type Reason = &'static str;

/// The extension that an event names, and its content.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) owner: Option<ExtensionId>,
    pub(super) content: Content,
}

/// What a record of the message store is for the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordRole {
    Inbound,
    Outbound,
    /// It is not an SMS, or it is deleted.
    Irrelevant,
    /// It lacks what is needed to use it.
    Unusable(Reason),
}

/// Classifies a record. `direction` is used if the record does not contain one.
pub fn role(record: &ringcentral::Message, direction: Option<&Direction>) -> RecordRole {
    let is_other_kind =
        matches!(record.kind, Some(MessageKind::Fax | MessageKind::VoiceMail | MessageKind::Pager));
    if is_other_kind || matches!(record.availability, Some(Availability::Deleted | Availability::Purged)) {
        return RecordRole::Irrelevant;
    }
    let is_blank = |direction: &Direction| direction.as_str().trim().is_empty();
    match record.direction.as_ref().filter(|given| !is_blank(given)).or(direction) {
        Some(Direction::Inbound) if record.kind.as_ref().is_some_and(|kind| *kind != MessageKind::Sms) => {
            RecordRole::Unusable("the message type is unknown")
        }
        Some(Direction::Inbound) if is_too_large(record) => {
            RecordRole::Unusable("the message is too large to be stored")
        }
        Some(Direction::Inbound) if record.target_number().is_some() => RecordRole::Inbound,
        Some(Direction::Inbound) => RecordRole::Unusable("no recipient is the user's number"),
        Some(Direction::Outbound) => RecordRole::Outbound,
        Some(_) => RecordRole::Unusable("the direction is unknown"),
        None => RecordRole::Unusable("there is no direction"),
    }
}

/// True if the message and its event might not fit into a row. RingCentral's own limits are far below.
fn is_too_large(record: &ringcentral::Message) -> bool {
    let text = record.text.as_deref().map_or(0, str::len);
    let parties = record.from.iter().chain(&record.to);
    let numbers = parties.filter_map(|party| party.phone_number.as_deref()).map(str::len).sum::<usize>();
    let media = || record.media().take(limits::INBOUND_ATTACHMENTS + 1);
    let types = media().filter_map(|file| file.content_type.as_deref()).map(str::len).sum::<usize>();
    text + numbers + types > limits::INBOUND_MESSAGE_BYTES || media().count() > limits::INBOUND_ATTACHMENTS
}

/// True if a body can be read as an event.
pub fn is_readable(body: &[u8]) -> bool {
    !matches!(read(body).content, Content::Unreadable(_))
}

/// Parses an event as far as it can be read.
pub(super) fn read(body: &[u8]) -> Envelope {
    let Some(event) = events::from_slice::<events::Event<events::Json>>(body) else {
        return Envelope { owner: None, content: Content::Unreadable("the body is not an event") };
    };
    let content_json = event.body.as_str();
    let in_body = || events::from_slice::<events::BodyOwner>(content_json.as_bytes())?.extension_id();
    let owner = event.owner_id.or_else(in_body).map(|id| id.to_string());
    let filter = event.event.as_deref().unwrap_or_default();
    let owner = owner.as_deref().or_else(|| extension_of(filter)).and_then(ExtensionId::parse);
    Envelope { owner, content: content(filter, content_json) }
}

/// The extension in an event's filter, in which RingCentral replaces `~` by ids.
fn extension_of(filter: &str) -> Option<&str> {
    filter.split_once("/extension/")?.1.split(['/', '?']).next()
}

/// The account in the path of the filter of consent events.
fn account_of(path: &str) -> Option<&str> {
    let account = path.split_once("/accounts/")?.1.strip_suffix("/sms/consents")?;
    let is_id = (1..=limits::REPORTED_TEXT_CHARS).contains(&account.len())
        && account.bytes().all(|byte| byte.is_ascii_digit());
    is_id.then_some(account)
}

/// Classifies an event by its filter.
fn content(filter: &str, body: &str) -> Content {
    let path = filter.split('?').next().unwrap_or_default().trim_end_matches('/');
    let last = path.rsplit('/').next().unwrap_or_default();
    match last {
        "instant" => match events::from_slice::<ringcentral::Message>(body.as_bytes()) {
            Some(message) => match role(&message, Some(&Direction::Inbound)) {
                RecordRole::Inbound => Content::Message(Box::new(message)),
                RecordRole::Unusable(reason) => Content::Unreadable(reason),
                RecordRole::Outbound | RecordRole::Irrelevant => Content::MessageStoreChanged,
            },
            None => Content::Unreadable("the message cannot be read"),
        },
        "message-store" => Content::MessageStoreChanged,
        "consents" => match (account_of(path), events::from_slice(body.as_bytes())) {
            (Some(account), Some(changed)) => {
                Content::ConsentsChanged { account: account.to_owned(), changed }
            }
            (None, _) => Content::Unreadable("the event names no account"),
            (_, None) => Content::Unreadable("the consents cannot be read"),
        },
        id if path.contains("/extension/") && ExtensionId::parse(id).is_some() => Content::ExtensionChanged,
        _ => Content::Unreadable("the event filter is unknown"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_classified_by_its_filter() {
        let instant = "/restapi/v1.0/account/1/extension/2/message-store/instant?type=SMS";
        let body = r#"{ "id": "7", "type": "SMS", "to": [{ "phoneNumber": "+14155550100" }] }"#;
        assert!(matches!(content(instant, body), Content::Message(_)));
        for odd in [r#"{ "id": "7" }"#, "[]", "null", r#"{ "id": [], "to": "+14155550100" }"#] {
            assert!(matches!(content(instant, odd), Content::Unreadable(_)), "{odd}");
        }
        let changed = "/restapi/v1.0/account/1/extension/2/message-store";
        assert!(matches!(content(changed, body), Content::MessageStoreChanged));
        assert!(matches!(content("/restapi/v1.0/account/1/extension/2", body), Content::ExtensionChanged));
        let consents = "/restapi/v2/accounts/1/sms/consents";
        let records =
            r#"{ "records": [{ "from": "+14155550100", "to": "+16505550111", "optStatus": "OptOut" }] }"#;
        let read = content(consents, records);
        assert!(
            matches!(&read, Content::ConsentsChanged { account, changed } if account == "1" && changed.records.len() == 1)
        );
        for odd in [("/restapi/v2/accounts/~/sms/consents", records), (consents, "{}"), (consents, "[]")] {
            assert!(matches!(content(odd.0, odd.1), Content::Unreadable(_)), "{odd:?}");
        }
        for unknown in ["/restapi/v1.0/account/1/presence", ""] {
            assert!(matches!(content(unknown, body), Content::Unreadable(_)), "{unknown}");
        }
    }

    #[test]
    fn a_record_is_classified_in_each_spelling_of_its_fields() {
        let role_of = |fields: &str| {
            let json = format!(r#"{{"id":7,"to":"+14155550100","direction":"Inbound",{fields}}}"#);
            role(&events::from_slice(json.as_bytes()).expect("a message"), None)
        };
        for (fields, expected) in [
            (r#""type":"SMS""#, RecordRole::Inbound),
            (r#""type":"sms""#, RecordRole::Inbound),
            (r#""type":"SMS ""#, RecordRole::Inbound),
            (r#""type":"MMS""#, RecordRole::Inbound),
            (r#""type":"Text""#, RecordRole::Inbound),
            (r#""type":"""#, RecordRole::Inbound),
            (r#""type":null"#, RecordRole::Inbound),
            (r#""x":1"#, RecordRole::Inbound),
            (r#""availability":" alive""#, RecordRole::Inbound),
            (r#""availability":"""#, RecordRole::Inbound),
            (r#""availability":"Archived""#, RecordRole::Inbound),
            (r#""direction":" inbound ""#, RecordRole::Inbound),
            (r#""direction":"outbound""#, RecordRole::Outbound),
            (r#""type":"Fax""#, RecordRole::Irrelevant),
            (r#""type":"VOICEMAIL""#, RecordRole::Irrelevant),
            (r#""type":" pager ""#, RecordRole::Irrelevant),
            (r#""availability":"Deleted ""#, RecordRole::Irrelevant),
            (r#""availability":"purged""#, RecordRole::Irrelevant),
        ] {
            assert_eq!(role_of(fields), expected, "{fields}");
        }
        for unknown in
            [r#""type":"RCS""#, r#""type":"SMS/MMS""#, r#""direction":"Sideways""#, r#""direction":"""#]
        {
            assert!(matches!(role_of(unknown), RecordRole::Unusable(_)), "{unknown}");
        }
        assert_eq!(role_of(r#""type":"RCS","direction":"Outbound""#), RecordRole::Outbound);
        // An event without a direction is about an inbound message.
        let event =
            events::from_slice(br#"{"id":7,"to":"+14155550100","direction":" "}"#).expect("a message");
        assert_eq!(role(&event, Some(&Direction::Inbound)), RecordRole::Inbound);
    }

    #[test]
    fn the_owner_is_found_in_each_of_its_positions() {
        for event in [
            json!({ "uuid": "1", "event": "e", "subscriptionId": "s", "ownerId": "42", "body": {} }),
            json!({ "uuid": "1", "event": "e", "subscriptionId": "s", "body": { "ownerId": 42 } }),
            json!({ "uuid": "1", "event": "e", "subscriptionId": "s", "body": { "owner": { "extensionId": "42" } } }),
            json!({ "ownerId": {}, "event": "/account/1/extension/42/message-store", "body": [] }),
        ] {
            let read = read(event.to_string().as_bytes());
            assert_eq!(read.owner.map(|id| id.to_string()).as_deref(), Some("42"), "{event}");
        }
    }

    #[test]
    fn a_deeply_nested_body_is_unreadable() {
        let deep = format!("{{\"body\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(!is_readable(deep.as_bytes()));
    }

    proptest! {
        #[test]
        fn no_body_causes_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
        }

        #[test]
        fn no_envelope_causes_a_panic(filter in "[/a-z0-9~?=.]{0,60}", id in any::<u64>(), text in "\\PC{0,40}") {
            let body = json!({ "id": id, "subject": text, "to": [{ "phoneNumber": text }], "direction": "Inbound" });
            let event = json!({ "uuid": text, "event": filter, "subscriptionId": text, "ownerId": id, "body": body });
            let _ = read(event.to_string().as_bytes());
        }
    }
}
