//! The request of `POST /v1/sms/send`, and its validation.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::clock::{parse_time, saturating_add};
use crate::error::{Error, Result};
use crate::limits;
use crate::media::MediaReferences;
use crate::model::ids::{ExtensionId, TenantId};
use crate::model::media::{Media, MediaId};
use crate::model::message::{Message, MessageClass, OnAmbiguous, Priority};
use crate::model::phone::E164;
use crate::store::Idempotency;

/// The body of `POST /v1/sms/send`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SendRequest {
    /// The recipient's phone number in E.164 form.
    #[schemars(required, regex(pattern = E164::PATTERN))]
    to: Option<String>,
    /// The sender's phone number in E.164 form: a number of the tenant that can send SMS and whose extension is connected.
    #[schemars(required, regex(pattern = E164::PATTERN))]
    from: Option<String>,
    /// The text of the message: 1 to 1,600 UTF-16 code units, without control characters other than tabs and line breaks. With
    /// media it is optional and has at most 1,000.
    #[schemars(length(max = limits::TEXT_UNITS), regex(pattern = limits::TEXT_PATTERN))]
    body: Option<String>,
    /// URLs of files, 1 to 10. They are downloaded after the request, so they must be public for some minutes. All files of a message
    /// together have at most 1,500,000 bytes.
    #[schemars(length(min = 1, max = limits::MEDIA_FILES), inner(length(max = limits::MEDIA_URL_CHARS), regex(pattern = limits::URL_PATTERN)))]
    media_urls: Option<Vec<String>>,
    /// Ids of uploaded files (`POST /v1/media`). At most 10 files together with `mediaUrls`.
    #[schemars(length(min = 1, max = limits::MEDIA_FILES), inner(regex(pattern = MediaId::PATTERN)))]
    media_ids: Option<Vec<String>>,
    /// The caller's own reference to the user who sends it, 1 to 200 characters. Returned in the message and its events.
    #[schemars(length(min = 1, max = limits::USER_ID_CHARS), regex(pattern = limits::LINE_PATTERN))]
    user_id: Option<String>,
    /// Order of sending among the sender's messages. Default: `normal`.
    #[schemars(with = "Option<Priority>")]
    priority: Option<String>,
    /// What happens if RingCentral's response is lost and its message store does not show the message: `hold` sets the status
    /// `unknown`, `resend` sends the message again. Default: `hold`.
    #[schemars(with = "Option<OnAmbiguous>")]
    on_ambiguous: Option<String>,
    /// What the message is for: `marketing` is held in the tenant's quiet hours (`GET /v1/settings`), `transactional` never is.
    /// Default: `transactional`.
    #[schemars(with = "Option<MessageClass>")]
    message_class: Option<String>,
    /// Time before which the message is not sent, at most a year ahead. ISO 8601. Default: now.
    #[schemars(with = "Option<Timestamp>")]
    send_at: Option<String>,
    /// Time from which the message is no longer sent. ISO 8601. Default: none.
    #[schemars(with = "Option<Timestamp>")]
    expires_at: Option<String>,
}

/// A valid request, as far as that can be checked without reading from the store.
#[derive(Debug)]
pub struct ValidatedSend {
    pub from: E164,
    pub to: E164,
    body: String,
    pub media: MediaReferences,
    user_id: Option<String>,
    priority: Priority,
    on_ambiguous: OnAmbiguous,
    class: MessageClass,
    send_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    key: Option<String>,
}

