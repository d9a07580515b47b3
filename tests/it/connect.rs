//! Connecting: links, the button, the callback, and user errors.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::world::{Reply, World};

#[tokio::test]
async fn opening_a_link_pressing_its_button_and_signing_in_connects_an_extension() {
    let world = World::start().await;
    let tenant = world.tenant();
    let status = world.get("/v1/rc/status", &tenant.key).await.expect(200);
    assert_eq!(status.text, r#"{"connected":false}"#);

    let link = world.mint(&tenant).await;
    let mut browser = world.browser();
    let page = browser.get(&link).await.expect(200);
    assert!(page.text.contains("Local tenant") && page.text.contains("<button"));
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(page.header("referrer-policy"), "same-origin");
    assert!(page.header("content-security-policy").contains("frame-ancestors 'none'"));
    assert!(page.header("content-security-policy").contains("form-action 'self' https:"));

    let pressed = browser.press(&link).await.expect(303);
    let cookie = pressed.cookies()[0];
    for part in ["__Host-", "; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/", "; Max-Age=600"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let authorize = url::Url::parse(pressed.header("location")).unwrap();
    let query: std::collections::BTreeMap<_, _> = authorize.query_pairs().into_owned().collect();
    assert_eq!(query["code_challenge_method"], "S256");
    assert_eq!(query["redirect_uri"], format!("{}/v1/rc/callback", world.gateway()));
    let user = world.user(0);
    let callback = world.consent(&authorize, &user).await;
    let arrived = browser.get(&callback).await.expect(303);
    assert_eq!(arrived.header("location"), "/v1/rc/connected");
    assert!(browser.cookies.keys().all(|name| name == "__Host-ringbridge-done"), "{:?}", browser.cookies);
    browser.get("/v1/rc/connected").await.expect(200);

    let status = world.get("/v1/rc/status", &tenant.key).await.expect(200).json();
    assert_eq!((&status["connected"], &status["rcAccountId"]), (&json!(true), &user["accountId"]));
    assert_eq!(status["expiresAt"].as_str().unwrap().len(), "2026-01-01T00:00:00.000Z".len());
    let extensions = world.get("/v1/rc/extensions", &tenant.key).await.expect(200).json();
    let extension = &extensions["extensions"][0];
    assert_eq!(extension["extensionId"], user["extensionId"]);
    assert_eq!(extension["status"], "active");
    assert_eq!(
        extension["setup"],
        json!({"complete": true, "identity": "done", "numbers": "done", "subscription": "done"})
    );
    assert_eq!(extension["subscription"]["status"], "Active");
    assert_eq!(extension["numbers"], user["numbers"]);
    assert_eq!(world.count("token_issued").await, 1);
    assert_eq!(world.count("subscription_created").await, 1);
}

#[tokio::test]
async fn tokens_are_stored_before_they_are_used() {
    let world = World::start().await;
    let tenant = world.tenant();
    let before = world.calls_so_far().await;
    // The transaction that stores the connection fails, so the access token must not be used.
    world
        .aws_fault(
            json!({"operation": "TransactWriteItems", "function": "finish-connection",
                "table": world.table("ConnectionsTable").await}),
            0,
            None,
            json!({"error": "ValidationException", "status": 400}),
        )
        .await;
    world.connect(&tenant, &world.user(0)).await.expect(503);
    assert_eq!(world.count("token_issued").await, 1);
    assert_eq!(world.count("token_first_used").await, 0);
    assert_eq!(world.count("session_revoked").await, 1);
    assert!(!world.calls_since(before).await.is_empty());
    world.no_faults().await;
    world.connect(&tenant, &world.user(0)).await.expect(303);
    assert_eq!(world.count("token_first_used").await, 1);
}

#[tokio::test]
async fn opening_a_link_changes_nothing() {
    let world = World::start().await;
    let tenant = world.tenant();
    let link = world.mint(&tenant).await;
    let before = world.items("ConnectTokens").await;
    for method in [Method::GET, Method::HEAD].into_iter().cycle().take(20) {
        let reply = world.call(method.clone(), &link, "", None).await.expect(200);
        // The cookie identifies the browser; nothing is stored before the button is pressed.
        assert_eq!(reply.cookies().len(), 1);
        assert_eq!(reply.text.is_empty(), method == Method::HEAD);
    }
    assert_eq!(world.items("ConnectTokens").await, before);
    let mut browser = world.browser();
    let callback = browser.sign_in(&link, &world.user(0)).await;
    browser.get(&callback).await.expect(303);
}

#[tokio::test]
async fn a_link_is_bound_to_the_first_browser_in_which_its_button_is_pressed() {
    let world = World::start().await;
    let link = world.mint(&world.tenant()).await;
    let (mut first, mut second) = (world.browser(), world.browser());
    first.press(&link).await.expect(303);
    let refused = second.press(&link).await.expect(409);
    assert_eq!(refused.page_code(), "link_used");
    assert_eq!(second.get(&link).await.expect(409).page_code(), "link_used");
    assert!(second.cookies.is_empty());
    // The first browser may press again and complete the flow.
    first.get(&link).await.expect(200);
    let callback = first.sign_in(&link, &world.user(0)).await;
    first.get(&callback).await.expect(303);
    // After that the link is used, for every browser.
    assert_eq!(first.press(&link).await.expect(410).page_code(), "link_used");
    assert_eq!(first.get(&link).await.expect(410).page_code(), "link_used");
}

#[tokio::test]
async fn when_several_browsers_press_the_button_at_once_one_gets_the_link() {
    let world = World::start().await;
    let link = world.mint(&world.tenant()).await;
    let presses = (0..8).map(|_| async { world.browser().press(&link).await.status.as_u16() });
    let mut statuses = join_all(presses).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 409, 409, 409, 409, 409, 409, 409]);
}

