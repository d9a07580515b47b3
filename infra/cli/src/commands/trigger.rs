//! `trigger`: causes events on the local stack, through the control API of the RingCentral simulator.

use std::time::Duration;

use serde_json::{Value, json};

use super::Context;
use super::connect;
use crate::api::{self, SendRequest};
use crate::args::TriggerCommand;
use crate::client::{self, Client};
use crate::error::{CliError, CliResult, Exit};
use crate::target::{self, Target};

/// How often, and for how many times, the status of a message is read.
const PAUSE: Duration = Duration::from_secs(1);
const LOOKS: usize = 90;

pub async fn run(context: &Context, command: TriggerCommand) -> CliResult<()> {
    let target = context.target()?;
    let simulator = Simulator::of(&target)?;
    let client = Client::of_app(&target)?;
    let done = match command {
        TriggerCommand::SmsInbound { from, to, body, lost } => {
            let to = match to {
                Some(to) => to,
                None => first_number(&client).await?,
            };
            let order = json!({ "from": from, "to": to, "text": body, "deliver": !lost });
            simulator.call("POST", "/_sim/inbound", &order).await?;
            json!({ "triggered": "sms_inbound", "from": from, "to": to })
        }
        TriggerCommand::Status { status, to, error_code } => {
            let message = status_of_a_message(&simulator, &client, &status, to, &error_code).await?;
            json!({ "triggered": "sms_status", "status": status, "messageId": message })
        }
        TriggerCommand::Revoked { extension } => {
            let extension = match extension {
                Some(extension) => extension,
                None => first_extension(&client).await?,
            };
            simulator.call("POST", &format!("/_sim/users/{extension}/revoke"), &json!({})).await?;
            // A call with the extension's token shows the gateway that the access has ended. Its own outcome does not matter; the
            // event follows when the gateway has made sure, within a minute.
            _ = client.send(&api::refresh_numbers()).await;
            json!({ "triggered": "extension_status", "extensionId": extension })
        }
    };
    if context.output.json {
        context.output.json(&done);
    } else {
        context.output.line(&format!("Triggered {}", done["triggered"].as_str().unwrap_or_default()));
    }
    Ok(())
}

/// Sends a message that ends with a status, and restores the setting of the simulator.
async fn status_of_a_message(
    simulator: &Simulator,
    client: &Client,
    status: &str,
    to: String,
    error_code: &str,
) -> CliResult<String> {
    let settings = match status {
        "delivered" => json!({ "finalStatus": "Delivered" }),
        "failed" => json!({ "finalStatus": "DeliveryFailed", "deliveryErrorCode": error_code }),
        _ => json!({ "finalStatus": "Sent" }),
    };
    let before = simulator.call("GET", "/_sim/settings", &Value::Null).await?;
    simulator.call("PUT", "/_sim/settings", &settings).await?;
    let from = first_number(client).await?;
    let request = SendRequest {
        to,
        from,
        body: Some(format!("This message will be {status}.")),
        ..SendRequest::default()
    };
    let key = uuid::Uuid::new_v4().to_string();
    let accepted = client.call(&api::send_sms(&request).with_idempotency_key(&key)).await?.value.message_id;
    // The simulator applies the setting when the status changes, so it stays until then.
    for _ in 0..LOOKS {
        let now = client.call(&api::get_message(&accepted)).await?.value.status;
        if !matches!(now.as_str(), "queued" | "sending") && (now != "sent" || status == "sent") {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    let restored =
        json!({ "finalStatus": before["finalStatus"], "deliveryErrorCode": before["deliveryErrorCode"] });
    simulator.call("PUT", "/_sim/settings", &restored).await?;
    Ok(accepted)
}

async fn first_number(client: &Client) -> CliResult<String> {
    let numbers = client.call(&api::list_numbers()).await?.value.numbers;
    let connected = numbers.into_iter().find(|number| number.connected);
    connected.map(|number| number.phone_number).ok_or_else(not_connected)
}

async fn first_extension(client: &Client) -> CliResult<String> {
    connect::extensions(client)
        .await?
        .into_iter()
        .next()
        .map(|extension| extension.extension_id)
        .ok_or_else(not_connected)
}

fn not_connected() -> CliError {
    CliError::usage("no extension is connected").advice("Connect one with: ringbridge connect")
}

struct Simulator {
    http: reqwest::Client,
    base: String,
}

impl Simulator {
    fn of(target: &Target) -> CliResult<Self> {
        let base = target.require_simulator()?.trim_end_matches('/').to_owned();
        let url = target::parse(&base)?;
        Ok(Self { http: client::http(&url)?, base })
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> CliResult<Value> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap_or_default();
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let failed =
            |reason: String| CliError::new(Exit::Failed, format!("the RingCentral simulator: {reason}"));
        let response = request.send().await.map_err(|error| failed(client::reason(&error)))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| failed(client::reason(&error)))?;
        if !status.is_success() {
            return Err(failed(text));
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }
}
