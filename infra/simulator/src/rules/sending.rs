//! Sending: the checks of `POST …/sms` and `…/mms`, in the order of the platform.

use http::StatusCode;
use serde_json::{Value, json};

use crate::platform::accounts::{ExtensionRecord, NumberRecord};
use crate::platform::clock::{Millis, SECOND};
use crate::platform::errors::RestError;
use crate::platform::ledger::LedgerKind;
use crate::platform::messages::{MessageDirection, MessageDraft, MessageRecord, ScheduledStep, UploadedFile};
use crate::platform::state::PlatformState;
use crate::rules::caller::ApiCaller;

/// UTF-16 code units of a text.
const MAX_TEXT: usize = 1000;
const MAX_FILES: usize = 10;
/// Bytes of one file, and of all files together.
const MAX_FILE_BYTES: usize = 1_500_000;
/// Recipients of one group message.
const MAX_RECIPIENTS: usize = 10;

/// The media types of RingCentral's guide, and no other names for them.
const ACCEPTED_TYPES: [&str; 31] = [
    "image/jpeg",
    "image/png",
    "image/bmp",
    "image/gif",
    "image/tiff",
    "image/svg+xml",
    "image/webp",
    "video/3gpp",
    "video/mp4",
    "video/mpeg",
    "video/avi",
    "video/x-flv",
    "video/x-ms-wmv",
    "video/quicktime",
    "video/webm",
    "video/ogg",
    "audio/mpeg",
    "audio/mp4",
    "audio/ogg",
    "audio/wav",
    "audio/amr",
    "audio/3gpp",
    "text/vcard",
    "application/zip",
    "application/gzip",
    "application/rtf",
    "application/pdf",
    "text/html",
    "text/plain",
    "text/csv",
    "text/calendar",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendEndpoint {
    Sms,
    /// Needs at least one file; the text is optional.
    Mms,
}

/// A file of a send request.
#[derive(Debug)]
pub struct SentFile {
    /// `None` if its part has no `Content-Disposition`.
    pub disposition: Option<FileDisposition>,
    /// MIME type.
    pub content_type: String,
    pub bytes: Vec<u8>,
}

#[derive(Debug)]
pub struct FileDisposition {
    pub file_name: Option<String>,
}

/// A send request, parsed but not checked.
#[derive(Debug)]
pub struct MessageToSend {
    pub from: String,
    pub to: Vec<String>,
    pub text: String,
    pub files: Vec<SentFile>,
}

/// The account and extension in the path of a send, as written.
#[derive(Debug)]
pub struct SenderPath {
    pub account: String,
    pub extension: String,
}

/// Checks a send and accepts it, or records the refusal. Returns the message as it is accepted, which the setting
/// `smsLateAcceptSeconds` can delay.
pub fn send_message(
    state: &mut PlatformState,
    now: Millis,
    caller: &ApiCaller,
    path: &SenderPath,
    endpoint: SendEndpoint,
    request: MessageToSend,
) -> Result<MessageRecord, RestError> {
    let owner = match check(state, caller, path, endpoint, &request) {
        Ok(owner) => owner.clone(),
        Err(error) => {
            let fields = json!({
                "code": error.code, "status": error.status.as_u16(), "from": request.from, "to": request.to,
                "text": request.text, "extensionId": caller.session.extension_id.to_string(),
            });
            state.ledger.add(now, LedgerKind::SmsRefused, fields);
            return Err(error);
        }
    };
    let mut message = state.mail.create(MessageDraft {
        owner: &owner,
        direction: MessageDirection::Outbound,
        from: &request.from,
        to: &request.to,
        text: &request.text,
        files: request.files.into_iter().map(uploaded).collect(),
    });
    let accepted_at = now + state.settings.sms_late_accept_seconds * SECOND;
    message.created_at = accepted_at;
    message.modified_at = accepted_at;
    if accepted_at > now {
        state.mail.schedule(accepted_at, ScheduledStep::AcceptSend(Box::new(message.clone())));
    } else {
        state.accept_send(now, message.clone());
    }
    Ok(message)
}

fn uploaded(file: SentFile) -> UploadedFile {
    let name = file.disposition.and_then(|d| d.file_name);
    UploadedFile { content_type: file.content_type, name, bytes: file.bytes }
}

fn is_e164(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or_default();
    (8..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0')
}

fn feature_error(code: &'static str, text: &str) -> RestError {
    RestError::new(StatusCode::FORBIDDEN, code, text).category("FeatureNotAvailable")
}

fn parameter_error(code: &'static str, text: &str) -> RestError {
    RestError::new(StatusCode::BAD_REQUEST, code, text).category("InvalidParameter")
}

/// Applies every rule and returns the sender.
fn check<'s>(
    state: &'s PlatformState,
    caller: &ApiCaller,
    path: &SenderPath,
    endpoint: SendEndpoint,
    request: &MessageToSend,
) -> Result<&'s ExtensionRecord, RestError> {
    caller.account(state, &path.account)?;
    let own = caller.own_extension(state)?;
    if path.extension != "~" && path.extension != own.id.to_string() {
        // Not even an administrator can send for another extension.
        return Err(feature_error("MSG-304", "Phone number doesn't belong to extension"));
    }
    if !is_e164(&request.from) {
        return Err(RestError::parameter("from", request.from.as_str()));
    }
    check_recipients(&request.to)?;
    if request.text.encode_utf16().count() > MAX_TEXT {
        return Err(parameter_error("MSG-338", "Message is too large").attribute("parameterName", "text"));
    }
    check_files(&request.files)?;
    if request.files.is_empty() && endpoint == SendEndpoint::Mms {
        return Err(RestError::parameter("attachments", Value::Null));
    }
    if request.text.is_empty() && endpoint == SendEndpoint::Sms {
        return Err(RestError::parameter("text", Value::Null));
    }
    let number = sender_number(state, own, &request.from)?;
    check_number(state, number, request)?;
    Ok(own)
}

