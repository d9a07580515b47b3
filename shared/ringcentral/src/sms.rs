//! Sending SMS and MMS.
//!
//! RingCentral has no idempotency keys. After an error for which [`Error::is_ambiguous`] is true, the message may have
//! been sent: before you send it again, look for it in the message store. Wait a little first, because it can appear
//! there with a delay.

use std::fmt;

use bytes::Bytes;
use reqwest::Method;
use serde::Serialize;

use crate::api::Api;
use crate::error::{Error, Result};
use crate::message::{Message, SentMessage};
use crate::rate_limit::{RateLimit, UsageGroup};
use crate::secret::Secret;

/// The maximum length of a text, in UTF-16 code units.
pub const MAX_TEXT_UNITS: usize = 1000;

/// The maximum number of recipients. A message to several recipients is a group message.
pub const MAX_RECIPIENTS: usize = 10;

/// The maximum number of attachments of a message.
pub const MAX_ATTACHMENTS: usize = 10;

/// The maximum total size of the attachments of a message, in bytes.
pub const MAX_ATTACHMENT_BYTES: usize = 1_500_000;

/// An SMS to send. `Debug` omits the text and the numbers.
#[derive(Clone)]
pub struct Sms {
    /// A number of the extension with the feature `SmsSender`, in E.164 format.
    pub from: String,
    /// One to ten numbers in E.164 format.
    pub to: Vec<String>,
    /// The text, at most 1,000 UTF-16 code units.
    pub text: String,
}

impl Sms {
    /// An SMS to one recipient.
    #[must_use]
    pub fn new(from: impl Into<String>, to: impl Into<String>, text: impl Into<String>) -> Self {
        Self { from: from.into(), to: vec![to.into()], text: text.into() }
    }
}

impl fmt::Debug for Sms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sms(… to {})", self.to.len())
    }
}

/// An MMS to send. `Debug` omits the text and the numbers.
#[derive(Clone)]
pub struct Mms {
    /// A number of the extension with the feature `MmsSender`, in E.164 format.
    pub from: String,
    /// One to ten numbers in E.164 format.
    pub to: Vec<String>,
    /// The text, at most 1,000 UTF-16 code units.
    pub text: Option<String>,
    /// One to ten files, at most 1,500,000 bytes in total.
    pub attachments: Vec<MediaFile>,
}

impl Mms {
    /// A file to one recipient, without text.
    #[must_use]
    pub fn new(from: impl Into<String>, to: impl Into<String>, file: MediaFile) -> Self {
        Self { from: from.into(), to: vec![to.into()], text: None, attachments: vec![file] }
    }

    /// Adds a text.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }
}

impl fmt::Debug for Mms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mms(… to {}, {:?})", self.to.len(), self.attachments)
    }
}

/// A file to send. `Debug` omits the name and the content.
#[derive(Clone)]
pub struct MediaFile {
    /// The file name.
    pub name: String,
    /// The media type, such as `image/png`. RingCentral rejects unsupported types (`MSG-348`).
    pub content_type: String,
    /// The content.
    pub bytes: Bytes,
}

impl MediaFile {
    /// A file with this name, media type and content.
    #[must_use]
    pub fn new(name: impl Into<String>, content_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { name: name.into(), content_type: content_type.into(), bytes: bytes.into() }
    }
}

impl fmt::Debug for MediaFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MediaFile({}, {} bytes)", self.content_type, self.bytes.len())
    }
}

#[derive(Serialize)]
struct NumberBody<'a> {
    #[serde(rename = "phoneNumber")]
    phone_number: &'a str,
}

#[derive(Serialize)]
struct MessageBody<'a> {
    from: NumberBody<'a>,
    to: Vec<NumberBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

