//! The developer page.

use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use crate::test_simulator;

#[tokio::test]
async fn the_page_and_its_view_show_users_messages_and_subscriptions() {
    let sim = test_simulator::start().await;
    let page = sim.request(Method::GET, "/").send().await.unwrap();
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("script-src 'self'"));
    let html = page.text().await.unwrap();
    assert!(html.contains("/_sim/page.js") && !html.contains("<script>"));
    for (path, kind) in [("/_sim/page.js", "text/javascript"), ("/_sim/page.css", "text/css")] {
        let asset = sim.request(Method::GET, path).send().await.unwrap();
        assert_eq!(asset.headers()["content-type"], kind);
    }
    let message = json!({"from": "+16505550111", "to": "+14155550101", "text": "<b>hello</b>"});
    sim.control(Method::POST, "/inbound", message).await;
    let view = sim.control(Method::GET, "/view", json!({})).await;
    assert_eq!(view["accounts"][0]["users"][0]["name"], "Dana Sim");
    let shown = &view["messages"][0];
    assert_eq!((&shown["own"], &shown["text"]), (&json!("+14155550101"), &json!("<b>hello</b>")));
    assert_eq!(shown["others"], json!(["+16505550111"]));
}

#[tokio::test]
async fn the_page_gets_the_bytes_of_files_without_their_scripts() {
    let sim = test_simulator::start().await;
    let media = json!([{"contentType": "text/html", "fileName": "a.html", "base64": "PHA+"}, {"contentType": "image/gif"}]);
    let message = json!({"from": "+16505550111", "to": "+14155550101", "media": media});
    sim.control(Method::POST, "/inbound", message).await;
    let view = sim.control(Method::GET, "/view", json!({})).await;
    let files = &view["messages"][0]["files"];
    assert_eq!((&files[0]["name"], &files[0]["size"]), (&json!("a.html"), &json!(3)));
    assert_eq!(files[1]["contentType"], "image/gif");
    let page = sim.request(Method::GET, files[0]["url"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html");
    assert_eq!(page.headers()["content-security-policy"], "default-src 'none'; sandbox");
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    assert_eq!(page.text().await.unwrap(), "<p>");
    assert_eq!(sim.request(Method::GET, "/_sim/media/1/1").send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn the_ledger_is_streamed_live() {
    let sim = test_simulator::start().await;
    let stream = sim.request(Method::GET, "/_sim/live").send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut stream = stream.bytes_stream();
    sim.log_in().await;
    let mut text = String::new();
    while !text.contains("token_issued") {
        text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    let line = text.lines().find(|l| l.contains("token_issued")).unwrap();
    let event: Value = serde_json::from_str(line.trim_start_matches("data: ")).unwrap();
    assert_eq!(event["entries"][0]["seq"], 1);
}
