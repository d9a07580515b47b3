//! A local stack for each test, with operator, tenants and browsers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jiff::Timestamp;
use local::{Stack, StackOptions};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::model::event_route::EventRoute;
use shared::model::ids::{ConnectionId, TenantId};
use shared::model::secret::Secret;
use shared::model::shard::Shard;
use url::Url;

/// The workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Builds the function binaries once per test run: `cargo test --workspace` does not build other packages' binaries, and the
/// functions are tested in their own feature set.
pub fn binaries() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    // The packages and targets of `cargo test --workspace`: each dependency keeps the features, and the build, that the test run
    // has made already. Optimized programs are examples, which need the functions alone.
    let targets = if cfg!(debug_assertions) { "--all-targets" } else { "--bins" };
    BUILT.get_or_init(|| build(&["--workspace", targets]))
}

/// Builds in the profile of this program. Returns the folder of the binaries.
pub fn build(arguments: &[&str]) -> PathBuf {
    let mut build = std::process::Command::new(env!("CARGO"));
    build.arg("build").args(arguments);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let cargo = build.current_dir(root()).output().unwrap();
    assert!(
        cargo.status.success(),
        "the functions do not build:\n{}",
        String::from_utf8_lossy(&cargo.stderr)
    );
    // Tests are in the folder `deps` beside the binaries, examples in `examples`.
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().to_owned()
}

/// The longest interval between two syncs of a connection without messages, in seconds, with the minute of the schedule.
pub const SYNC_INTERVAL: i64 = 15 * 3_600;

/// An HTTP response.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Reply {
    pub async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|_| panic!("{} is not JSON: {}", self.status, self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The `Set-Cookie` lines.
    pub fn cookies(&self) -> Vec<&str> {
        self.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect()
    }

    /// Status and code of an error.
    pub fn error(&self) -> (u16, String) {
        (self.status.as_u16(), self.json()["code"].as_str().unwrap_or_default().to_owned())
    }

    /// The error code of an error page.
    pub fn page_code(&self) -> &str {
        let after = self.text.split("data-code=\"").nth(1).unwrap_or_default();
        after.split('"').next().unwrap_or_default()
    }

    /// The reference that an error page shows: the request id.
    pub fn reference(&self) -> &str {
        let after = self.text.split("Reference: ").nth(1).unwrap_or_default();
        after.split('<').next().unwrap_or_default()
    }

    /// Panics unless the response has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }
}

/// Every minute of a stack queries each of its shards. Two show what several do, and cost a test a quarter of the default.
pub const SHARDS: u8 = 2;

/// A tenant with the key of its first app.
#[derive(Debug, Clone)]
pub struct TestTenant {
    pub id: String,
    pub key: String,
}

pub struct World {
    pub stack: Stack,
    pub http: reqwest::Client,
}

impl World {
    /// A stack with [`SHARDS`] shards. This process uses as many.
    pub async fn start() -> Self {
        Shard::set_count(SHARDS);
        let mut options = StackOptions::for_tests(&root());
        (options.binaries, options.shards) = (binaries().to_owned(), Some(SHARDS));
        Self::with(options).await
    }

    /// A stack with the parameters that an operator gets without a choice.
    pub async fn with_default_parameters() -> Self {
        let mut options = StackOptions::for_tests(&root());
        options.binaries = binaries().to_owned();
        Self::with(options).await
    }

    /// A stack of another template.
    pub async fn with_template(template: PathBuf) -> Self {
        let mut options = StackOptions::for_tests(&root());
        (options.binaries, options.template, options.shards) =
            (binaries().to_owned(), template, Some(SHARDS));
        Self::with(options).await
    }

    pub async fn with(options: StackOptions) -> Self {
        let stack = Stack::start(options).await.unwrap();
        let redirects = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().no_proxy().redirect(redirects).build().unwrap();
        Self { stack, http }
    }

    pub fn gateway(&self) -> &str {
        self.stack.info().gateway()
    }

    /// The tenant that the stack creates on start.
    pub fn tenant(&self) -> TestTenant {
        let info = self.stack.info();
        TestTenant { id: info.tenant_id.clone().unwrap(), key: info.api_key.clone().unwrap() }
    }

