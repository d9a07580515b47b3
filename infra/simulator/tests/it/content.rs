//! The content of attachments.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::receiver::{INSTANT, subscribed_receiver};
use crate::test_simulator::{self, EXTENSION, TestSimulator, code, json_of};

const OWN: &str = "+14155550101";
/// The start of a PNG file of 640 x 480 pixels.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0";

async fn receive_png(sim: &TestSimulator) -> String {
    let base64 = data_encoding::BASE64.encode(PNG);
    let media = json!([{"contentType": "image/png", "base64": base64, "fileName": "p.png"}]);
    let body = json!({"from": "+16505550111", "to": OWN, "text": "pic", "media": media});
    let reply = sim.control(Method::POST, "/inbound", body).await;
    format!("{EXTENSION}/message-store/{}", reply["messageId"].as_str().unwrap())
}

/// The URL of the first file of a message.
async fn file_uri(sim: &TestSimulator, access: &str, message: &str) -> String {
    let (_, record) = sim.get(access, message).await;
    record["attachments"][1]["uri"].as_str().unwrap().to_owned()
}

fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn inbound_media_keeps_its_bytes_type_name_and_dimensions() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let (receiver, _) = subscribed_receiver(&sim, &login.access, &[INSTANT]).await;
    let message = receive_png(&sim).await;
    sim.simulator.idle().await;
    let (_, record) = sim.get(&login.access, &message).await;
    let file = &record["attachments"][1];
    assert_eq!(
        (&file["size"], &file["width"], &file["height"], &file["fileName"]),
        (&json!(PNG.len()), &json!(640), &json!(480), &json!("p.png"))
    );
    let event = receiver.events()[0].json()["body"]["attachments"].clone();
    assert_eq!(
        event[0],
        json!({"id": record["id"].to_string(), "type": "Text", "contentType": "text/plain"})
    );
    assert_eq!((&event[1]["id"], &event[1]["uri"]), (&json!(file["id"].to_string()), &file["uri"]));
    assert!(event[1].get("width").is_none());
    let uri = file["uri"].as_str().unwrap();
    let content = sim.http.get(uri).bearer_auth(&login.access).send().await.unwrap();
    assert_eq!((header(&content, "content-type").as_str(), content.status().as_u16()), ("image/png", 200));
    assert_eq!(header(&content, "content-disposition"), "inline; filename=\"p.png\"");
    assert_eq!(content.bytes().await.unwrap().as_ref(), PNG);
    let query = "contentDisposition=Attachment&contentDispositionFilename=other.png";
    let named = sim.http.get(format!("{uri}?{query}")).bearer_auth(&login.access).send().await.unwrap();
    assert_eq!(header(&named, "content-disposition"), "attachment; filename=\"other.png\"");
    let (status, reply) = sim.get(&login.access, &format!("{message}/content/1")).await;
    assert_eq!((status.as_u16(), code(&reply)), (404, "CMN-102"));
    let invalid =
        json!({"from": "+16505550111", "to": OWN, "media": [{"contentType": "image/png", "base64": "?"}]});
    let reply = sim.request(Method::POST, "/_sim/inbound").json(&invalid).send().await.unwrap();
    let (status, reply) = json_of(reply).await;
    assert_eq!((status.as_u16(), &reply["error"]), (400, &json!("media[0].base64: must be base64")));
}

#[tokio::test]
async fn content_can_be_requested_in_ranges() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let uri = file_uri(&sim, &login.access, &receive_png(&sim).await).await;
    let get = async |range: &str| {
        let request = sim.http.get(&uri).bearer_auth(&login.access).header("range", range);
        request.send().await.unwrap()
    };
    let size = PNG.len();
    let part = get("bytes=4-7").await;
    assert_eq!((part.status().as_u16(), header(&part, "content-range")), (206, format!("bytes 4-7/{size}")));
    assert_eq!(
        (header(&part, "accept-ranges"), header(&part, "content-length")),
        ("bytes".into(), "4".into())
    );
    assert_eq!(part.bytes().await.unwrap().as_ref(), &PNG[4..8]);
    assert_eq!(get("bytes=-3").await.bytes().await.unwrap().as_ref(), &PNG[size - 3..]);
    assert_eq!(get("bytes=0-0,2-2").await.status(), 200, "several ranges may be ignored");
    let beyond = get(&format!("bytes={size}-")).await;
    assert_eq!(
        (beyond.status().as_u16(), header(&beyond, "content-range")),
        (416, format!("bytes */{size}"))
    );
    assert_eq!(code(&json_of(beyond).await.1), "CMN-107");
}

