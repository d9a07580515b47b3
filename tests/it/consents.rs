//! Consents: an opt-out blocks messages from the moment it is stored, however the gateway learns of it.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::delivery::until as eventually;
use crate::send::{
    SENT, accept, accepted_texts, connect, connected, id, pending_entries, send, send_once, until,
    until_settled, without_limit,
};
use crate::world::{SYNC_INTERVAL, TestTenant, World};

/// A second number of the user whose first number the tests send from.
const SECOND: &str = "+14155550101";
pub const THEM: &str = crate::send::TO;
pub const STRANGER: &str = "+16505550177";
const CONFIRMATION: &str = "You are unsubscribed and will receive no more messages from this number. Reply START to receive messages again.";

/// A recipient writes to one of the tenant's numbers. RingCentral reports it, or only stores it.
pub async fn write(world: &World, from: &str, to: &str, text: &str, deliver: bool) {
    let order = json!({ "from": from, "to": to, "text": text, "deliver": deliver });
    world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
    world.idle().await;
}

/// The data of a tenant's events of a type, in order.
pub async fn events(world: &World, tenant: &TestTenant, kind: &str) -> Vec<Value> {
    let rows = world.items("EventsTable").await;
    let mut events: Vec<_> = rows
        .iter()
        .filter(|row| row["kind"]["S"] == kind && row["tenant"]["S"] == tenant.id.as_str())
        .map(|row| {
            let data: Value = serde_json::from_str(row["data"]["S"].as_str().unwrap()).unwrap();
            (row["item"]["S"].as_str().unwrap().to_owned(), data)
        })
        .collect();
    events.sort_by(|one, other| one.0.cmp(&other.0));
    events.into_iter().map(|(_, data)| data).collect()
}

/// Sources and statuses of the changes of consent.
pub async fn changes(world: &World, tenant: &TestTenant) -> Vec<(String, String)> {
    let word = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let events = events(world, tenant, "consent_changed").await;
    events.iter().map(|event| (word(event, "source"), word(event, "status"))).collect()
}

pub fn change(source: &str, status: &str) -> (String, String) {
    (source.to_owned(), status.to_owned())
}

/// The row that decides whether a message is accepted has exactly the opt-outs that the consents have.
async fn check_opt_outs(world: &World) {
    let (mut consents, mut opt_outs) = (BTreeSet::new(), BTreeSet::new());
    for row in world.items("ConsentsTable").await {
        let (tenant, name) = (row["tenant"]["S"].clone(), row["item"]["S"].as_str().unwrap());
        let parts: Vec<&str> = name.splitn(3, '#').collect();
        match parts[..] {
            ["consent", to, scope] if row["status"]["S"] == "opted_out" => {
                consents.insert(format!("{tenant} {to} {scope}"));
            }
            ["opt_outs", to] => {
                let scopes = row["scopes"]["SS"].as_array().into_iter().flatten();
                opt_outs.extend(scopes.map(|scope| format!("{tenant} {to} {}", scope.as_str().unwrap())));
            }
            _ => {}
        }
    }
    assert_eq!(opt_outs, consents);
}

pub async fn attempt(world: &World, tenant: &TestTenant, from: &str, to: &str) -> (u16, String) {
    let reply = send(world, tenant, json!({ "to": to, "from": from, "body": "hello" })).await;
    if reply.status.as_u16() == 202 {
        until_settled(world, tenant, &id(&reply)).await;
    }
    reply.error()
}

pub fn rejected() -> (u16, String) {
    (409, "recipient_opted_out".to_owned())
}

fn accepted() -> (u16, String) {
    (202, String::new())
}

/// Whether RingCentral has an opt-out, in the order of its changes.
async fn recorded_at_ringcentral(world: &World) -> Vec<(String, String)> {
    let word = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let changes = world.ledger("consent_changed").await;
    changes.iter().map(|entry| (word(entry, "source"), word(entry, "optStatus"))).collect()
}

