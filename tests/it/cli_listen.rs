//! `ringbridge listen`: every event arrives, signed, whatever happens to the program, the network, the receiver and the key.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::cli::connected;
use crate::cli_program::CliFolder;
use crate::receiver::{Behaviour, ReceivedRequest, WebhookEndpoint};
use crate::tcp_proxy::{Network, TcpProxy};
use crate::tenancy::additional_key;
use crate::world::World;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TOO_MANY: &str = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
const UNAVAILABLE: &str =
    "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Messages with these texts arrive, and become visible to polling clients.
async fn receive(world: &World, texts: &[&str]) {
    for text in texts {
        let message = json!({ "from": "+16505550111", "to": "+14155550100", "text": text });
        world.sim(Method::POST, "/_sim/inbound", Some(message)).await;
        // So that they are stored in this order.
        world.idle().await;
    }
    world.advance(16).await;
}

/// The texts of the messages that have arrived at a path.
fn texts(arrivals: &[ReceivedRequest]) -> Vec<String> {
    let inbound = arrivals.iter().map(ReceivedRequest::json).filter(|event| event["type"] == "sms_inbound");
    inbound.map(|event| event["body"].as_str().unwrap().to_owned()).collect()
}

/// What a receiver does: it verifies with the library of Standard Webhooks, the age of the request too.
fn is_genuine(arrival: &ReceivedRequest, secret: &str) -> bool {
    let webhook = standardwebhooks::Webhook::new(secret).unwrap();
    webhook.verify(arrival.body.as_bytes(), &arrival.headers).is_ok()
}