impl SendRequest {
    /// Validates all fields but the times. `key` is the caller's idempotency key.
    pub fn validate(self, key: Option<&str>) -> Result<ValidatedSend> {
        let media = MediaReferences::parse(self.media_urls, self.media_ids)?;
        let is_present = |field: &Option<String>| field.as_ref().is_some_and(|text| !text.is_empty());
        let required = [
            ("to", is_present(&self.to)),
            ("from", is_present(&self.from)),
            ("body", is_present(&self.body) || !media.is_empty()),
        ];
        if let Some((field, _)) = required.into_iter().find(|(_, is_present)| !is_present) {
            return Err(Error::MissingField { text: "to, from, and body are required", field });
        }
        let number = |field: &'static str, text: Option<String>| {
            text.as_deref().and_then(E164::parse).ok_or(Error::InvalidPhoneNumber { field })
        };
        let (to, from) = (number("to", self.to)?, number("from", self.from)?);
        let body = validate_body(self.body, &media)?;
        let user_id = self.user_id.map(user_id).transpose()?;
        let priority = match self.priority {
            None => Priority::Normal,
            Some(word) => Priority::parse(&word)
                .ok_or_else(|| invalid("priority", "priority must be high, normal or bulk"))?,
        };
        let on_ambiguous = match self.on_ambiguous {
            None => OnAmbiguous::Hold,
            Some(word) => OnAmbiguous::parse(&word)
                .ok_or_else(|| invalid("onAmbiguous", "onAmbiguous must be hold or resend"))?,
        };
        let class = match self.message_class {
            None => MessageClass::Transactional,
            Some(word) => MessageClass::parse(&word)
                .ok_or_else(|| invalid("messageClass", "messageClass must be transactional or marketing"))?,
        };
        let send_at = time("sendAt", self.send_at)?;
        let expires_at = time("expiresAt", self.expires_at)?;
        let key = key.map(str::to_owned);
        Ok(ValidatedSend {
            from,
            to,
            body,
            media,
            user_id,
            priority,
            on_ambiguous,
            class,
            send_at,
            expires_at,
            key,
        })
    }
}

impl ValidatedSend {
    /// Validates the times, which depend on the time of the request.
    /// Files must not expire before their message is sent: they are kept for `media_kept_days`.
    pub fn validate_times(&self, now: Timestamp, media_kept_days: u32) -> Result<()> {
        let furthest = saturating_add(now, SignedDuration::from_secs(limits::SEND_AHEAD_SECONDS));
        if self.send_at.is_some_and(|at| at > furthest) {
            return Err(invalid("sendAt", "sendAt must be within a year"));
        }
        let days = media_kept_days.saturating_sub(1).min(limits::MEDIA_SEND_AHEAD_DAYS);
        let furthest = saturating_add(now, SignedDuration::from_hours(24 * i64::from(days)));
        if !self.media.is_empty() && self.send_at.is_some_and(|at| at > furthest) {
            let text = format!("sendAt of a message with media must be within {days} days");
            return Err(Error::InvalidField { text, field: "sendAt" });
        }
        if self.expires_at.is_some_and(|at| at <= self.send_at.unwrap_or(now).max(now)) {
            return Err(invalid("expiresAt", "expiresAt must be later than now and than sendAt"));
        }
        Ok(())
    }

    /// The digests of the idempotency key and of the request's content; `None` without a key.
    pub fn idempotency(&self) -> Option<Idempotency> {
        let ms = |time: Option<Timestamp>| time.map(Timestamp::as_millisecond);
        let mut content = json!([
            self.to.as_str(),
            self.from.as_str(),
            self.body,
            self.user_id,
            self.priority.as_str(),
            self.on_ambiguous.as_str(),
            self.class.as_str(),
            ms(self.send_at),
            ms(self.expires_at),
        ]);
        if let (Some(content), false) = (content.as_array_mut(), self.media.is_empty()) {
            let ids = self.media.ids.iter().map(MediaId::to_string);
            content.push(json!([self.media.urls, ids.collect::<Vec<_>>()]));
        }
        self.key.as_ref().map(|key| Idempotency::of(key, &content))
    }

    /// Builds the message to send.
    pub fn into_message(
        self,
        tenant: TenantId,
        extension: ExtensionId,
        media: Vec<Media>,
        now: Timestamp,
    ) -> Message {
        let (from, to) = (self.from.as_str().to_owned(), self.to.as_str().to_owned());
        // A time in the past means now: the same request may be repeated after its sendAt.
        let send_at = self.send_at.filter(|at| *at > now);
        let message = Message::outbound(tenant, extension, from, to, self.body, send_at, now);
        Message {
            user_id: self.user_id,
            priority: self.priority,
            on_ambiguous: self.on_ambiguous,
            class: self.class,
            expires_at: self.expires_at,
            ..message.with_media(media)
        }
    }
}

fn invalid(field: &'static str, text: &str) -> Error {
    Error::InvalidField { text: text.to_owned(), field }
}