#[tokio::test]
async fn invalid_links_show_the_reason() {
    let world = World::start().await;
    let tenant = world.tenant();
    let unknown = format!("/v1/rc/connect?token={}", "a".repeat(43));
    for (link, status, reference) in [
        ("/v1/rc/connect", 400, "missing_field"),
        ("/v1/rc/connect?token=", 400, "missing_field"),
        ("/v1/rc/connect?token=%3Cscript%3E", 404, "link_unknown"),
        (unknown.as_str(), 404, "link_unknown"),
    ] {
        let page = world.get(link, "").await.expect(status);
        assert_eq!(page.page_code(), reference);
        assert!(page.text.contains("What to do") && !page.text.contains("<script"));
        let mut browser = world.browser();
        assert_eq!(
            browser.press(link).await.expect(if link.contains('%') { 404 } else { status }).page_code(),
            reference
        );
        assert!(browser.cookies.is_empty());
    }
    let link = world.mint(&tenant).await;
    world.advance(301).await;
    assert_eq!(world.get(&link, "").await.expect(410).page_code(), "link_expired");
    assert_eq!(world.browser().press(&link).await.expect(410).page_code(), "link_expired");
}

#[tokio::test]
async fn the_button_works_only_on_its_own_page() {
    let world = World::start().await;
    let link = world.mint(&world.tenant()).await;
    let own = world.gateway().to_owned();
    let refused: [&[(&str, &str)]; 6] = [
        &[],
        &[("origin", "null")],
        &[("origin", "https://evil.example")],
        &[("origin", &own), ("sec-fetch-site", "cross-site")],
        &[("origin", &own), ("sec-fetch-site", "same-site")],
        &[("origin", &own), ("sec-fetch-site", "none")],
    ];
    for headers in refused {
        let mut browser = world.browser();
        assert_eq!(
            browser.press_with(&link, headers).await.expect(403).page_code(),
            "cross_site",
            "{headers:?}"
        );
        assert!(browser.cookies.is_empty());
    }
    world.browser().press_with(&link, &[("sec-fetch-site", "same-origin")]).await.expect(303);
}