impl<'a> MessageBody<'a> {
    fn new(operation: &'static str, from: &'a str, to: &'a [String], text: Option<&'a str>) -> Result<Self> {
        if to.is_empty() || to.len() > MAX_RECIPIENTS {
            return Err(Error::refused(operation, "a message has one to ten recipients"));
        }
        if text.is_some_and(|text| text.encode_utf16().count() > MAX_TEXT_UNITS) {
            return Err(Error::refused(operation, "the text exceeds 1,000 UTF-16 code units"));
        }
        let to = to.iter().map(|number| NumberBody { phone_number: number }).collect();
        Ok(Self { from: NumberBody { phone_number: from }, to, text })
    }
}

impl Api {
    /// Sends an SMS and returns the stored message, usually with the status `Queued`; the message store reports later
    /// changes. App scope `SMS`; group Medium, 40 messages a minute over all apps of the user.
    ///
    /// # Errors
    /// * [`ErrorKind::Refused`](crate::ErrorKind::Refused) for an empty or too long text, or for no or too many
    ///   recipients.
    /// * [`ErrorKind::Forbidden`](crate::ErrorKind::Forbidden) with `MSG-304` if the extension may not send from the
    ///   number.
    /// * [`ErrorKind::Unreadable`](crate::ErrorKind::Unreadable), which is ambiguous, for a response without a readable
    ///   id.
    pub async fn send_sms(&self, sms: &Sms) -> Result<Message> {
        Ok(self.send_sms_with_rate_limit(sms).await?.0)
    }

    /// As [`Api::send_sms`], and returns the rate limit that the response reports, for programs that pace their messages
    /// themselves.
    ///
    /// # Errors
    /// As [`Api::send_sms`].
    pub async fn send_sms_with_rate_limit(&self, sms: &Sms) -> Result<(Message, Option<RateLimit>)> {
        let operation = "send_sms";
        if sms.text.is_empty() {
            return Err(Error::refused(operation, "the text is empty"));
        }
        let body = MessageBody::new(operation, &sms.from, &sms.to, Some(&sms.text))?;
        let call = self.call(operation, UsageGroup::Medium, Method::POST, &self.extension_path("/sms"));
        let response = self.send(call.body(&body)?).await?;
        let rate_limit = response.rate_limit.clone();
        Ok((response.json::<SentMessage>()?.0, rate_limit))
    }

    /// Sends an MMS. Otherwise as [`Api::send_sms`].
    ///
    /// # Errors
    /// As [`Api::send_sms`]; [`ErrorKind::Refused`](crate::ErrorKind::Refused) also for no, too many or too large files;
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with `MSG-348` for an unsupported media type.
    pub async fn send_mms(&self, mms: &Mms) -> Result<Message> {
        Ok(self.send_mms_with_rate_limit(mms).await?.0)
    }

    /// As [`Api::send_mms`], and returns the rate limit that the response reports.
    ///
    /// # Errors
    /// As [`Api::send_mms`].
    pub async fn send_mms_with_rate_limit(&self, mms: &Mms) -> Result<(Message, Option<RateLimit>)> {
        let operation = "send_mms";
        let text = mms.text.as_deref().filter(|text| !text.is_empty());
        let body = MessageBody::new(operation, &mms.from, &mms.to, text)?;
        if mms.attachments.is_empty() || mms.attachments.len() > MAX_ATTACHMENTS {
            return Err(Error::refused(operation, "a message has one to ten attachments"));
        }
        if mms.attachments.iter().map(|file| file.bytes.len()).sum::<usize>() > MAX_ATTACHMENT_BYTES {
            return Err(Error::refused(operation, "the attachments exceed 1,500,000 bytes"));
        }
        let mut call = self.call(operation, UsageGroup::Medium, Method::POST, &self.extension_path("/mms"));
        let json = serde_json::to_vec(&body)
            .map_err(|_| Error::refused(operation, "the request cannot be serialised as JSON"))?;
        call.body = Some(multipart(operation, &json, &mms.attachments)?);
        let response = self.send(call).await?;
        let rate_limit = response.rate_limit.clone();
        Ok((response.json::<SentMessage>()?.0, rate_limit))
    }
}

