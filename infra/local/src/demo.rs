//! `cargo local demo`: connects a RingCentral user, sends an SMS and receives a reply, and then the same with pictures. It calls
//! the stack over HTTP as a browser and an app do.

use crate::browser::{self, BrowserPage, FormBrowser};
use crate::client::{ApiClient, text};
use crate::demo_pictures;
use crate::demo_receiver::DemoReceiver;
use crate::stack_info::StackInfo;
use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};

/// Runs the demo against a running stack. `print` shows a line.
pub async fn run(info: &StackInfo, print: &mut (dyn FnMut(String) + Send)) -> Result<()> {
    let app = ApiClient::new(info.gateway(), info.api_key.as_deref())?;
    let user = info.rc["users"].get(0).cloned().context("the simulator has no users")?;
    let (name, extension, password) =
        (text(&user, "username")?, text(&user, "extension")?, text(&user, "password")?);

    print("1. The tenant's app creates a connect link".to_owned());
    let created = app.call(Method::POST, "/v1/rc/connect-token", None).await?;
    let link = format!("{}{}", info.gateway(), text(&created, "connectUrl")?);
    print(format!("   POST /v1/rc/connect-token → {}…", link.chars().take(60).collect::<String>()));

    print("2. A RingCentral user opens it".to_owned());
    let mut browser = FormBrowser::new()?;
    let page = require_success(browser.open(&link).await?, "the confirmation page")?;
    print(format!("   \"{}\"", browser::heading(&page.html)));

    print("3. The user presses the button, and the browser goes to RingCentral".to_owned());
    let button = first_button(&page)?;
    let login = require_success(browser.press(&page, &button, &[]).await?, "RingCentral's login page")?;
    let host = login.url.host_str().unwrap_or_default();
    print(format!("   \"{}\" on {host}", browser::heading(&login.html)));

    print(format!("4. The user signs in as {name}, extension {extension}"));
    let values =
        [("username", name.as_str()), ("extension", extension.as_str()), ("password", password.as_str())];
    let consent = require_success(browser.press(&login, "Sign in", &values).await?, "the consent page")?;
    print(format!("   \"{}\"", browser::heading(&consent.html)));

    print("5. The user allows the access, and the browser returns to the gateway".to_owned());
    let success = require_success(browser.press(&consent, "allow", &[]).await?, "the success page")?;
    if success.url.query().is_some_and(|query| query.contains("code=")) {
        bail!("the URL of the success page still contains the code: {}", success.url);
    }
    print(format!("   \"{}\" at {}", browser::heading(&success.html), success.url.path()));

    print("6. The app reads the connection".to_owned());
    let status = app.call(Method::GET, "/v1/rc/status", None).await?;
    if status["connected"] != true {
        bail!("GET /v1/rc/status returned {status}");
    }
    print(format!("   GET /v1/rc/status → {status}"));
    let numbers = app.call(Method::GET, "/v1/rc/numbers", None).await?;
    let list = numbers["numbers"].as_array().cloned().unwrap_or_default();
    print(format!("   GET /v1/rc/numbers → {} numbers", list.len()));
    for number in &list {
        print(format!("     {}", summary(number)));
    }
    let receiver = DemoReceiver::start().await?;
    let tenant = info.tenant_id.as_deref().unwrap_or_default();
    let body = json!({
        "name": "Demo receiver", "tenantId": tenant, "webhookUrl": receiver.url, "eventTypes": ["sms_inbound"],
    });
    let receiving_app = app.call(Method::POST, "/v1/apps/register", Some(&body)).await?;
    receiver.set_secret(&text(&receiving_app, "webhookSecret")?);
    let result = send_and_receive(info, &app, &user, &receiver, print).await;
    app.call(Method::DELETE, &format!("/v1/apps/{}", text(&receiving_app, "appId")?), None).await?;
    result
}

async fn send_and_receive(
    info: &StackInfo,
    app: &ApiClient,
    user: &Value,
    receiver: &DemoReceiver,
    print: &mut (dyn FnMut(String) + Send),
) -> Result<()> {
    let from = user["numbers"][0].as_str().unwrap_or_default();
    let body = json!({ "to": "+15555550123", "from": from, "body": "Hello from the demo" });
    print("7. The app sends an SMS".to_owned());
    let sent = app.call(Method::POST, "/v1/sms/send", Some(&body)).await?;
    let id = text(&sent, "messageId")?;
    print(format!("   POST /v1/sms/send → {sent}"));
    let path = format!("/v1/sms/status/{id}");
    let message =
        app.poll(&path, |message| message["status"] == "sent" || message["status"] == "delivered").await?;
    print(format!("   GET {path} → {}", text(&message, "status")?));

    print("8. A reply arrives".to_owned());
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
        bail!("the simulator rejected the reply: {}", response.text().await?);
    }
    let path = "/v1/sms/messages?direction=inbound&limit=1";
    let list = app.poll(path, |list| list["messages"][0]["body"] == "Hello back").await?;
    print(format!(
        "   GET {path} → \"{}\" from {}",
        text(&list["messages"][0], "body")?,
        text(&list["messages"][0], "from")?
    ));
    let id = text(&list["messages"][0], "messageId")?;
    let event = receiver.event(|event| event["messageId"] == id.as_str()).await?;
    print(format!("   POST {} ← {}, signature verified", receiver.url, text(&event, "type")?));
    demo_pictures::send_and_receive(info, app, from, print).await
}

fn require_success(page: BrowserPage, expected: &str) -> Result<BrowserPage> {
    if (200..300).contains(&page.status) {
        return Ok(page);
    }
    let text = browser::text(&page.html).chars().take(300).collect::<String>();
    bail!("{} returned {} instead of {expected}: {text}", page.url, page.status)
}

fn first_button(page: &BrowserPage) -> Result<String> {
    let forms = browser::forms(&page.html);
    let button = forms.iter().flat_map(|form| &form.buttons).next();
    button.map(|button| button.text.clone()).with_context(|| format!("{} has no button", page.url))
}

fn summary(number: &Value) -> String {
    let name = number["phoneNumber"].as_str().unwrap_or("?");
    let features = number["features"].as_object().into_iter().flatten();
    let enabled: Vec<&str> =
        features.filter(|(_, enabled)| **enabled == true).map(|(feature, _)| feature.as_str()).collect();
    let enabled =
        if enabled.is_empty() { "its extension is not connected".to_owned() } else { enabled.join(", ") };
    format!("{name}  {enabled}")
}