async fn until_received(receiver: &WebhookEndpoint, expected: &[&str]) -> Vec<ReceivedRequest> {
    for _ in 0..1_000 {
        let arrivals = receiver.arrivals("/hook");
        let found = texts(&arrivals);
        if expected.iter().all(|text| found.iter().any(|found| found == text)) {
            return arrivals;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?} are not {expected:?}", texts(&receiver.arrivals("/hook")));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_signed_and_none_is_lost_when_the_program_or_the_receiver_fails() {
    let (world, cli) = connected().await;
    let receiver = WebhookEndpoint::start().await;
    let url = receiver.at("/hook");
    let listen = ["listen", "--forward-to", &url, "--interval", "0.1s", "--secret", SECRET];
    let mut running = cli.start(&listen);
    running.until(|_, err| err.contains("Press Ctrl-C")).await;
    let other = cli.run(&listen).await.expect(2);
    assert!(other.err.contains("another"), "one program forwards the events: {other:?}");
    receive(&world, &["one", "two"]).await;
    let arrivals = until_received(&receiver, &["one", "two"]).await;
    assert!(arrivals.iter().all(|arrival| is_genuine(arrival, SECRET)), "signed for the receiver's library");
    assert!(!is_genuine(&arrivals[0], "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx"));
    assert_eq!(texts(&arrivals), ["one", "two"]);

    // The program is killed while the receiver works on an event.
    receiver.behave("/hook", Behaviour::Hang);
    receive(&world, &["three", "four"]).await;
    until_received(&receiver, &["three"]).await;
    running.kill().await;
    receive(&world, &["five"]).await;
    receiver.behave("/hook", Behaviour::Status(204));
    let mut running = cli.start(&listen);
    let arrivals = until_received(&receiver, &["four", "five"]).await;
    assert_eq!(texts(&arrivals), ["one", "two", "three", "three", "four", "five"]);
    let of_three: BTreeSet<&str> = arrivals
        .iter()
        .filter(|arrival| arrival.body.contains("three"))
        .map(|arrival| arrival.header("webhook-id"))
        .collect();
    assert_eq!(of_three.len(), 1, "the receiver recognizes the repeated one");
    assert!(running.err().contains("Going on where the last run ended"), "{}", running.err());

    // An event that the receiver rejects does not hold up the next ones, and can be sent again.
    receiver.behave("/hook", Behaviour::Status(500));
    receive(&world, &["six"]).await;
    running.until(|out, _| out.contains("500  sms_inbound")).await;
    receiver.behave("/hook", Behaviour::Status(200));
    receive(&world, &["seven"]).await;
    until_received(&receiver, &["seven"]).await;
    running.until(|out, _| out.matches("sms_inbound").count() == 5).await;
    let ended = running.interrupt().await.expect(0);
    assert!(ended.err.contains("1 event not accepted"), "{ended:?}");
    let again = ["events", "resend", "--failed", "--forward-to", &url, "--secret", SECRET];
    receiver.behave("/hook", Behaviour::Status(500));
    cli.run(&again).await.expect(1);
    receiver.behave("/hook", Behaviour::Status(200));
    cli.run(&again).await.expect(0);
    let arrivals = receiver.arrivals("/hook");
    assert_eq!(texts(&arrivals)[6..], ["six", "seven", "six", "six"]);
    let nothing = cli.run(&again).await.expect(0);
    assert!(nothing.err.contains("0 of 0"), "{nothing:?}");
    // A single one, with a secret that is made for it and printed.
    let id = arrivals[0].header("webhook-id");
    let resent = cli.run(&["events", "resend", id, "--forward-to", &url]).await.expect(0);
    let secret = resent.err.split_whitespace().find(|word| word.starts_with("whsec_")).unwrap();
    assert!(is_genuine(receiver.arrivals("/hook").last().unwrap(), secret));
    cli.run(&["events", "resend", "evt_0199c2f4d7b81c3e5a6f7089b1c2", "--forward-to", &url]).await.expect(4);
    let listed = cli.run(&["events", "list", "--types", "sms_inbound", "--json"]).await.expect(0).json();
    assert_eq!(listed["events"].as_array().unwrap().len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn listening_survives_a_lost_network_rate_limits_outages_and_the_end_of_its_key() {
    let (world, _) = connected().await;
    let tenant = world.tenant();
    let receiver = WebhookEndpoint::start().await;
    let proxy = TcpProxy::to(world.gateway()).await;
    let cli = CliFolder::empty();
    let end = (world.stack.clock().now() + jiff::SignedDuration::from_hours(1)).to_string();
    let order = json!({ "scopes": ["sms:read"], "expiresAt": end });
    let key = additional_key(&world, &tenant, order).await;
    cli.run_with_input(&["login", "--url", proxy.url()], &key).await.expect(0);
    let url = receiver.at("/hook");
    let mut running = cli.start(&["listen", "--forward-to", &url, "--interval", "0.1s", "--secret", SECRET]);
    running.until(|_, err| err.contains("Press Ctrl-C")).await;
    for (at, network) in
        [Network::Cut, Network::Responds(TOO_MANY), Network::Responds(UNAVAILABLE), Network::LosesResponses]
            .into_iter()
            .enumerate()
    {
        let before = proxy.failures();
        proxy.set(network);
        let text = format!("event {at}");
        receive(&world, &[&text]).await;
        running.until(|_, _| proxy.failures() > before).await;
        proxy.set(Network::Works);
        until_received(&receiver, &[&text]).await;
    }
    world.advance(3_600).await;
    running.until(|_, err| err.contains("has expired or was deleted")).await;
    receive(&world, &["late"]).await;
    let other = additional_key(&world, &tenant, json!({ "scopes": ["sms:read"] })).await;
    cli.run_with_input(&["login"], &other).await.expect(0);
    let arrivals = until_received(&receiver, &["late"]).await;
    assert_eq!(texts(&arrivals), ["event 0", "event 1", "event 2", "event 3", "late"], "each once");
    running.interrupt().await.expect(0);

    // The signature of a request that was saved, and the same with another body.
    let arrival = arrivals.last().unwrap();
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: Vec<String> =
        names.iter().map(|name| format!("{name}: {}\r\n", arrival.header(name))).collect();
    let request = format!("POST /hook HTTP/1.1\r\n{}\r\n{}", headers.concat(), arrival.body);
    cli.write("request.http", &request);
    let verify = ["verify", "--secret", SECRET];
    cli.run(&[&verify[..], &["request.http"]].concat()).await.expect(0);
    cli.run_with_input(&verify, &request.replace("late", "lazy")).await.expect(8);
    let [id, timestamp, signature] = names.map(|name| arrival.header(name));
    let parts = ["--id", id, "--timestamp", timestamp, "--signature", signature];
    cli.run_with_input(&[&verify[..], &parts].concat(), &arrival.body).await.expect(0);
    let old = ["--id", id, "--timestamp", "1700000000", "--signature", signature];
    let refused = cli.run_with_input(&[&verify[..], &old].concat(), &arrival.body).await.expect(8);
    assert!(refused.err.contains("not valid"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_to_a_webhook_url_are_listed_and_repeated() {
    let (world, cli) = connected().await;
    let receiver = WebhookEndpoint::start().await;
    let order = [
        "apps",
        "register",
        "Hook",
        "--webhook-url",
        &receiver.at("/hook"),
        "--event-types",
        "sms_inbound",
        "--json",
    ];
    let app = cli.run(&order).await.expect(0).json()["appId"].as_str().unwrap().to_owned();
    cli.run(&["trigger", "sms-inbound", "--body", "Hi"]).await.expect(0);
    world.idle().await;
    let list = cli.run(&["deliveries", "list", "--app", &app, "--json"]).await.expect(0).json();
    let delivery = &list["deliveries"][0];
    assert_eq!((&delivery["status"], &delivery["type"]), (&json!("delivered"), &json!("sms_inbound")));
    let text = |name: &str| delivery[name].as_str().unwrap().to_owned();
    cli.run(&["deliveries", "replay", &text("id"), "--app", &app]).await.expect(0);
    world.idle().await;
    cli.run(&["events", "resend", &text("eventId"), "--app", &app]).await.expect(0);
    world.idle().await;
    let range = ["deliveries", "replay", "--app", &app, "--since", "-1h", "--status", "delivered", "--json"];
    assert_eq!(cli.run(&range).await.expect(0).json()["replayed"], 1);
    world.idle().await;
    assert_eq!(receiver.arrivals("/hook").len(), 4);

    // Events of the local stack alone.
    let failing = cli.start(&["trigger", "status", "failed", "--json"]);
    while world.count("sms_accepted").await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.advance(60).await;
    let message = failing.end().await.expect(0).json()["messageId"].as_str().unwrap().to_owned();
    assert_eq!(cli.run(&["messages", "get", &message, "--json"]).await.expect(0).json()["status"], "failed");
    cli.run(&["trigger", "revoked"]).await.expect(0);
    // The gateway makes sure before it reports it.
    world.advance(60).await;
    let extensions = world.get("/v1/rc/extensions", &world.tenant().key).await.expect(200).json();
    assert_eq!(extensions["extensions"][0]["status"], "revoked");
    let elsewhere = CliFolder::empty()
        .with("RINGBRIDGE_URL", world.gateway())
        .with("RINGBRIDGE_KEY", &world.tenant().key);
    let refused = elsewhere.run(&["trigger", "sms-inbound"]).await.expect(2);
    assert!(refused.err.contains("local stack only"), "{refused:?}");
}
