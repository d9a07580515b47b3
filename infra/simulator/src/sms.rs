//! Sending: `POST …/sms` and `…/mms`, JSON or multipart, with every refusal of the reference.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension as Given, Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::clock::{Millis, SECOND};
use crate::error::ApiError;
use crate::messages::{File, Message, Step};
use crate::multipart;
use crate::sim::Sim;
use crate::state::{Extension, Number, World};

/// UTF-16 code units of a text.
const LONGEST_TEXT: usize = 1000;
/// Files of one message.
const MOST_FILES: usize = 10;
/// Bytes of all files together.
const LARGEST_FILES: usize = 1_500_000;
/// Recipients of one group message.
const MOST_RECIPIENTS: usize = 10;

const ACCEPTED_TYPES: [&str; 38] = [
    "image/jpeg",
    "image/jpg",
    "image/png",
    "image/bmp",
    "image/gif",
    "image/tiff",
    "image/svg+xml",
    "image/webp",
    "video/3gpp",
    "video/mp4",
    "video/mpeg",
    "video/x-msvideo",
    "video/x-flv",
    "video/x-ms-wmv",
    "video/quicktime",
    "video/webm",
    "video/ogg",
    "video/msvideo",
    "audio/mpeg",
    "audio/mp4",
    "audio/ogg",
    "audio/wav",
    "audio/x-wav",
    "audio/amr",
    "audio/3gpp",
    "audio/mp3",
    "text/vcard",
    "text/x-vcard",
    "application/zip",
    "application/gzip",
    "application/x-gzip",
    "application/rtf",
    "text/rtf",
    "application/pdf",
    "text/html",
    "text/plain",
    "text/csv",
    "text/calendar",
];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    from: Option<Party>,
    to: Vec<Party>,
    text: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Party {
    phone_number: Option<String>,
}

/// A request taken apart, before any rule.
struct Order {
    from: String,
    to: Vec<String>,
    text: String,
    files: Vec<File>,
}

/// `POST …/extension/{extensionId}/sms`.
pub async fn sms(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    send(&sim, &caller, path, &headers, &body, false).await
}

/// `POST …/extension/{extensionId}/mms`: the same, with at least one file.
pub async fn mms(
    State(sim): State<Arc<Sim>>,
    Given(caller): Given<Caller>,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    send(&sim, &caller, path, &headers, &body, true).await
}

async fn send(
    sim: &Arc<Sim>,
    caller: &Caller,
    (account, extension): (String, String),
    headers: &HeaderMap,
    body: &[u8],
    needs_file: bool,
) -> Result<Json<Value>, ApiError> {
    let latency = sim.peek(|world| world.settings.sms_latency_ms);
    if latency > 0 {
        tokio::time::sleep(Duration::from_millis(latency)).await;
    }
    let order = read(headers, body)?;
    sim.world(|world, now| {
        let checked = check(world, caller, &account, &extension, &order, needs_file);
        let owner = match checked {
            Ok(owner) => owner.clone(),
            Err(error) => {
                world.ledger.add(
                    now,
                    "sms_refused",
                    json!({
                        "code": error.code, "status": error.status.as_u16(), "from": order.from, "to": order.to,
                        "text": order.text, "extensionId": caller.session.extension_id.to_string(),
                    }),
                );
                return Err(error);
            }
        };
        let Order { from, to, text, files } = order;
        let mut message = world.mail.draft(&owner, true, &from, &to, &text, files);
        let late = world.settings.sms_late_accept_seconds * SECOND;
        message.created_at = now + late;
        message.modified_at = now + late;
        let record = message.record(sim, world);
        hand_over(world, now, late, message);
        Ok(Json(record))
    })
}

fn hand_over(world: &mut World, now: Millis, late: Millis, message: Message) {
    if late > 0 {
        world.mail.schedule(now + late, Step::Accept(Box::new(message)));
    } else {
        world.accept(now, message);
    }
}

/// Reads JSON, or a multipart body whose first part is JSON, whatever its name.
fn read(headers: &HeaderMap, body: &[u8]) -> Result<Order, ApiError> {
    let content_type = headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (json, files) = if let Some(boundary) = multipart::boundary(content_type) {
        let mut parts = multipart::parts(body, &boundary).ok_or_else(malformed)?.into_iter();
        let first = parts.next().ok_or_else(malformed)?;
        let files = parts.map(|part| File {
            content_type: part.content_type.unwrap_or_else(|| "application/octet-stream".to_owned()),
            name: part.file_name,
            bytes: part.bytes,
        });
        (first.bytes, files.collect())
    } else if content_type.to_ascii_lowercase().starts_with("application/json") {
        (body.to_vec(), Vec::new())
    } else {
        let text = "Content-Type must be application/json or multipart";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "CMN-407", text));
    };
    let wanted: Wanted = serde_json::from_slice(&json).map_err(|_| ApiError::unparsable())?;
    let number = |party: Party| party.phone_number.unwrap_or_default();
    Ok(Order {
        from: wanted.from.map(number).unwrap_or_default(),
        to: wanted.to.into_iter().map(number).collect(),
        text: wanted.text.unwrap_or_default(),
        files,
    })
}