fn check_recipients(to: &[String]) -> Result<(), RestError> {
    if to.is_empty() {
        return Err(RestError::parameter("to", Value::Null));
    }
    if let Some(invalid) = to.iter().find(|to| !is_e164(to)) {
        return Err(RestError::parameter("to", invalid.as_str()));
    }
    if to.len() > MAX_RECIPIENTS {
        let error = parameter_error("MSG-381", "Too many recipients in a group message");
        return Err(error.attribute("parameterName", "to"));
    }
    if to.iter().enumerate().any(|(index, number)| to[..index].contains(number)) {
        let error = parameter_error("CMN-406", "Duplicate value in the list of recipients");
        return Err(error.attribute("parameterName", "to"));
    }
    Ok(())
}

fn check_files(files: &[SentFile]) -> Result<(), RestError> {
    for file in files {
        let Some(disposition) = &file.disposition else {
            return Err(parameter_error("MSG-350", "No content disposition"));
        };
        if disposition.file_name.as_deref().is_none_or(str::is_empty) {
            return Err(parameter_error("MSG-351", "No file name in content disposition"));
        }
    }
    if files.len() > MAX_FILES {
        return Err(parameter_error("MSG-379", "Too many attachments"));
    }
    if files.iter().any(|f| f.bytes.is_empty()) {
        return Err(parameter_error("MSG-347", "Attachment body is empty"));
    }
    if files.iter().any(|f| f.bytes.len() > MAX_FILE_BYTES) {
        return Err(parameter_error("MSG-337", "Attachment is too large"));
    }
    if files.iter().map(|f| f.bytes.len()).sum::<usize>() > MAX_FILE_BYTES {
        return Err(parameter_error("MSG-376", "Attachments are too large in total"));
    }
    if let Some(file) = files.iter().find(|f| !ACCEPTED_TYPES.contains(&f.content_type.as_str())) {
        let text = format!("Attachment media type [{}] is not supported", file.content_type);
        return Err(RestError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "MSG-348", text));
    }
    Ok(())
}

/// The number to send from, if it belongs to the extension.
fn sender_number<'s>(
    state: &'s PlatformState,
    own: &ExtensionRecord,
    from: &str,
) -> Result<&'s NumberRecord, RestError> {
    let belongs = |n: &&NumberRecord| {
        n.account_id == own.account_id
            && (n.sms_extension_id == Some(own.id) || n.extension_id == Some(own.id))
    };
    let number = state.number(from).filter(belongs);
    number.ok_or_else(|| feature_error("MSG-304", "Phone number doesn't belong to extension"))
}

fn check_number(
    state: &PlatformState,
    number: &NumberRecord,
    request: &MessageToSend,
) -> Result<(), RestError> {
    if number.kind == "FaxOnly" {
        return Err(feature_error("MSG-241", "The number is for fax only"));
    }
    if !number.has_feature("SmsSender") {
        return Err(feature_error("MSG-242", "SMS is not available for the number"));
    }
    // Files or several recipients make an MMS.
    if (!request.files.is_empty() || request.to.len() > 1) && !number.has_feature("MmsSender") {
        return Err(feature_error("BIL-103", "MMS is not available for the number"));
    }
    let is_international = request.to.iter().any(|to| !to.starts_with("+1"));
    if is_international && number.is_toll_free() {
        return Err(parameter_error("MSG-403", "International SMS can not be sent from a toll-free number"));
    }
    if is_international && !number.has_feature("InternationalSmsSender") {
        return Err(feature_error("MSG-240", "International SMS is not available for the number"));
    }
    let opted_out = request.to.iter().find(|to| state.is_opted_out(number.account_id, &request.from, to));
    if let Some(to) = opted_out.filter(|_| state.settings.refuse_opted_out) {
        return Err(parameter_error("MSG-243", "The recipient has opted out")
            .attribute("parameterName", "to")
            .attribute("parameterValue", to.as_str()));
    }
    Ok(())
}
