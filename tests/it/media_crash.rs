//! Pictures when processes crash, responses get lost, and S3 is unavailable, at each AWS call. The simulator's ledger shows what
//! was sent, byte for byte.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64, HEXLOWER};
use reqwest::Method;
use serde_json::{Value, json};

use crate::media::{download, upload, uploaded};
use crate::media_host::{MediaHost, png};
use crate::send::{SENT, TO, connected, id, pending_entries, send, send_once, until};
use crate::world::{TestTenant, World};

const THEM: &str = "+16505550199";

fn seed(at: u32) -> u8 {
    u8::try_from(at % 250).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

/// The text and the hashes of the files of each accepted message, by text.
async fn accepted(world: &World) -> Vec<(String, Vec<String>)> {
    let accepted = world.ledger("sms_accepted").await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let files = |entry: &Value| entry["attachments"].as_array().unwrap().clone();
    let of = |entry: &Value| {
        (text(&entry["text"]), files(entry).iter().map(|file| text(&file["sha256"])).collect())
    };
    let mut all: Vec<_> = accepted.iter().map(of).collect();
    all.sort();
    all
}

async fn fired(world: &World) -> bool {
    world.aws(Method::GET, "/_aws/faults", None).await[0]["fired"] != 0
}

/// Lets the claims and leases of crashed processes expire, and the sweep request their work again.
async fn after_crashes(world: &World) {
    for seconds in [95, 61, 61, 130] {
        world.advance(seconds).await;
        world.idle().await;
    }
}

/// The entries that wait for their files.
async fn waiting(world: &World) -> usize {
    let rows = world.items("MessagesTable").await;
    rows.iter().filter(|row| row["item"]["S"].as_str().unwrap().starts_with("fetch#")).count()
}

async fn objects(world: &World) -> Vec<String> {
    let shown = world.aws(Method::GET, "/_aws/s3", None).await;
    shown["objects"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect()
}

/// Sends messages with a picture by URL and an uploaded one, each with a fault one AWS call of `fetch-media` later than the one
/// before. Afterwards, each was sent once with its own files. Returns the number of steps.
async fn sent_after_faults(times: Option<u32>, act: Value) -> u32 {
    let ((world, tenant, from), host) = (connected().await, MediaHost::start().await);
    let menu = png(700, 251);
    let media = uploaded(&world, &tenant, &menu).await;
    let (mut messages, mut expected) = (Vec::new(), Vec::new());
    for skip in 0.. {
        world.aws_fault(json!({ "function": "fetch-media" }), skip, times, act.clone()).await;
        let (text, picture) = (format!("step {skip:02}"), png(1_000, seed(skip)));
        let url = host.at(&format!("/png/1000/{}", seed(skip)));
        let order = json!({ "to": TO, "from": from, "body": text, "mediaUrls": [url], "mediaIds": [media] });
        messages.push(id(&send(&world, &tenant, order).await.expect(202)));
        expected.push((text, vec![sha256(&picture), sha256(&menu)]));
        world.idle().await;
        let fired = fired(&world).await;
        world.no_faults().await;
        if !fired {
            break;
        }
    }
    after_crashes(&world).await;
    for message in &messages {
        until(&world, &tenant, message, &SENT).await;
    }
    world.idle().await;
    assert_eq!(accepted(&world).await, expected);
    assert_eq!((waiting(&world).await, pending_entries(&world).await), (0, 0));
    u32::try_from(messages.len()).unwrap() - 1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_copy_crashes_at_any_step_is_sent_once_with_its_files() {
    let steps = sent_after_faults(Some(1), json!({ "kill": "after" })).await;
    assert!(steps >= 4, "the crash was tried at {steps} steps");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_copy_loses_responses_from_any_step_on_is_sent_once_with_its_files() {
    let steps = sent_after_faults(None, json!({ "applyThenDrop": true })).await;
    assert!(steps >= 4, "the loss was tried at {steps} steps");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_waits_until_s3_is_back() {
    let ((world, tenant, from), host) = (connected().await, MediaHost::start().await);
    let media = uploaded(&world, &tenant, &png(700, 251)).await;
    let down = json!({ "service": "s3", "function": "fetch-media" });
    world.aws_fault(down, 0, None, json!({ "error": "ServiceUnavailable", "status": 503 })).await;
    let order = json!({ "to": TO, "from": from, "mediaUrls": [host.at("/png/1000/1")], "mediaIds": [media] });
    let waits = id(&send(&world, &tenant, order).await.expect(202));
    world.idle().await;
    let plain = json!({ "to": TO, "from": from, "body": "Plain" });
    let plain = id(&send(&world, &tenant, plain).await.expect(202));
    until(&world, &tenant, &plain, &SENT).await;
    assert_eq!(until(&world, &tenant, &waits, &["queued"]).await["media"][0]["status"], "pending");
    world.advance(95).await;
    world.no_faults().await;
    after_crashes(&world).await;
    until(&world, &tenant, &waits, &SENT).await;
    let files = [png(1_000, 1), png(700, 251)].map(|file| sha256(&file)).to_vec();
    assert_eq!(accepted(&world).await, [(String::new(), files), ("Plain".to_owned(), Vec::new())]);
}

/// Receives pictures, each with a fault one AWS call of `fetch-media` later than the one before. Afterwards, all can be downloaded.
/// Returns the number of steps.
async fn received_after_faults(times: Option<u32>, act: Value) -> u32 {
    let (world, tenant, from) = connected().await;
    let mut steps = 0;
    for skip in 0.. {
        world.aws_fault(json!({ "function": "fetch-media" }), skip, times, act.clone()).await;
        let media = json!([{ "contentType": "image/png", "base64": BASE64.encode(&png(1_000, seed(skip))) }]);
        let order = json!({ "from": THEM, "to": from, "text": format!("step {skip:02}"), "media": media });
        world.sim(Method::POST, "/_sim/inbound", Some(order)).await;
        world.idle().await;
        let fired = fired(&world).await;
        world.no_faults().await;
        steps = skip;
        if !fired {
            break;
        }
    }
    after_crashes(&world).await;
    let list =
        world.get("/v1/sms/messages?direction=inbound&limit=100", &tenant.key).await.expect(200).json();
    let mut received = list["messages"].as_array().unwrap().clone();
    received.sort_by_key(|message| message["body"].as_str().unwrap().to_owned());
    assert_eq!(received.len(), usize::try_from(steps).unwrap() + 1, "each message was stored once");
    for (message, at) in received.iter().zip(0..) {
        let file = &message["media"][0];
        assert_eq!(file["status"], "stored", "{message}");
        let (_, bytes) = download(&world, &tenant, file["url"].as_str().unwrap()).await;
        assert!(bytes == png(1_000, seed(at)), "{message}");
    }
    assert_eq!(waiting(&world).await, 0);
    steps
}

#[tokio::test(flavor = "multi_thread")]
async fn a_received_picture_whose_copy_crashes_at_any_step_is_stored() {
    let steps = received_after_faults(Some(1), json!({ "kill": "after" })).await;
    assert!(steps >= 5, "the crash was tried at {steps} steps");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_received_picture_whose_copy_loses_responses_from_any_step_on_is_stored() {
    let steps = received_after_faults(None, json!({ "applyThenDrop": true })).await;
    assert!(steps >= 5, "the loss was tried at {steps} steps");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_pictures_that_crashes_at_any_step_can_be_repeated_and_sends_once() {
    let ((world, tenant, from), host) = (connected().await, MediaHost::start().await);
    let menu = png(700, 251);
    let media = uploaded(&world, &tenant, &menu).await;
    let mut expected = Vec::new();
    for skip in 0.. {
        let text = format!("step {skip:02}");
        let url = host.at(&format!("/png/1000/{}", seed(skip)));
        let order = json!({ "to": TO, "from": from, "body": text, "mediaUrls": [url], "mediaIds": [media] });
        world.aws_fault(json!({ "function": "send-sms" }), skip, Some(1), json!({ "kill": "after" })).await;
        let reply = send_once(&world, &tenant, &text, &order).await;
        let fired = fired(&world).await;
        world.no_faults().await;
        assert_eq!(reply.status, if fired { 500 } else { 202 }, "step {skip}: {}", reply.text);
        send_once(&world, &tenant, &text, &order).await.expect(202);
        expected.push((text, vec![sha256(&png(1_000, seed(skip))), sha256(&menu)]));
        if !fired {
            break;
        }
    }
    assert!(expected.len() > 5, "the crash was tried at {} steps", expected.len() - 1);
    after_crashes(&world).await;
    assert_eq!(accepted(&world).await, expected);
    assert_eq!((waiting(&world).await, pending_entries(&world).await), (0, 0));
}

/// Tries a request with a failure, and then with a crash, at each AWS call of a function.
async fn repeated_after_faults(
    world: &World,
    function: &str,
    request: impl AsyncFn() -> u16,
    ok: u16,
) -> u32 {
    let mut steps = 0;
    for (times, act) in [
        (None, json!({ "error": "InternalServerError", "status": 500 })),
        (Some(1), json!({ "kill": "after" })),
    ] {
        for skip in 0.. {
            world.aws_fault(json!({ "function": function }), skip, times, act.clone()).await;
            let status = request().await;
            let fired = fired(world).await;
            world.no_faults().await;
            if !fired {
                assert_eq!(status, ok);
                break;
            }
            assert!(status == ok || status >= 500, "{function} returned {status} after {act} at step {skip}");
            assert_eq!(request().await, ok, "{function} after {act} at step {skip}");
            steps += 1;
        }
    }
    steps
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_and_downloads_can_be_repeated_after_a_failure_at_any_step() {
    let (world, tenant, from) = connected().await;
    let picture = png(700, 251);
    let fields = json!({ "contentType": "image/png", "size": picture.len() });
    let create = async || upload(&world, &tenant.key, fields.clone()).await.status.as_u16();
    let steps = repeated_after_faults(&world, "create-media-upload", create, 201).await;
    assert!(steps >= 4, "{steps} steps");
    assert_eq!(objects(&world).await.len(), 0, "nothing was uploaded");

    let media = uploaded(&world, &tenant, &picture).await;
    let order = json!({ "to": TO, "from": from, "mediaIds": [media] });
    let sent = id(&send(&world, &tenant, order).await.expect(202));
    let sent = until(&world, &tenant, &sent, &SENT).await;
    let url = sent["media"][0]["url"].as_str().unwrap();
    for path in [url.strip_prefix(world.gateway()).unwrap(), &format!("/v1/media/{media}")] {
        let get = async || world.get(path, &tenant.key).await.status.as_u16();
        let steps = repeated_after_faults(&world, "get-media", get, 302).await;
        assert!(steps >= 4, "{steps} steps");
    }

    // The URL works without a key, but only for five minutes.
    let location = world.get(&format!("/v1/media/{media}"), &tenant.key).await.header("location").to_owned();
    let get = async || world.http.get(&location).send().await.unwrap().status().as_u16();
    assert_eq!(get().await, 200);
    world.advance(301).await;
    assert_eq!(get().await, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pictures_of_a_deleted_tenant_are_erased_although_s3_fails_in_between() {
    let (world, host) = (World::start().await, MediaHost::start().await);
    let (gone, stays) = (world.new_tenant("Gone").await, world.new_tenant("Stays").await);
    for (tenant, user) in [(&gone, 0), (&stays, 1)] {
        pictures_of(&world, tenant, user, &host).await;
    }
    let of = async |tenant: &TestTenant| {
        let all = objects(&world).await;
        all.iter().filter(|key| key.contains(&tenant.id)).count()
    };
    assert_eq!((of(&gone).await, of(&stays).await), (3, 3));
    for (operation, act) in [
        ("ListObjectsV2", json!({ "error": "SlowDown", "status": 503 })),
        ("DeleteObject", json!({ "kill": "after" })),
    ] {
        let matching = json!({ "service": "s3", "operation": operation, "function": "erase-tenants" });
        world.aws_fault(matching, 0, Some(1), act).await;
        if operation == "ListObjectsV2" {
            let path = format!("/v1/tenants/{}", gone.id);
            world.call(Method::DELETE, &path, &world.operator_key(), None).await.expect(202);
        }
        world.advance(400).await;
        world.idle().await;
    }
    world.no_faults().await;
    for _ in 0..3 {
        world.advance(400).await;
    }
    assert_eq!((of(&gone).await, of(&stays).await), (0, 3));
}

/// Two pictures that were sent, and an upload.
async fn pictures_of(world: &World, tenant: &TestTenant, user: usize, host: &MediaHost) {
    let from = crate::send::connect(world, tenant, user).await;
    let media = uploaded(world, tenant, &png(700, 251)).await;
    let order = json!({ "to": TO, "from": from, "mediaUrls": [host.at("/png/1000/1")], "mediaIds": [media] });
    let sent = id(&send(world, tenant, order).await.expect(202));
    until(world, tenant, &sent, &SENT).await;
}

#[cfg(target_os = "linux")]
/// The peak memory of a function's process, in KiB. Processes of other tests have other endpoints.
fn peak_memory(function: &str, aws: &str) -> u64 {
    let endpoint = format!("AWS_ENDPOINT_URL={aws}");
    let peaks = std::fs::read_dir("/proc").unwrap().filter_map(|process| {
        let process = process.ok()?.path();
        let exe = std::fs::read_link(process.join("exe")).ok()?;
        let environment = std::fs::read(process.join("environ")).ok()?;
        let is_own = environment.split(|byte| *byte == 0).any(|variable| variable == endpoint.as_bytes());
        if !is_own || exe.file_name()? != function {
            return None;
        }
        let status = std::fs::read_to_string(process.join("status")).ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        peak.trim().trim_end_matches(" kB").parse::<u64>().ok()
    });
    peaks.max().expect("a process of the function")
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn ten_files_of_the_largest_size_in_all_take_less_than_64_mib() {
    let ((world, tenant, from), host) = (connected().await, MediaHost::start().await);
    let order = json!({ "to": TO, "from": from, "mediaUrls": vec![host.at("/png/150000/7"); 10] });
    for _ in 0..3 {
        let sent = id(&send(&world, &tenant, order.clone()).await.expect(202));
        until(&world, &tenant, &sent, &SENT).await;
    }
    let peak = peak_memory("fetch-media", world.stack.info().aws());
    assert!((8 * 1_024..64 * 1_024).contains(&peak), "the peak of fetch-media is {peak} KiB");
    let all = vec![sha256(&png(150_000, 7)); 10];
    assert_eq!(accepted(&world).await, vec![(String::new(), all); 3]);
}
