//! Pictures out: files from URLs and uploads are copied, checked, and sent as MMS, and no bad file costs a call of RingCentral.

use reqwest::Method;
use serde_json::{Value, json};

use crate::media_host::{MediaHost, png};
use crate::send::{SENT, TO, accepted_texts, connected, id, message, send, send_once, status_events, until};
use crate::world::{Reply, TestTenant, World, now};

/// Creates an upload.
pub async fn upload(world: &World, key: &str, fields: Value) -> Reply {
    world.call(Method::POST, "/v1/media", key, Some(fields)).await
}

/// Uploads a picture and returns its id.
pub async fn uploaded(world: &World, tenant: &TestTenant, picture: &[u8]) -> String {
    let fields = json!({ "contentType": "image/png", "size": picture.len(), "fileName": "menu.png" });
    let created = upload(world, &tenant.key, fields).await.expect(201).json();
    put(world, &created, picture.to_vec(), &[]).await.expect(200);
    created["mediaId"].as_str().unwrap().to_owned()
}

/// Sends a file to its upload URL, with the headers of the response or others.
async fn put(world: &World, created: &Value, bytes: Vec<u8>, headers: &[(&str, &str)]) -> Reply {
    let mut request = world.http.put(created["uploadUrl"].as_str().unwrap()).body(bytes);
    for (name, value) in created["uploadHeaders"].as_object().unwrap() {
        if name != "content-length" && !headers.iter().any(|(other, _)| other == name) {
            request = request.header(name, value.as_str().unwrap());
        }
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(*name, *value);
    }
    Reply::of(request.send().await.unwrap()).await
}

/// Downloads a file from the URL that the API shows. Returns its type and bytes.
pub async fn download(world: &World, tenant: &TestTenant, url: &str) -> (String, Vec<u8>) {
    let request = world.http.get(url).header("authorization", format!("Bearer {}", tenant.key));
    let redirect = Reply::of(request.send().await.unwrap()).await.expect(302);
    let file = world.http.get(redirect.header("location")).send().await.unwrap();
    assert_eq!(file.status(), 200);
    let header = |name: &str| file.headers()[name].to_str().unwrap().to_owned();
    assert!(header("content-disposition").starts_with("attachment; filename"));
    (header("content-type"), file.bytes().await.unwrap().to_vec())
}

fn mms(from: &str, urls: &[String]) -> Value {
    json!({ "to": TO, "from": from, "mediaUrls": urls })
}

/// The sizes of the files of each accepted message.
async fn accepted_files(world: &World) -> Vec<Vec<u64>> {
    let accepted = world.ledger("sms_accepted").await;
    let sizes = |entry: &Value| {
        let files = entry["attachments"].as_array().unwrap().iter();
        files.map(|file| file["size"].as_u64().unwrap()).collect()
    };
    accepted.iter().map(sizes).collect()
}

