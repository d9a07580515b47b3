//! Pictures in: the event comes at once, and the files are copied afterwards, behind the messages of their extension.

use reqwest::Method;
use serde_json::{Value, json};

use crate::media::{download, uploaded};
use crate::media_host::png;
use crate::send::{SENT, TO, accept, connected, until};
use crate::world::{TestTenant, World};

const THEM: &str = "+16505550199";

async fn receive(world: &World, to: &str, text: &str, media: Value) {
    let order = json!({ "from": THEM, "to": to, "text": text, "media": media });
    world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
}

fn picture(bytes: &[u8]) -> Value {
    json!({ "contentType": "image/png", "base64": data_encoding::BASE64.encode(bytes) })
}

/// The newest inbound message.
async fn newest(world: &World, tenant: &TestTenant) -> Value {
    let list = world.get("/v1/sms/messages?direction=inbound", &tenant.key).await.expect(200).json();
    list["messages"][0].clone()
}

/// The `attachments` of the newest `sms_inbound` event.
async fn attachments(world: &World) -> Value {
    let events = world.items("EventsTable").await;
    let mut events: Vec<&Value> = events.iter().filter(|event| event["kind"]["S"] == "sms_inbound").collect();
    events.sort_by_key(|event| event["item"]["S"].as_str().unwrap().to_owned());
    let data: Value = serde_json::from_str(events.last().unwrap()["data"]["S"].as_str().unwrap()).unwrap();
    data["attachments"].clone()
}

/// The downloads that RingCentral was asked for.
async fn downloads(world: &World) -> usize {
    let faults = world.sim(Method::GET, "/_sim/faults", None).await;
    usize::try_from(faults[0]["fired"].as_u64().unwrap()).unwrap()
}

#[tokio::test]
async fn a_received_picture_is_announced_at_once_and_downloaded_from_the_gateway() {
    let (world, tenant, from) = connected().await;
    let pictures = [png(1000, 1), png(461_020, 2)];
    receive(&world, &from, "Look", json!([picture(&pictures[0]), picture(&pictures[1])])).await;
    world.idle().await;
    let announced = attachments(&world).await;
    let message = newest(&world, &tenant).await;
    assert_eq!((&message["kind"], &message["body"]), (&json!("mms"), &json!("Look")));
    for (index, bytes) in pictures.iter().enumerate() {
        let (event, shown) = (&announced[index], &message["media"][index]);
        assert_eq!((&event["id"], &event["url"]), (&shown["id"], &shown["url"]), "{announced} {message}");
        assert_eq!((&event["status"], &shown["status"]), (&json!("pending"), &json!("stored")));
        assert_eq!(shown["size"].as_u64().unwrap(), u64::try_from(bytes.len()).unwrap());
        let url = event["url"].as_str().unwrap();
        assert!(url.starts_with(world.gateway()), "{url}");
        assert_eq!(download(&world, &tenant, url).await, ("image/png".to_owned(), bytes.clone()));
    }
    let stranger = world.new_tenant("Other").await;
    let path = format!("/v1/media/{}", announced[0]["id"].as_str().unwrap());
    assert_eq!(world.get(&path, &stranger.key).await.error(), (404, "not_found".into()));
    assert_eq!(world.get(&path, "").await.status, 401);
    // The copy expires with the retention of the stack.
    world.advance(91 * 24 * 3_600).await;
    assert_eq!(world.get(&path, &tenant.key).await.error(), (410, "media_gone".into()));
}

