//! Sending SMS and MMS.
//!
//! RingCentral has no idempotency key. After a failure that [`Error::is_ambiguous`] calls open, the message
//! may have gone out: look for it in the message store (and not at once, it may still be on its way) before
//! sending it again.

use std::fmt;

use bytes::Bytes;
use reqwest::Method;
use serde::Serialize;

use crate::api::{Api, Group};
use crate::error::{Error, Result};
use crate::limiter::RateLimit;
use crate::message::Message;
use crate::secret::Secret;

/// The longest text of one message, in UTF-16 code units.
pub const MAX_TEXT_UNITS: usize = 1000;

/// The most recipients of one message. Several recipients make one group message.
pub const MAX_RECIPIENTS: usize = 10;

/// The most attachments of one message.
pub const MAX_ATTACHMENTS: usize = 10;

/// The largest sum of all attachments of one message, in bytes.
pub const MAX_ATTACHMENT_BYTES: usize = 1_500_000;

/// A text to send. `Debug` shows neither text nor numbers.
#[derive(Clone)]
pub struct Sms {
    /// One of the extension's numbers with the feature `SmsSender`, in E.164 form.
    pub from: String,
    /// One to ten numbers in E.164 form.
    pub to: Vec<String>,
    /// The text, at most 1,000 UTF-16 code units.
    pub text: String,
}

impl Sms {
    /// A text to one number.
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

/// A message with pictures or other files. `Debug` shows neither text nor numbers.
#[derive(Clone)]
pub struct Mms {
    /// One of the extension's numbers with the feature `MmsSender`, in E.164 form.
    pub from: String,
    /// One to ten numbers in E.164 form.
    pub to: Vec<String>,
    /// The text, if any, at most 1,000 UTF-16 code units.
    pub text: Option<String>,
    /// One to ten files, 1.5 MB in all.
    pub attachments: Vec<File>,
}

impl Mms {
    /// One file to one number, without text.
    #[must_use]
    pub fn new(from: impl Into<String>, to: impl Into<String>, file: File) -> Self {
        Self { from: from.into(), to: vec![to.into()], text: None, attachments: vec![file] }
    }

    /// The same with a text.
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

/// A file to send.
#[derive(Clone)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its media type, such as `image/png`. RingCentral refuses types that it does not know (`MSG-348`).
    pub content_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

impl File {
    /// A file.
    #[must_use]
    pub fn new(name: impl Into<String>, content_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { name: name.into(), content_type: content_type.into(), bytes: bytes.into() }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({}, {} bytes)", self.content_type, self.bytes.len())
    }
}

#[derive(Serialize)]
struct Number<'a> {
    #[serde(rename = "phoneNumber")]
    phone_number: &'a str,
}

#[derive(Serialize)]
struct Body<'a> {
    from: Number<'a>,
    to: Vec<Number<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

impl<'a> Body<'a> {
    fn new(operation: &'static str, from: &'a str, to: &'a [String], text: Option<&'a str>) -> Result<Self> {
        if to.is_empty() || to.len() > MAX_RECIPIENTS {
            return Err(Error::refused(operation, "a message has one to ten recipients"));
        }
        if text.is_some_and(|text| text.encode_utf16().count() > MAX_TEXT_UNITS) {
            return Err(Error::refused(operation, "a text has at most 1,000 UTF-16 code units"));
        }
        let to = to.iter().map(|number| Number { phone_number: number }).collect();
        Ok(Self { from: Number { phone_number: from }, to, text })
    }
}

impl Api {
    /// Sends a text. The answer is the stored message, usually `Queued`; what becomes of it is learnt from the
    /// message store. App scope `SMS`; group Medium, and 40 calls a minute over all apps of the user.
    ///
    /// # Errors
    /// [`Kind::Refused`](super::Kind::Refused) for a text or list of recipients out of bounds;
    /// [`Kind::Forbidden`](super::Kind::Forbidden) with `MSG-304` if the number is not the extension's to send
    /// from; an answer without a readable id is [`Kind::Unreadable`](super::Kind::Unreadable) and ambiguous.
    pub async fn send_sms(&self, sms: &Sms) -> Result<Message> {
        Ok(self.send_sms_and_tell(sms).await?.0)
    }

    /// Sends a text as [`Api::send_sms`] does, and tells what the answer says of the rate limit.
    ///
    /// # Errors
    /// As [`Api::send_sms`].
    pub async fn send_sms_and_tell(&self, sms: &Sms) -> Result<(Message, Option<RateLimit>)> {
        let operation = "send_sms";
        if sms.text.is_empty() {
            return Err(Error::refused(operation, "a text is not empty"));
        }
        let body = Body::new(operation, &sms.from, &sms.to, Some(&sms.text))?;
        let call = self.call(operation, Group::Medium, Method::POST, &self.extension_path("/sms"));
        let answer = self.send(call.body(&body)?).await?;
        let told = answer.rate_limit.clone();
        Ok((answer.json()?, told))
    }

