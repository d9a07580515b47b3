//! The simulator's page in a real browser: what a developer sees and does there.

use reqwest::Method;
use serde_json::{Value, json};

use crate::media::upload;
use crate::send::send;
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

/// A picture of a sunset in the format BMP, which needs no compression.
pub fn sunset() -> Vec<u8> {
    const WIDTH: u32 = 320;
    const HEIGHT: u32 = 200;
    let size = WIDTH * HEIGHT * 3;
    let mut picture = b"BM".to_vec();
    // The size of the file, where its pixels begin, and then the second header, with its own size and the number of planes.
    for number in [54 + size, 0, 54, 40, WIDTH, HEIGHT, 1 | 24 << 16, 0, size, 0, 0, 0, 0] {
        picture.extend(number.to_le_bytes());
    }
    for pixel in 0..WIDTH * HEIGHT {
        let (x, y) = (pixel % WIDTH, pixel / WIDTH);
        let is_sun = (i64::from(x) - 160).pow(2) + (i64::from(y) - 80).pow(2) < 2_500;
        let shade = u8::try_from(y).unwrap();
        picture.extend(if is_sun { [60, 200, 255] } else { [shade, shade / 2, 230 - shade / 2] });
    }
    picture
}

#[tokio::test]
async fn files_chosen_on_the_simulators_page_arrive_and_pictures_are_shown() {
    let Some(browser) = Chromium::with(&[]).await else { return };
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (picture, table) = (folder.path().join("sunset.bmp"), folder.path().join("prices.csv"));
    std::fs::write(&picture, sunset()).unwrap();
    std::fs::write(&table, "cut,30\n").unwrap();
    browser.open(world.stack.info().ringcentral()).await;
    browser.see("RingCentral simulator").await;

    // Without a text, and then with one.
    browser.choose("#files", &[&picture]).await;
    browser.click("#inbound button").await;
    let about = format!("sunset.bmp · image/bmp · {} bytes", "192,054");
    assert!(browser.text("#talk .bubble .file").await.ends_with(&about));
    browser.choose("#files", &[&table, &picture]).await;
    browser.click("#text").await;
    browser.keys("Our prices").await;
    browser.click("#inbound button").await;
    let second = browser.text("#talk .bubble ~ .bubble").await;
    assert!(
        second.starts_with("Our prices") && second.contains("prices.csv · text/csv · 7 bytes"),
        "{second}"
    );
    assert_eq!(browser.run("return document.querySelector('#files').files.length").await, 0);

    // What arrived are the bytes of the file, and the browser shows them.
    let view = world.sim(Method::GET, "/_sim/view", None).await;
    let files = |at: usize| view["messages"][at]["files"].as_array().unwrap().clone();
    let sizes = |at: usize| files(at).iter().map(|file| file["size"].clone()).collect::<Vec<Value>>();
    assert_eq!((sizes(0), sizes(1)), (vec![json!(192_054)], vec![json!(7), json!(192_054)]));
    let url = format!("{}{}", world.stack.info().ringcentral(), files(0)[0]["url"].as_str().unwrap());
    let stored = world.http.get(url).send().await.unwrap().bytes().await.unwrap();
    assert!(stored == sunset(), "the bytes of the file");
    // So does what the gateway sends.
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let fields = json!({ "contentType": "image/bmp", "size": sunset().len(), "fileName": "reply.bmp" });
    let created = upload(&world, &tenant.key, fields).await.expect(201).json();
    let mut request = world.http.put(created["uploadUrl"].as_str().unwrap()).body(sunset());
    for (name, value) in created["uploadHeaders"].as_object().unwrap() {
        request = request.header(name, value.as_str().unwrap());
    }
    assert_eq!(request.send().await.unwrap().status(), 200);
    let from = &world.user(0)["numbers"][0];
    let order = json!({ "to": "+16505550111", "from": from, "mediaIds": [created["mediaId"]] });
    send(&world, &tenant, order).await.expect(202);
    assert!(browser.text("#talk .bubble.out .file").await.starts_with("reply.bmp · image/bmp"));
    let widths = "const images = [...document.querySelectorAll('#talk img')]; \
                  return Promise.all(images.map((image) => image.decode().then(() => image.naturalWidth)))";
    assert_eq!(browser.run(widths).await, json!([320, 320, 320]));
    browser.look("simulator-pictures").await;
    let errors = browser.console().await;
    assert!(errors.is_empty(), "{errors:?}");
}