#[tokio::test]
async fn keywords_decide_whether_a_recipient_can_be_written_to() {
    let (world, tenant, from) = connected().await;
    let other = world.new_tenant("Other").await;
    let others_number = connect(&world, &other, 1).await;
    without_limit(&world, &other).await;
    let fields = json!({ "to": THEM, "from": from, "body": "before" });
    let first = send_once(&world, &tenant, "key", &fields).await.expect(202);
    until(&world, &tenant, &id(&first), &SENT).await;

    for text in ["stop by tomorrow?", "HELP", "stop 🛑", "Stop!"] {
        write(&world, THEM, &from, text, true).await;
    }
    let received = events(&world, &tenant, "sms_inbound").await;
    let intents: Vec<_> = received.iter().map(|event| event["consent"].clone()).collect();
    assert_eq!(intents, [Value::Null, json!("help"), json!("stop"), json!("stop")]);
    let changed = events(&world, &tenant, "consent_changed").await;
    let fields_of_change = json!({ "from": from, "to": THEM, "status": "opted_out", "source": "keyword" });
    assert_eq!(changed, [fields_of_change], "the second STOP changes nothing");

    let reply = send(&world, &tenant, json!({ "to": THEM, "from": from, "body": "after" })).await;
    assert_eq!(reply.error(), (409, "recipient_opted_out".to_owned()));
    assert_eq!(
        (&reply.json()["error"], &reply.json()["field"]),
        (&json!("Recipient has opted out"), &json!("to"))
    );
    // A repeated request gets its stored response; a new one, and a changed one, do not.
    let replayed = send_once(&world, &tenant, "key", &fields).await.expect(202);
    assert_eq!(id(&replayed), id(&first));
    assert_eq!(send_once(&world, &tenant, "new", &fields).await.error(), rejected());
    let changed = json!({ "to": THEM, "from": from, "body": "changed" });
    assert_eq!(send_once(&world, &tenant, "key", &changed).await.error().0, 422);

    // An opt-out is about one number, and one tenant.
    assert_eq!(attempt(&world, &tenant, &from, STRANGER).await, accepted());
    assert_eq!(attempt(&world, &tenant, SECOND, THEM).await, accepted());
    assert_eq!(attempt(&world, &other, &others_number, THEM).await, accepted());
    // Opting out needs no earlier message.
    write(&world, "+16505550178", &others_number, "unsubscribe", true).await;
    assert_eq!(attempt(&world, &other, &others_number, "+16505550178").await, rejected());
    assert_eq!(attempt(&world, &tenant, &from, "+16505550178").await, accepted());

    write(&world, THEM, &from, "START", true).await;
    assert_eq!(attempt(&world, &tenant, &from, THEM).await, accepted());
    assert_eq!(
        changes(&world, &tenant).await,
        [change("keyword", "opted_out"), change("keyword", "opted_in")]
    );
    assert_eq!(accepted_texts(&world).await.iter().filter(|text| *text == "after").count(), 0);
    check_opt_outs(&world).await;
}

#[tokio::test]
async fn a_message_that_waits_is_not_sent_after_an_opt_out() {
    let (world, tenant, from) = connected().await;
    let schedule = async |body: &str| {
        let at = crate::world::now(&world).await.checked_add(jiff::SignedDuration::from_hours(1)).unwrap();
        let fields = json!({ "to": THEM, "from": from, "body": body, "sendAt": at.to_string() });
        id(&send(&world, &tenant, fields).await.expect(202))
    };
    let stopped = schedule("scheduled before STOP").await;
    write(&world, THEM, &from, "quit", true).await;
    world.advance(3_700).await;
    let ended = until_settled(&world, &tenant, &stopped).await;
    assert_eq!((&ended["status"], &ended["errorCode"]), (&json!("failed"), &json!("recipient_opted_out")));
    assert_eq!(ended["error"], "Recipient has opted out");

    write(&world, THEM, &from, "resume", true).await;
    let resumed = schedule("scheduled before STOP and START").await;
    write(&world, THEM, &from, "cancel", true).await;
    write(&world, THEM, &from, "continue", true).await;
    world.advance(3_700).await;
    until(&world, &tenant, &resumed, &SENT).await;

    // RingCentral is busy, so the message is still in the outbox when the opt-out comes.
    let body =
        json!({ "errorCode": "MSG-290", "message": "try later", "errors": [{ "errorCode": "MSG-290" }] });
    world.sim_fault("/sms", None, json!({ "status": 503, "body": body })).await;
    let waiting = accept(&world, &tenant, &from, "accepted before STOP").await;
    eventually("an attempt", async || world.log().join("\n").contains("send failed and will be retried"))
        .await;
    write(&world, THEM, &from, "end", true).await;
    world.no_faults().await;
    world.advance(400).await;
    let ended = until_settled(&world, &tenant, &waiting).await;
    assert_eq!((&ended["status"], &ended["errorCode"]), (&json!("failed"), &json!("recipient_opted_out")));
    assert_eq!(accepted_texts(&world).await, ["scheduled before STOP and START"]);
    check_opt_outs(&world).await;
}

