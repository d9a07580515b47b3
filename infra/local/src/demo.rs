//! `cargo local demo`: the main job end to end, each step shown, driven over HTTP as a browser and an app would.

use crate::browser::{self, Browser, Page};
use crate::client::{Client, text};
use crate::demo_receiver::Receiver;
use crate::stack::StackInfo;
use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Runs the demo against a running stack; `say` shows a line.
pub async fn run(info: &StackInfo, say: &mut (dyn FnMut(String) + Send)) -> Result<()> {
    let app = Client::new(info, info.api_key.as_deref())?;
    let user = info.rc["users"].get(0).cloned().context("the simulator has no users")?;
    let (name, extension, password) =
        (text(&user, "username")?, text(&user, "extension")?, text(&user, "password")?);

    say("1. The tenant's app asks for a connect link".to_owned());
    let minted = app.call(Method::POST, "/v1/rc/connect-token", None).await?;
    let link = format!("{}{}", info.gateway(), text(&minted, "connectUrl")?);
    say(format!("   POST /v1/rc/connect-token → {}…", link.chars().take(60).collect::<String>()));

    say("2. A person opens it".to_owned());
    let mut browser = Browser::new()?;
    let page = arrived(browser.open(&link).await?, "the confirmation page")?;
    say(format!("   \"{}\"", browser::heading(&page.html)));

    say("3. They press the button, and are sent to RingCentral".to_owned());
    let button = only_button(&page)?;
    let login = arrived(browser.press(&page, &button, &[]).await?, "RingCentral's login page")?;
    let host = |page: &Page| page.url.host_str().unwrap_or_default().to_owned();
    say(format!("   \"{}\" on {}", browser::heading(&login.html), host(&login)));

    say(format!("4. They sign in as {name}, extension {extension}"));
    let values =
        [("username", name.as_str()), ("extension", extension.as_str()), ("password", password.as_str())];
    let consent = arrived(browser.press(&login, "Sign in", &values).await?, "the consent page")?;
    say(format!("   \"{}\"", browser::heading(&consent.html)));

    say("5. They allow it, and come back".to_owned());
    let done = arrived(browser.press(&consent, "allow", &[]).await?, "the done page")?;
    if done.url.query().is_some_and(|query| query.contains("code=")) {
        bail!("the final address still holds the code: {}", done.url);
    }
    say(format!("   \"{}\" at {}", browser::heading(&done.html), done.url.path()));

    say("6. The app sees the connection".to_owned());
    let status = app.call(Method::GET, "/v1/rc/status", None).await?;
    if status["connected"] != true {
        bail!("GET /v1/rc/status says {status}");
    }
    say(format!("   GET /v1/rc/status → {status}"));
    let numbers = app.call(Method::GET, "/v1/rc/numbers", None).await?;
    let list = numbers["numbers"].as_array().cloned().unwrap_or_default();
    say(format!("   GET /v1/rc/numbers → {} numbers", list.len()));
    for number in &list {
        say(format!("     {}", summary(number)));
    }
    let receiver = Receiver::start().await?;
    let tenant = info.tenant_id.as_deref().unwrap_or_default();
    let order = json!({
        "name": "Demo receiver", "tenantId": tenant, "webhookUrl": receiver.url, "eventTypes": ["sms_inbound"],
    });
    let listening = app.call(Method::POST, "/v1/apps/register", Some(&order)).await?;
    receiver.trust(&text(&listening, "webhookSecret")?);
    let told = messages(info, &app, &user, &receiver, say).await;
    app.call(Method::DELETE, &format!("/v1/apps/{}", text(&listening, "appId")?), None).await?;
    told
}

/// Sending and receiving.
async fn messages(
    info: &StackInfo,
    app: &Client,
    user: &Value,
    receiver: &Receiver,
    say: &mut (dyn FnMut(String) + Send),
) -> Result<()> {
    let from = user["numbers"][0].as_str().unwrap_or_default();
    let order = json!({ "to": "+15555550123", "from": from, "body": "Hello from the demo" });
    say("7. The app sends a text".to_owned());
    let sent = app.call(Method::POST, "/v1/sms/send", Some(&order)).await?;
    let id = text(&sent, "messageId")?;
    say(format!("   POST /v1/sms/send → {sent}"));
    let path = format!("/v1/sms/status/{id}");
    let message =
        until(app, &path, |message| message["status"] == "sent" || message["status"] == "delivered").await?;
    say(format!("   GET {path} → {}", text(&message, "status")?));

    say("8. A reply arrives".to_owned());
    let reply = json!({ "from": "+15555550123", "to": from, "text": "Hello back" });
    let url = format!("{}/_sim/inbound", info.ringcentral());
    let response = reqwest::Client::builder()
        .no_proxy()
        .build()?
        .post(url)
        .header("content-type", "application/json")
        .body(reply.to_string())
        .send()
        .await?;
    if !response.status().is_success() {
        bail!("the simulator refused the reply: {}", response.text().await?);
    }
    let path = "/v1/sms/messages?direction=inbound&limit=1";
    let list = until(app, path, |list| list["messages"][0]["body"] == "Hello back").await?;
    say(format!(
        "   GET {path} → \"{}\" from {}",
        text(&list["messages"][0], "body")?,
        text(&list["messages"][0], "from")?
    ));
    let id = text(&list["messages"][0], "messageId")?;
    let event = receiver.event(|event| event["messageId"] == id.as_str()).await?;
    say(format!("   POST {} ← {}, its signature verified", receiver.url, text(&event, "type")?));
    Ok(())
}

/// Asks a path again until the answer is as wished, for at most 30 seconds.
async fn until(app: &Client, path: &str, wished: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut last = Value::Null;
    // Half a minute, at half of the requests that a key has in a minute.
    for _ in 0..25 {
        last = app.call(Method::GET, path, None).await?;
        if wished(&last) {
            return Ok(last);
        }
        tokio::time::sleep(Duration::from_millis(1_200)).await;
    }
    bail!("{path} still says {last}")
}

fn arrived(page: Page, what: &str) -> Result<Page> {
    if (200..300).contains(&page.status) {
        return Ok(page);
    }
    let said = browser::text(&page.html).chars().take(300).collect::<String>();
    bail!("instead of {what} came {} from {}: {said}", page.status, page.url)
}

fn only_button(page: &Page) -> Result<String> {
    let forms = browser::forms(&page.html);
    let button = forms.iter().flat_map(|form| &form.buttons).next();
    button.map(|(_, _, text)| text.clone()).with_context(|| format!("{} has no button", page.url))
}

fn summary(number: &Value) -> String {
    let name = number["phoneNumber"].as_str().unwrap_or("?");
    let features = number["features"].as_object().into_iter().flatten();
    let can: Vec<&str> =
        features.filter(|(_, has)| **has == true).map(|(feature, _)| feature.as_str()).collect();
    let can = if can.is_empty() { "its extension has not connected".to_owned() } else { can.join(", ") };
    format!("{name}  {can}")
}
