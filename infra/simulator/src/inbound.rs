//! `POST /_sim/inbound`: a message arrives from outside.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::Deserialize;
use serde_json::json;

use crate::control::{Answer, absent, body, wrong};
use crate::messages::File;
use crate::sim::Sim;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inbound {
    from: String,
    to: To,
    #[serde(default)]
    text: String,
    #[serde(default)]
    media: Vec<Media>,
    /// False: the event is lost, only the message store has the message.
    #[serde(default = "yes")]
    deliver: bool,
}

/// One number, or the members of a group.
#[derive(Deserialize)]
#[serde(untagged)]
enum To {
    One(String),
    Group(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Media {
    content_type: String,
    file_name: Option<String>,
    /// The bytes in base64; absent: a small image.
    content: Option<String>,
}

fn yes() -> bool {
    true
}

/// The smallest GIF there is.
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// The control call. Answers the ids of the message and its conversation.
pub async fn post(State(sim): State<Arc<Sim>>, bytes: Bytes) -> Answer {
    let Inbound { from, to, text, media, deliver } = body(&bytes)?;
    let to = match to {
        To::One(number) => vec![number],
        To::Group(numbers) => numbers,
    };
    let mut files = Vec::new();
    for (index, item) in media.into_iter().enumerate() {
        let bytes = match item.content {
            None => PIXEL.to_vec(),
            Some(text) => data_encoding::BASE64
                .decode(text.as_bytes())
                .map_err(|_| wrong(format!("media[{index}].content: must be base64")))?,
        };
        files.push(File { content_type: item.content_type, name: item.file_name, bytes });
    }
    if from.trim().is_empty() {
        return Err(wrong("from: is missing"));
    }
    if text.is_empty() && files.is_empty() {
        return Err(wrong("text: is missing"));
    }
    sim.world(|world, now| {
        let number = world.numbers.values().find(|n| to.contains(&n.phone_number));
        let number = number.ok_or_else(|| absent("to: no such number"))?;
        let (account, own) = (number.account_id, number.phone_number.clone());
        let owner = number.sms_extension_id.and_then(|id| world.extensions.get(&id)).cloned();
        let owner = owner.ok_or_else(|| wrong("to: this number can't receive SMS"))?;
        let message = world.mail.draft(&owner, false, &from, &to, &text, files);
        let (id, conversation) = (message.id, message.conversation_id);
        if deliver {
            world.store(now, message);
            if let Some(message) = world.mail.messages.get(&id).cloned() {
                let media = sim.media(world);
                world.announce_inbound(now, &message, &media);
            }
        } else {
            let silent = std::mem::take(&mut world.subscriptions);
            world.store(now, message);
            world.subscriptions = silent;
        }
        world.heed_keyword(now, account, &own, &from, &text);
        Ok(Json(json!({
            "messageId": id.to_string(), "conversationId": conversation.to_string(),
            "extensionId": owner.id.to_string(),
        })))
    })
}
