//! A person's browser: headless Chromium, driven over the WebDriver protocol, which is JSON over HTTP.
//!
//! It is written here because it needs only a dozen commands, and the crates that speak the protocol change features of
//! serde_json and of the macro crates for the whole workspace, so that everything else would be compiled a second time.
//! Waiting is the protocol's: an element is looked for until it is there, or until [`PATIENCE`] is over.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Map, Value, json};

/// How long an element may take to appear, or a page to load.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// The key under which the protocol names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

/// A browser with its own profile.
pub struct Chromium {
    address: String,
    session: String,
    http: reqwest::Client,
    driver: Child,
    _output: BufReader<ChildStdout>,
}

/// A request that the browser sent, with the headers that left the machine.
#[derive(Debug)]
pub struct Sent {
    id: String,
    pub method: String,
    pub url: String,
    /// What for: `Document`, `Image`, ...
    pub kind: String,
    headers: Option<Map<String, Value>>,
}

impl Sent {
    /// A header, or nothing if it was not sent.
    pub fn header(&self, name: &str) -> &str {
        let headers = self.headers.iter().flatten();
        let found = headers.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

impl Chromium {
    /// A browser with further switches, or nothing and a loud line if there is none on this machine.
    pub async fn with(switches: &[String]) -> Option<Self> {
        let (driver, output, port) = match tokio::task::spawn_blocking(start_driver).await.unwrap() {
            Ok(started) => started,
            Err(error) => return skip(&format!("chromedriver does not start: {error}")),
        };
        let http = reqwest::Client::builder().no_proxy().timeout(COMMAND_LIMIT).build().unwrap();
        let address = format!("http://127.0.0.1:{port}");
        let mut browser = Self { address, session: String::new(), http, driver, _output: output };
        let mut args: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-proxy-server",
        ]
        .map(str::to_owned)
        .to_vec();
        args.extend_from_slice(switches);
        let milliseconds = PATIENCE.as_millis();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "timeouts": {"implicit": milliseconds, "pageLoad": milliseconds, "script": milliseconds},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": {"args": args},
        }}});
        match browser.call(Method::POST, "/session", Some(wanted)).await {
            Ok(made) => browser.session = format!("/session/{}", made["sessionId"].as_str().unwrap()),
            Err(error) if error.contains("cannot find Chrome binary") => return skip(&error),
            Err(error) => panic!("Chromium does not start: {error}"),
        }
        Some(browser)
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, String> {
        let mut request = self.http.request(method, format!("{}{path}", self.address));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let text = async { request.send().await?.text().await };
        let text = text.await.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        match answer["value"]["error"].as_str() {
            Some(error) => {
                Err(format!("{error}: {}", answer["value"]["message"].as_str().unwrap_or_default()))
            }
            None => Ok(answer["value"].clone()),
        }
    }

    async fn get(&self, path: &str) -> Value {
        let path = format!("{}{path}", self.session);
        self.call(Method::GET, &path, None).await.unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    async fn try_post(&self, path: &str, body: Value) -> Result<Value, String> {
        self.call(Method::POST, &format!("{}{path}", self.session), Some(body)).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.try_post(path, body).await.unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// Opens an address and waits until the page is loaded.
    pub async fn open(&self, address: &str) {
        self.post("/url", json!({ "url": address })).await;
    }

    /// What the address bar shows.
    pub async fn address(&self) -> String {
        self.get("/url").await.as_str().unwrap().to_owned()
    }

    async fn find(&self, css: &str) -> String {
        let found = self.post("/element", json!({"using": "css selector", "value": css})).await;
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// The text of an element as a person sees it.
    pub async fn text(&self, css: &str) -> String {
        loop {
            let element = self.find(css).await;
            let path = format!("{}/element/{element}/text", self.session);
            match self.call(Method::GET, &path, None).await {
                Ok(text) => return text.as_str().unwrap().to_owned(),
                // The page has put another element in its place.
                Err(error) if error.contains("stale element") => {}
                Err(error) => panic!("the text of {css}: {error}"),
            }
        }
    }

    /// Waits for a page with this heading.
    pub async fn see(&self, heading: &str) {
        let path = format!("//h1[contains(normalize-space(), \"{heading}\")]");
        if let Err(error) = self.try_post("/element", json!({"using": "xpath", "value": path})).await {
            panic!(
                "no heading \"{heading}\" but {}: {error}",
                self.run("return document.body.innerText").await
            );
        }
    }

    pub async fn click(&self, css: &str) {
        let element = self.find(css).await;
        self.post(&format!("/element/{element}/click"), json!({})).await;
    }

    /// The same where the page that follows may never arrive.
    pub async fn click_into_the_void(&self, css: &str) -> Result<Value, String> {
        let element = self.find(css).await;
        self.try_post(&format!("/element/{element}/click"), json!({})).await
    }

    /// Two clicks as a hurried person makes them.
    pub async fn double_click(&self, css: &str) {
        let element = self.find(css).await;
        let (down, up) =
            (json!({"type": "pointerDown", "button": 0}), json!({"type": "pointerUp", "button": 0}));
        let pause = json!({"type": "pause", "duration": 120});
        let there = json!({"type": "pointerMove", "origin": {ELEMENT: element}, "x": 0, "y": 0});
        let mouse = json!({
            "type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"},
            "actions": [there, down, up, pause, down, up],
        });
        self.post("/actions", json!({ "actions": [mouse] })).await;
    }

    /// Types on the keyboard, wherever the focus is.
    pub async fn keys(&self, text: &str) {
        let presses = text.chars().flat_map(|key| {
            [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
        });
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": presses.collect::<Vec<_>>()});
        self.post("/actions", json!({ "actions": [keyboard] })).await;
    }

    /// Chooses files in a file picker.
    pub async fn choose(&self, css: &str, files: &[&Path]) {
        let element = self.find(css).await;
        let paths: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
        self.post(&format!("/element/{element}/value"), json!({ "text": paths.join("\n") })).await;
    }

    pub async fn tab(&self) {
        self.keys(TAB).await;
    }

    pub async fn enter(&self) {
        self.keys(ENTER).await;
    }

    /// Runs a script in the page, as the browser's owner could: the page's policy does not stop it.
    pub async fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({"script": script, "args": []})).await
    }

    /// A command of the DevTools protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    /// All cookies of the profile, those included that no script can read.
    pub async fn cookies(&self) -> Vec<Value> {
        let all = self.devtools("Network.getAllCookies", json!({})).await;
        all["cookies"].as_array().unwrap().clone()
    }

    /// The addresses behind the back button, and the present one.
    pub async fn history(&self) -> Vec<String> {
        let history = self.devtools("Page.getNavigationHistory", json!({})).await;
        let entries = history["entries"].as_array().unwrap().iter();
        entries.map(|entry| entry["url"].as_str().unwrap().to_owned()).collect()
    }

    /// What the page's console has shown since the last call.
    pub async fn console(&self) -> Vec<String> {
        let lines = self.post("/se/log", json!({"type": "browser"})).await;
        lines.as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    }

    /// The requests that were sent since the last call, in order.
    pub async fn sent(&self) -> Vec<Sent> {
        let lines = self.post("/se/log", json!({"type": "performance"})).await;
        let mut sent: Vec<Sent> = Vec::new();
        let mut early: Vec<(String, Map<String, Value>)> = Vec::new();
        for line in lines.as_array().unwrap() {
            let event: Value = serde_json::from_str(line["message"].as_str().unwrap()).unwrap();
            let (name, event) = (event["message"]["method"].as_str().unwrap(), &event["message"]["params"]);
            let id = event["requestId"].as_str().unwrap_or_default().to_owned();
            if name == "Network.requestWillBeSent" {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let request = &event["request"];
                let (method, url, kind) =
                    (text(&request["method"]), text(&request["url"]), text(&event["type"]));
                let known = early.iter().position(|(of, _)| *of == id).map(|at| early.remove(at).1);
                sent.push(Sent { id, method, url, kind, headers: known });
            } else if name == "Network.requestWillBeSentExtraInfo" {
                let headers = event["headers"].as_object().unwrap().clone();
                match sent.iter_mut().find(|sent| sent.id == id && sent.headers.is_none()) {
                    Some(sent) => sent.headers = Some(headers),
                    None => early.push((id, headers)),
                }
            }
        }
        sent
    }

    /// Shows the page on a screen of this size and in this scheme.
    async fn view(&self, (width, height): (u32, u32), scheme: &str) {
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.devtools("Emulation.setDeviceMetricsOverride", screen).await;
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// The bottom edge of an element in CSS pixels below the top of the page, on a screen of this size.
    pub async fn bottom_of(&self, css: &str, size: (u32, u32)) -> f64 {
        self.view(size, "light").await;
        let script = format!("return document.querySelector({css:?}).getBoundingClientRect().bottom");
        let bottom = self.run(&script).await.as_f64().unwrap();
        self.devtools("Emulation.clearDeviceMetricsOverride", json!({})).await;
        bottom
    }

    /// Looks at the page as everybody may see it: on a desk and a phone, in light and dark. Leaves pictures in
    /// `target/screenshots`, and checks what a machine can check of it.
    pub async fn look(&self, name: &str) {
        for (device, size) in [("desk", (1280, 800)), ("phone", (390, 844)), ("small", (320, 568))] {
            for scheme in ["light", "dark"] {
                self.view(size, scheme).await;
                let problems = self.run(READABLE).await;
                assert_eq!(problems, json!([]), "{name} on a {device} in {scheme}");
                if device != "small" {
                    self.picture(&format!("{name}-{device}-{scheme}")).await;
                }
            }
        }
        self.devtools("Emulation.clearDeviceMetricsOverride", json!({})).await;
        let tree = self.devtools("Accessibility.getFullAXTree", json!({})).await;
        let nodes = tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] == false);
        let roles: Vec<&str> = nodes.map(|node| node["role"]["value"].as_str().unwrap_or_default()).collect();
        for landmark in ["banner", "main", "heading"] {
            assert!(roles.contains(&landmark), "{name} has no {landmark} for a screen reader: {roles:?}");
        }
    }

    async fn picture(&self, name: &str) {
        let shot = json!({"format": "png", "captureBeyondViewport": true});
        let shot = self.devtools("Page.captureScreenshot", shot).await;
        let png = data_encoding::BASE64.decode(shot["data"].as_str().unwrap().as_bytes()).unwrap();
        std::fs::create_dir_all(pictures()).unwrap();
        std::fs::write(pictures().join(format!("{name}.png")), png).unwrap();
    }
}