/// Validates the text of a message: 1 to 1,600 UTF-16 code units, with media at most 1,000, without control characters other than
/// tabs and line breaks.
pub fn validate_body(body: Option<String>, media: &MediaReferences) -> Result<String> {
    let invalid = |text: &str| Error::InvalidBody { text: text.to_owned(), field: Some("body".to_owned()) };
    let body = body.unwrap_or_default();
    let units = body.encode_utf16().count();
    if !media.is_empty() && units > limits::MEDIA_TEXT_UNITS {
        return Err(invalid("body must be at most 1000 characters in a message with media"));
    }
    if units > limits::TEXT_UNITS || body.is_empty() && media.is_empty() {
        return Err(invalid("body must be 1-1600 characters"));
    }
    if body.chars().any(|char| char.is_control() && !matches!(char, '\n' | '\r' | '\t')) {
        return Err(invalid("body must not have control characters"));
    }
    Ok(body)
}

fn user_id(text: String) -> Result<String> {
    let length = text.chars().count();
    if !(1..=limits::USER_ID_CHARS).contains(&length) || text.chars().any(char::is_control) {
        return Err(invalid("userId", "userId must be 1-200 characters without control characters"));
    }
    Ok(text)
}

fn time(field: &'static str, text: Option<String>) -> Result<Option<Timestamp>> {
    let read = |text: String| {
        let at = parse_time(&text).ok_or_else(|| Error::InvalidField {
            text: format!("{field} must be an ISO 8601 time with its offset, such as 2030-01-31T09:00:00Z"),
            field,
        })?;
        Timestamp::from_millisecond(at.as_millisecond()).map_err(|error| Error::internal("a time", error))
    };
    text.map(read).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(fields: serde_json::Value) -> Result<ValidatedSend> {
        let request: SendRequest = serde_json::from_value(fields).unwrap();
        let send = request.validate(Some("key"))?;
        send.validate_times(Timestamp::from_second(1_800_000_000).unwrap(), 90)?;
        Ok(send)
    }

    #[test]
    fn invalid_requests_are_rejected() {
        let (to, from) = ("+16505550111", "+14155550100");
        assert!(validate(json!({ "to": to, "from": from, "body": "😀".repeat(800) })).is_ok());
        assert!(
            validate(json!({ "to": to, "from": from, "mediaUrls": ["https://example.com/a.png"] })).is_ok()
        );
        for fields in [
            json!({ "to": to, "from": from }),
            json!({ "to": to, "from": from, "body": "" }),
            json!({ "to": "", "from": from, "body": "x" }),
            json!({ "to": "650 555 0111", "from": from, "body": "x" }),
            json!({ "to": to, "from": from, "body": "a".repeat(1_601) }),
            json!({ "to": to, "from": from, "body": "\u{0}" }),
            json!({ "to": to, "from": from, "body": "x", "priority": "urgent" }),
            json!({ "to": to, "from": from, "body": "x", "messageClass": "promo" }),
            json!({ "to": to, "from": from, "body": "x", "sendAt": "tomorrow" }),
            json!({ "to": to, "from": from, "body": "x", "sendAt": "2032-01-31T09:00:00Z" }),
            json!({ "to": to, "from": from, "body": "x", "expiresAt": "2001-01-31T09:00:00Z" }),
            json!({ "to": to, "from": from, "body": "x", "userId": "" }),
            json!({ "to": to, "from": from, "body": "x", "mediaUrls": [] }),
            json!({ "to": to, "from": from, "body": "x", "mediaUrls": vec!["https://example.com/a.png"; 11] }),
            json!({ "to": to, "from": from, "body": "x", "mediaUrls": [format!("https://example.com/{}", "a".repeat(2_048))] }),
            json!({ "to": to, "from": from, "body": "a".repeat(1_001), "mediaUrls": ["https://example.com/a.png"] }),
            json!({ "to": to, "from": from, "mediaUrls": ["https://example.com/a.png"], "sendAt": "2027-03-01T00:00:00Z" }),
            json!({ "to": to, "from": from, "body": "x", "mediaIds": [] }),
            json!({ "to": to, "from": from, "body": "x", "mediaIds": ["msg_0123456789ab"] }),
        ] {
            assert!(validate(fields.clone()).is_err(), "{fields}");
        }
    }

    #[test]
    fn the_fingerprint_depends_on_the_content() {
        let fingerprint = |body: &str, priority: &str| {
            let send = validate(
                json!({ "to": "+16505550111", "from": "+14155550100", "body": body, "priority": priority }),
            );
            send.unwrap().idempotency().unwrap().fingerprint
        };
        assert_eq!(fingerprint("a", "high"), fingerprint("a", "high"));
        assert_ne!(fingerprint("a", "high"), fingerprint("a", "bulk"));
        assert_ne!(fingerprint("a", "high"), fingerprint("b", "high"));
    }
}
