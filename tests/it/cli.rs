//! The command line for developers of an app and for operators: the real binary against the local stack.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use url::Url;

use crate::cli_program::{CliFolder, Running};
use crate::receiver::{Behaviour, WebhookEndpoint};
use crate::tenancy::{additional_key, app_of};
use crate::world::World;

const TO: &str = "+16505550111";
const FROM: &str = "+14155550100";

/// A stack with a connected extension, and the program beside it.
pub async fn connected() -> (World, CliFolder) {
    let world = World::start().await;
    crate::send::without_limit(&world, &world.tenant()).await;
    world.connect(&world.tenant(), &world.user(0)).await.expect(303);
    let cli = CliFolder::beside(&world);
    (world, cli)
}

#[tokio::test]
async fn a_key_is_checked_and_stored_where_only_its_owner_can_read_it() {
    let world = World::start().await;
    let tenant = world.tenant();
    let cli = CliFolder::empty();
    cli.run(&["whoami"]).await.expect(3);
    let login = ["login", "--url", world.gateway()];
    let wrong = cli.run_with_input(&login, "sgw_wrong\n").await.expect(3);
    assert!(wrong.err.contains("API key"), "{wrong:?}");
    assert!(!cli.path("config/config.toml").exists(), "a wrong key is not stored");
    let end = (world.stack.clock().now() + jiff::SignedDuration::from_hours(2)).to_string();
    let key = additional_key(&world, &tenant, json!({ "scopes": ["sms:read"], "expiresAt": end })).await;
    let stored = cli.run_with_input(&login, &format!("{key}\n")).await.expect(0);
    assert!(stored.out.contains("sms:read") && stored.out.contains(&tenant.id), "{stored:?}");
    assert!(stored.err.contains("expires in"), "{stored:?}");
    assert!(!stored.out.contains(&key) && !stored.err.contains(&key), "the key itself is not shown");

    let file = cli.path("config/config.toml");
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    let permissions: std::fs::Permissions = std::fs::metadata(&file).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o777, 0o600);
    let shown = cli.run(&["whoami", "--json"]).await.expect(0).json();
    assert_eq!(
        (&shown["appId"], &shown["scopes"]),
        (&json!(app_of(&world, &tenant.key).await), &json!(["sms:read"]))
    );

    // Others may read the file.
    std::fs::set_permissions(&file, mode(0o644)).unwrap();
    let refused = cli.run(&["whoami"]).await.expect(2);
    assert!(refused.err.contains("chmod 600"), "{refused:?}");
    std::fs::set_permissions(&file, mode(0o600)).unwrap();

    // The environment has precedence, but a stored key is not sent to another host.
    let cli = cli.with("RINGBRIDGE_KEY", &tenant.key);
    let shown = cli.run(&["whoami", "--json"]).await.expect(0).json();
    assert!(shown["scopes"].as_array().unwrap().len() > 1);
    let elsewhere = WebhookEndpoint::start().await;
    let other = CliFolder::empty();
    std::fs::create_dir(other.path("config")).unwrap();
    std::fs::copy(&file, other.path("config/config.toml")).unwrap();
    let other = other.with("RINGBRIDGE_URL", &elsewhere.at(""));
    other.run(&["numbers"]).await.expect(3);
    assert!(elsewhere.arrivals("/v1/rc/numbers").is_empty());

    let operator = CliFolder::empty();
    let login = ["--profile", "prod", "login", "--url", world.gateway()];
    operator.run_with_input(&login, &world.operator_key()).await.expect(0);
    let profiles = operator.run(&["profiles", "list", "--json"]).await.expect(0).json();
    assert_eq!(profiles["profiles"][0], json!({ "name": "prod", "url": world.gateway(), "default": true }));
    operator.run(&["tenants", "list"]).await.expect(0);
    operator.run(&["logout"]).await.expect(0);
    operator.run(&["tenants", "list"]).await.expect(3);
}

