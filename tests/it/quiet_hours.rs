//! Marketing messages wait while it is quiet at the recipient's: when they are accepted, and when it is their turn.

use jiff::{SignedDuration, Timestamp, ToSpan};
use reqwest::Method;
use serde_json::{Value, json};

use crate::send::{TO, accepted_texts, connected, id, message, send, send_once, status_events, until};
use crate::world::{TestTenant, World, now};

/// A number in Phoenix, which is seven hours behind UTC all year.
const PHOENIX: &str = "+16025550111";
/// It has no quiet hours that the gateway knows.
const LONDON: &str = "+442079460958";

async fn set_hours(world: &World, tenant: &TestTenant, hours: Value) {
    let change = Some(json!({ "quietHours": hours }));
    world.call(Method::PATCH, "/v1/settings", &tenant.key, change).await.expect(200);
}

/// Moves the clock to the next time of the day in Phoenix.
async fn advance_to(world: &World, hour: i8, minute: i8) -> Timestamp {
    let at = now(world).await;
    let target = next(at, hour, minute);
    world.advance(target.duration_since(at).as_secs() + 1).await;
    target
}

/// The next time of the day in Phoenix after a moment.
fn next(after: Timestamp, hour: i8, minute: i8) -> Timestamp {
    let phoenix = jiff::tz::TimeZone::fixed(jiff::tz::offset(-7));
    let mut local = phoenix.to_datetime(after).date().at(hour, minute, 0, 0);
    loop {
        let at = phoenix.to_timestamp(local).unwrap();
        if at > after {
            return at;
        }
        local = local.checked_add(1.day()).unwrap();
    }
}

fn shown(time: Timestamp) -> String {
    format!("{time:.3}")
}

fn marketing(from: &str, to: &str, body: &str) -> Value {
    json!({ "to": to, "from": from, "body": body, "messageClass": "marketing" })
}

fn with(mut fields: Value, name: &str, value: &str) -> Value {
    fields[name] = json!(value);
    fields
}

#[tokio::test]
async fn a_marketing_message_is_scheduled_for_the_end_of_the_quiet_hours() {
    let (world, tenant, from) = connected().await;
    advance_to(&world, 22, 0).await;
    // Without the setting it is sent at once.
    let at_once = send(&world, &tenant, marketing(&from, PHOENIX, "at once")).await.expect(202);
    assert!(at_once.json().get("heldFor").is_none() && at_once.json().get("sendAt").is_none());
    until(&world, &tenant, &id(&at_once), &["sent", "delivered"]).await;
    set_hours(&world, &tenant, json!({})).await;
    // A warm function may use the tenant as it was read ten seconds ago.
    world.advance(11).await;
    let clock = now(&world).await;
    let morning = next(clock, 8, 0);
    let in_an_hour = clock.checked_add(SignedDuration::from_hours(1)).unwrap();

    let order = marketing(&from, PHOENIX, "held");
    let held = send_once(&world, &tenant, "k", &order).await.expect(202);
    let told = held.json();
    assert_eq!((&told["status"], &told["heldFor"]), (&json!("scheduled"), &json!("quiet_hours")), "{told}");
    assert_eq!(told["sendAt"], shown(morning));
    assert_eq!(
        send_once(&world, &tenant, "k", &order).await.expect(202).json(),
        told,
        "the replay is the same"
    );
    let stored = message(&world, &tenant, &id(&held)).await;
    let fields = ["status", "sendAt", "heldFor", "messageClass"].map(|name| stored[name].clone());
    assert_eq!(fields, [json!("scheduled"), json!(shown(morning)), json!("quiet_hours"), json!("marketing")]);
    let list = world.get("/v1/sms/messages?status=scheduled", &tenant.key).await.expect(200).json();
    assert_eq!(list["messages"][0]["heldFor"], "quiet_hours");

    // A time within the quiet hours is moved, one after them is kept.
    let moved = with(marketing(&from, PHOENIX, "moved"), "sendAt", &shown(in_an_hour));
    let moved = send(&world, &tenant, moved).await.expect(202).json();
    assert_eq!((&moved["sendAt"], &moved["heldFor"]), (&json!(shown(morning)), &json!("quiet_hours")));
    let noon = next(clock, 12, 0);
    let kept = with(marketing(&from, PHOENIX, "kept"), "sendAt", &shown(noon));
    let kept = send(&world, &tenant, kept).await.expect(202).json();
    assert_eq!(kept["sendAt"], shown(noon));
    assert!(kept.get("heldFor").is_none());

    let expiring = with(marketing(&from, PHOENIX, "expiring"), "expiresAt", &shown(in_an_hour));
    let expiring = send(&world, &tenant, expiring).await.expect(202);
    assert_eq!(expiring.json()["heldFor"], "quiet_hours");
    let canceled = send(&world, &tenant, marketing(&from, PHOENIX, "canceled")).await.expect(202);
    world.post(&format!("/v1/sms/{}/cancel", id(&canceled)), &tenant.key).await.expect(200);

    // Transactional messages, and those to other countries, are never held.
    let order = json!({ "to": PHOENIX, "from": from, "body": "code", "messageClass": "transactional" });
    let code = send(&world, &tenant, order).await.expect(202);
    until(&world, &tenant, &id(&code), &["sent", "delivered"]).await;
    let foreign = send(&world, &tenant, marketing(&from, LONDON, "foreign")).await.expect(202);
    assert_eq!(foreign.json()["status"], "queued");

    world.advance(3_700).await;
    let expired = until(&world, &tenant, &id(&expiring), &["expired"]).await;
    assert_eq!(expired["heldFor"], "quiet_hours", "the reason that it was not sent in time");
    assert_eq!(status_events(&world, &id(&expiring)).await, ["expired"]);
    let texts = accepted_texts(&world).await;
    assert!(!texts.iter().any(|text| text == "held" || text == "moved"), "{texts:?}");
    advance_to(&world, 8, 1).await;
    let sent = until(&world, &tenant, &id(&held), &["sent", "delivered"]).await;
    assert!(sent["heldFor"].is_null());
    until(&world, &tenant, moved["messageId"].as_str().unwrap(), &["sent", "delivered"]).await;
    let texts = accepted_texts(&world).await;
    let at = |wanted: &str| texts.iter().position(|text| text == wanted);
    assert!(at("held") < at("moved"), "in the order of acceptance: {texts:?}");
    assert!(at("kept").is_none() && at("expiring").is_none() && at("canceled").is_none(), "{texts:?}");
}