#[tokio::test]
async fn pictures_from_urls_are_sent_in_order_with_and_without_a_text() {
    let ((world, tenant, from), host) = (connected().await, MediaHost::start().await);
    let urls = [host.at("/png/1000/1"), host.at("/hops/3"), host.at("/png/1000/1")];
    let with_text = json!({ "to": TO, "from": from, "body": "Our menu", "mediaUrls": urls });
    let reply = send_once(&world, &tenant, "k", &with_text).await.expect(202);
    assert_eq!((&reply.json()["status"], &reply.json()["segments"]), (&json!("queued"), &json!(1)));
    let again = send_once(&world, &tenant, "k", &with_text).await.expect(202);
    assert_eq!(id(&again), id(&reply));
    let sent = until(&world, &tenant, &id(&reply), &SENT).await;
    assert_eq!((&sent["kind"], &sent["parts"]), (&json!("mms"), &json!(1)));
    let media = sent["media"].as_array().unwrap();
    let shown: Vec<_> = media.iter().map(|file| (file["size"].as_u64().unwrap(), &file["status"])).collect();
    assert_eq!(shown, [(1000, &json!("stored")), (100, &json!("stored")), (1000, &json!("stored"))]);
    let (content_type, bytes) = download(&world, &tenant, media[0]["url"].as_str().unwrap()).await;
    assert_eq!((content_type.as_str(), bytes), ("image/png", png(1000, 1)));

    let without = send(&world, &tenant, mms(&from, &[host.at("/png/5000/2")])).await.expect(202);
    let sent = until(&world, &tenant, &id(&without), &SENT).await;
    assert_eq!(sent["body"], "");
    assert_eq!(accepted_texts(&world).await, ["Our menu", ""]);
    assert_eq!(accepted_files(&world).await, [vec![1000, 100, 1000], vec![5000]]);
    // No entry is left, and the same picture was fetched as often as it was named.
    let rows = world.items("MessagesTable").await;
    let waiting = |row: &&Value| {
        let item = row["item"]["S"].as_str().unwrap();
        item.starts_with("fetch#") || item.starts_with("pending#")
    };
    assert_eq!(rows.iter().filter(waiting).count(), 0);
    assert_eq!(host.hits("/png/1000/1"), 2);
    assert_eq!(status_events(&world, &id(&reply)).await[0], "sent");

    let plain = send(&world, &tenant, json!({ "to": TO, "from": from, "body": "Plain" })).await.expect(202);
    let plain = until(&world, &tenant, &id(&plain), &SENT).await;
    assert_eq!((&plain["kind"], &plain["media"]), (&json!("sms"), &json!([])));
    for (kind, count) in [("mms", 2), ("sms", 1)] {
        let list = world.get(&format!("/v1/sms/messages?kind={kind}"), &tenant.key).await.expect(200).json();
        assert_eq!((list["total"].as_u64(), &list["messages"][0]["kind"]), (Some(count), &json!(kind)));
    }
}

#[tokio::test]
async fn an_upload_is_sent_as_often_as_wanted_and_its_bytes_cannot_change() {
    let (world, tenant, from) = connected().await;
    let picture = png(48_213, 3);
    let fields = json!({ "contentType": "image/jpg", "size": 3, "fileName": "a \"b\" 😀.jpg" });
    let jpeg = upload(&world, &tenant.key, fields).await.expect(201).json();
    assert_eq!(jpeg["uploadHeaders"]["content-type"], "image/jpeg", "RingCentral knows only this name");
    let fields = json!({ "contentType": "image/png", "size": picture.len(), "fileName": "menu.png" });
    let created = upload(&world, &tenant.key, fields).await.expect(201).json();
    let media = created["mediaId"].as_str().unwrap();
    let order = json!({ "to": TO, "from": from, "body": "Menu", "mediaIds": [media, media] });
    let pending = send(&world, &tenant, order.clone()).await;
    assert_eq!((pending.error(), pending.header("retry-after")), ((409, "media_pending".into()), "5"));
    let path = format!("/v1/media/{media}");
    assert_eq!(world.get(&path, &tenant.key).await.error(), (409, "media_pending".into()));

    for (bytes, headers) in [
        (picture[1..].to_vec(), &[][..]),
        (picture.clone(), &[("content-type", "text/html")]),
        (picture.clone(), &[("if-none-match", "")]),
    ] {
        assert_eq!(put(&world, &created, bytes, headers).await.status, 403, "{headers:?}");
    }
    put(&world, &created, picture.clone(), &[]).await.expect(200);
    let mut other = picture.clone();
    other[100] ^= 1;
    assert_eq!(put(&world, &created, other, &[]).await.status, 412, "the file is there");

    let preview = json!({ "mediaIds": [media, media] });
    let preview =
        world.call(Method::POST, "/v1/sms/preview", &tenant.key, Some(preview)).await.expect(200).json();
    assert_eq!(preview["media"], json!({ "count": 2, "bytes": 96_426, "accepted": true, "errorCode": null }));
    for _ in 0..2 {
        let sent = send(&world, &tenant, order.clone()).await.expect(202);
        let sent = until(&world, &tenant, &id(&sent), &SENT).await;
        let url = sent["media"][1]["url"].as_str().unwrap();
        assert_eq!(download(&world, &tenant, url).await, ("image/png".to_owned(), picture.clone()));
    }
    assert_eq!(accepted_files(&world).await, [[48_213, 48_213], [48_213, 48_213]]);
    let url = format!("{}{path}", world.gateway());
    assert_eq!(download(&world, &tenant, &url).await.1, picture);

    let stranger = world.new_tenant("Other").await;
    assert_eq!(world.get(&path, &stranger.key).await.error(), (404, "not_found".into()));
    let ids = json!({ "mediaIds": [media] });
    let preview =
        world.call(Method::POST, "/v1/sms/preview", &stranger.key, Some(ids)).await.expect(200).json();
    assert_eq!(preview["media"]["errorCode"], "invalid_media_id");
    world.advance(24 * 3_600).await;
    assert_eq!(send(&world, &tenant, order).await.error(), (400, "invalid_media_id".into()));
    assert_eq!(world.get(&path, &tenant.key).await.error(), (404, "not_found".into()));
}

