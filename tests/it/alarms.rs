//! The alarms of `infra/alarms.yaml`: each rings when what it is for happens, none rings while everything works, and together with
//! the custom metrics of an idle stack they cost at most three dollars a month.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{function_folders, read, root};
use crate::template::{mapping, resources, routes_with_functions};
use crate::world::{Reply, TestTenant, World, attribute, now};

/// List prices of CloudWatch in us-east-1, in cents a month. A metric of an alarm costs the same in an alarm with metric math. A
/// custom metric is charged for each hour in which it has a value.
const CENTS_PER_ALARM_METRIC: usize = 10;
const CENTS_PER_CUSTOM_METRIC: usize = 30;
const BUDGET_CENTS: usize = 300;

/// Functions that call no AWS service.
const WITHOUT_CALLS: [&str; 5] =
    ["get-health", "reject-unknown-route", "show-connected-page", "show-docs", "show-openapi"];

async fn alarms(world: &World) -> Vec<Value> {
    world.aws(Method::GET, "/_aws/alarms", None).await["alarms"].as_array().unwrap().clone()
}

/// The names of the alarms that ring.
async fn ringing(world: &World) -> Vec<String> {
    let alarms = alarms(world).await.into_iter().filter(|alarm| alarm["state"] == "ALARM");
    alarms.map(|alarm| alarm["name"].as_str().unwrap().replace("ringbridge-local-", "")).collect()
}

async fn minutes(world: &World, count: usize) {
    for _ in 0..count {
        world.advance(60).await;
    }
}

