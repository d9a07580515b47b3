//! Connecting in a real browser: headless Chromium, two sites (the gateway on 127.0.0.1, RingCentral on localhost), the
//! real cookies, origins, redirects and policies. Pictures of every page are left in `target/screenshots`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::webdriver::{Chromium, Sent};
use crate::world::{TestTenant, World};

const BUTTON: &str = "form[action='/v1/rc/connect'] button";
const ALLOW: &str = "button[value=allow]";
const DENY: &str = "button[value=deny]";
const DONE: &str = "__Host-ringbridge-done";

/// A browser, or the end of the test if there is none.
macro_rules! chromium {
    () => {
        chromium!(&[])
    };
    ($switches:expr) => {
        match Chromium::with($switches).await {
            Some(browser) => browser,
            None => return,
        }
    };
}

async fn invite(world: &World, tenant: &TestTenant, order: Value) -> String {
    let reply = world.call(Method::POST, "/v1/rc/invite-token", &tenant.key, Some(order)).await.expect(200);
    format!("{}{}", world.gateway(), reply.json()["connectUrl"].as_str().unwrap())
}

/// Where a press on the button for a user of the simulator is.
fn user_button(user: &Value) -> String {
    format!("button[name=user][value='{}']", user["extensionId"].as_str().unwrap())
}

/// Presses the button, signs in with one click, and says yes.
async fn connect(browser: &Chromium, link: &str, user: &Value) {
    browser.open(link).await;
    browser.click(BUTTON).await;
    browser.click(&user_button(user)).await;
    browser.click(ALLOW).await;
}

async fn connections(world: &World, tenant: &TestTenant) -> usize {
    let list = world.get("/v1/rc/extensions", &tenant.key).await.expect(200).json();
    list["extensions"].as_array().unwrap().len()
}

/// The last request whose address contains a text.
fn last<'a>(sent: &'a [Sent], method: &str, part: &str) -> &'a Sent {
    let found = sent.iter().rfind(|sent| sent.method == method && sent.url.contains(part));
    found.unwrap_or_else(|| panic!("no {method} of {part} in {sent:#?}"))
}

#[tokio::test]
async fn a_person_connects_in_a_browser() {
    let browser = chromium!();
    let world = World::start().await;
    let tenant = world.new_tenant("Riverside Dental").await;
    let back = "https://app.riverside-dental.example/settings?tab=texting&new=1";
    let link = invite(&world, &tenant, json!({"label": "Front desk, Elm Street", "returnUrl": back})).await;

    browser.open(&link).await;
    browser.see("Connect your RingCentral number to Riverside Dental").await;
    assert!(browser.text("main").await.contains("Front desk, Elm Street"));
    browser.look("connect").await;
    let bottom = browser.bottom_of(BUTTON, (390, 700)).await;
    assert!(bottom <= 700.0, "on a phone, the button ends at {bottom} px, below the fold");
    browser.click(BUTTON).await;
    browser.see("Sign in").await;
    browser.look("ringcentral-sign-in").await;
    let flow = browser.cookies().await;
    assert_eq!(flow.len(), 1, "{flow:?}");
    let cookie = &flow[0];
    assert!(cookie["name"].as_str().unwrap().starts_with("__Host-ringbridge-"));
    assert_eq!(
        (&cookie["secure"], &cookie["httpOnly"], &cookie["session"]),
        (&json!(true), &json!(true), &json!(false))
    );
    assert_eq!(
        (&cookie["sameSite"], &cookie["path"], &cookie["domain"]),
        (&json!("Lax"), &json!("/"), &json!("127.0.0.1"))
    );
    assert_eq!(browser.run("return document.cookie").await, "");

    let user = world.user(0);
    browser.click(&user_button(&user)).await;
    browser.see("Allow").await;
    browser.look("ringcentral-consent").await;
    browser.click(ALLOW).await;
    browser.see("Your RingCentral number is connected to Riverside Dental").await;
    browser.look("connected").await;

    assert_eq!(browser.address().await, format!("{}/v1/rc/connected", world.gateway()));
    for address in browser.history().await {
        assert!(!address.contains("code=") && !address.contains("state="), "{address}");
    }
    let left: Vec<Value> = browser.cookies().await.iter().map(|cookie| cookie["name"].clone()).collect();
    assert_eq!(left, [json!(DONE)]);
    assert_eq!(connections(&world, &tenant).await, 1);
    assert_eq!(world.count("token_issued").await, 1);

    // The way on is a link that a person presses.
    assert_eq!(browser.run("return document.querySelector('main a').href").await, back);
    assert_eq!(browser.text("main a").await, "Continue to app.riverside-dental.example");
    assert_eq!(browser.run("return document.querySelectorAll('script, meta[http-equiv]').length").await, 0);

    let sent = browser.sent().await;
    // Every page is one answer: nothing but documents was asked for, and our pages need four.
    let (ours, inside): (Vec<&Sent>, Vec<&Sent>) = sent
        .iter()
        .filter(|sent| sent.url.starts_with(world.gateway()))
        .partition(|sent| sent.kind == "Document");
    assert!(inside.is_empty(), "{inside:#?}");
    assert_eq!(ours.len(), 4, "{ours:#?}");
    let post = last(&sent, "POST", "/v1/rc/connect");
    assert_eq!((post.header("origin"), post.header("sec-fetch-site")), (world.gateway(), "same-origin"));
    // The link's token goes to no other site.
    for other in sent.iter().filter(|sent| !sent.url.starts_with(world.gateway())) {
        assert!(!other.header("referer").contains("token="), "{other:#?}");
    }
    let callback = last(&sent, "GET", "/v1/rc/callback?");
    assert!(callback.header("cookie").contains(cookie["value"].as_str().unwrap()), "{callback:#?}");
    let complaints = browser.console().await;
    assert!(complaints.is_empty(), "{complaints:?}");

    // The callback's address, opened again in this browser or another one, does nothing.
    let other = chromium!();
    for (browser, says) in [
        (&browser, "This sign-in was already handled"),
        (&other, "This sign-in does not belong to this browser"),
    ] {
        browser.open(&callback.url).await;
        browser.see(says).await;
    }
    assert_eq!(world.count("token_issued").await, 1);
    assert_eq!(connections(&world, &tenant).await, 1);
    browser.open(&link).await;
    browser.see("This link was already used").await;
}