#[tokio::test]
async fn a_file_that_ringcentral_does_not_have_any_more_is_gone_and_one_that_fails_is_tried_for_three_days() {
    let (world, tenant, from) = connected().await;
    let gone = json!({ "status": 404, "body": { "errorCode": "CMN-102", "message": "Resource not found" } });
    world.sim_fault("/content/", Some(1), gone).await;
    receive(&world, &from, "Gone", json!([picture(&png(1000, 1))])).await;
    world.idle().await;
    let message = newest(&world, &tenant).await;
    assert_eq!(message["media"][0]["status"], "gone");
    let path = |message: &Value| format!("/v1/media/{}", message["media"][0]["id"].as_str().unwrap());
    assert_eq!(world.get(&path(&message), &tenant.key).await.error(), (410, "media_gone".into()));

    world.sim_fault("/content/", Some(2), json!({ "status": 500 })).await;
    receive(&world, &from, "Late", json!([picture(&png(1000, 2))])).await;
    world.idle().await;
    let late = newest(&world, &tenant).await;
    let pending = world.get(&path(&late), &tenant.key).await;
    assert_eq!((pending.error(), pending.header("retry-after")), ((409, "media_pending".into()), "5"));
    for _ in 0..8 {
        world.advance(60).await;
    }
    let url = late["media"][0]["url"].as_str().unwrap();
    assert_eq!(download(&world, &tenant, url).await.1, png(1000, 2));

    world.sim_fault("/content/", None, json!({ "status": 500 })).await;
    receive(&world, &from, "Never", json!([picture(&png(1000, 3))])).await;
    world.idle().await;
    for _ in 0..75 {
        world.advance(3_600).await;
    }
    let never = newest(&world, &tenant).await;
    assert_eq!((&never["body"], &never["media"][0]["status"]), (&json!("Never"), &json!("failed")));
    assert_eq!(world.get(&path(&never), &tenant.key).await.error(), (410, "media_gone".into()));
    let tried = downloads(&world).await;
    assert!((60..=110).contains(&tried), "one failing file was tried {tried} times in three days");
    let rows = world.items("MessagesTable").await;
    assert!(!rows.iter().any(|row| row["item"]["S"].as_str().unwrap().starts_with("fetch#")));
}

#[tokio::test]
async fn copies_leave_half_of_the_limit_to_messages_and_wait_for_them() {
    let (world, tenant, from) = connected().await;
    world.sim_fault("/content/", None, json!({ "delayMs": 1 })).await;
    for at in 0..30 {
        receive(&world, &from, &format!("picture {at}"), json!([picture(&png(100, at))])).await;
    }
    world.idle().await;
    let copied = downloads(&world).await;
    assert!((10..=20).contains(&copied), "{copied} of 40 calls a minute");
    let sent = accept(&world, &tenant, &from, "In between").await;
    until(&world, &tenant, &sent, &SENT).await;
    for _ in 0..30 {
        if downloads(&world).await == 30 {
            break;
        }
        world.advance(20).await;
        world.idle().await;
    }
    assert_eq!(downloads(&world).await, 30, "each picture costs one call");
    assert_eq!(world.count("rate_limited").await, 0);
    let list = world.get("/v1/sms/messages?kind=mms&limit=100", &tenant.key).await.expect(200).json();
    let stored =
        list["messages"].as_array().unwrap().iter().filter(|one| one["media"][0]["status"] == "stored");
    assert_eq!(stored.count(), 30);
    assert_eq!(world.ledger("sms_accepted").await[0]["to"], TO);
}

#[tokio::test]
async fn deleting_a_tenant_deletes_its_files() {
    let (world, tenant, from) = connected().await;
    let other = world.new_tenant("Other").await;
    for tenant in [&tenant, &other] {
        uploaded(&world, tenant, &png(100, 0)).await;
    }
    receive(&world, &from, "Look", json!([picture(&png(100, 1))])).await;
    world.idle().await;
    let objects = async || {
        let objects = world.aws(Method::GET, "/_aws/s3", None).await["objects"].as_array().unwrap().clone();
        objects.iter().map(|object| object["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(objects().await.len(), 3);
    let path = format!("/v1/tenants/{}", tenant.id);
    world.call(Method::DELETE, &path, &world.operator_key(), None).await.expect(202);
    for _ in 0..5 {
        world.advance(120).await;
    }
    let left = objects().await;
    assert!(left.len() == 1 && left[0].contains(&other.id), "{left:?}");
}