fn alarm_template() -> serde_yaml_ng::Value {
    serde_yaml_ng::from_str(&read(&root().join("infra/alarms.yaml"))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_alarm_rings_while_everything_works_and_all_cost_three_dollars_a_month_at_most() {
    let world = World::start().await;
    world.connect(&world.tenant(), &world.user(0)).await.expect(303);
    for _ in 0..13 {
        world.advance(300).await;
        assert_eq!(ringing(&world).await, Vec::<String>::new(), "{:?}", alarms(&world).await);
    }
    let template = alarm_template();
    let metrics_of = |alarm: &serde_yaml_ng::Value| match &alarm["Properties"]["Metrics"] {
        serde_yaml_ng::Value::Sequence(series) => {
            series.iter().filter(|one| one.get("MetricStat").is_some()).count()
        }
        _ => 1,
    };
    let alarm_metrics: usize =
        resources(&template, "AWS::CloudWatch::Alarm").iter().map(|(_, alarm)| metrics_of(alarm)).sum();
    let metrics = world.aws(Method::GET, "/_aws/metrics", None).await["metrics"].as_array().unwrap().clone();
    let custom: Vec<_> =
        metrics.iter().filter(|one| !one["namespace"].as_str().unwrap().starts_with("AWS/")).collect();
    let cents = alarm_metrics * CENTS_PER_ALARM_METRIC + custom.len() * CENTS_PER_CUSTOM_METRIC;
    assert!(cents <= BUDGET_CENTS, "{alarm_metrics} metrics of alarms and {custom:?} cost {cents} cents");
    let guide = read(&root().join("docs/deploying.md"));
    let said = format!("{alarm_metrics} metrics of alarms");
    assert!(guide.contains(&said), "docs/deploying.md does not say: {said}");
}

#[test]
fn the_deployment_guide_lists_the_alarms_and_each_says_what_it_means_and_what_to_do_first() {
    let (template, guide) = (alarm_template(), read(&root().join("docs/deploying.md")));
    for (id, alarm) in resources(&template, "AWS::CloudWatch::Alarm") {
        let properties = &alarm["Properties"];
        let name = match &properties["AlarmName"] {
            serde_yaml_ng::Value::Tagged(name) => name.value.as_str().unwrap().replace("${Stack}", "<stack>"),
            other => panic!("{other:?}"),
        };
        assert!(guide.contains(&format!("| `{name}` |")), "docs/deploying.md does not list {name}");
        let description = properties["AlarmDescription"].as_str().unwrap();
        assert!(description.contains(" First: ") && description.len() <= 1_024, "{id}");
        assert_eq!(properties["AlarmActions"].as_sequence().unwrap().len(), 1, "{id}");
    }
    let root = crate::template::template();
    let passed = mapping(&root["Resources"]["Alarms"]["Properties"]["Parameters"]);
    let passed: BTreeSet<&str> = passed.iter().map(|(name, _)| name.as_str().unwrap()).collect();
    let taken = mapping(&template["Parameters"]);
    assert_eq!(passed, taken.iter().map(|(name, _)| name.as_str().unwrap()).collect());
    for (id, _) in resources(&root, "AWS::SQS::Queue") {
        assert!(passed.contains(id), "no alarm measures {id}");
    }
}

/// What invokes each function, prepared while everything works.
struct Triggers {
    link: String,
    callback: String,
    started: Vec<(String, String)>,
    event: String,
    unsubscribe: String,
}

impl Triggers {
    async fn prepare(world: &World, tenant: &TestTenant) -> Self {
        world.connect(tenant, &world.user(0)).await.expect(303);
        let connection = world.items("ConnectionsTable").await.into_iter();
        let mut ids = connection
            .filter_map(|row| Some(row["item"]["S"].as_str()?.strip_prefix("connection#")?.to_owned()));
        let event = world.event_query(&tenant.id, &ids.next().unwrap()).await;
        let flow = json!({ "callbackUrl": "https://example.com/flow" });
        let path = "/v1/triggers/sms-received/subscribe";
        let flow = world.call(Method::POST, path, &tenant.key, Some(flow)).await.expect(201);
        let unsubscribe = url::Url::parse(flow.header("location")).unwrap();
        let unsubscribe = format!("{}?{}", unsubscribe.path(), unsubscribe.query().unwrap_or_default());
        let link = world.mint(tenant).await;
        let mut browser = world.browser();
        let callback = browser.sign_in(&link, &world.user(1)).await;
        let started = browser.cookies.into_iter().collect();
        Self { link: world.mint(tenant).await, callback, started, event, unsubscribe }
    }

    /// Calls a route as a client would.
    async fn call(&self, world: &World, route: &str, key: &str) -> Reply {
        let (method, path) = route.split_once(' ').unwrap();
        let token = self.link.split("token=").nth(1).unwrap();
        // Paths of routes that take no key.
        let public = match route {
            "GET /v1/rc/connect" | "HEAD /v1/rc/connect" => Some(self.link.clone()),
            "POST /v1/rc/connect" => Some(path.to_owned()),
            "GET /v1/rc/callback" => Some(self.callback.clone()),
            "POST /v1/webhooks/ringcentral" => Some(format!("{path}{}", self.event)),
            "DELETE /v1/triggers/sms-received/subscribe/{id}" => Some(self.unsubscribe.clone()),
            _ => None,
        };
        let at = public.clone().unwrap_or_else(|| {
            path.replace("{tenantId}", "tenant_0123456789abcdef")
                .replace("{appId}", "app_0123456789abcdef")
                .replace("{keyId}", "key_0123456789abcdef")
                .replace("{messageId}", "msg_0123456789ab0123456789abcdef")
                .replace("{mediaId}", "media_0123456789abcdef")
                .replace("{extensionId}", "101")
        });
        let mut request = world.http.request(method.parse().unwrap(), format!("{}{at}", world.gateway()));
        if public.is_none() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let cookies: Vec<String> =
            self.started.iter().map(|(name, value)| format!("{name}={value}")).collect();
        request = request.header("cookie", cookies.join("; "));
        request = match route {
            "POST /v1/webhooks/ringcentral" => request
                .header("content-type", "application/json")
                .header("verification-token", "any")
                .body("{}"),
            "POST /v1/rc/connect" => request
                .header("content-type", "application/x-www-form-urlencoded")
                .header("origin", world.gateway())
                .body(format!("token={token}")),
            _ if ["POST", "PUT", "PATCH"].contains(&method) => {
                request.header("content-type", "application/json").body("{}")
            }
            _ => request,
        };
        Reply::of(request.send().await.unwrap()).await
    }
}

/// The functions that wrote a line which the alarm for failures counts, since a position of the log.
fn failed_since(world: &World, since: u64) -> BTreeSet<String> {
    let log = world.stack.logs().since(since);
    let lines = log["lines"].as_array().unwrap().iter();
    let failed = lines.filter(|line| {
        let text = line["line"].as_str().unwrap();
        let fields: Value = serde_json::from_str(text).unwrap_or_default();
        fields["level"] == "ERROR" || fields["alarm"] == "failure" || text.starts_with("invocation failed")
    });
    failed.map(|line| line["function"].as_str().unwrap().to_owned()).collect()
}

/// Every function fails for five minutes, in each of which it is called once.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_whose_aws_calls_all_fail_for_five_minutes_rings_the_alarm_for_failures() {
    let world = World::start().await;
    let tenant = world.tenant();
    let triggers = Triggers::prepare(&world, &tenant).await;
    minutes(&world, 1).await;
    assert_eq!(ringing(&world).await, Vec::<String>::new());

    let functions: BTreeSet<String> =
        function_folders().into_iter().filter(|name| !WITHOUT_CALLS.contains(&name.as_str())).collect();
    let down = |function: &String| json!({ "match": { "function": function }, "do": { "error": "AccessDeniedException", "status": 400 } });
    let faults: Vec<Value> = functions.iter().map(down).collect();
    world.aws(Method::PUT, "/_aws/faults", Some(json!(faults))).await;
    let routes = routes_with_functions();
    let operator = world.operator_key();
    for minute in 1..=5 {
        let since = world.stack.logs().since(u64::MAX)["next"].as_u64().unwrap();
        let calls = routes.iter().filter(|(_, function)| functions.contains(*function));
        for calls in calls.collect::<Vec<_>>().chunks(6) {
            join_all(calls.iter().map(|(route, _)| async {
                let for_operator =
                    ["/v1/tenants", "/v1/quarantine", "/v1/checks", "/v1/audit", "/v1/apps/register"];
                let key = if for_operator.iter().any(|path| route.contains(path)) {
                    &operator
                } else {
                    &tenant.key
                };
                triggers.call(&world, route, key).await
            }))
            .await;
        }
        let unrouted = functions.iter().filter(|name| !routes.values().any(|function| function == *name));
        for function in unrouted {
            let event = read(&root().join(format!("infra/local/events/{function}.json")));
            world.invoke(function, &serde_json::from_str(&event).unwrap()).await;
        }
        let failed = failed_since(&world, since);
        let silent: Vec<&String> = functions.difference(&failed).collect();
        assert!(silent.is_empty(), "minute {minute}: these failed without a line for the alarm: {silent:?}");
        minutes(&world, 1).await;
    }
    let rings = ringing(&world).await;
    assert!(rings.contains(&"failures".to_owned()) && rings.contains(&"api-errors".to_owned()), "{rings:?}");
}

/// One function fails, and the alarm ends when it works again.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_function_that_fails_rings_the_alarm_until_it_works_again() {
    let world = World::start().await;
    minutes(&world, 1).await;
    let denied = json!({ "error": "AccessDeniedException", "status": 400 });
    world.aws_fault(json!({ "function": "sync-messages" }), 0, None, denied).await;
    minutes(&world, 5).await;
    assert_eq!(ringing(&world).await, ["failures"]);
    let alarm = alarms(&world).await.into_iter().find(|alarm| alarm["state"] == "ALARM").unwrap();
    assert!(alarm["since"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert!(alarm["reason"].as_str().unwrap().contains("at least 1"), "{alarm}");
    world.no_faults().await;
    minutes(&world, 11).await;
    assert_eq!(ringing(&world).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_not_sent_ring_the_alarm_for_sending() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.connect(&tenant, &world.user(0)).await.expect(303);
    let denied = json!({ "error": "AccessDeniedException", "status": 400 });
    world.aws_fault(json!({ "function": "deliver-sms" }), 0, None, denied).await;
    let send = json!({ "to": "+16505550111", "from": world.user(0)["numbers"][0], "body": "late" });
    world.call(Method::POST, "/v1/sms/send", &tenant.key, Some(send)).await.expect(202);
    minutes(&world, 9).await;
    assert!(!ringing(&world).await.contains(&"sending".to_owned()));
    minutes(&world, 5).await;
    assert!(ringing(&world).await.contains(&"sending".to_owned()), "{:?}", alarms(&world).await);
    world.no_faults().await;
    minutes(&world, 20).await;
    assert!(!ringing(&world).await.contains(&"sending".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_dead_letters_and_a_sweep_that_does_not_run_ring() {
    let world = World::start().await;
    world.advance(300).await;
    world.without_schedules_of(&["sweep"]).await;
    let slow = json!({ "error": "AccessDeniedException", "status": 400 });
    world.aws_fault(json!({ "function": "deliver-sms" }), 0, None, slow).await;
    let wakeup = json!({ "tenantId": world.tenant().id, "extensionId": "101" }).to_string();
    world.sqs("SendMessage", "DeliverSmsQueue", json!({ "MessageBody": wakeup })).await;
    world.sqs("SendMessage", "EventsDeadLetters", json!({ "MessageBody": "{}" })).await;
    for _ in 0..7 {
        world.advance(300).await;
    }
    let rings = ringing(&world).await;
    for name in ["dead-letters", "queues", "sweep"] {
        assert!(rings.contains(&name.to_owned()), "{name}: {rings:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_refreshed_ring() {
    let world = World::start().await;
    world.connect(&world.tenant(), &world.user(0)).await.expect(303);
    let denied = json!({ "error": "AccessDeniedException", "status": 400 });
    world.aws_fault(json!({ "function": "refresh-tokens" }), 0, None, denied).await;
    // Of the seven days, more than two are left.
    world.advance(4 * 86_400).await;
    world.advance(300).await;
    world.advance(300).await;
    assert!(!ringing(&world).await.contains(&"tokens".to_owned()));
    world.advance(86_400 + 7_200).await;
    world.advance(300).await;
    world.advance(300).await;
    assert!(ringing(&world).await.contains(&"tokens".to_owned()), "{:?}", alarms(&world).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_that_cannot_be_created_again_ring_after_an_hour() {
    let world = World::start().await;
    world.connect(&world.tenant(), &world.user(0)).await.expect(303);
    let id = attribute(&world, "subscription").await;
    world.sim(Method::POST, &format!("/_sim/subscriptions/{id}/expire"), None).await;
    let fault = json!([{ "match": { "method": "POST", "path": "/subscription" }, "do": { "status": 503 } }]);
    world.sim(Method::PUT, "/_sim/faults", Some(fault)).await;
    // The time of the check varies by connection.
    let check: i64 = attribute(&world, "renewal_due").await.parse().unwrap();
    world.advance(check / 1_000 - now(&world).await.as_second() + 120).await;
    assert_eq!(attribute(&world, "subscription_status").await, "Expired");
    for _ in 0..10 {
        world.advance(300).await;
        assert!(!ringing(&world).await.contains(&"subscriptions".to_owned()), "{:?}", alarms(&world).await);
    }
    for _ in 0..4 {
        world.advance(300).await;
    }
    assert!(ringing(&world).await.contains(&"subscriptions".to_owned()), "{:?}", alarms(&world).await);
}
