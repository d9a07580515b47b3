//! The message store.

use reqwest::Method;
use serde_json::{Value, json};

use crate::sms::{send, sms_body};
use crate::test_simulator::{self, EXTENSION, TestSimulator, code};

const OWN: &str = "+14155550101";

pub async fn receive(sim: &TestSimulator, from: &str, text: &str) -> String {
    let reply = sim.control(Method::POST, "/inbound", json!({"from": from, "to": OWN, "text": text})).await;
    reply["messageId"].as_str().unwrap().to_owned()
}

fn subjects(list: &Value) -> Vec<&str> {
    list["records"].as_array().unwrap().iter().map(|r| r["subject"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn message_lists_are_filtered_and_newest_first() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    receive(&sim, "+16505550111", "old").await;
    sim.simulator.advance(90_000);
    let login = test_simulator::Login {
        access: sim.refresh(&login.refresh).await.1["access_token"].as_str().unwrap().to_owned(),
        refresh: String::new(),
    };
    receive(&sim, "+16505550111", "one").await;
    sim.simulator.advance(10);
    receive(&sim, "+16505550112", "two").await;
    sim.simulator.advance(10);
    send(&sim, &login.access, sms_body(OWN, &["+16505550111"], "three")).await;
    let list =
        async |query: &str| sim.get(&login.access, &format!("{EXTENSION}/message-store?{query}")).await.1;
    assert_eq!(subjects(&list("").await), ["three", "two", "one"], "the last 24 hours");
    assert_eq!(subjects(&list("dateFrom=2020-01-01").await), ["three", "two", "one", "old"]);
    assert_eq!(subjects(&list("direction=Inbound&messageType=SMS&messageType=Fax").await), ["two", "one"]);
    assert_eq!(subjects(&list("phoneNumber=%2B16505550112").await), ["two"]);
    assert_eq!(subjects(&list("readStatus=Read").await), ["three"]);
    assert_eq!(subjects(&list("distinctConversations=true").await), ["three", "two"]);
    assert_eq!(subjects(&list("messageType=Fax").await), Vec::<&str>::new());
    let page = list("perPage=2&page=2").await;
    assert_eq!(subjects(&page), ["one"]);
    assert_eq!((&page["paging"]["pageStart"], &page["paging"]["totalPages"]), (&json!(2), &json!(2)));
    let conversation =
        list("direction=Outbound").await["records"][0]["conversation"]["id"].as_str().unwrap().to_owned();
    assert_eq!(subjects(&list(&format!("conversationId={conversation}")).await), ["three", "one"]);
    assert_eq!(list("direction=Sideways").await["errors"][0]["parameterName"], "direction");
    assert_eq!(list("dateFrom=yesterday").await["errors"][0]["parameterName"], "dateFrom");
}

#[tokio::test]
async fn messages_can_be_marked_deleted_restored_and_purged() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let id = receive(&sim, "+16505550111", "hello").await;
    let path = format!("{EXTENSION}/message-store/{id}");
    let (_, read) = sim.call(Method::PUT, &login.access, &path, json!({"readStatus": "Read"})).await;
    assert_eq!(read["readStatus"], "Read");
    assert_eq!(sim.call(Method::DELETE, &login.access, &path, json!({})).await.0, 204);
    assert_eq!(sim.get(&login.access, &path).await.1["availability"], "Deleted");
    let list = format!("{EXTENSION}/message-store");
    assert_eq!(sim.get(&login.access, &list).await.1["paging"]["totalElements"], 0);
    let (_, back) = sim.call(Method::PATCH, &login.access, &path, json!({"availability": "Alive"})).await;
    assert_eq!(back["availability"], "Alive");
    assert_eq!(
        sim.call(Method::DELETE, &login.access, &format!("{path}?purge=true"), json!({})).await.0,
        204
    );
    let (status, reply) = sim.get(&login.access, &path).await;
    assert_eq!((status.as_u16(), code(&reply)), (404, "CMN-102"));
    assert_eq!(sim.call(Method::PUT, &login.access, &path, json!({"readStatus": "Read"})).await.0, 404);
}

#[tokio::test]
async fn several_messages_are_returned_as_207() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let (a, b) = (receive(&sim, "+16505550111", "a").await, receive(&sim, "+16505550111", "b").await);
    let path = format!("{EXTENSION}/message-store/{a},{b},1");
    let mixed = sim.request(Method::GET, &path).bearer_auth(&login.access).send().await.unwrap();
    assert_eq!(mixed.status(), 207);
    assert!(mixed.headers()["content-type"].to_str().unwrap().starts_with("multipart/mixed; boundary="));
    let text = mixed.text().await.unwrap();
    assert!(text.contains("\"responseDescription\":\"Not Found\"") && text.contains("\"subject\":\"b\""));
    let kind = "application/vnd.ringcentral.multipart+json";
    let list = sim
        .request(Method::GET, &path)
        .bearer_auth(&login.access)
        .header("accept", kind)
        .send()
        .await
        .unwrap();
    let (_, list) = test_simulator::json_of(list).await;
    assert_eq!(
        list.as_array().unwrap().iter().map(|i| i["status"].clone()).collect::<Vec<_>>(),
        [200, 200, 404]
    );
    assert_eq!(list[1]["body"]["subject"], "b");
    let both = format!("{EXTENSION}/message-store/{a},{b}");
    assert_eq!(sim.call(Method::DELETE, &login.access, &both, json!({})).await.0, 204);
    assert_eq!(sim.call(Method::DELETE, &login.access, &path, json!({})).await.0, 207);
}