#[tokio::test]
async fn scanners_open_the_link_and_the_person_still_connects() {
    let (scanner, person) = (chromium!(), chromium!());
    let world = World::start().await;
    let tenant = world.tenant();
    let link = invite(&world, &tenant, json!({})).await;
    let path = link.strip_prefix(world.gateway()).unwrap();
    let before = world.items("ConnectTokens").await;
    let opened = (0..50).map(|at| {
        let method = if at % 2 == 0 { Method::GET } else { Method::HEAD };
        world.call(method, path, "", None)
    });
    for reply in join_all(opened).await {
        reply.expect(200);
    }
    // One that runs scripts, waits, and lets the page do what it wants: the page wants nothing.
    scanner.open(&link).await;
    let quiet = "return new Promise((done) => requestIdleCallback(() => done(document.readyState)))";
    assert_eq!(scanner.run(quiet).await, "complete");
    assert_eq!(scanner.address().await, link);
    let sent = scanner.sent().await;
    assert_eq!(sent.iter().map(|sent| sent.method.as_str()).collect::<Vec<_>>(), ["GET"], "{sent:#?}");
    assert_eq!(world.items("ConnectTokens").await, before);

    connect(&person, &link, &world.user(0)).await;
    person.see("Your RingCentral number is connected").await;
    assert_eq!(connections(&world, &tenant).await, 1);
    assert_eq!(world.count("token_issued").await, 1);
}

#[tokio::test]
async fn who_says_no_may_press_again_on_the_same_link() {
    let browser = chromium!();
    let world = World::start().await;
    let tenant = world.tenant();
    let link = invite(&world, &tenant, json!({})).await;
    // First at the sign-in already, then at the question.
    browser.open(&link).await;
    browser.click(BUTTON).await;
    browser.click(DENY).await;
    browser.see("You did not allow access").await;
    browser.open(&link).await;
    browser.click(BUTTON).await;
    browser.click(&user_button(&world.user(1))).await;
    // The page before has such a button, too.
    browser.see("to use your account?").await;
    browser.click(DENY).await;
    browser.see("You did not allow access").await;
    browser.look("denied").await;
    assert_eq!(connections(&world, &tenant).await, 0);
    connect(&browser, &link, &world.user(1)).await;
    browser.see("Your RingCentral number is connected").await;
    assert_eq!(connections(&world, &tenant).await, 1);
}