#[tokio::test]
async fn lost_repeated_and_reordered_events_come_to_the_same_consent() {
    let (world, tenant, from) = connected().await;
    write(&world, THEM, &from, "STOP", false).await;
    assert_eq!(changes(&world, &tenant).await, []);
    world.advance(SYNC_INTERVAL).await;
    eventually("the sync", async || changes(&world, &tenant).await == [change("keyword", "opted_out")]).await;
    assert_eq!(attempt(&world, &tenant, &from, THEM).await, rejected());

    // The START is reported, the STOP before it is found later.
    write(&world, STRANGER, &from, "STOP", false).await;
    world.advance(5).await;
    write(&world, STRANGER, &from, "START", true).await;
    world.advance(SYNC_INTERVAL).await;
    eventually("the sync", async || events(&world, &tenant, "sms_inbound").await.len() == 3).await;
    assert_eq!(attempt(&world, &tenant, &from, STRANGER).await, accepted());

    let hooks = json!({ "hooks": { "duplicate": 3 } });
    world.sim(Method::PUT, "/_sim/settings", Some(hooks)).await;
    let before = changes(&world, &tenant).await.len();
    write(&world, STRANGER, &from, "stop", true).await;
    assert_eq!(changes(&world, &tenant).await.len(), before + 1);
    assert_eq!(attempt(&world, &tenant, &from, STRANGER).await, rejected());
    check_opt_outs(&world).await;
}

#[tokio::test]
async fn an_opt_out_of_an_account_is_learned_from_failures_and_from_the_daily_search() {
    let (world, tenant, from) = connected().await;
    let settings = json!({ "consentCoverage": "Account" });
    world.sim(Method::PUT, "/_sim/settings", Some(settings)).await;
    write(&world, THEM, &from, "STOP", true).await;
    // The keyword says nothing about the other numbers of the account, but RingCentral rejects their messages.
    let reply =
        send(&world, &tenant, json!({ "to": THEM, "from": SECOND, "body": "hello" })).await.expect(202);
    world.advance(SYNC_INTERVAL).await;
    let failed = until(&world, &tenant, &id(&reply), &["failed"]).await;
    assert!(failed["errorCode"].as_str().unwrap().ends_with("-413"), "{failed}");
    let blocked = send(&world, &tenant, json!({ "to": THEM, "from": SECOND, "body": "again" })).await;
    assert_eq!(blocked.error(), rejected());
    assert!(changes(&world, &tenant).await.contains(&change("delivery_error", "opted_out")));

    // The search finds what no message has shown.
    write(&world, STRANGER, &from, "STOP", false).await;
    world.advance(2 * 24 * 3_600).await;
    let is_account =
        |row: &Value| row["item"]["S"].as_str().unwrap().starts_with(&format!("consent#{STRANGER}#account:"));
    eventually("the search", async || world.items("ConsentsTable").await.iter().any(is_account)).await;
    assert_eq!(attempt(&world, &tenant, SECOND, STRANGER).await, rejected());
    let changed = events(&world, &tenant, "consent_changed").await;
    let of_account =
        json!({ "from": null, "to": STRANGER, "status": "opted_out", "source": "ringcentral_search" });
    assert!(changed.contains(&of_account), "{changed:?}");
    check_opt_outs(&world).await;
}

#[tokio::test]
async fn an_opt_out_that_ringcentral_does_not_know_is_confirmed_once_and_written_to_it() {
    let (world, tenant, from) = connected().await;
    write(&world, THEM, &from, "Opt-out 🙏", true).await;
    assert_eq!(
        attempt(&world, &tenant, &from, THEM).await,
        rejected(),
        "it blocks before anything else happens"
    );
    world.advance(61).await;
    eventually("the confirmation", async || !accepted_texts(&world).await.is_empty()).await;
    eventually("the opt-out", async || recorded_at_ringcentral(&world).await == [change("Api", "OptOut")])
        .await;
    write(&world, THEM, &from, "revoke", true).await;
    world.advance(400).await;
    world.idle().await;
    assert_eq!(accepted_texts(&world).await, [CONFIRMATION]);
    let history = world.get(&format!("/v1/consents/history?to=%2B{}", &THEM[1..]), &tenant.key).await;
    assert!(!history.text.contains("delivery_error"), "the confirmation is delivered: {}", history.text);
    assert_eq!(attempt(&world, &tenant, &from, THEM).await, rejected());

    // RingCentral answers its own words, so the gateway does not.
    write(&world, STRANGER, &from, "STOP", true).await;
    write(&world, THEM, &from, "start", true).await;
    world.advance(400).await;
    assert_eq!(attempt(&world, &tenant, &from, THEM).await, accepted());
    assert_eq!(accepted_texts(&world).await, [CONFIRMATION, "hello"]);

    // A recipient who opts in again within the minute gets no confirmation, and RingCentral no opt-out.
    write(&world, THEM, &from, "OPTOUT", true).await;
    write(&world, THEM, &from, "START", true).await;
    let before = recorded_at_ringcentral(&world).await;
    world.advance(400).await;
    world.idle().await;
    assert_eq!(accepted_texts(&world).await, [CONFIRMATION, "hello"]);
    assert_eq!(recorded_at_ringcentral(&world).await, before);
    check_opt_outs(&world).await;
}