#[tokio::test]
async fn a_callback_needs_the_state_and_the_cookie_of_its_flow() {
    let world = World::start().await;
    let tenant = world.tenant();
    let link = world.mint(&tenant).await;
    let mut browser = world.browser();
    let callback = browser.sign_in(&link, &world.user(0)).await;
    let kept = browser.cookies.clone();
    let foreign_state = format!("/v1/rc/callback?code=x&state={}", "b".repeat(43));
    for (path, reference) in [
        ("/v1/rc/callback", "missing_field"),
        ("/v1/rc/callback?code=x", "missing_field"),
        ("/v1/rc/callback?state=x", "missing_field"),
        ("/v1/rc/callback?code=x&state=short", "invalid_state"),
        (foreign_state.as_str(), "invalid_state"),
    ] {
        let page = browser.get(path).await.expect(400);
        assert_eq!(page.page_code(), reference);
        assert!(page.cookies().is_empty());
        let as_json =
            browser.get(&format!("{path}{}format=json", if path.contains('?') { "&" } else { "?" })).await;
        assert_eq!(as_json.error(), (400, reference.to_owned()));
    }
    let missing = browser.get("/v1/rc/callback?format=json").await.json();
    assert_eq!(missing["error"], "Missing code or state parameter");
    // Another browser, without the cookie or with its own: nothing changes, and no cookie is cleared.
    assert_eq!(world.browser().get(&callback).await.expect(400).page_code(), "invalid_state");
    let mut other = world.browser();
    let other_link = world.mint(&tenant).await;
    other.press(&other_link).await.expect(303);
    let cookies = other.cookies.clone();
    assert_eq!(other.get(&callback).await.expect(400).page_code(), "invalid_state");
    assert_eq!(other.cookies, cookies);
    assert_eq!(world.count("token_issued").await, 0);
    assert_eq!(browser.cookies, kept);
    browser.get(&callback).await.expect(303);
}

/// A link costs at most as many token calls as it has exchanges, even without a RingCentral account.
#[tokio::test]
async fn a_link_can_be_tried_only_a_few_times() {
    let world = World::start().await;
    let tenant = world.tenant();
    let link = world.mint(&tenant).await;
    let mut browser = world.browser();
    for _ in 0..10 {
        browser.press(&link).await.expect(303);
    }
    for reply in [browser.press(&link).await, browser.get(&link).await, browser.press(&link).await] {
        assert_eq!(reply.expect(410).page_code(), "link_exhausted");
    }
    // Another browser still learns that the link is not its own.
    assert_eq!(world.browser().get(&link).await.expect(409).page_code(), "link_used");

    let wrong_code = |callback: &str| {
        let mut url = url::Url::parse(&format!("http://x{callback}")).unwrap();
        let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        url.query_pairs_mut().clear().append_pair("code", "wrong").append_pair("state", &state);
        format!("{}?{}", url.path(), url.query().unwrap())
    };
    let link = world.mint(&tenant).await;
    let mut browser = world.browser();
    let mut callbacks = Vec::new();
    for _ in 0..7 {
        callbacks.push(wrong_code(&browser.sign_in(&link, &world.user(0)).await));
    }
    let refused = world.count("token_refused").await;
    let replies = {
        let mut replies = Vec::new();
        for callback in &callbacks {
            replies.push(browser.get(callback).await);
        }
        replies
    };
    let codes: Vec<&str> = replies.iter().map(Reply::page_code).collect();
    assert_eq!(codes, [vec!["code_refused"; 5], vec!["link_exhausted"; 2]].concat());
    assert!(replies[5..].iter().all(|reply| reply.status == 410));
    assert_eq!(world.count("token_refused").await - refused, 5, "no call is made for an exhausted link");
    for reply in [browser.get(&link).await, browser.press(&link).await] {
        assert_eq!(reply.expect(410).page_code(), "link_exhausted");
    }
    let request = world.http.head(format!("{}{link}", world.gateway()));
    let names = browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
    let head = request.header("cookie", names.join("; ")).send().await.unwrap();
    assert_eq!(head.status(), 410);
    world.connect(&tenant, &world.user(0)).await.expect(303);
}