#[tokio::test]
async fn a_link_opened_in_two_browsers_is_for_the_one_that_pressed_first() {
    let (first, second) = (chromium!(), chromium!());
    let world = World::start().await;
    let tenant = world.tenant();
    let link = invite(&world, &tenant, json!({})).await;
    first.open(&link).await;
    second.open(&link).await;
    first.click(BUTTON).await;
    first.see("Sign in").await;
    second.click(BUTTON).await;
    second.see("This link was already used in another browser").await;
    second.look("taken").await;
    second.open(&link).await;
    second.see("This link was already used in another browser").await;
    first.click(&user_button(&world.user(0))).await;
    first.click(ALLOW).await;
    first.see("Your RingCentral number is connected").await;
    second.open(&link).await;
    second.see("This link was already used").await;
    assert_eq!(connections(&world, &tenant).await, 1);
    assert_eq!(world.count("token_issued").await, 1);
}

#[tokio::test]
async fn a_double_click_is_one_press_of_one_browser() {
    let browser = chromium!();
    let world = World::start().await;
    let tenant = world.tenant();
    let link = invite(&world, &tenant, json!({})).await;
    // The first answer comes after the second click, so its cookie never arrives.
    let slow = json!({"function": "start-connection", "operation": "TransactWriteItems"});
    world.aws_fault(slow, 0, None, json!({"delayMs": 1000})).await;
    browser.open(&link).await;
    browser.double_click(BUTTON).await;
    browser.see("Sign in").await;
    let sent = browser.sent().await;
    assert_eq!(sent.iter().filter(|sent| sent.method == "POST").count(), 2, "{sent:#?}");
    browser.click(&user_button(&world.user(0))).await;
    browser.click(ALLOW).await;
    browser.see("Your RingCentral number is connected").await;
    assert_eq!(connections(&world, &tenant).await, 1);
}

#[tokio::test]
async fn the_keyboard_alone_is_enough() {
    let browser = chromium!();
    let world = World::start().await;
    let tenant = world.tenant();
    let link = invite(&world, &tenant, json!({"returnUrl": "https://app.example/"})).await;
    let focus =
        "const e = document.activeElement; return [e.innerText || e.name, getComputedStyle(e).outlineStyle]";
    browser.open(&link).await;
    browser.tab().await;
    assert_eq!(browser.run(focus).await, json!(["Continue to RingCentral", "solid"]));
    browser.enter().await;
    browser.see("Sign in").await;
    let user = world.user(1);
    for field in ["username", "extension", "password"] {
        browser.tab().await;
        assert_eq!(browser.run(focus).await[0], field);
        browser.keys(user[field].as_str().unwrap()).await;
    }
    browser.enter().await;
    browser.see("Allow").await;
    browser.tab().await;
    assert_eq!(browser.run(focus).await, json!(["Allow", "solid"]));
    browser.enter().await;
    browser.see("Your RingCentral number is connected").await;
    browser.tab().await;
    assert_eq!(browser.run(focus).await, json!(["Continue to app.example", "solid"]));
    assert_eq!(connections(&world, &tenant).await, 1);
}