#[tokio::test]
async fn content_can_be_partial_although_no_range_was_requested() {
    let sim = test_simulator::start().await;
    sim.settings(json!({"media": {"partial": true}})).await;
    let login = sim.log_in().await;
    let uri = file_uri(&sim, &login.access, &receive_png(&sim).await).await;
    let first = sim.http.get(&uri).bearer_auth(&login.access).send().await.unwrap();
    let half = PNG.len().div_ceil(2);
    let range = format!("bytes 0-{}/{}", half - 1, PNG.len());
    assert_eq!((first.status().as_u16(), header(&first, "content-range")), (206, range));
    let mut content = first.bytes().await.unwrap().to_vec();
    let rest = sim.http.get(&uri).bearer_auth(&login.access).header("range", format!("bytes={half}-"));
    content.extend(rest.send().await.unwrap().bytes().await.unwrap());
    assert_eq!(content, PNG);
}

#[tokio::test]
async fn content_can_be_behind_a_redirect_to_another_host() {
    let sim = test_simulator::start().await;
    sim.settings(json!({"media": {"redirect": true}})).await;
    let login = sim.log_in().await;
    let uri = file_uri(&sim, &login.access, &receive_png(&sim).await).await;
    assert_eq!(sim.http.get(&uri).send().await.unwrap().status(), 401, "the redirect needs the token");
    let redirect = sim.http.get(&uri).bearer_auth(&login.access).send().await.unwrap();
    assert_eq!(redirect.status(), 302);
    let location = header(&redirect, "location");
    let origin = |url: &str| url.parse::<reqwest::Url>().unwrap().origin();
    assert_ne!(origin(&location), origin(&uri), "another server than the media host");
    assert_ne!(origin(&location), origin(sim.simulator.url()), "and than the platform");
    let with_token = sim.http.get(&location).bearer_auth(&login.access).send().await.unwrap();
    assert_eq!(with_token.status(), 400, "a token in addition to the key");
    let content = sim.http.get(&location).send().await.unwrap();
    assert_eq!((content.status().as_u16(), header(&content, "content-type").as_str()), (200, "image/png"));
    assert_eq!(content.bytes().await.unwrap().as_ref(), PNG);
    sim.simulator.advance(301);
    assert_eq!(sim.http.get(&location).send().await.unwrap().status(), 404, "the link expires");
}

#[tokio::test]
async fn the_content_of_a_purged_message_is_gone() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let message = receive_png(&sim).await;
    let uri = file_uri(&sim, &login.access, &message).await;
    sim.settings(json!({"media": {"redirect": true}})).await;
    let link = sim.http.get(&uri).bearer_auth(&login.access).send().await.unwrap();
    let link = header(&link, "location");
    let purge = sim.request(Method::DELETE, &format!("{message}?purge=true")).bearer_auth(&login.access);
    assert_eq!(purge.send().await.unwrap().status(), 204);
    let content = json_of(sim.http.get(&uri).bearer_auth(&login.access).send().await.unwrap()).await;
    assert_eq!((content.0.as_u16(), code(&content.1)), (404, "CMN-102"));
    assert_eq!(sim.http.get(&link).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn media_settings_have_only_their_fields() {
    let sim = test_simulator::start().await;
    let settings = sim.control(Method::GET, "/settings", json!({})).await;
    assert_eq!(settings["media"], json!({"partial": false, "redirect": false}));
    let patch = json!({"media": {"hidden": true}});
    let reply = sim.request(Method::PUT, "/_sim/settings").json(&patch).send().await.unwrap();
    let (status, reply): (_, Value) = json_of(reply).await;
    assert_eq!(status, 400);
    assert!(reply["error"].as_str().unwrap().contains("hidden"), "{reply}");
}