/// Contrast of every text (WCAG AA), no sideways scrolling, one main heading, a language, a title, and a name for
/// everything that can be operated. Answers a list of what is wrong.
const READABLE: &str = r#"
const wrong = [];
const rgb = (text) => text.match(/[\d.]+/g).map(Number);
const light = ([r, g, b]) => {
  const linear = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
};
const ground = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const color = rgb(getComputedStyle(e).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
for (const element of document.body.querySelectorAll('*')) {
  const text = [...element.childNodes].filter((n) => n.nodeType === 3 && n.data.trim()).map((n) => n.data.trim()).join(' ');
  if (!text || !element.getClientRects().length) continue;
  const [a, b] = [light(rgb(getComputedStyle(element).color)), light(ground(element))];
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (contrast < 4.5) wrong.push(`contrast ${contrast.toFixed(2)}: ${text.slice(0, 40)}`);
}
if (document.documentElement.scrollWidth > document.documentElement.clientWidth) wrong.push('scrolls sideways');
if (document.querySelectorAll('h1').length !== 1) wrong.push('not one main heading');
if (!document.documentElement.lang) wrong.push('no language');
if (!document.title) wrong.push('no title');
for (const element of document.querySelectorAll('a, button, input:not([type=hidden])')) {
  if (!element.innerText.trim() && !(element.labels && element.labels.length)) wrong.push(`no name: ${element.outerHTML}`);
}
return wrong;
"#;

impl Drop for Chromium {
    /// Ends the browser and its driver, in any case.
    fn drop(&mut self) {
        let host = self.address.trim_start_matches("http://");
        if let Ok(mut stream) = TcpStream::connect(host) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = write!(stream, "GET /shutdown HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Where the pictures are: `target/screenshots`.
pub fn pictures() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(3).unwrap().join("screenshots")
}

/// A driver and the port where it listens.
type Driver = (Child, BufReader<ChildStdout>, u16);

/// A driver that runs. It wants the same free port for IPv4 and IPv6, and ends if chance gives it one that is free for
/// only one of them; so it is started until it has one.
fn start_driver() -> std::io::Result<Driver> {
    for _ in 0..20 {
        if let Some(started) = try_to_start_driver()? {
            return Ok(started);
        }
    }
    panic!("chromedriver ended twenty times without naming its port")
}

fn try_to_start_driver() -> std::io::Result<Option<Driver>> {
    let mut command = Command::new("chromedriver");
    let mut driver = command
        .args(["--port=0", "--log-level=SEVERE"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut output = BufReader::new(driver.stdout.take().unwrap());
    let mut line = String::new();
    while output.read_line(&mut line)? > 0 {
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            let port = port.trim().trim_end_matches('.').parse().map_err(std::io::Error::other)?;
            return Ok(Some((driver, output, port)));
        }
        line.clear();
    }
    let _ = driver.kill();
    let _ = driver.wait();
    Ok(None)
}

/// Written past the test harness, which shows nothing of tests that pass.
fn skip<T>(why: &str) -> Option<T> {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("\nSKIPPED {test}: install chromium and chromedriver to run it ({why})\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    None
}