#[tokio::test]
async fn requests_with_invalid_media_are_rejected_and_send_nothing() {
    let ((world, tenant, from), host) = (connected().await, MediaHost::start().await);
    let picture = host.at("/png/1000/1");
    let text = |length: usize| "a".repeat(length);
    for (fields, error) in [
        (json!({ "mediaUrls": [] }), (400, "invalid_media_url")),
        (json!({ "mediaUrls": vec![&picture; 11] }), (400, "invalid_media_url")),
        (json!({ "mediaUrls": ["http://example.com/a.png"] }), (400, "invalid_media_url")),
        (json!({ "mediaUrls": ["https://10.0.0.1/a.png"] }), (400, "invalid_media_url")),
        (json!({ "mediaUrls": ["https://user:word@example.com/a.png"] }), (400, "invalid_media_url")),
        (
            json!({ "mediaUrls": [format!("https://example.com/{}", text(2_048))] }),
            (400, "invalid_media_url"),
        ),
        (json!({ "mediaIds": ["media_0123456789abcdef0123456789ab00"] }), (400, "invalid_media_id")),
        (json!({ "mediaIds": ["menu.png"] }), (400, "invalid_media_id")),
        (json!({ "mediaIds": [] }), (400, "invalid_field")),
        (json!({ "mediaUrls": [picture], "body": text(1_001) }), (400, "invalid_body")),
        (json!({ "mediaUrls": picture, "body": "x" }), (400, "invalid_body")),
        (json!({}), (400, "missing_field")),
    ] {
        let mut order = json!({ "to": TO, "from": from });
        order.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        assert_eq!(send(&world, &tenant, order.clone()).await.error(), (error.0, error.1.into()), "{order}");
    }
    for (fields, error) in [
        (json!({ "mediaUrls": [] }), "invalid_media_url"),
        (json!({ "mediaIds": ["menu.png"] }), "invalid_media_id"),
        (json!({ "mediaIds": [] }), "invalid_field"),
    ] {
        let preview = world.call(Method::POST, "/v1/sms/preview", &tenant.key, Some(fields)).await;
        assert_eq!(preview.error(), (400, error.into()));
    }
    let large = uploaded(&world, &tenant, &png(800_000, 0)).await;
    let order = json!({ "to": TO, "from": from, "mediaIds": [large, large] });
    assert_eq!(send(&world, &tenant, order).await.error(), (400, "media_too_large".into()));
    for (fields, error) in [
        (json!({ "contentType": "image/png", "size": 0 }), "invalid_field"),
        (json!({ "contentType": "image/png", "size": 1_500_001 }), "media_too_large"),
        (json!({ "contentType": "image/heic", "size": 10 }), "media_type_unsupported"),
        (json!({ "contentType": "image/png", "size": 10, "fileName": "a\nb" }), "invalid_field"),
        (json!({ "contentType": "image/png", "size": 10, "fileName": "" }), "invalid_field"),
        (json!({ "contentType": "image/png" }), "missing_field"),
        (json!({ "size": 10 }), "missing_field"),
    ] {
        assert_eq!(
            upload(&world, &tenant.key, fields.clone()).await.error(),
            (400, error.into()),
            "{fields}"
        );
    }
    // A toll-free number has no MMS.
    let users = world.stack.info().rc["users"].as_array().unwrap().clone();
    let toll_free = json!("+18005550122");
    let owner = users.iter().find(|user| user["numbers"].as_array().unwrap().contains(&toll_free)).unwrap();
    world.connect(&tenant, owner).await.expect(303);
    let order = json!({ "to": TO, "from": toll_free, "mediaUrls": [picture] });
    assert_eq!(send(&world, &tenant, order).await.error(), (409, "sender_cannot_mms".into()));
    world.idle().await;
    assert_eq!((world.count("sms_accepted").await, host.hits("/png/1000/1")), (0, 0));
}