fn malformed() -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "CMN-104", "The multipart request can not be parsed")
        .word("InvalidContent")
}

fn is_e164(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or_default();
    (8..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0')
}

fn no_feature(code: &'static str, text: &str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, code, text).word("FeatureNotAvailable")
}

fn refuse(code: &'static str, text: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, code, text).word("InvalidParameter")
}

/// Every rule of a send. Gives the sender.
fn check<'w>(
    world: &'w World,
    caller: &Caller,
    account: &str,
    extension: &str,
    order: &Order,
    needs_file: bool,
) -> Result<&'w Extension, ApiError> {
    caller.account(world, account)?;
    let own = caller.extension(world)?;
    if extension != "~" && extension != own.id.to_string() {
        // Not even an administrator may.
        return Err(no_feature("MSG-304", "Phone number doesn't belong to extension"));
    }
    if !is_e164(&order.from) {
        return Err(ApiError::parameter("from", order.from.as_str()));
    }
    if order.to.is_empty() {
        return Err(ApiError::parameter("to", Value::Null));
    }
    if let Some(bad) = order.to.iter().find(|to| !is_e164(to)) {
        return Err(ApiError::parameter("to", bad.as_str()));
    }
    if order.to.len() > MOST_RECIPIENTS {
        return Err(refuse("MSG-381", "Too many recipients in a group message").with("parameterName", "to"));
    }
    let doubled = order.to.iter().enumerate().any(|(index, to)| order.to[..index].contains(to));
    if doubled {
        return Err(
            refuse("CMN-406", "Duplicate value in the list of recipients").with("parameterName", "to")
        );
    }
    if order.text.encode_utf16().count() > LONGEST_TEXT {
        return Err(refuse("MSG-338", "Message is too large").with("parameterName", "text"));
    }
    check_files(&order.files)?;
    if order.files.is_empty() && needs_file {
        return Err(ApiError::parameter("attachments", Value::Null));
    }
    if order.files.is_empty() && order.text.is_empty() {
        return Err(ApiError::parameter("text", Value::Null));
    }
    let number = sender(world, own, &order.from)?;
    check_number(world, number, order)?;
    Ok(own)
}

fn check_files(files: &[File]) -> Result<(), ApiError> {
    if files.len() > MOST_FILES {
        return Err(refuse("MSG-379", "Too many attachments"));
    }
    if files.iter().any(|f| f.bytes.len() > LARGEST_FILES) {
        return Err(refuse("MSG-337", "Attachment is too large"));
    }
    if files.iter().map(|f| f.bytes.len()).sum::<usize>() > LARGEST_FILES {
        return Err(refuse("MSG-376", "Attachments are too large in total"));
    }
    if let Some(file) = files.iter().find(|f| !ACCEPTED_TYPES.contains(&f.content_type.as_str())) {
        let text = format!("Attachment media type [{}] is not supported", file.content_type);
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "MSG-348", text));
    }
    Ok(())
}

/// The number to send from, if it is this extension's.
fn sender<'w>(world: &'w World, own: &Extension, from: &str) -> Result<&'w Number, ApiError> {
    let number = world.numbers.values().find(|n| n.phone_number == from && n.account_id == own.account_id);
    let belongs = |n: &&Number| n.sms_extension_id == Some(own.id) || n.extension_id == Some(own.id);
    number.filter(belongs).ok_or_else(|| no_feature("MSG-304", "Phone number doesn't belong to extension"))
}

fn check_number(world: &World, number: &Number, order: &Order) -> Result<(), ApiError> {
    let has = |feature: &str| number.features.iter().any(|f| f == feature);
    if number.kind == "FaxOnly" {
        return Err(no_feature("MSG-241", "The number is for fax only"));
    }
    if !has("SmsSender") {
        return Err(no_feature("MSG-242", "SMS is not available for the number"));
    }
    // One recipient gets an SMS; files or several recipients make it an MMS.
    if (!order.files.is_empty() || order.to.len() > 1) && !has("MmsSender") {
        return Err(no_feature("BIL-103", "MMS is not available for the number"));
    }
    let abroad = order.to.iter().any(|to| !to.starts_with("+1"));
    if abroad && number.payment_type == "TollFree" {
        return Err(refuse("MSG-403", "International SMS can not be sent from a toll-free number"));
    }
    if abroad && !has("InternationalSmsSender") {
        return Err(no_feature("MSG-240", "International SMS is not available for the number"));
    }
    let blocked = order.to.iter().find(|to| world.consents.is_opted_out(&order.from, to));
    if let Some(to) = blocked.filter(|_| world.settings.refuse_opted_out) {
        return Err(refuse("MSG-243", "The recipient has opted out")
            .with("parameterName", "to")
            .with("parameterValue", to.as_str()));
    }
    Ok(())
}