    pub fn operator_key(&self) -> String {
        self.stack.info().operator_key.clone().unwrap()
    }

    /// Creates a tenant.
    pub async fn new_tenant(&self, name: &str) -> TestTenant {
        let operator = self.operator_key();
        let tenant = self
            .call(Method::POST, "/v1/tenants", &operator, Some(json!({ "name": name })))
            .await
            .expect(201);
        let id = tenant.json()["tenantId"].as_str().unwrap().to_owned();
        let order = json!({ "name": "App", "tenantId": id });
        let app = self.call(Method::POST, "/v1/apps/register", &operator, Some(order)).await.expect(201);
        TestTenant { id, key: app.json()["apiKey"].as_str().unwrap().to_owned() }
    }

    /// The operator suspends or resumes a tenant.
    pub async fn set_status(&self, tenant: &TestTenant, status: &str) {
        let path = format!("/v1/tenants/{}", tenant.id);
        self.call(Method::PATCH, &path, &self.operator_key(), Some(json!({ "status": status })))
            .await
            .expect(200);
    }

    /// A call of the API.
    pub async fn call(&self, method: Method, path: &str, key: &str, body: Option<Value>) -> Reply {
        let mut request = self.http.request(method, format!("{}{path}", self.gateway()));
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        Reply::of(request.send().await.unwrap()).await
    }

    pub async fn get(&self, path: &str, key: &str) -> Reply {
        self.call(Method::GET, path, key, None).await
    }

    pub async fn post(&self, path: &str, key: &str) -> Reply {
        self.call(Method::POST, path, key, None).await
    }

    /// A connect link's path and query.
    pub async fn mint(&self, tenant: &TestTenant) -> String {
        let reply = self.post("/v1/rc/connect-token", &tenant.key).await.expect(200);
        reply.json()["connectUrl"].as_str().unwrap().to_owned()
    }

    /// A user of the simulator's seed data, by index.
    pub fn user(&self, at: usize) -> Value {
        self.stack.info().rc["users"][at].clone()
    }

    /// Signs in at RingCentral as a user and consents. Returns path and query of the callback.
    pub async fn consent(&self, authorize: &Url, user: &Value) -> String {
        let query: BTreeMap<_, _> = authorize.query_pairs().into_owned().collect();
        let body = json!({
            "clientId": query["client_id"], "redirectUri": query["redirect_uri"], "state": query["state"],
            "codeChallenge": query["code_challenge"], "username": user["username"],
            "extension": user["extension"],
        });
        let answer = self.sim(Method::POST, "/_sim/authorize", Some(body)).await;
        let redirect = Url::parse(answer["redirect"].as_str().unwrap()).unwrap();
        format!("{}?{}", redirect.path(), redirect.query().unwrap())
    }