    /// Sends a message with files. Otherwise as [`Api::send_sms`].
    ///
    /// # Errors
    /// As [`Api::send_sms`]; [`Kind::Refused`](super::Kind::Refused) also for too many or too large files;
    /// [`Kind::Invalid`](super::Kind::Invalid) with `MSG-348` for a media type that RingCentral does not take.
    pub async fn send_mms(&self, mms: &Mms) -> Result<Message> {
        let operation = "send_mms";
        let text = mms.text.as_deref().filter(|text| !text.is_empty());
        let body = Body::new(operation, &mms.from, &mms.to, text)?;
        if mms.attachments.is_empty() || mms.attachments.len() > MAX_ATTACHMENTS {
            return Err(Error::refused(operation, "a message has one to ten attachments"));
        }
        if mms.attachments.iter().map(|file| file.bytes.len()).sum::<usize>() > MAX_ATTACHMENT_BYTES {
            return Err(Error::refused(operation, "the attachments have at most 1,500,000 bytes"));
        }
        let mut call = self.call(operation, Group::Medium, Method::POST, &self.extension_path("/mms"));
        let json = serde_json::to_vec(&body)
            .map_err(|_| Error::refused(operation, "the request cannot be written as JSON"))?;
        call.body = Some(multipart(operation, &json, &mms.attachments)?);
        self.json(call).await
    }
}

/// `multipart/form-data` as RingCentral's own SDKs send it: the JSON first, then the files.
fn multipart(operation: &'static str, json: &[u8], files: &[File]) -> Result<(String, Bytes)> {
    // 256 random bits do not occur in a file.
    let boundary = format!("ringbridge-{}", Secret::random().expose());
    let mut body = Vec::new();
    part(&mut body, &boundary, "json", "request.json", "application/json", json);
    for file in files {
        let graphic = |byte: u8| (0x20..0x7f).contains(&byte);
        if !file.content_type.contains('/') || !file.content_type.bytes().all(graphic) {
            return Err(Error::refused(operation, "an attachment has a media type, such as image/png"));
        }
        part(&mut body, &boundary, "attachment", &file.name, &file.content_type, &file.bytes);
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok((format!("multipart/form-data; boundary={boundary}"), body.into()))
}

fn part(body: &mut Vec<u8>, boundary: &str, field: &str, file_name: &str, content_type: &str, bytes: &[u8]) {
    // As browsers do (RFC 7578 section 2): quotes and line ends are percent-encoded.
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
    fn the_json_comes_first_and_names_cannot_break_out() {
        let files = [File::new("a\"\r\nX: y.png", "image/png", &b"\x89PNG"[..])];
        let (content_type, body) = multipart("test", b"{}", &files).expect("built");
        let boundary = content_type.strip_prefix("multipart/form-data; boundary=").expect("a boundary");
        let body = String::from_utf8_lossy(&body).into_owned();
        let parts: Vec<&str> = body.split(&format!("--{boundary}")).collect();
        assert_eq!(parts.len(), 4);
        assert!(parts[1].contains("name=\"json\"") && parts[1].ends_with("\r\n\r\n{}\r\n"));
        assert!(parts[2].contains("filename=\"a%22%0D%0AX: y.png\""));
        assert_eq!(parts[3], "--\r\n");
        assert!(multipart("test", b"{}", &[File::new("a", "image/png\r\nX: y", "")]).is_err());
    }

    #[test]
    fn texts_and_recipients_are_bounded() {
        let one = ["+16505550111".to_owned()];
        let check = |to: &[String], text: &str| Body::new("test", "+14155550100", to, Some(text)).is_ok();
        assert!(check(&one, &"a".repeat(1000)));
        assert!(!check(&one, &"a".repeat(1001)));
        assert!(check(&one, &"😀".repeat(500)) && !check(&one, &"😀".repeat(501)));
        assert!(!check(&[], "a") && !check(&vec![one[0].clone(); 11], "a"));
    }

    #[test]
    fn nothing_private_is_shown() {
        let sms = Sms::new("+14155550100", "+16505550111", "CANARY");
        let mms =
            Mms::new("+14155550100", "+16505550111", File::new("CANARY", "image/png", "")).text("CANARY");
        let shown = format!("{sms:?} {mms:?}");
        assert!(!shown.contains("CANARY") && !shown.contains("555"), "{shown}");
    }
}