#[tokio::test]
async fn a_waiting_marketing_message_is_held_when_its_turn_comes_in_quiet_hours() {
    let (world, tenant, from) = connected().await;
    set_hours(&world, &tenant, json!({ "overrides": { "AZ": { "start": "20:00", "end": "09:00" } } })).await;
    advance_to(&world, 19, 50).await;
    // RingCentral accepts nothing for a quarter of an hour.
    world.sim_fault("/sms", None, json!({ "rateLimit": { "retryAfter": 900 } })).await;
    let first = send(&world, &tenant, json!({ "to": TO, "from": from, "body": "first" })).await.expect(202);
    let waiting = send(&world, &tenant, marketing(&from, PHOENIX, "waiting")).await.expect(202);
    let short = next(now(&world).await, 20, 30);
    let short = with(marketing(&from, PHOENIX, "short"), "expiresAt", &shown(short));
    let short = send(&world, &tenant, short).await.expect(202);
    // California has the default hours.
    let other = send(&world, &tenant, marketing(&from, TO, "other")).await.expect(202);
    let last = send(&world, &tenant, json!({ "to": TO, "from": from, "body": "last" })).await.expect(202);
    for reply in [&first, &waiting, &short, &other, &last] {
        assert_eq!(reply.json()["status"], "queued");
    }
    world.stack.wait_until_idle().await;
    world.no_faults().await;
    world.advance(1_000).await;
    for reply in [&first, &other, &last] {
        until(&world, &tenant, &id(reply), &["sent", "delivered"]).await;
    }
    assert_eq!(accepted_texts(&world).await, ["first", "other", "last"], "the others keep their order");
    let held = until(&world, &tenant, &id(&waiting), &["scheduled"]).await;
    let morning = next(now(&world).await, 9, 0);
    assert_eq!((&held["sendAt"], &held["heldFor"]), (&json!(shown(morning)), &json!("quiet_hours")));
    assert_eq!(held["attempts"], 0);
    assert_eq!(status_events(&world, &id(&waiting)).await, ["scheduled"]);
    world.advance(2_400).await;
    until(&world, &tenant, &id(&short), &["expired"]).await;
    // A message that waits keeps its time when the setting changes.
    set_hours(&world, &tenant, Value::Null).await;
    advance_to(&world, 9, 1).await;
    until(&world, &tenant, &id(&waiting), &["sent", "delivered"]).await;
    assert_eq!(status_events(&world, &id(&waiting)).await[..2], ["scheduled", "queued"]);
    assert_eq!(accepted_texts(&world).await, ["first", "other", "last", "waiting"]);
}

#[tokio::test]
async fn a_number_whose_campaign_is_suspended_or_missing_sends_with_a_warning() {
    let (world, tenant, from) = connected().await;
    let configuration = |campaign: Value| json!({ "phoneNumberId": "1", "smsCampaignInfo": campaign });
    for (campaign, code) in [
        (json!({ "status": "CampaignSuspended" }), Some("campaign_suspended")),
        (json!({ "status": "CampaignExpired" }), Some("campaign_suspended")),
        (json!({ "status": "Submitted" }), Some("campaign_pending")),
        (json!({ "status": "SomethingNew" }), Some("campaign_pending")),
        (Value::Null, Some("campaign_missing")),
        (json!({ "status": "Confirmed" }), None),
    ] {
        let reply = json!({ "status": 200, "body": configuration(campaign.clone()) });
        world.sim_fault("/sms-configuration", None, reply).await;
        world.post("/v1/rc/numbers/refresh", &tenant.key).await.expect(200);
        // A warm function uses a number as it was read ten seconds ago.
        world.advance(11).await;
        let order = |to: &str| json!({ "to": to, "from": from, "body": "Hello" });
        let key = campaign.to_string();
        let told = send_once(&world, &tenant, &key, &order(TO)).await.expect(202).json();
        let codes: Vec<_> =
            told["warnings"].as_array().into_iter().flatten().map(|one| &one["code"]).collect();
        assert_eq!(codes, code.iter().map(|code| json!(code)).collect::<Vec<_>>().iter().collect::<Vec<_>>());
        let again = send_once(&world, &tenant, &key, &order(TO)).await.expect(202).json();
        assert_eq!(again, told, "the replay is the same");
        // Campaigns are a matter of the United States.
        for elsewhere in ["+14165550100", LONDON] {
            let told = send(&world, &tenant, order(elsewhere)).await.expect(202).json();
            assert!(told.get("warnings").is_none(), "{told}");
        }
        if code.is_some() {
            let text = told["warnings"][0]["message"].as_str().unwrap();
            assert!(text.starts_with(&from), "{text}");
        }
    }
}
