//! Inputs that are easily misread: times, ranges, names, URLs and addresses. Each is read exactly or rejected.

use serde_json::{Value, json};

use crate::send::without_limit;
use crate::tenancy::{additional_key, app_of, send};
use crate::world::{Reply, World};

/// BurntSushi/jiff#323, nylas/nylas-python#143, architect/dynalite#55.
#[tokio::test]
async fn times_in_queries_are_exact_moments_and_ranges_are_in_order() {
    let world = World::start().await;
    let tenant = world.tenant();
    without_limit(&world, &tenant).await;
    let app = app_of(&world, &tenant.key).await;
    let query = |name: &str, value: &str| {
        url::form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
    };
    let (messages, deliveries) = ("/v1/sms/messages".to_owned(), format!("/v1/apps/{app}/deliveries"));
    let names =
        [(&messages, "startDate"), (&messages, "endDate"), (&deliveries, "from"), (&deliveries, "to")];
    for (path, name) in names {
        for exact in [
            "2026-11-30T14:30:00Z",
            "2026-11-30T14:30:00.123Z",
            "2026-11-30 14:30:00Z",
            "2026-11-30T14:30Z",
            "2026-11-30T15:30:00+01:00",
            "2026-11-30T15:30:00 01:00",
            "2026-11-30 15:30:00 01:00",
            "2026-11-30T15:30:00+0100",
            "0001-01-01T00:00:00Z",
            "9999-12-30T22:00:00Z",
        ] {
            world.get(&format!("{path}?{}", query(name, exact)), &tenant.key).await.expect(200);
        }
        for inexact in [
            "2026-11-30T14:30:00",
            "2026-11-30 14:30:00",
            "2026-11-30T14:30",
            "2026-11-30T",
            "2026-11-30T14:30:00 Z",
            " 2026-11-30T14:30:00Z",
            "2026-11-30T14:30:00+01:00[Europe/Paris]",
            "2026-11-30T24:00:00Z",
            "2026-02-30T14:30:00Z",
            "20261130",
            "2026-W49-1",
            "1764513000",
            "now",
        ] {
            let reply = world.get(&format!("{path}?{}", query(name, inexact)), &tenant.key).await;
            assert_eq!(reply.error(), (400, "invalid_query".to_owned()), "{path} {name}={inexact}");
            assert_eq!(reply.json()["field"], name, "{inexact}");
        }
    }
    for name in ["startDate", "endDate"] {
        world.get(&format!("/v1/sms/messages?{name}=2026-11-30"), &tenant.key).await.expect(200);
    }
    let late = ["2026-11-30T14:30:00.002Z", "2026-12-01T00:00:00Z", "9999-12-30T22:00:00Z"];
    for late in late {
        let early = "2026-11-30T14:30:00.001Z";
        let (first, last) = (format!("startDate={late}&endDate={early}"), format!("from={late}&to={early}"));
        for (path, range, field) in [(&messages, first, "endDate"), (&deliveries, last, "to")] {
            let reply = world.get(&format!("{path}?{range}"), &tenant.key).await;
            assert_eq!(reply.error(), (400, "invalid_query".to_owned()), "{path}?{range}");
            assert_eq!(reply.json()["field"], field);
        }
        let body = json!({ "from": late, "to": early });
        let reply = send(&world, "POST", &format!("/v1/apps/{app}/replay"), &tenant.key, body).await;
        assert_eq!(reply.error(), (400, "invalid_field".to_owned()));
    }
    for same in ["2026-11-30T14:30:00Z", "2026-11-30T14:30:00.001Z"] {
        for range in [
            format!("/v1/sms/messages?startDate={same}&endDate={same}"),
            format!("{deliveries}?from={same}&to={same}"),
        ] {
            world.get(&range, &tenant.key).await.expect(200);
        }
    }
}