#[tokio::test]
async fn a_code_of_another_flow_is_rejected_by_pkce() {
    let world = World::start().await;
    let tenant = world.tenant();
    let (mut victim, mut attacker) = (world.browser(), world.browser());
    let link = world.mint(&tenant).await;
    let callback = victim.sign_in(&link, &world.user(0)).await;
    let stolen = attacker.sign_in(&world.mint(&tenant).await, &world.user(1)).await;
    let part = |callback: &str, name: &str| {
        let url = url::Url::parse(&format!("http://x{callback}")).unwrap();
        url.query_pairs().find(|(found, _)| found == name).unwrap().1.into_owned()
    };
    let mixed = format!("/v1/rc/callback?code={}&state={}", part(&stolen, "code"), part(&callback, "state"));
    assert_eq!(victim.get(&mixed).await.expect(400).page_code(), "code_refused");
    assert!(world.items("ConnectionsTable").await.is_empty());
    // The link is still usable.
    let again = victim.sign_in(&link, &world.user(0)).await;
    victim.get(&again).await.expect(303);
}

#[tokio::test]
async fn a_callback_replayed_in_parallel_exchanges_its_code_once() {
    let world = World::start().await;
    let link = world.mint(&world.tenant()).await;
    let mut browser = world.browser();
    let callback = browser.sign_in(&link, &world.user(0)).await;
    let cookies = browser.cookies.clone();
    let replays = (0..20).map(|_| async {
        let mut tab = world.browser();
        tab.cookies = cookies.clone();
        let reply = tab.get(&callback).await;
        (reply.status.as_u16(), reply.page_code().to_owned())
    });
    let outcomes = join_all(replays).await;
    assert_eq!(outcomes.iter().filter(|(status, _)| *status == 303).count(), 1, "{outcomes:?}");
    let others = outcomes.iter().filter(|(status, _)| *status != 303);
    assert!(others.clone().all(|other| *other == (409, "already_handled".to_owned())), "{outcomes:?}");
    assert_eq!(world.count("token_issued").await + world.count("token_refused").await, 1);
    assert_eq!(world.items("ExtensionsTable").await.len(), 1);
}

#[tokio::test]
async fn denying_access_does_not_use_up_the_link() {
    let world = World::start().await;
    let tenant = world.tenant();
    let link = world.mint(&tenant).await;
    let mut browser = world.browser();
    for (query, status, reference) in [
        ("error=access_denied&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E", 403, "access_denied"),
        ("error=%3Cimg%20src%3Dx%3E", 502, "provider_error"),
    ] {
        let authorize = browser.start_authorization(&link).await;
        let state = authorize.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        let page = browser.get(&format!("/v1/rc/callback?{query}&state={state}")).await.expect(status);
        assert_eq!(page.page_code(), reference);
        assert!(!page.text.contains("<script") && !page.text.contains("<img"));
        // Nothing of the attempt stays behind: the flow is gone.
        let left = world.items("ConnectTokens").await;
        assert!(left.iter().all(|item| item["id"]["S"].as_str().unwrap().starts_with("link#")), "{left:?}");
    }
    let callback = browser.sign_in(&link, &world.user(0)).await;
    browser.get(&callback).await.expect(303);
}

#[tokio::test]
async fn an_extension_of_another_tenant_is_refused_and_its_grant_is_untouched() {
    let world = World::start().await;
    let (owner, other) = (world.tenant(), world.new_tenant("Other").await);
    world.connect(&owner, &world.user(0)).await.expect(303);
    for attempt in 1..=6 {
        // RingCentral allows a user five calls of the token and revoke endpoints a minute.
        world.advance(61).await;
        let page = world.connect(&other, &world.user(0)).await.expect(409);
        assert_eq!(page.page_code(), "connected_elsewhere");
        assert!(page.text.contains("What to do"));
        assert_eq!(
            world.count("session_revoked").await,
            attempt,
            "each attempt ends the session that it just got"
        );
    }
    assert_eq!(world.get("/v1/rc/status", &other.key).await.json(), json!({"connected": false}));
    assert_eq!(world.get("/v1/rc/status", &owner.key).await.json()["connected"], true);
    world.post("/v1/rc/numbers/refresh", &owner.key).await.expect(200);
    let items = world.items("ConnectionsTable").await;
    assert!(items.iter().all(|item| item["tenant"]["S"] == owner.id.as_str()));
}