#[tokio::test]
async fn files_that_cannot_be_sent_end_their_message_without_a_call_of_ringcentral() {
    let ((world, tenant, from), host) = (connected().await, MediaHost::start().await);
    let cases = [
        ("/status/404", "media_unreachable"),
        ("/status/401", "media_unreachable"),
        ("/hops/4", "media_unreachable"),
        ("/to/https://169.254.169.254/latest", "media_unreachable"),
        ("/to/http://10.0.0.1/a.png", "media_unreachable"),
        ("/to/file:///etc/passwd", "media_unreachable"),
        ("/empty", "media_unreachable"),
        ("/html", "media_type_unsupported"),
        ("/gzip", "media_type_unsupported"),
        ("/as/application/octet-stream", "media_type_unsupported"),
        ("/as/image/jpeg", "media_type_unsupported"),
        ("/png/1500001/0", "media_too_large"),
        ("/endless", "media_too_large"),
    ];
    let mut messages = Vec::new();
    for (path, code) in cases {
        let order = mms(&from, &[host.at("/png/1000/1"), host.at(path)]);
        messages.push((id(&send(&world, &tenant, order).await.expect(202)), path, code));
    }
    // Ten files that are too large only together.
    let order = mms(&from, &vec![host.at("/png/150001/0"); 10]);
    messages.push((id(&send(&world, &tenant, order).await.expect(202)), "ten files", "media_too_large"));
    for (message, path, code) in messages {
        let ended = until(&world, &tenant, &message, &["failed"]).await;
        assert_eq!(ended["errorCode"], code, "{path}: {ended}");
        assert!(ended["error"].as_str().unwrap().starts_with("File "), "{ended}");
        assert!(!ended.to_string().contains("169.254"), "no address is shown: {ended}");
        assert_eq!(status_events(&world, &message).await, ["failed"], "{path}");
        let failed = ended["media"].as_array().unwrap().iter().find(|file| file["status"] == "failed");
        let gone = format!("/v1/media/{}", failed.unwrap()["id"].as_str().unwrap());
        assert_eq!(world.get(&gone, &tenant.key).await.error(), (410, "media_gone".into()), "{path}");
    }
    let order = mms(&from, &vec![host.at("/png/150000/0"); 10]);
    let sent = send(&world, &tenant, order).await.expect(202);
    until(&world, &tenant, &id(&sent), &SENT).await;
    assert_eq!(accepted_files(&world).await, [[150_000; 10]]);
}

#[tokio::test]
async fn a_host_that_fails_for_a_while_is_asked_three_times_and_holds_up_no_other_message() {
    let ((world, tenant, from), host) = (connected().await, MediaHost::start().await);
    let paths = ["/failing/2/503/a", "/failing/1/429/b", "/failing/3/500/c", "/drip", "/hang", "/cut"];
    let mut waiting = Vec::new();
    for path in paths {
        waiting.push(id(&send(&world, &tenant, mms(&from, &[host.at(path)])).await.expect(202)));
    }
    let other = send(&world, &tenant, mms(&from, &[host.at("/png/1000/1")])).await.expect(202);
    let plain = send(&world, &tenant, json!({ "to": TO, "from": from, "body": "Plain" })).await.expect(202);
    until(&world, &tenant, &id(&plain), &SENT).await;
    until(&world, &tenant, &id(&other), &SENT).await;
    world.idle().await;
    for message_id in &waiting {
        assert_eq!(message(&world, &tenant, message_id).await["status"], "queued");
    }
    for _ in 0..2 {
        world.advance(61).await;
        world.idle().await;
    }
    for (message, (path, expected)) in waiting.iter().zip(paths.iter().zip([
        None,
        None,
        Some("media_unreachable"),
        Some("media_unreachable"),
        Some("media_unreachable"),
        Some("media_unreachable"),
    ])) {
        let statuses: &[&str] = if expected.is_some() { &["failed"] } else { &SENT };
        let ended = until(&world, &tenant, message, statuses).await;
        assert_eq!(ended["errorCode"].as_str(), expected, "{path}");
    }
    assert_eq!(host.hits("/failing/3/500/c"), 3);
    assert_eq!(accepted_files(&world).await.len(), 4);
}