/// Encodes `multipart/form-data` as RingCentral's SDKs do: the JSON first, then the files.
fn multipart(operation: &'static str, json: &[u8], files: &[MediaFile]) -> Result<(String, Bytes)> {
    // 256 random bits, so that no file contains the boundary.
    let boundary = format!("ringbridge-{}", Secret::random().expose());
    let mut body = Vec::new();
    append_part(&mut body, &boundary, "json", "request.json", "application/json", json);
    for file in files {
        let graphic = |byte: u8| (0x20..0x7f).contains(&byte);
        if !file.content_type.contains('/') || !file.content_type.bytes().all(graphic) {
            return Err(Error::refused(operation, "malformed media type of an attachment"));
        }
        append_part(&mut body, &boundary, "attachment", &file.name, &file.content_type, &file.bytes);
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok((format!("multipart/form-data; boundary={boundary}"), body.into()))
}

fn append_part(
    body: &mut Vec<u8>,
    boundary: &str,
    field: &str,
    file_name: &str,
    content_type: &str,
    bytes: &[u8],
) {
    // Quotes and line breaks are percent-encoded, as browsers do (RFC 7578 section 2).
    let file_name: String = file_name
        .chars()
        .map(|char| match char {
            '"' => "%22".to_owned(),
            '\r' => "%0D".to_owned(),
            '\n' => "%0A".to_owned(),
            other => other.to_string(),
        })
        .collect();
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{file_name}\"\r\n\
         Content-Type: {content_type}\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_part_comes_first_and_file_names_cannot_inject_headers() {
        let files = [MediaFile::new("a\"\r\nX: y.png", "image/png", &b"\x89PNG"[..])];
        let (content_type, body) = multipart("test", b"{}", &files).expect("built");
        let boundary = content_type.strip_prefix("multipart/form-data; boundary=").expect("a boundary");
        let body = String::from_utf8_lossy(&body).into_owned();
        let parts: Vec<&str> = body.split(&format!("--{boundary}")).collect();
        assert_eq!(parts.len(), 4);
        assert!(parts[1].contains("name=\"json\"") && parts[1].ends_with("\r\n\r\n{}\r\n"));
        assert!(parts[2].contains("filename=\"a%22%0D%0AX: y.png\""));
        assert_eq!(parts[3], "--\r\n");
        assert!(multipart("test", b"{}", &[MediaFile::new("a", "image/png\r\nX: y", "")]).is_err());
    }

    #[test]
    fn text_length_and_recipient_count_are_limited() {
        let one = ["+16505550111".to_owned()];
        let check =
            |to: &[String], text: &str| MessageBody::new("test", "+14155550100", to, Some(text)).is_ok();
        assert!(check(&one, &"a".repeat(1000)));
        assert!(!check(&one, &"a".repeat(1001)));
        assert!(check(&one, &"😀".repeat(500)) && !check(&one, &"😀".repeat(501)));
        assert!(!check(&[], "a") && !check(&vec![one[0].clone(); 11], "a"));
    }

    #[test]
    fn only_the_id_of_a_sent_message_is_required() {
        for odd in
            ["\"to\":[null]", "\"from\":[]", "\"subject\":{}", "\"direction\":[]", "\"messageStatus\":{}"]
        {
            let json = format!("{{\"id\":7,{odd}}}");
            let sent: SentMessage = crate::lenient::read_record(&json).expect("an id");
            assert_eq!(sent.0.id.to_string(), "7", "{odd}");
        }
        assert!(crate::lenient::read_record::<SentMessage>(r#"{"to":[]}"#).is_err());
    }

    #[test]
    fn debug_output_omits_private_data() {
        let sms = Sms::new("+14155550100", "+16505550111", "CANARY");
        let mms = Mms::new("+14155550100", "+16505550111", MediaFile::new("CANARY", "image/png", ""))
            .text("CANARY");
        let shown = format!("{sms:?} {mms:?}");
        assert!(!shown.contains("CANARY") && !shown.contains("555"), "{shown}");
    }
}