#[tokio::test]
async fn a_conversation_can_be_deleted() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    receive(&sim, "+16505550111", "a").await;
    receive(&sim, "+16505550112", "b").await;
    let list = format!("{EXTENSION}/message-store");
    let conversation = sim.get(&login.access, &list).await.1["records"][0]["conversationId"].to_string();
    let path = format!("{list}?conversationId={conversation}");
    assert_eq!(sim.call(Method::DELETE, &login.access, &path, json!({})).await.0, 204);
    assert_eq!(sim.get(&login.access, &list).await.1["paging"]["totalElements"], 1);
    assert_eq!(sim.call(Method::DELETE, &login.access, &list, json!({})).await.0, 400);
}

#[tokio::test]
async fn a_mailbox_is_visible_only_to_its_owner_and_administrators() {
    let sim = test_simulator::start().await;
    let (dana, robin, alex) = (sim.log_in_as(0).await, sim.log_in_as(1).await, sim.log_in_as(3).await);
    let id = receive(&sim, "+16505550111", "private").await;
    assert_eq!(sim.get(&robin.access, &format!("{EXTENSION}/message-store/{id}")).await.0, 404);
    assert_eq!(sim.get(&alex.access, &format!("{EXTENSION}/message-store/{id}")).await.0, 404);
    let danas = format!("/restapi/v1.0/account/~/extension/{}/message-store/{id}", sim.user(0).extension_id);
    assert_eq!(sim.get(&robin.access, &danas).await.0, 403);
    assert_eq!(sim.get(&dana.access, &danas).await.0, 200);
    sim.settings(json!({"scopes": "ReadAccounts"})).await;
    let limited = sim.log_in_as(0).await;
    let (status, reply) = sim.get(&limited.access, &danas).await;
    assert_eq!(
        (status.as_u16(), code(&reply), &reply["permissionName"]),
        (403, "CMN-401", &json!("ReadMessages"))
    );
}

#[tokio::test]
async fn media_are_served_on_the_second_host() {
    let sim = test_simulator::start().await;
    let login = sim.log_in().await;
    let media = json!([{"contentType": "image/png", "fileName": "p.png", "content": "aGVsbG8="}]);
    let made = sim
        .control(
            Method::POST,
            "/inbound",
            json!({"from": "+16505550111", "to": OWN, "text": "pic", "media": media}),
        )
        .await;
    let path = format!("{EXTENSION}/message-store/{}", made["messageId"].as_str().unwrap());
    let (_, record) = sim.get(&login.access, &path).await;
    let uri = record["attachments"][1]["uri"].as_str().unwrap();
    assert!(uri.starts_with("http://127.0.0.1:"), "{uri}");
    assert_eq!(sim.http.get(uri).send().await.unwrap().status(), 401);
    let content = sim
        .http
        .get(format!("{uri}?contentDisposition=Attachment"))
        .bearer_auth(&login.access)
        .send()
        .await
        .unwrap();
    assert_eq!(content.headers()["content-disposition"], "attachment; filename=\"p.png\"");
    assert_eq!(content.text().await.unwrap(), "hello");
}
