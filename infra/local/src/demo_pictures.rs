//! The part of the demo with pictures: one is uploaded and sent, and one is received and downloaded.

use crate::client::{ApiClient, text};
use crate::stack_info::StackInfo;
use anyhow::{Context, Result, bail};
use data_encoding::BASE64;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const PICTURE: &[u8] = include_bytes!("../assets/sunset.png");
const CUSTOMER: &str = "+15555550123";

/// Sends a picture from a number, and receives one.
pub async fn send_and_receive(
    info: &StackInfo,
    app: &ApiClient,
    from: &str,
    print: &mut (dyn FnMut(String) + Send),
) -> Result<()> {
    let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
    print("9. The app uploads a picture and sends it".to_owned());
    let file = json!({ "contentType": "image/png", "size": PICTURE.len(), "fileName": "sunset.png" });
    let upload = app.call(Method::POST, "/v1/media", Some(&file)).await?;
    let media = text(&upload, "mediaId")?;
    print(format!("   POST /v1/media → {media}"));
    let mut request = http.put(text(&upload, "uploadUrl")?).body(PICTURE);
    for (name, value) in upload["uploadHeaders"].as_object().into_iter().flatten() {
        request = request.header(name, value.as_str().unwrap_or_default());
    }
    let stored = request.send().await?.status();
    if stored != StatusCode::OK {
        bail!("the upload returned {stored}");
    }
    print(format!("   PUT {} bytes to its uploadUrl → {stored}", PICTURE.len()));
    let body =
        json!({ "to": CUSTOMER, "from": from, "body": "A picture from the demo", "mediaIds": [media] });
    let sent = app.call(Method::POST, "/v1/sms/send", Some(&body)).await?;
    let path = format!("/v1/sms/status/{}", text(&sent, "messageId")?);
    let is_sent = |message: &Value| message["status"] == "sent" || message["status"] == "delivered";
    let message = app.poll(&path, is_sent).await?;
    print(format!("   GET {path} → {} as {}", text(&message, "status")?, text(&message, "kind")?));

    print("10. A picture arrives".to_owned());
    let picture =
        json!({ "contentType": "image/png", "fileName": "reply.png", "base64": BASE64.encode(PICTURE) });
    let reply = json!({ "from": CUSTOMER, "to": from, "text": "A picture back", "media": [picture] });
    let received = http.post(format!("{}/_sim/inbound", info.ringcentral())).body(reply.to_string());
    let received = received.send().await?;
    if !received.status().is_success() {
        bail!("the simulator rejected the picture: {}", received.text().await?);
    }
    let path = "/v1/sms/messages?direction=inbound&limit=1";
    let is_stored = |list: &Value| list["messages"][0]["media"][0]["status"] == "stored";
    let list = app.poll(path, is_stored).await?;
    let file = &list["messages"][0]["media"][0];
    let url = text(file, "url")?;
    print(format!("   GET {path} → {} of {} bytes", text(file, "contentType")?, file["size"]));

    let key = info.api_key.as_deref().unwrap_or_default();
    let redirect = http.get(&url).bearer_auth(key).send().await?;
    let location = redirect.headers().get("location").and_then(|location| location.to_str().ok());
    let location = location.with_context(|| format!("{url} returned {}", redirect.status()))?;
    print(format!("   GET {url} → {}", redirect.status()));
    let bytes = http.get(location).send().await?.error_for_status()?.bytes().await?;
    if bytes != PICTURE {
        bail!("the picture that was downloaded is not the one that was sent");
    }
    print(format!("   GET the URL of the redirect → the same {} bytes", bytes.len()));
    print(format!("   {} shows both pictures while the stack runs", info.ringcentral()));
    Ok(())
}