#[tokio::test]
async fn authorizing_again_keeps_the_connection_and_ends_the_replaced_session() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let before = world.get("/v1/rc/extensions", &tenant.key).await.json();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let after = world.get("/v1/rc/extensions", &tenant.key).await.json();
    assert_eq!(after["extensions"].as_array().unwrap().len(), 1);
    for field in ["extensionId", "rcAccountId", "connectedAt", "numbers", "status"] {
        assert_eq!(before["extensions"][0][field], after["extensions"][0][field], "{field}");
    }
    assert_eq!(world.count("session_revoked").await, 1);
    // There is one subscription, so that no event is delivered twice.
    assert_eq!(world.count("subscription_created").await - world.count("subscription_deleted").await, 1);
    world.post("/v1/rc/numbers/refresh", &tenant.key).await.expect(200);
    let items = world.items("ConnectionsTable").await;
    assert!(
        !items.iter().any(|item| item["item"]["S"].as_str().unwrap().starts_with("revocation#")),
        "{items:?}"
    );
}

#[tokio::test]
async fn invites_have_a_label_a_lifetime_and_a_return_url() {
    let world = World::start().await;
    let tenant = world.tenant();
    let invite = async |body| world.call(Method::POST, "/v1/rc/invite-token", &tenant.key, Some(body)).await;
    let order = json!({"expiresIn": 604_800, "label": "Front <desk>", "returnUrl": "https://app.example/done?x=1&y=2"});
    let link = invite(order).await.expect(200).json()["connectUrl"].as_str().unwrap().to_owned();
    world.advance(604_000).await;
    let mut browser = world.browser();
    assert!(browser.get(&link).await.expect(200).text.contains("Front &#60;desk&#62;"));
    let callback = browser.sign_in(&link, &world.user(0)).await;
    browser.get(&callback).await.expect(303);
    let done = browser.get("/v1/rc/connected").await.expect(200);
    assert!(done.text.contains("https://app.example/done?x=1&#38;y=2"), "{}", done.text);
    assert!(done.text.contains("Continue to app.example"));
    for (body, status, code, field) in [
        (json!({"expiresIn": 59}), 400, "invalid_field", "expiresIn"),
        (json!({"expiresIn": 604_801}), 400, "invalid_field", "expiresIn"),
        (json!({"expiresIn": "1h"}), 400, "invalid_body", "expiresIn"),
        (json!({"label": ""}), 400, "invalid_field", "label"),
        (json!({"label": "x".repeat(101)}), 400, "invalid_field", "label"),
        (json!({"returnUrl": "http://app.example/"}), 400, "invalid_field", "returnUrl"),
        (json!({"returnUrl": "javascript:alert(1)"}), 400, "invalid_field", "returnUrl"),
        (json!({"returnURL": "https://app.example/"}), 400, "unknown_field", "returnURL"),
    ] {
        let reply = invite(body).await;
        assert_eq!((reply.error(), reply.json()["field"].as_str()), ((status, code.to_owned()), Some(field)));
    }
}