#[tokio::test]
async fn a_form_or_a_frame_of_another_site_gets_nowhere() {
    let browser = chromium!();
    let world = World::start().await;
    let tenant = world.tenant();
    let link = invite(&world, &tenant, json!({})).await;
    let token = link.split("token=").nth(1).unwrap();
    let before = world.items("ConnectTokens").await;
    let form = format!(
        "const form = document.createElement('form'); form.method = 'post'; form.action = '{}/v1/rc/connect';
         form.innerHTML = '<input name=token value={token}>'; document.body.append(form); form.submit();",
        world.gateway()
    );
    let info = world.stack.info();
    // Another site; another origin of the same site; an origin that has no name.
    for (place, site) in [
        (format!("{}/_sim/ledger", info.ringcentral()), "cross-site"),
        (format!("{}/_aws/calls", info.aws()), "same-site"),
        ("data:text/html,<p>Hello".to_owned(), "cross-site"),
    ] {
        browser.open(&place).await;
        browser.run(&form).await;
        browser.see("This request did not come from our page").await;
        let sent = browser.sent().await;
        let post = last(&sent, "POST", "/v1/rc/connect");
        assert_eq!(post.header("sec-fetch-site"), site, "{post:#?}");
        assert_ne!(post.header("origin"), world.gateway());
    }
    browser.look("cross-site").await;
    assert_eq!(world.items("ConnectTokens").await, before);

    browser.console().await;
    browser.open(&format!("{}/_sim/ledger", info.ringcentral())).await;
    let frame = format!(
        "return new Promise((done) => {{ const frame = document.createElement('iframe'); frame.onload = done;
         frame.src = '{link}'; document.body.append(frame); }}).then(() => 'loaded')"
    );
    assert_eq!(browser.run(&frame).await, "loaded");
    let console = browser.console().await.join("\n");
    assert!(console.contains("frame-ancestors 'none'"), "{console}");

    connect(&browser, &link, &world.user(0)).await;
    browser.see("Your RingCentral number is connected").await;
}

