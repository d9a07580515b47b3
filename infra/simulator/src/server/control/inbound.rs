//! `POST /_sim/inbound`: a message arrives from a customer.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::Deserialize;
use serde_json::json;

use crate::platform::messages::{MessageDirection, MessageDraft, UploadedFile};
use crate::runtime::simulator_core::SimulatorCore;
use crate::server::control::replies::{ControlError, ControlReply, parse_body};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InboundBody {
    from: String,
    to: InboundRecipients,
    #[serde(default)]
    text: String,
    #[serde(default)]
    media: Vec<InboundMedia>,
    /// `false`: no event is sent; only the message store has the message.
    #[serde(default = "default_deliver")]
    deliver: bool,
}

fn default_deliver() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(untagged)]
enum InboundRecipients {
    One(String),
    Group(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InboundMedia {
    content_type: String,
    file_name: Option<String>,
    /// The bytes in base64, also accepted as `content`. Default: a small image.
    #[serde(alias = "content")]
    base64: Option<String>,
}

/// A GIF image of one pixel.
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

fn parse_media(media: Vec<InboundMedia>) -> Result<Vec<UploadedFile>, ControlError> {
    let parse = |(index, item): (usize, InboundMedia)| {
        let bytes = match item.base64 {
            None => PIXEL.to_vec(),
            Some(text) => data_encoding::BASE64
                .decode(text.as_bytes())
                .map_err(|_| ControlError::bad_request(format!("media[{index}].base64: must be base64")))?,
        };
        Ok(UploadedFile { content_type: item.content_type, name: item.file_name, bytes })
    };
    media.into_iter().enumerate().map(parse).collect()
}

/// Replies with the ids of the message, its conversation and the extension of the mailbox.
pub async fn receive_message(State(core): State<Arc<SimulatorCore>>, bytes: Bytes) -> ControlReply {
    let InboundBody { from, to, text, media, deliver } = parse_body(&bytes)?;
    let to = match to {
        InboundRecipients::One(number) => vec![number],
        InboundRecipients::Group(numbers) => numbers,
    };
    let files = parse_media(media)?;
    if from.trim().is_empty() {
        return Err(ControlError::bad_request("from: is missing"));
    }
    if text.is_empty() && files.is_empty() {
        return Err(ControlError::bad_request("text: is missing"));
    }
    core.update(|state, now| {
        let number = state.numbers.values().find(|n| to.contains(&n.phone_number));
        let number = number.ok_or_else(|| ControlError::not_found("to: no such number"))?;
        let owner = number.sms_extension_id.and_then(|id| state.extensions.get(&id)).cloned();
        let owner = owner.ok_or_else(|| ControlError::bad_request("to: this number can't receive SMS"))?;
        let message = state.mail.create(MessageDraft {
            owner: &owner,
            direction: MessageDirection::Inbound,
            from: &from,
            to: &to,
            text: &text,
            files,
        });
        let (id, conversation) = (message.id, message.conversation_id);
        if deliver {
            state.store_message(now, message);
        } else {
            state.store_message_silently(now, message);
        }
        if let Some(message) = state.mail.messages.get(&id).cloned() {
            if deliver {
                let urls = core.urls(state);
                state.publish_inbound_message(now, &message, &urls);
            }
            state.apply_keyword(now, &message);
        }
        Ok(Json(json!({
            "messageId": id.to_string(), "conversationId": conversation.to_string(),
            "extensionId": owner.id.to_string(),
        })))
    })
}