#[tokio::test]
async fn the_browser_of_a_link_may_press_the_button_again_until_the_link_expires() {
    let world = World::start().await;
    let tenant = world.tenant();
    let order = json!({"expiresIn": 604_800});
    let reply = world.call(Method::POST, "/v1/rc/invite-token", &tenant.key, Some(order)).await.expect(200);
    let link = reply.json()["connectUrl"].as_str().unwrap().to_owned();
    let mut browser = world.browser();
    browser.get(&link).await.expect(200);
    let pressed = browser.press(&link).await.expect(303);
    let age = pressed.cookies()[0].split("Max-Age=").nth(1).unwrap().parse::<i64>().unwrap();
    assert!((604_000..=604_800).contains(&age), "{age}");
    // The first flow has expired: its callback is rejected, and pressing the button again works.
    let authorize = url::Url::parse(pressed.header("location")).unwrap();
    world.advance(601).await;
    let state = authorize.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let late = browser.get(&format!("/v1/rc/callback?code=x&state={state}")).await.expect(400);
    assert_eq!(late.page_code(), "invalid_state");
    let callback = browser.sign_in(&link, &world.user(0)).await;
    browser.get(&callback).await.expect(303);
    assert_eq!(browser.get(&callback).await.expect(409).page_code(), "already_handled");
}

#[tokio::test]
async fn malformed_bodies_are_rejected_on_every_route() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let operator = world.operator_key();
    let extension = format!("/v1/rc/extensions/{}", world.user(0)["extensionId"].as_str().unwrap());
    for (method, path, key, body, code) in [
        (Method::POST, "/v1/rc/disconnect", &tenant.key, json!({"extensionId": "999"}), "unknown_field"),
        (Method::DELETE, extension.as_str(), &tenant.key, json!({"all": true}), "unknown_field"),
        (Method::POST, "/v1/rc/numbers/refresh", &tenant.key, json!([]), "invalid_body"),
        (Method::POST, "/v1/rc/invite-token", &tenant.key, json!([60, "label", null]), "invalid_body"),
        (Method::POST, "/v1/tenants", &operator, json!(["Acme", null, null]), "invalid_body"),
        (Method::POST, "/v1/tenants", &operator, json!({"name": "Acme", "limits": [5, 5]}), "invalid_body"),
        (Method::POST, "/v1/tenants", &operator, json!({"name": "\u{200b}"}), "invalid_name"),
        (
            Method::POST,
            "/v1/tenants",
            &operator,
            json!({"name": "x", "returnUrl": " https://x"}),
            "invalid_field",
        ),
    ] {
        let reply = world.call(method, path, key, Some(body.clone())).await;
        assert_eq!(reply.error(), (400, code.to_owned()), "{path} {body}");
    }
    for path in ["/v1/rc/disconnect", "/v1/rc/numbers/refresh", "/v1/rc/invite-token", "/v1/rc/connect"] {
        let large = json!({"label": "x".repeat(110_000)});
        let reply = world.call(Method::POST, path, &tenant.key, Some(large)).await;
        assert_eq!(reply.error(), (413, "body_too_large".to_owned()), "{path}");
    }
    assert_eq!(world.get("/v1/rc/status", &tenant.key).await.json()["connected"], true);
}

#[tokio::test]
async fn the_101st_link_in_an_hour_is_rejected() {
    let world = World::start().await;
    let tenant = world.tenant();
    // An invite that the local stack has created counts, too.
    let mint = |n: usize| {
        let path = if n.is_multiple_of(2) { "/v1/rc/connect-token" } else { "/v1/rc/invite-token" };
        world.post(path, &tenant.key)
    };
    let mut statuses: Vec<_> = Vec::new();
    for batch in 0..12 {
        let replies = join_all((0..10).map(|n| mint(batch * 10 + n))).await;
        statuses.extend(replies.into_iter().map(|reply| reply.status.as_u16()));
    }
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 100, "{statuses:?}");
    let refused = mint(0).await;
    assert_eq!(refused.error(), (429, "rate_limited".to_owned()));
    let wait: i64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=3_600).contains(&wait), "{wait}");
    assert_eq!(refused.header("ratelimit-limit"), "100");
    assert_eq!(refused.header("ratelimit-remaining"), "0");
    // Another tenant is not affected, and the window moves on.
    world.mint(&world.new_tenant("Other").await).await;
    world.advance(3_601).await;
    mint(1).await.expect(200);
}

