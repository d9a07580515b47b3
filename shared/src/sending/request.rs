//! What a caller asks for, checked.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::limits;
use crate::model::ids::{ExtensionId, TenantId};
use crate::model::message::{Message, OnAmbiguous, Priority};
use crate::model::phone::E164;
use crate::model::secret::Secret;
use crate::store::Idempotency;

/// The body of `POST /v1/sms/send`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SendRequest {
    /// Whom it goes to, E.164.
    #[schemars(required, regex(pattern = E164::PATTERN))]
    to: Option<String>,
    /// A number of the tenant's that can text and whose extension is connected, E.164.
    #[schemars(required, regex(pattern = E164::PATTERN))]
    from: Option<String>,
    /// 1 to 1,600 UTF-16 code units.
    #[schemars(required, length(min = 1, max = limits::TEXT_UNITS))]
    body: Option<String>,
    /// The caller's own word for who sends it, 1 to 200 characters; it comes back in status and events.
    user_id: Option<String>,
    /// Who goes first. Default: `normal`.
    #[schemars(extend("enum" = ["high", "normal", "bulk", null]))]
    priority: Option<String>,
    /// What becomes of it if RingCentral's answer is lost and can't be found. Default: `hold`.
    #[schemars(extend("enum" = ["hold", "resend", null]))]
    on_ambiguous: Option<String>,
    /// Not before this moment, up to a year ahead; ISO 8601.
    #[schemars(extend("format" = "date-time"))]
    send_at: Option<String>,
    /// Not from this moment on; ISO 8601.
    #[schemars(extend("format" = "date-time"))]
    expires_at: Option<String>,
}

/// A message that may be sent, as far as can be told without looking anything up.
#[derive(Debug)]
pub struct Order {
    /// The number that it is to be sent from.
    pub from: E164,
    to: E164,
    body: String,
    user_id: Option<String>,
    priority: Priority,
    on_ambiguous: OnAmbiguous,
    send_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    key: Option<String>,
}

impl SendRequest {
    /// Checks everything that was asked for. `key` is the caller's idempotency key.
    pub fn check(self, key: Option<&str>) -> Result<Order> {
        let given = |field: &Option<String>| field.as_ref().is_some_and(|text| !text.is_empty());
        let required = [("to", given(&self.to)), ("from", given(&self.from)), ("body", given(&self.body))];
        if let Some((field, _)) = required.into_iter().find(|(_, given)| !given) {
            return Err(Error::MissingField { text: "to, from, and body are required", field });
        }
        let number = |field: &'static str, text: Option<String>| {
            text.as_deref().and_then(E164::parse).ok_or(Error::InvalidPhoneNumber { field })
        };
        let (to, from) = (number("to", self.to)?, number("from", self.from)?);
        let body = checked_body(self.body)?;
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
        let send_at = moment("sendAt", self.send_at)?;
        let expires_at = moment("expiresAt", self.expires_at)?;
        let key = key.map(idempotency_key).transpose()?;
        Ok(Order { from, to, body, user_id, priority, on_ambiguous, send_at, expires_at, key })
    }
}

impl Order {
    /// Checks what depends on when it is asked for.
    pub fn is_in_time(&self, now: Timestamp) -> Result<()> {
        let furthest = saturating_add(now, SignedDuration::from_secs(limits::SEND_AHEAD_SECONDS));
        if self.send_at.is_some_and(|at| at > furthest) {
            return Err(invalid("sendAt", "sendAt must be within a year"));
        }
        if self.expires_at.is_some_and(|at| at <= self.send_at.unwrap_or(now).max(now)) {
            return Err(invalid("expiresAt", "expiresAt must be later than now and than sendAt"));
        }
        Ok(())
    }

    /// Under which key it is asked for, and what it asks for.
    pub fn idempotency(&self) -> Option<Idempotency> {
        let ms = |time: Option<Timestamp>| time.map(Timestamp::as_millisecond);
        let asked = json!([
            self.to.as_str(),
            self.from.as_str(),
            self.body,
            self.user_id,
            self.priority.as_str(),
            self.on_ambiguous.as_str(),
            ms(self.send_at),
            ms(self.expires_at),
        ]);
        let digest = |text: &str| Secret::new(text).digest();
        let fingerprint = digest(&asked.to_string());
        self.key.as_ref().map(|key| Idempotency { digest: digest(key), fingerprint })
    }