/// The moments of requests' bodies are read by the same rules: `sendAt` and `expiresAt` of a message, `expiresAt` of a key, `from` and
/// `to` of a replay.
#[tokio::test]
async fn times_in_bodies_are_exact_moments() {
    let world = World::start().await;
    let tenant = world.tenant();
    without_limit(&world, &tenant).await;
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let app = format!("/v1/apps/{}", app_of(&world, &tenant.key).await);
    let message = |field: &str, time: &str| {
        let mut body = json!({ "to": "+16505550111", "from": "+14155550100", "body": "x" });
        body[field] = json!(time);
        body
    };
    let requests = |time: &str| {
        [
            ("sendAt", "/v1/sms/send".to_owned(), message("sendAt", time)),
            ("expiresAt", "/v1/sms/send".to_owned(), message("expiresAt", time)),
            ("expiresAt", format!("{app}/keys"), json!({ "scopes": ["sms:read"], "expiresAt": time })),
            ("to", format!("{app}/replay"), json!({ "from": "2026-01-01T00:00:00Z", "to": time })),
        ]
    };
    let year =
        &(crate::world::now(&world).await + jiff::SignedDuration::from_hours(24 * 30)).to_string()[..10];
    for exact in
        ["T14:30:00Z", "T14:30Z", " 14:30:00.123Z", "T15:30:00+01:00", "T08:00:00-06:30", "T15:30:00+0100"]
    {
        let time = format!("{year}{exact}");
        for (field, path, body) in requests(&time) {
            let reply = send(&world, "POST", &path, &tenant.key, body).await;
            assert!(reply.status.is_success(), "{field} {time}: {}", reply.text);
        }
    }
    for inexact in [
        "T14:30:00",
        "T14:30",
        "",
        "T",
        "T14:30:00 Z",
        "T14:30:00Z ",
        "T14:30:00+01:00[Europe/Paris]",
        "T14:30:00[UTC]",
        "T14:30:00-00:00[UTC]",
        "T24:00:00Z",
        "T23:59:60Z",
        "T14Z",
        "T14:30:00+1",
        "T14:30:00UTC",
    ] {
        let time = format!("{year}{inexact}");
        for (field, path, body) in requests(&time) {
            let reply = send(&world, "POST", &path, &tenant.key, body).await;
            assert_eq!(reply.error(), (400, "invalid_field".to_owned()), "{field} {time}");
            assert_eq!(reply.json()["field"], field, "{time}");
        }
    }
}

/// LemmyNet/lemmy#3888, Expensify/App#96468.
#[tokio::test]
async fn names_can_be_seen_in_every_script() {
    let world = World::start().await;
    let (tenant, operator) = (world.tenant(), world.operator_key());
    without_limit(&world, &tenant).await;
    let app = format!("/v1/apps/{}", app_of(&world, &tenant.key).await);
    let role = |text: &str| json!({ "role": text });
    for good in [
        "نمی\u{200c}خواهم",
        "ක්\u{200d}රියා",
        "👩\u{200d}👩\u{200d}👧 Family",
        "❤\u{fe0f}\u{200d}🔥",
        "  Zoë & 東京 ",
        "\u{feff}Zoë\u{200e}",
        "\u{202a}Acme\u{202c}",
    ] {
        let made = send(&world, "POST", "/v1/tenants", &operator, json!({ "name": good })).await.expect(201);
        let pasted_around = [' ', '\u{feff}', '\u{200e}', '\u{202a}', '\u{202c}'];
        assert_eq!(made.json()["name"], good.trim_matches(pasted_around));
        for body in [json!({ "name": good }), role(good)] {
            send(&world, "PUT", &app, &tenant.key, body).await.expect(200);
        }
        let label = json!({ "label": good });
        send(&world, "POST", "/v1/rc/invite-token", &tenant.key, label).await.expect(200);
    }
    for bad in [
        "",
        " ",
        "\u{3164}",
        "\u{2800}",
        "\u{115f}\u{1160}",
        "\u{ffa0}",
        "\u{200d}",
        "\u{200c}\u{200c}",
        "\u{fe0f}",
        "a\u{3164}b",
        "a\u{202e}b",
        "a\u{2066}b",
        "a\u{200b}b",
        "a\nb",
        "\u{e0041}",
        "\u{301}",
        "\u{13440}",
        "\u{13441}",
        "\u{e000}",
        "\u{200e}",
    ] {
        let name = json!({ "name": bad });
        for (method, path, key) in [("POST", "/v1/tenants", &operator), ("PUT", app.as_str(), &tenant.key)] {
            let reply = send(&world, method, path, key, name.clone()).await;
            assert_eq!(reply.error(), (400, "invalid_name".to_owned()), "{bad:?}");
            assert_eq!(reply.json()["error"], "name must be 1-100 characters");
        }
        let reply = send(&world, "PUT", &app, &tenant.key, role(bad)).await;
        assert_eq!(reply.error(), (400, "invalid_field".to_owned()), "{bad:?}");
        let reply = send(&world, "POST", "/v1/rc/invite-token", &tenant.key, json!({ "label": bad })).await;
        assert_eq!(reply.error(), (400, "invalid_field".to_owned()), "{bad:?}");
    }
}