    /// A browser with no cookies.
    pub fn browser(&self) -> Browser<'_> {
        Browser { world: self, cookies: BTreeMap::new() }
    }

    /// Connects a user of the simulator to a tenant, in a new browser.
    pub async fn connect(&self, tenant: &TestTenant, user: &Value) -> Reply {
        let mut browser = self.browser();
        let link = self.mint(tenant).await;
        let callback = browser.sign_in(&link, user).await;
        browser.get(&callback).await
    }

    /// A control call of the simulator.
    pub async fn sim(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        self.control(self.stack.info().ringcentral(), method, path, body).await
    }

    /// A control call of the AWS endpoints.
    pub async fn aws(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        self.control(self.stack.info().aws(), method, path, body).await
    }

    async fn control(&self, base: &str, method: Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self.http.request(method, format!("{base}{path}"));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        Reply::of(request.send().await.unwrap()).await.expect(200).json()
    }

    /// Sets one fault of the simulator.
    pub async fn sim_fault(&self, path: &str, times: Option<u32>, act: Value) {
        let fault = json!([{ "match": { "path": path }, "times": times, "do": act }]);
        self.sim(Method::PUT, "/_sim/faults", Some(fault)).await;
    }

    /// Sets one fault of the AWS endpoints.
    pub async fn aws_fault(&self, matching: Value, skip: u32, times: Option<u32>, act: Value) {
        let fault = json!([{ "match": matching, "skip": skip, "times": times, "do": act }]);
        self.aws(Method::PUT, "/_aws/faults", Some(fault)).await;
    }

    pub async fn no_faults(&self) {
        self.sim(Method::DELETE, "/_sim/faults", None).await;
        self.aws(Method::DELETE, "/_aws/faults", None).await;
    }

    /// The ledger's entries of a kind.
    pub async fn ledger(&self, kind: &str) -> Vec<Value> {
        let ledger = self.sim(Method::GET, "/_sim/ledger", None).await;
        let entries = ledger["entries"].as_array().unwrap().iter();
        entries.filter(|entry| entry["kind"] == kind).cloned().collect()
    }

    /// The number of ledger entries of a kind.
    pub async fn count(&self, kind: &str) -> usize {
        self.ledger(kind).await.len()
    }

    /// Every log line of the functions.
    pub fn log(&self) -> Vec<String> {
        let lines = self.stack.logs().since(0);
        let lines = lines["lines"].as_array().unwrap().iter();
        lines.map(|line| line["line"].as_str().unwrap().to_owned()).collect()
    }

    /// Moves the clock of the whole stack, which fires due schedules.
    pub async fn advance(&self, seconds: i64) {
        let path = format!("{}/_local/clock", self.gateway());
        let request = self.http.post(path).header("content-type", "application/json");
        let reply =
            Reply::of(request.body(json!({ "advanceSeconds": seconds }).to_string()).send().await.unwrap());
        reply.await.expect(200);
    }

    /// Waits until no queue or stream has pending records and RingCentral has sent its notifications.
    pub async fn idle(&self) {
        let reply = self.http.post(format!("{}/_local/idle", self.gateway())).send().await.unwrap();
        Reply::of(reply).await.expect(200);
    }

    /// All items of a table, as DynamoDB's JSON.
    pub async fn items(&self, table: &str) -> Vec<Value> {
        let calls = self.scan(table).await;
        calls["Items"].as_array().cloned().unwrap_or_default()
    }

    async fn scan(&self, table: &str) -> Value {
        let name = self.table(table).await;
        self.dynamodb("Scan", &json!({ "TableName": name })).await
    }

    /// Puts an item into a table, as it is.
    pub async fn put_item(&self, table: &str, item: Value) {
        let name = self.table(table).await;
        self.dynamodb("PutItem", &json!({ "TableName": name, "Item": item })).await;
    }

    /// Puts many items into a table, as they are.
    pub async fn put_items(&self, table: &str, items: &[Value]) {
        let name = self.table(table).await;
        for items in items.chunks(25) {
            let puts: Vec<Value> =
                items.iter().map(|item| json!({ "PutRequest": { "Item": item } })).collect();
            let written = self.dynamodb("BatchWriteItem", &json!({ "RequestItems": { &name: puts } })).await;
            assert_eq!(written["UnprocessedItems"], json!({}), "all are written");
        }
    }

    /// The name of a table in the template.
    pub async fn table(&self, logical: &str) -> String {
        let tables = self.dynamodb("ListTables", &json!({})).await;
        let names = tables["TableNames"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
        names.into_iter().find(|name| name.contains(logical)).unwrap().to_owned()
    }

    /// Deletes the schedules of these functions, so that they do not interfere with a test.
    pub async fn without_schedules_of(&self, functions: &[&str]) {
        let schedules = self.aws(Method::GET, "/_aws/scheduler", None).await;
        for schedule in schedules["schedules"].as_array().unwrap() {
            let target = schedule["target"].as_str().unwrap();
            if functions.iter().any(|function| target.ends_with(function)) {
                let (name, group) = (schedule["name"].as_str().unwrap(), schedule["group"].as_str().unwrap());
                let url = format!("{}/schedules/{name}?groupName={group}", self.stack.info().aws());
                let request = self.http.delete(url).header("authorization", signature("scheduler"));
                Reply::of(request.send().await.unwrap()).await.expect(200);
            }
        }
    }

    /// Invokes a function as the operator and returns its response.
    pub async fn invoke(&self, function: &str, payload: &Value) -> Value {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.stack.info().aws());
        let request = self.http.post(url).header("authorization", signature("lambda"));
        Reply::of(request.body(payload.to_string()).send().await.unwrap()).await.expect(200).json()
    }

    /// An operation of SQS on a queue of the template.
    pub async fn sqs(&self, operation: &str, queue: &str, mut body: Value) -> Value {
        let aws = self.stack.info().aws();
        let queues = self.aws(Method::GET, "/_aws/sqs", None).await;
        let name = queues["queues"]
            .as_array()
            .unwrap()
            .iter()
            .find_map(|one| one["name"].as_str().filter(|name| name.ends_with(queue)))
            .unwrap_or_else(|| panic!("there is no queue {queue} in {queues}"))
            .to_owned();
        body["QueueUrl"] = json!(format!("{aws}/000000000000/{name}"));
        let request = self
            .http
            .post(aws)
            .header("x-amz-target", format!("AmazonSQS.{operation}"))
            .header("authorization", signature("sqs"))
            .header("content-type", "application/x-amz-json-1.0")
            .body(body.to_string());
        Reply::of(request.send().await.unwrap()).await.expect(200).json()
    }

    /// The current position of the call log.
    pub async fn calls_so_far(&self) -> u64 {
        self.aws(Method::GET, "/_aws/calls?since=999999999", None).await["next"].as_u64().unwrap()
    }

    /// The AWS calls since a position of the log.
    pub async fn calls_since(&self, position: u64) -> Vec<Value> {
        let log = self.aws(Method::GET, &format!("/_aws/calls?since={position}"), None).await;
        log["calls"].as_array().unwrap().clone()
    }

    /// The units of each key and second, from a second of the stack's clock on, the hottest first.
    pub async fn hot_keys(&self, since: i64) -> Vec<Value> {
        let hot = self.aws(Method::GET, &format!("/_aws/hot?since={since}"), None).await;
        hot["keys"].as_array().unwrap().clone()
    }

    /// A table of the keys that consumed the most units in a second.
    pub async fn hottest_keys(&self) -> String {
        let row = |key: &Value| {
            let text = |name: &str| key[name].as_str().unwrap_or("").to_owned();
            let place = [text("table"), text("index")].join(" ");
            let (write, read) = (&key["writeUnits"], &key["readUnits"]);
            format!("| {} | {} | {write} | {read} |", place.trim(), text("key"))
        };
        let title = "| table and index | hottest keys | write units in a second | read units |\n| --- | --- | --- | --- |";
        let rows = self.hot_keys(0).await.iter().take(5).map(row).collect::<Vec<_>>();
        format!("\n{title}\n{}", rows.join("\n"))
    }

    /// An operation of KMS, with the role of a function.
    pub async fn kms(&self, role: &str, operation: &str, body: &Value) -> Reply {
        let request = self
            .http
            .post(self.stack.info().aws())
            .header("x-amz-target", format!("TrentService.{operation}"))
            .header("authorization", signature_of(&format!("ASIALOCAL.{role}"), "kms"))
            .header("content-type", "application/x-amz-json-1.1")
            .body(body.to_string());
        Reply::of(request.send().await.unwrap()).await
    }

    /// An operation of DynamoDB.
    pub async fn dynamodb(&self, operation: &str, body: &Value) -> Value {
        self.operation("dynamodb", &format!("DynamoDB_20120810.{operation}"), body).await
    }

    /// An operation of DynamoDB, with the role of a function.
    pub async fn dynamodb_as(&self, role: &str, operation: &str, body: &Value) -> Reply {
        let request = self
            .http
            .post(self.stack.info().aws())
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .header("authorization", signature_of(&format!("ASIALOCAL.{role}"), "dynamodb"))
            .header("content-type", "application/x-amz-json-1.0")
            .body(body.to_string());
        Reply::of(request.send().await.unwrap()).await
    }

    /// An operation of Secrets Manager.
    pub async fn secrets(&self, operation: &str, body: &Value) -> Value {
        self.operation("secretsmanager", &format!("secretsmanager.{operation}"), body).await
    }

    /// The query of the webhook URL of a connection, as the stack makes it.
    pub async fn event_query(&self, tenant: &str, connection: &str) -> String {
        let secret =
            self.secrets("GetSecretValue", &json!({ "SecretId": "ringbridge-local/event-tag-key" })).await;
        let key = Secret::new(secret["SecretString"].as_str().unwrap());
        let (tenant, connection) = (TenantId::from_record(tenant), ConnectionId::from_record(connection));
        format!("?c={}", EventRoute::new(&tenant.unwrap(), &connection.unwrap(), &key))
    }

    async fn operation(&self, service: &str, target: &str, body: &Value) -> Value {
        let request = self
            .http
            .post(self.stack.info().aws())
            .header("x-amz-target", target)
            .header("authorization", signature(service))
            .header("content-type", "application/x-amz-json-1.0")
            .body(body.to_string());
        Reply::of(request.send().await.unwrap()).await.expect(200).json()
    }
}