#[tokio::test]
async fn the_program_starts_at_once_and_explains_itself() {
    let cli = CliFolder::empty();
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        cli.run(&["--version"]).await.expect(0);
        fastest = fastest.min(began.elapsed());
    }
    assert!(fastest < Duration::from_millis(30), "{fastest:?}");
    cli.run(&[]).await.expect(2);
    cli.run(&["send"]).await.expect(2);
    cli.run(&["whoami", "--color", "blue"]).await.expect(2);
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = cli.run(&["completions", shell]).await.expect(0);
        assert!(script.out.contains("ringbridge") && script.out.contains("bulk"), "{shell}");
    }
    // A gateway that does not respond.
    let unreachable =
        CliFolder::empty().with("RINGBRIDGE_URL", "http://127.0.0.1:9").with("RINGBRIDGE_KEY", "x");
    let doctor = unreachable.run(&["doctor", "--json"]).await.expect(8).json();
    assert_eq!(doctor["findings"][1]["check"], "connection");
    let plain =
        CliFolder::empty().with("RINGBRIDGE_URL", "http://sms.example.com").with("RINGBRIDGE_KEY", "x");
    let refused = plain.run(&["numbers"]).await.expect(2);
    assert!(refused.err.contains("https"), "a key is not sent over http: {refused:?}");
}

/// The link that the program asks to open.
fn link(err: &str) -> Option<String> {
    err.split_whitespace().find(|word| word.contains("/v1/rc/connect?token=")).map(str::to_owned)
}