/// strapi/strapi#7079. The unit tests of `outbound` have many more.
#[tokio::test]
async fn urls_that_parsers_read_differently_are_rejected_wherever_a_url_is_taken() {
    let world = World::start().await;
    let (tenant, operator) = (world.tenant(), world.operator_key());
    without_limit(&world, &tenant).await;
    let app = format!("/v1/apps/{}", app_of(&world, &tenant.key).await);
    let label = format!("https://{}.example/h", "a".repeat(64));
    let routes: [(&str, &str, &str, &str, &str); 5] = [
        ("PUT", &app, &tenant.key, "webhookUrl", "invalid_webhook_url"),
        ("POST", "/v1/apps/register", &tenant.key, "webhookUrl", "invalid_webhook_url"),
        ("POST", "/v1/triggers/sms-received/subscribe", &tenant.key, "callbackUrl", "invalid_field"),
        ("POST", "/v1/rc/invite-token", &tenant.key, "returnUrl", "invalid_field"),
        ("POST", "/v1/tenants", &operator, "returnUrl", "invalid_field"),
    ];
    let body = |path: &str, field: &str, url: &str| {
        let mut body = match path {
            "/v1/apps/register" => json!({ "name": "x", "tenantId": tenant.id }),
            "/v1/tenants" => json!({ "name": "x" }),
            _ => json!({}),
        };
        body[field] = json!(url);
        body
    };
    for (method, path, key, field, code) in routes {
        let ask =
            async |url: &str| -> Reply { send(&world, method, path, key, body(path, field, url)).await };
        for url in [
            "https://example.com\\@evil.example/h",
            "https:///example.com/h",
            "https:/example.com/h",
            "https://a..b.example/",
            "https://example.com./",
            label.as_str(),
            "https://user:x@example.com/",
            "https://exa\tmple.com/",
            "https://ex%61mple.com/",
            "https://127.1/",
            "https://0x7f.1/",
            "https://[::1]/",
        ] {
            let reply = ask(url).await;
            assert_eq!(reply.error(), (400, code.to_owned()), "{path} {url:?}: {}", reply.text);
            assert_eq!(reply.json()["field"], field);
        }
        let good = ask("https://b\u{fc}cher.example:8443/a?b=%20#c").await;
        assert!(good.status.is_success(), "{path}: {}", good.text);
    }
}

/// slskd/slskd#1606.
#[tokio::test]
async fn ipv4_addresses_in_ipv6_notation_are_ipv4() {
    let world = World::start().await;
    let tenant = world.tenant();
    for (range, shown) in [
        ("::ffff:127.0.0.1", "127.0.0.1/32"),
        ("::FFFF:7f00:1", "127.0.0.1/32"),
        ("::ffff:127.0.0.0/104", "127.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
    ] {
        let key =
            additional_key(&world, &tenant, json!({ "scopes": ["apps:manage"], "allowedIps": [range] }))
                .await;
        world.get("/v1/apps", &key).await.expect(200);
        let keys = world.get(&format!("/v1/apps/{}/keys", app_of(&world, &tenant.key).await), &key).await;
        assert!(keys.expect(200).text.contains(shown), "{range}");
    }
    let key = additional_key(
        &world,
        &tenant,
        json!({ "scopes": ["sms:read"], "allowedIps": ["::ffff:192.0.2.1"] }),
    )
    .await;
    assert_eq!(world.get("/v1/rc/status", &key).await.error(), (403, "address_not_allowed".to_owned()));
    let app = app_of(&world, &tenant.key).await;
    for wrong in [
        "::ffff:127.0.0.1/129",
        "::ffff:256.0.0.1",
        "127.0.0.1/33",
        " 127.0.0.1",
        "127.1",
        "0x7f.0.0.1",
        "::1%lo",
    ] {
        let body: Value = json!({ "scopes": ["sms:read"], "allowedIps": [wrong] });
        let reply = send(&world, "POST", &format!("/v1/apps/{app}/keys"), &tenant.key, body).await;
        assert_eq!(reply.error(), (400, "invalid_field".to_owned()), "{wrong}");
        assert_eq!(reply.json()["field"], "allowedIps[0]");
    }
}