#[tokio::test]
async fn invalid_keys_and_insufficient_permissions_are_different_errors() {
    let world = World::start().await;
    let tenant = world.tenant();
    let mut mistyped = tenant.key.clone().into_bytes();
    mistyped[50] = if mistyped[50] == b'a' { b'b' } else { b'a' };
    let mistyped = String::from_utf8(mistyped).unwrap();
    let before = world.calls_so_far().await;
    for key in ["", "nonsense", "sgw_short", mistyped.as_str()] {
        let reply = world.get("/v1/rc/status", key).await;
        assert_eq!(
            (reply.error(), &reply.json()["error"]),
            ((401, "unauthorized".into()), &json!("Missing or invalid API key"))
        );
    }
    let calls = world.calls_since(before).await;
    let reads = calls.iter().filter(|call| call["service"] == "dynamodb").count();
    assert_eq!(reads, 0, "a key with a wrong checksum causes no read");
    let stranger = shared::model::app::ApiKey::generate(&shared::model::ids::TenantId::generate());
    let reply = world.get("/v1/rc/status", stranger.expose()).await;
    assert_eq!(
        (reply.error(), &reply.json()["error"]),
        ((401, "unauthorized".into()), &json!("Invalid API key"))
    );
    let by_header =
        world.http.get(format!("{}/v1/rc/status", world.gateway())).header("x-api-key", &tenant.key);
    assert_eq!(by_header.send().await.unwrap().status(), 200);
    // A tenant's key is not the operator's key.
    let reply = world.call(Method::POST, "/v1/tenants", &tenant.key, Some(json!({"name": "x"}))).await;
    assert_eq!(reply.error(), (403, "insufficient_scope".to_owned()));
}

#[tokio::test]
async fn a_suspended_tenant_is_rejected_and_keeps_its_data() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let link = world.mint(&tenant).await;
    let mut under_way = world.browser();
    let callback = under_way.sign_in(&link, &world.user(1)).await;
    let other_link = world.mint(&tenant).await;
    world.set_status(&tenant, "suspended").await;
    for (method, path) in [
        (Method::GET, "/v1/rc/status"),
        (Method::GET, "/v1/rc/extensions"),
        (Method::GET, "/v1/rc/numbers"),
        (Method::POST, "/v1/rc/connect-token"),
        (Method::POST, "/v1/rc/disconnect"),
    ] {
        let reply = world.call(method, path, &tenant.key, None).await;
        assert_eq!(reply.error(), (403, "tenant_suspended".to_owned()), "{path}");
        assert_eq!(reply.json()["error"], "Tenant suspended or inactive");
    }
    assert_eq!(world.browser().press(&other_link).await.expect(403).page_code(), "tenant_suspended");
    assert_eq!(under_way.get(&callback).await.expect(403).page_code(), "tenant_suspended");
    assert_eq!(world.count("session_revoked").await, 1, "the session of the late callback is ended");
    world.set_status(&tenant, "active").await;
    assert_eq!(world.get("/v1/rc/status", &tenant.key).await.json()["connected"], true);
}

#[tokio::test]
async fn every_response_has_a_request_id_and_the_security_headers() {
    let world = World::start().await;
    for path in ["/health", "/v1/rc/status", "/v1/rc/connect", "/v1/rc/callback", "/v1/rc/connected"] {
        let reply = world.get(path, "").await;
        assert!(!reply.header("x-request-id").is_empty(), "{path}");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert!(reply.header("content-security-policy").contains("frame-ancestors 'none'"));
        assert!(reply.header("referrer-policy").contains("no-referrer"));
        if reply.header("content-type") == "application/json" && reply.status != 200 {
            assert_eq!(reply.json()["requestId"], reply.header("x-request-id"));
        }
    }
    assert_eq!(world.get("/health", "").await.text, r#"{"status":"ok"}"#);
    world.get("/health/ready", "").await.expect(200);
    let missing = world.get("/v1/nothing", "").await.expect(404);
    assert_eq!(missing.json()["code"], "not_found");
}