#[tokio::test]
async fn a_message_whose_files_are_fetched_can_be_canceled_expire_and_wait_for_its_time() {
    let ((world, tenant, from), host) = (connected().await, MediaHost::start().await);
    let order = |path: &str| mms(&from, &[host.at(path)]);
    let canceled = id(&send(&world, &tenant, order("/failing/1/503/a")).await.expect(202));
    let shown = message(&world, &tenant, &canceled).await;
    let media = format!("/v1/media/{}", shown["media"][0]["id"].as_str().unwrap());
    assert_eq!(world.get(&media, &tenant.key).await.error(), (409, "media_pending".into()));
    world.idle().await;
    world.post(&format!("/v1/sms/{canceled}/cancel"), &tenant.key).await.expect(200);
    assert_eq!(world.get(&media, &tenant.key).await.error(), (410, "media_gone".into()));

    let soon = now(&world).await.checked_add(jiff::SignedDuration::from_secs(30)).unwrap();
    let mut expiring = order("/failing/2/503/b");
    expiring["expiresAt"] = json!(format!("{soon:.3}"));
    let expiring = id(&send(&world, &tenant, expiring).await.expect(202));
    let later = now(&world).await.checked_add(jiff::SignedDuration::from_hours(2)).unwrap();
    let mut scheduled = order("/png/1000/1");
    scheduled["sendAt"] = json!(format!("{later:.3}"));
    let scheduled = id(&send(&world, &tenant, scheduled).await.expect(202));
    world.idle().await;
    let waiting = message(&world, &tenant, &scheduled).await;
    assert_eq!((&waiting["status"], &waiting["media"][0]["status"]), (&json!("scheduled"), &json!("stored")));
    world.advance(61).await;
    world.advance(61).await;
    until(&world, &tenant, &expiring, &["expired"]).await;
    assert_eq!(message(&world, &tenant, &canceled).await["status"], "canceled");
    assert_eq!(world.count("sms_accepted").await, 0);
    world.advance(2 * 3_600).await;
    until(&world, &tenant, &scheduled, &SENT).await;
    assert_eq!(accepted_files(&world).await, [[1000]]);

    let left = id(&send(&world, &tenant, order("/failing/1/503/c")).await.expect(202));
    world.idle().await;
    world.post("/v1/rc/disconnect", &tenant.key).await.expect(200);
    world.advance(61).await;
    let ended = until(&world, &tenant, &left, &["failed"]).await;
    assert_eq!(ended["error"], "RingCentral not connected for this tenant");
    assert_eq!(world.count("sms_accepted").await, 1);
}

#[tokio::test]
async fn a_lost_response_to_an_mms_is_reconciled_by_its_files() {
    let ((world, tenant, from), host) = (connected().await, MediaHost::start().await);
    // The store shows another MMS to the same number without a text, and one with a text and the same file.
    for body in ["", "Text"] {
        let order = json!({ "to": TO, "from": from, "body": body, "mediaUrls": [host.at("/as/text/plain")] });
        let order = if body.is_empty() { mms(&from, &[host.at("/as/text/plain")]) } else { order };
        until(&world, &tenant, &id(&send(&world, &tenant, order).await.expect(202)), &SENT).await;
    }
    world.sim_fault("/mms", Some(1), json!({ "applyThenDrop": true })).await;
    let lost = send(&world, &tenant, mms(&from, &[host.at("/png/1000/1")])).await.expect(202);
    world.idle().await;
    assert_eq!(message(&world, &tenant, &id(&lost)).await["status"], "sending");
    world.advance(130).await;
    let found = until(&world, &tenant, &id(&lost), &SENT).await;
    let accepted = world.ledger("sms_accepted").await;
    assert_eq!((accepted.len(), &accepted[2]["messageId"]), (3, &found["rcMessageId"]));
    // One that RingCentral never got stays unknown, although a message without a text was sent.
    world.sim_fault("/mms", Some(1), json!({ "reset": "before_body" })).await;
    let unknown = send(&world, &tenant, mms(&from, &[host.at("/as/text/csv")])).await.expect(202);
    world.idle().await;
    world.advance(130).await;
    until(&world, &tenant, &id(&unknown), &["unknown"]).await;
    assert_eq!(world.count("sms_accepted").await, 3);
}