/// Longer than the lifetime of an access token.
pub const HOUR: i64 = 3_700;

/// The current time of the stack.
pub async fn now(world: &World) -> Timestamp {
    let clock = world.sim(Method::GET, "/_sim/clock", None).await;
    clock["now"].as_str().unwrap().parse().unwrap()
}

/// Sends a request that needs a valid access token.
pub async fn use_token(world: &World, tenant: &TestTenant) -> Reply {
    world.post("/v1/rc/numbers/refresh", &tenant.key).await
}

/// A tenant's first extension, as the API shows it.
pub async fn extension(world: &World, tenant: &TestTenant) -> Value {
    world.get("/v1/rc/extensions", &tenant.key).await.expect(200).json()["extensions"][0].clone()
}

/// An attribute of the first connection; empty if it is absent.
pub async fn attribute(world: &World, name: &str) -> String {
    let rows = world.items("ConnectionsTable").await;
    let row = rows.iter().find(|row| row["item"]["S"].as_str().unwrap().starts_with("connection#")).unwrap();
    let value = &row[name];
    value["N"].as_str().or(value["S"].as_str()).unwrap_or_default().to_owned()
}

/// The generation of the first connection's tokens.
pub async fn generation(world: &World) -> u64 {
    attribute(world, "generation").await.parse().unwrap()
}