/// A host that counts the greetings of browsers that want to speak to it.
async fn host() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, greetings) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&greetings);
    #[expect(
        clippy::disallowed_methods,
        reason = "a server inside a test, not a task that a function leaves behind"
    )]
    tokio::spawn(async move {
        while let Ok((_, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, greetings)
}

#[tokio::test]
async fn the_button_leads_over_any_https_host_and_no_other() {
    let (https, greeted_https) = host().await;
    let (http, greeted_http) = host().await;
    let rules = format!(
        "--host-resolver-rules=MAP sso.example:443 127.0.0.1:{https},MAP sso.example:80 127.0.0.1:{http}"
    );
    let browser = chromium!(&[rules]);
    let world = World::start().await;
    let tenant = world.tenant();
    let link = invite(&world, &tenant, json!({})).await;
    // RingCentral hands sign-in over to a company's own host.
    let over = async |address: &str| {
        let act = json!({"status": 302, "headers": {"location": address}, "body": ""});
        world.sim_fault("/restapi/oauth/authorize", None, act).await;
        browser.open(&link).await;
        browser.console().await;
        browser.click_into_the_void(BUTTON).await
    };
    let clicked = over("https://sso.example/sign-in").await;
    // The click may be answered before the second host is reached.
    for _ in 0..2000 {
        if greeted_https.load(Ordering::SeqCst) > 0
            && browser.address().await.starts_with("https://sso.example/")
        {
            break;
        }
        tokio::task::yield_now().await;
        browser.address().await;
    }
    let address = browser.address().await;
    if greeted_https.load(Ordering::SeqCst) == 0 || !address.starts_with("https://sso.example/") {
        panic!(
            "Chromium did not go on to the second host but is at {address} (click: {clicked:?}) with the console {:?} and the page {}",
            browser.console().await,
            browser.run("return document.body.innerText").await
        );
    }

    let clicked = over("http://sso.example/sign-in").await;
    // The click may be answered before RingCentral has answered with the address that is not allowed.
    let mut console = String::new();
    for _ in 0..2000 {
        console.push_str(&browser.console().await.join("\n"));
        if console.contains("form-action 'self' https:") {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(console.contains("form-action 'self' https:"), "{console} (click: {clicked:?})");
    assert_eq!(browser.address().await, link);
    assert_eq!(greeted_http.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn hostile_names_are_shown_as_they_are() {
    let browser = chromium!();
    let world = World::start().await;
    let long = "W".repeat(100);
    for (at, name) in [
        "<script>document.title='owned'</script>",
        "\"><img src=x onerror=document.title='owned'>",
        "</title><h1>&lt;Owned&gt;</h1>{{ 7 * 7 }}",
        "ריברסייד (דנטל",
        &long,
    ]
    .into_iter()
    .enumerate()
    {
        let tenant = world.new_tenant(name).await;
        let link = invite(&world, &tenant, json!({ "label": name })).await;
        browser.open(&link).await;
        let heading = browser.run("return document.querySelector('h1').textContent").await;
        assert_eq!(heading, format!("Connect your RingCentral number to {name}"));
        assert_eq!(browser.run("return document.querySelector('.label').textContent").await, name);
        let title = browser.run("return document.title").await;
        assert_eq!(title, format!("Connect RingCentral to {name} · Ringbridge"));
        assert_eq!(browser.run("return document.querySelectorAll('script, img, h1').length").await, 1);
        browser.look(&format!("hostile-{at}")).await;
        connect(&browser, &link, &world.user(at)).await;
        browser.see("Your RingCentral number is connected").await;
        let heading = browser.run("return document.querySelector('h1').textContent").await;
        assert_eq!(heading, format!("Your RingCentral number is connected to {name}"));
        assert_eq!(browser.run("return document.querySelectorAll('script, img, h1').length").await, 1);
        browser.look(&format!("hostile-{at}-connected")).await;
    }
    let complaints = browser.console().await;
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[tokio::test]
async fn every_refusal_says_what_to_do() {
    let browser = chromium!();
    let world = World::start().await;
    let tenant = world.tenant();
    let page = async |name: &str, address: &str, heading: &str| {
        browser.open(address).await;
        browser.see(heading).await;
        assert_eq!(browser.text("main h2").await, "What to do");
        assert!(browser.text(".advice p").await.len() > 20);
        browser.look(name).await;
    };
    let at = |path: &str| format!("{}{path}", world.gateway());
    page("link-missing", &at("/v1/rc/connect"), "This link is incomplete").await;
    page("link-unknown", &at("/v1/rc/connect?token=x"), "This link is not valid").await;
    page("callback-incomplete", &at("/v1/rc/callback"), "RingCentral's response is incomplete").await;
    page(
        "flow-unknown",
        &at("/v1/rc/callback?code=a&state=b"),
        "This sign-in does not belong to this browser",
    )
    .await;

    // What RingCentral's answer to the exchange leads to.
    let link = invite(&world, &tenant, json!({})).await;
    for (name, status, body, heading) in [
        ("code-refused", 400, json!({"error": "invalid_grant"}), "RingCentral did not accept the sign-in"),
        ("misconfigured", 401, json!({"error": "invalid_client"}), "This service is not set up correctly"),
        ("exchange-failed", 500, json!({}), "RingCentral did not respond"),
        ("busy", 429, json!({"errorCode": "CMN-301"}), "RingCentral is busy at the moment"),
    ] {
        world.sim_fault("/restapi/oauth/token", Some(1), json!({"status": status, "body": body})).await;
        connect(&browser, &link, &world.user(0)).await;
        let address = browser.address().await;
        browser.see(heading).await;
        assert_eq!(browser.text("main h2").await, "What to do", "{address}");
        browser.look(name).await;
    }
    world.no_faults().await;
    // Until then every sign-in of the tenant gets the page that asks to wait.
    world.advance(120).await;
    // RingCentral's own words are not shown.
    browser.open(&link).await;
    browser.click(BUTTON).await;
    browser.see("Sign in").await;
    let sent = browser.sent().await;
    let state =
        last(&sent, "GET", "/restapi/oauth/authorize").url.split("&state=").nth(1).unwrap().to_owned();
    let state = state.split('&').next().unwrap();
    let hostile = "error=server_error&error_description=%3Cscript%3Ealert(1)%3C/script%3ECall%20me";
    page(
        "provider-error",
        &at(&format!("/v1/rc/callback?{hostile}&state={state}")),
        "RingCentral reported an error",
    )
    .await;
    assert!(!browser.text("body").await.contains("Call me"));

    connect(&browser, &link, &world.user(0)).await;
    browser.see("Your RingCentral number is connected").await;
    page("link-used", &link, "This link was already used").await;

    let rival = world.new_tenant("Rival").await;
    let link = invite(&world, &rival, json!({})).await;
    connect(&browser, &link, &world.user(0)).await;
    browser.see("This RingCentral user is connected to another company").await;
    browser.look("connected-elsewhere").await;

    world
        .aws_fault(
            json!({"function": "show-connect-page"}),
            0,
            None,
            json!({"error": "InternalServerError", "status": 500}),
        )
        .await;
    page("unavailable", &link, "Something went wrong on our side").await;
    world.no_faults().await;
    world.set_status(&rival, "suspended").await;
    browser.open(&link).await;
    browser.click(BUTTON).await;
    browser.see("This company cannot use the service at the moment").await;
    browser.look("suspended").await;
    world.advance(3600).await;
    page("link-expired", &link, "This link has expired").await;
}