/// Faults for the next writes of consents at RingCentral.
async fn failing_writes(world: &World, times: u32, act: Value) {
    let matches = json!({ "method": "PATCH", "path": "/sms/consents" });
    let faults = json!([{ "match": matches, "times": times, "do": act }]);
    world.sim(Method::PUT, "/_sim/faults", Some(faults)).await;
}

#[tokio::test]
async fn without_confirmations_an_opt_out_is_written_at_once_and_failures_are_retried() {
    let (world, tenant, from) = connected().await;
    let off = json!({ "optOutConfirmation": { "enabled": false } });
    world.call(Method::PATCH, "/v1/settings", &tenant.key, Some(off)).await.expect(200);
    write(&world, THEM, &from, "revoke", true).await;
    world.advance(61).await;
    eventually("the opt-out", async || recorded_at_ringcentral(&world).await == [change("Api", "OptOut")])
        .await;

    // RingCentral does not respond for a while.
    failing_writes(&world, 2, json!({ "status": 503, "body": { "errorCode": "CMN-201" } })).await;
    write(&world, STRANGER, &from, "opt out", true).await;
    assert_eq!(attempt(&world, &tenant, &from, STRANGER).await, rejected());
    for _ in 0..4 {
        world.advance(301).await;
        world.idle().await;
    }
    eventually("the opt-out", async || recorded_at_ringcentral(&world).await.len() == 2).await;

    // It refuses the write, or the row in it: the opt-out is kept here, and nothing is left to do.
    let failed = json!({ "failedRecords": [{ "error": { "errorCode": "MSG-1", "message": "no" } }] });
    for (to, act) in [
        ("+16505550178", json!({ "status": 403, "body": { "errorCode": "CMN-401" } })),
        ("+16505550179", json!({ "status": 200, "body": failed })),
    ] {
        failing_writes(&world, 1, act).await;
        write(&world, to, &from, "stop all", true).await;
        world.advance(61).await;
        eventually("the end", async || pending_entries(&world).await == 0).await;
        assert_eq!(attempt(&world, &tenant, &from, to).await, rejected());
    }
    assert_eq!(recorded_at_ringcentral(&world).await.len(), 2);
    assert!(accepted_texts(&world).await.is_empty());
}

#[tokio::test]
async fn a_keyword_that_ringcentral_may_not_recognize_is_acted_on_unless_it_did() {
    let (world, tenant, from) = connected().await;
    // RingCentral knows the word, but not with what is around it.
    write(&world, THEM, &from, "Stop! 🛑", true).await;
    world.advance(61).await;
    eventually("the opt-out", async || recorded_at_ringcentral(&world).await == [change("Api", "OptOut")])
        .await;
    assert_eq!(accepted_texts(&world).await, [CONFIRMATION]);
    write(&world, THEM, &from, "start.", true).await;
    world.advance(61).await;
    eventually("the opt-in", async || recorded_at_ringcentral(&world).await.len() == 2).await;
    assert_eq!(recorded_at_ringcentral(&world).await[1], change("Api", "OptIn"));
    assert_eq!(attempt(&world, &tenant, &from, THEM).await, accepted());
    assert_eq!(accepted_texts(&world).await, [CONFIRMATION, "hello"]);

    // RingCentral has blocked the pair, and answered, by the time of the second message.
    write(&world, STRANGER, &from, "STOP", false).await;
    write(&world, STRANGER, &from, "stop!!", true).await;
    world.advance(61).await;
    eventually("the end", async || pending_entries(&world).await == 0).await;
    assert_eq!(accepted_texts(&world).await, [CONFIRMATION, "hello"], "there is no second confirmation");
    // It does not take the opt-in that it did not recognize: messages would fail, so they are rejected.
    write(&world, STRANGER, &from, "Start!", true).await;
    world.advance(61).await;
    let kept = change("ringcentral_search", "opted_out");
    eventually("the read-back", async || changes(&world, &tenant).await.last() == Some(&kept)).await;
    assert_eq!(attempt(&world, &tenant, &from, STRANGER).await, rejected());
    write(&world, STRANGER, &from, "start", true).await;
    assert_eq!(attempt(&world, &tenant, &from, STRANGER).await, accepted());
}