    /// The message.
    pub fn into_message(self, tenant: TenantId, extension: ExtensionId, now: Timestamp) -> Message {
        let (from, to) = (self.from.as_str().to_owned(), self.to.as_str().to_owned());
        // A time that has passed means now; the same request may be repeated after it.
        let send_at = self.send_at.filter(|at| *at > now);
        let message = Message::outbound(tenant, extension, from, to, self.body, send_at, now);
        Message {
            user_id: self.user_id,
            priority: self.priority,
            on_ambiguous: self.on_ambiguous,
            expires_at: self.expires_at,
            ..message
        }
    }
}

fn invalid(field: &'static str, text: &str) -> Error {
    Error::InvalidField { text: text.to_owned(), field }
}

/// A text that may be sent: 1 to 1,600 UTF-16 code units, with no control characters but tabs and ends of lines.
pub fn checked_body(body: Option<String>) -> Result<String> {
    let wrong = |text: &str| Error::InvalidBody { text: text.to_owned(), field: Some("body".to_owned()) };
    let body = body.unwrap_or_default();
    if body.is_empty() || body.encode_utf16().count() > limits::TEXT_UNITS {
        return Err(wrong("body must be 1-1600 characters"));
    }
    if body.chars().any(|char| char.is_control() && !matches!(char, '\n' | '\r' | '\t')) {
        return Err(wrong("body must not have control characters"));
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

fn moment(field: &'static str, text: Option<String>) -> Result<Option<Timestamp>> {
    let read = |text: String| {
        let at: Timestamp = text.parse().map_err(|_| Error::InvalidField {
            text: format!("{field} must be an ISO 8601 time with its offset, such as 2030-01-31T09:00:00Z"),
            field,
        })?;
        Timestamp::from_millisecond(at.as_millisecond()).map_err(|error| Error::internal("a time", error))
    };
    text.map(read).transpose()
}

fn idempotency_key(text: &str) -> Result<String> {
    let printable = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if !(1..=limits::IDEMPOTENCY_KEY_CHARS).contains(&text.len()) || !printable {
        return Err(invalid("Idempotency-Key", "Idempotency-Key must be 1-255 printable ASCII characters"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: serde_json::Value) -> Result<Order> {
        let request: SendRequest = serde_json::from_value(fields).unwrap();
        let order = request.check(Some("key"))?;
        order.is_in_time(Timestamp::from_second(1_800_000_000).unwrap())?;
        Ok(order)
    }

    #[test]
    fn bounds_are_those_of_the_contract() {
        let (to, from) = ("+16505550111", "+14155550100");
        assert!(check(json!({ "to": to, "from": from, "body": "😀".repeat(800) })).is_ok());
        for fields in [
            json!({ "to": to, "from": from }),
            json!({ "to": to, "from": from, "body": "" }),
            json!({ "to": "", "from": from, "body": "x" }),
            json!({ "to": "650 555 0111", "from": from, "body": "x" }),
            json!({ "to": to, "from": from, "body": "a".repeat(1_601) }),
            json!({ "to": to, "from": from, "body": "\u{0}" }),
            json!({ "to": to, "from": from, "body": "x", "priority": "urgent" }),
            json!({ "to": to, "from": from, "body": "x", "sendAt": "tomorrow" }),
            json!({ "to": to, "from": from, "body": "x", "sendAt": "2032-01-31T09:00:00Z" }),
            json!({ "to": to, "from": from, "body": "x", "expiresAt": "2001-01-31T09:00:00Z" }),
            json!({ "to": to, "from": from, "body": "x", "userId": "" }),
        ] {
            assert!(check(fields.clone()).is_err(), "{fields}");
        }
    }

    #[test]
    fn the_fingerprint_is_that_of_what_is_asked_for() {
        let print = |body: &str, more: &str| {
            let order = check(
                json!({ "to": "+16505550111", "from": "+14155550100", "body": body, "priority": more }),
            );
            order.unwrap().idempotency().unwrap().fingerprint
        };
        assert_eq!(print("a", "high"), print("a", "high"));
        assert_ne!(print("a", "high"), print("a", "bulk"));
        assert_ne!(print("a", "high"), print("b", "high"));
    }
}