async fn sign_in(world: &World, running: &mut Running) {
    running.until(|_, err| link(err).is_some()).await;
    let url = Url::parse(&link(&running.err()).unwrap()).unwrap();
    let mut browser = world.browser();
    let path = format!("{}?{}", url.path(), url.query().unwrap());
    let callback = browser.sign_in(&path, &world.user(0)).await;
    browser.get(&callback).await.expect(303);
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_waits_for_the_sign_in_and_shows_the_numbers() {
    let world = World::start().await;
    let cli = CliFolder::beside(&world);
    let mut running = cli.start(&["connect", "--no-open", "--json"]);
    sign_in(&world, &mut running).await;
    let connected = running.end().await.expect(0).json();
    assert_eq!(connected["numbers"][0]["phoneNumber"], FROM);
    assert_eq!(connected["extension"]["status"], "active");
    let numbers = cli.run(&["numbers"]).await.expect(0);
    assert!(numbers.err.contains("Using the local stack"), "{numbers:?}");
    assert!(numbers.out.contains(&format!("{FROM}\tconnected")), "{numbers:?}");
    let late = cli.run(&["connect", "--no-open", "--timeout", "0s"]).await.expect(7);
    assert!(late.err.contains("no extension was connected"), "{late:?}");

    let invite = cli.run(&["invite", "--expires", "7d", "--label", "Front desk"]).await.expect(0);
    let page = world.http.get(invite.out.trim()).send().await.unwrap();
    assert_eq!(page.status(), 200);
    cli.run(&["invite", "--expires", "8d"]).await.expect(1);

    // The whole way of an operator, with a reply.
    let mut running = cli.start(&["smoke", "--from", FROM, "--to", TO, "--reply", "--no-open"]);
    world.post("/v1/rc/disconnect", &world.tenant().key).await.expect(200);
    sign_in(&world, &mut running).await;
    running.until(|_, err| err.contains("Reply to it")).await;
    let reply = json!({ "from": TO, "to": FROM, "text": "It works" });
    world.sim(Method::POST, "/_sim/inbound", Some(reply)).await;
    let smoke = running.end().await.expect(0);
    for step in ["tenant", "app", "connection", "numbers", "message", "reply"] {
        assert!(smoke.out.contains(&format!("passed  {step}:")), "{step}: {smoke:?}");
    }
    let tenants = cli.run(&["tenants", "list", "--json"]).await.expect(0).json();
    let tenants = tenants["tenants"].as_array().unwrap();
    assert!(!tenants.iter().any(|tenant| tenant["name"] == "Smoke test" && tenant["status"] == "active"));
}

#[tokio::test(flavor = "multi_thread")]
async fn send_waits_for_the_outcome_and_its_exit_code_says_which() {
    let (world, cli) = connected().await;
    let send = ["send", "--to", TO, "--from", FROM, "Your table is ready.", "--json"];
    let outcome = async |status: &str| {
        let mut running = cli.start(&send);
        let sent = world.count("sms_accepted").await;
        while world.count("sms_accepted").await == sent && !running.err().contains("error") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Delivery reports are read twenty seconds after a message was sent.
        world.advance(60).await;
        running.until(|out, _| !out.is_empty()).await;
        let ran = running.end().await;
        assert_eq!(ran.json()["status"], status, "{ran:?}");
        ran
    };
    outcome("delivered").await.expect(0);
    world.sim(Method::PUT, "/_sim/settings", Some(json!({ "finalStatus": "DeliveryFailed" }))).await;
    let failed = outcome("failed").await.expect(6);
    assert!(failed.err.contains("error"), "{failed:?}");
    world.sim(Method::PUT, "/_sim/settings", Some(json!({ "finalStatus": "Sent" }))).await;
    let short = ["--timeout", "1s"];
    let sent = cli.run(&[&send[..], &short].concat()).await.expect(0).json();
    assert_eq!(sent["status"], "sent");
    cli.run(&[&send[..], &short, &["--require-delivery"]].concat()).await.expect(7);

    let scheduled = cli.run(&[&send[..], &["--schedule", "+2h"]].concat()).await.expect(0).json();
    assert_eq!(scheduled["status"], "scheduled");
    let key = ["--no-wait", "--idempotency-key", "order-4711"];
    let first = cli.run(&[&send[..], &key].concat()).await.expect(0).json();
    let second = cli.run(&[&send[..], &key].concat()).await.expect(0).json();
    assert_eq!(first["messageId"], second["messageId"]);
    let text =
        cli.run_with_input(&["send", "--to", TO, "--from", FROM, "-", "--no-wait", "--json"], "From stdin\n");
    let id = text.await.expect(0).json()["messageId"].as_str().unwrap().to_owned();
    let shown = cli.run(&["messages", "get", &id, "--json"]).await.expect(0).json();
    assert_eq!(shown["body"], "From stdin");
    cli.run(&["messages", "get", "msg_00000000000000000000000000aa"]).await.expect(4);
    cli.write("menu.txt", "Monday: soup\n");
    let media = ["send", "--to", TO, "--from", FROM, "--media", "menu.txt", "--no-wait", "--json"];
    let id = cli.run(&media).await.expect(0).json()["messageId"].as_str().unwrap().to_owned();
    let shown = cli.run(&["messages", "get", &id, "--json"]).await.expect(0).json();
    assert_eq!((&shown["kind"], &shown["media"][0]["size"]), (&json!("mms"), &json!(13)), "{shown}");
    cli.write("menu.exe", "");
    cli.run(&["send", "--to", TO, "--from", FROM, "--media", "menu.exe"]).await.expect(2);
    let several = cli.run(&["send", "--to", TO, "Which?"]).await.expect(2);
    assert!(several.err.contains("--from"), "{several:?}");
    let list =
        cli.run(&["messages", "list", "--direction", "outbound", "--limit", "200", "--json"]).await.expect(0);
    assert_eq!(list.json()["messages"].as_array().unwrap().len(), 8);

    let mut tail = cli.start(&["messages", "tail", "--direction", "inbound", "--interval", "0.1s", "--json"]);
    tail.until(|_, err| err.contains("Waiting for messages")).await;
    cli.run(&["trigger", "sms-inbound", "--from", TO, "--body", "Are you open?"]).await.expect(0);
    tail.until(|out, _| out.contains("Are you open?")).await;
    tail.interrupt().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_manages_tenants_apps_and_keys_and_finds_what_is_wrong() {
    let (world, cli) = connected().await;
    let tenant = cli
        .run(&["tenants", "create", "Acme", "--requests-per-minute", "50", "--json"])
        .await
        .expect(0)
        .json();
    let id = tenant["tenantId"].as_str().unwrap();
    assert_eq!(tenant["limits"]["requestsPerMinute"], 50);
    let receiver = WebhookEndpoint::start().await;
    let register = [
        "apps",
        "register",
        "Desk",
        "--tenant",
        id,
        "--webhook-url",
        &receiver.at("/hook"),
        "--save",
        "acme",
    ];
    let app = cli.run(&register).await.expect(0).out.trim().to_owned();
    let acme = |arguments: &[&'static str]| [&["--profile", "acme"], arguments].concat();
    let shown = cli.run(&acme(&["whoami", "--json"])).await.expect(0).json();
    assert_eq!((shown["appId"].as_str(), shown["tenantId"].as_str()), (Some(app.as_str()), Some(id)));
    cli.run(&[&acme(&["apps", "test-webhook"])[..], &[&app]].concat()).await.expect(0);
    assert_eq!(receiver.arrivals("/hook").len(), 1);
    receiver.behave("/hook", Behaviour::Status(500));
    cli.run(&[&acme(&["apps", "test-webhook"])[..], &[&app]].concat()).await.expect(1);

    let key = cli
        .run(&acme(&["keys", "create", "--scopes", "sms:read", "--expires", "+30d", "--json"]))
        .await
        .expect(0)
        .json();
    let keys = cli.run(&acme(&["keys", "list"])).await.expect(0).out;
    assert_eq!(keys.lines().count(), 2, "{keys}");
    cli.run(&[&acme(&["keys", "delete"])[..], &[key["keyId"].as_str().unwrap()]].concat()).await.expect(0);
    let rotated = cli.run(&acme(&["keys", "rotate", "--overlap", "10m"])).await.expect(0).out;
    assert!(rotated.starts_with("sgw_"), "{rotated}");
    let secret =
        cli.run(&[&acme(&["apps", "rotate-webhook-secret"])[..], &[&app]].concat()).await.expect(0).out;
    assert!(secret.starts_with("whsec_"), "{secret}");

    cli.run(&["tenants", "suspend", id]).await.expect(0);
    cli.run(&acme(&["whoami"])).await.expect(3);
    cli.run(&["tenants", "resume", id]).await.expect(0);
    let asked = cli.run(&["tenants", "delete", id]).await.expect(2);
    assert!(asked.err.contains("--yes"), "{asked:?}");
    cli.run(&["tenants", "delete", id, "--yes"]).await.expect(0);
    assert_eq!(cli.run(&["tenants", "get", id, "--json"]).await.expect(0).json()["status"], "deleting");

    let findings = |ran: &Value| -> Vec<(String, String)> {
        let findings = ran["findings"].as_array().unwrap().iter();
        findings
            .map(|finding| (finding["check"].to_string(), finding["status"].as_str().unwrap().to_owned()))
            .filter(|(_, status)| status != "passed")
            .collect()
    };
    let pair = |check: &str, status: &str| (format!("\"{check}\""), status.to_owned());
    let healthy = cli.run(&["doctor", "--json"]).await.expect(0).json();
    assert_eq!(findings(&healthy), [pair("ringcentral permissions", "unknown")]);
    // A deployment with a wrong redirect URI and without its key, whose alarms have no subscriber.
    let page = json!({ "status": 400, "body": "OAU-113" });
    world.sim_fault("/restapi/oauth/authorize", None, page).await;
    world.aws(Method::POST, "/_aws/kms/disable", None).await;
    world.advance(61).await;
    let aws = "#!/bin/sh\ncase $1 in\n\
        cloudwatch) echo '{\"MetricAlarms\":[{\"AlarmName\":\"sms-sweep\",\"StateValue\":\"OK\",\"AlarmActions\":[\"arn:a\"]}]}';;\n\
        sns) echo '{\"Subscriptions\":[{\"SubscriptionArn\":\"PendingConfirmation\"}]}';;\nesac\n";
    cli.write("aws", aws);
    std::fs::set_permissions(cli.path("aws"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let ill = cli.run(&["doctor", "--stack", "sms", "--json"]).await.expect(8).json();
    let expected = [
        pair("readiness", "failed"),
        pair("ringcentral redirect uri", "failed"),
        pair("ringcentral permissions", "unknown"),
        pair("alarm subscribers", "failed"),
    ];
    assert_eq!(findings(&ill), expected);
    let advice = ill["findings"].as_array().unwrap().iter().filter(|finding| finding["status"] == "failed");
    assert!(advice.into_iter().all(|finding| finding["advice"].is_string()), "each finding says what to do");
}