/// A signature of the operator. The local stack does not verify it.
pub fn signature(service: &str) -> String {
    signature_of("operator", service)
}

/// A signature with this key id, which is all that the local stack reads.
fn signature_of(access_key_id: &str, service: &str) -> String {
    let credential = format!("Credential={access_key_id}/20300101/us-east-1/{service}/aws4_request");
    format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0")
}

/// A minimal browser: it stores cookies and sends Origin headers.
pub struct Browser<'a> {
    world: &'a World,
    pub cookies: BTreeMap<String, String>,
}

impl Browser<'_> {
    pub async fn get(&mut self, path: &str) -> Reply {
        self.send(Method::GET, path, None, &[]).await
    }

    /// Presses the button on a link's page.
    pub async fn press(&mut self, link: &str) -> Reply {
        let origin = self.world.gateway().to_owned();
        self.press_with(link, &[("origin", &origin)]).await
    }

    /// Presses the button with other headers than those of a browser.
    pub async fn press_with(&mut self, link: &str, headers: &[(&str, &str)]) -> Reply {
        let token = link.split("token=").nth(1).unwrap_or_default();
        let form = format!("token={token}");
        self.send(Method::POST, "/v1/rc/connect", Some(form), headers).await
    }

    /// Presses the button and signs in. Returns the callback that RingCentral redirects to.
    pub async fn sign_in(&mut self, link: &str, user: &Value) -> String {
        let authorize = self.start_authorization(link).await;
        self.world.consent(&authorize, user).await
    }

    /// Presses the button. Returns RingCentral's authorization URL.
    pub async fn start_authorization(&mut self, link: &str) -> Url {
        let reply = self.press(link).await.expect(303);
        Url::parse(reply.header("location")).unwrap()
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        form: Option<String>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let mut request = self.world.http.request(method, format!("{}{path}", self.world.gateway()));
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", pairs.join("; "));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(form) = form {
            request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        }
        let reply = Reply::of(request.send().await.unwrap()).await;
        for line in reply.cookies() {
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        reply
    }
}
