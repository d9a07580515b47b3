//! The simulator's page in a real browser: what a developer sees and does there.

use serde_json::json;

use crate::webdriver::Chromium;
use crate::world::World;

#[tokio::test]
async fn a_text_typed_on_the_simulators_page_arrives_and_is_shown() {
    let Some(browser) = Chromium::with(&[]).await else { return };
    let world = World::start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    browser.open(world.stack.info().ringcentral()).await;
    browser.see("RingCentral simulator").await;
    // The number that is chosen at first, and the subscription that connecting has made.
    let own = browser.text("#users button[aria-pressed=true] strong").await;
    assert!(browser.text("#to").await.contains(&own));
    assert_eq!(browser.text("#subscriptions .row strong").await, "Active");
    assert_eq!(browser.text("#talk p").await, "No messages yet.");

    browser.click("#text").await;
    browser.keys("Is my appointment still on?").await;
    browser.click("#inbound button").await;
    assert!(browser.text("#talk .bubble").await.starts_with("Is my appointment still on?"));
    assert_eq!(browser.run("return document.querySelector('#text').value").await, "");
    // Enter sends too, and what was said before stays above.
    browser.click("#text").await;
    browser.keys("Tuesday at 9?").await;
    browser.enter().await;
    assert!(browser.text("#talk .bubble ~ .bubble").await.starts_with("Tuesday at 9?"));
    assert_eq!(browser.text("#talk h3").await, "with +16505550111");
    browser.text("#ledger li").await;
    browser.look("simulator").await;

    // The page says what is missing beside the box, and keeps the text.
    browser.run("document.querySelector('#from').value = ' '").await;
    browser.click("#text").await;
    browser.keys("Hello?").await;
    browser.click("#inbound button").await;
    assert!(!browser.text("#problem:not(:empty)").await.is_empty());
    assert_eq!(browser.run("return document.querySelector('#text').value").await, "Hello?");
    // Another number has its own conversations.
    browser.click("#users button[aria-pressed=false]:enabled").await;
    assert_eq!(browser.text("#talk p").await, "No messages yet.");
    let errors: Vec<String> =
        browser.console().await.into_iter().filter(|line| !line.contains("400")).collect();
    assert_eq!(json!(errors), json!([]), "the page's scripts have no errors");
}
