//! The behaviours of AWS that the gateway relies on, as one list of checks. Our engines keep all of them; other
//! emulators run the same list, and what differs there is written down here and held to it.

use crate::world::{World, options};
use local::{Options, Stack};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// An engine under test.
struct Engine {
    url: String,
    client: reqwest::Client,
}

/// What a check found wrong.
type Outcome = Result<(), String>;

/// What ministack 1.5 does differently.
const MINISTACK_DIFFERS: &[&str] = &[
    "kms: a ciphertext that was changed is refused",
    // It has no RotateKeyOnDemand.
    "kms: what was sealed before a rotation opens",
    "scheduler: bad expressions are refused",
    // It takes any delay.
    "sqs: a batch reports each entry",
];

/// What moto 5.2 does differently.
const MOTO_DIFFERS: &[&str] = &[
    // It looks at the state of a key only where the request names the key.
    "kms: a disabled key refuses",
    "scheduler: bad expressions are refused",
];

impl Engine {
    fn new(url: &str) -> Self {
        Self { url: url.to_owned(), client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// Calls an operation; the answer with its status.
    async fn call(&self, target: &str, input: &Value) -> (u16, Value) {
        let service = match target.split('.').next().unwrap() {
            "TrentService" => "kms",
            "AmazonSQS" => "sqs",
            _ => "dynamodb",
        };
        let version = if service == "kms" { "1.1" } else { "1.0" };
        let request = self.client.post(format!("{}/", self.url)).header("x-amz-target", target);
        let request = request.header("content-type", format!("application/x-amz-json-{version}"));
        self.finish(request, service, input).await
    }

    async fn schedule(&self, name: &str, expression: &str) -> u16 {
        let input = json!({
            "ScheduleExpression": expression,
            "FlexibleTimeWindow": { "Mode": "OFF" },
            "Target": { "Arn": "arn:aws:sqs:us-east-1:000000000000:none", "RoleArn": "arn:aws:iam::000000000000:role/x" },
        });
        let request = self.client.post(format!("{}/schedules/{name}", self.url));
        self.finish(request.header("content-type", "application/json"), "scheduler", &input).await.0
    }

    async fn finish(&self, request: reqwest::RequestBuilder, service: &str, input: &Value) -> (u16, Value) {
        let credential = format!("Credential=test/20260101/us-east-1/{service}/aws4_request");
        let response = request
            .header("x-amz-date", "20260101T000000Z")
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=x"),
            )
            .body(input.to_string())
            .send()
            .await
            .unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }

    async fn ok(&self, target: &str, input: &Value) -> Result<Value, String> {
        match self.call(target, input).await {
            (200, answer) => Ok(answer),
            (status, answer) => Err(format!("{target} answered {status}: {answer}")),
        }
    }

    async fn table(&self, name: &str) -> Result<(), String> {
        let input = json!({
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                { "AttributeName": "tenant", "AttributeType": "S" },
                { "AttributeName": "item", "AttributeType": "S" },
            ],
            "KeySchema": [
                { "AttributeName": "tenant", "KeyType": "HASH" },
                { "AttributeName": "item", "KeyType": "RANGE" },
            ],
        });
        self.ok("DynamoDB_20120810.CreateTable", &input).await.map(|_| ())
    }

    async fn queue(&self, name: &str, attributes: Value) -> Result<String, String> {
        let input = json!({ "QueueName": name, "Attributes": attributes });
        let answer = self.ok("AmazonSQS.CreateQueue", &input).await?;
        Ok(answer["QueueUrl"].as_str().unwrap_or_default().to_owned())
    }
}

fn code(answer: &Value) -> &str {
    answer["__type"].as_str().unwrap_or_default().rsplit('#').next().unwrap_or_default()
}

#[expect(clippy::needless_pass_by_value, reason = "it reads like assert_eq")]
fn equal<T: PartialEq + std::fmt::Debug>(seen: T, expected: T) -> Outcome {
    if seen == expected { Ok(()) } else { Err(format!("{seen:?} instead of {expected:?}")) }
}

fn key(item: &str) -> Value {
    json!({ "tenant": { "S": "acme" }, "item": { "S": item } })
}

fn put_new(table: &str, item: &str) -> Value {
    json!({
        "TableName": table,
        "Item": key(item),
        "ConditionExpression": "attribute_not_exists(#t)",
        "ExpressionAttributeNames": { "#t": "tenant" },
    })
}

async fn conditional_write(engine: &Engine) -> Outcome {
    engine.table("conditional").await?;
    let mut put = put_new("conditional", "1");
    engine.ok("DynamoDB_20120810.PutItem", &put).await?;
    put["ReturnValuesOnConditionCheckFailure"] = json!("ALL_OLD");
    let (status, answer) = engine.call("DynamoDB_20120810.PutItem", &put).await;
    equal((status, code(&answer)), (400, "ConditionalCheckFailedException"))?;
    equal(answer["Item"]["item"]["S"].as_str(), Some("1"))
}

async fn old_values(engine: &Engine) -> Outcome {
    engine.table("old").await?;
    engine.ok("DynamoDB_20120810.PutItem", &put_new("old", "1")).await?;
    let delete = json!({ "TableName": "old", "Key": key("1"), "ReturnValues": "ALL_OLD" });
    equal(
        engine.ok("DynamoDB_20120810.DeleteItem", &delete).await?["Attributes"]["item"]["S"].as_str(),
        Some("1"),
    )?;
    equal(engine.ok("DynamoDB_20120810.DeleteItem", &delete).await?.get("Attributes"), None)
}

async fn cancellation_reasons(engine: &Engine) -> Outcome {
    engine.table("transactions").await?;
    engine.ok("DynamoDB_20120810.PutItem", &put_new("transactions", "there")).await?;
    let items =
        json!([{ "Put": put_new("transactions", "new") }, { "Put": put_new("transactions", "there") }]);
    let input = json!({ "TransactItems": items });
    let (_, answer) = engine.call("DynamoDB_20120810.TransactWriteItems", &input).await;
    equal(code(&answer), "TransactionCanceledException")?;
    let reasons = answer["CancellationReasons"].as_array().cloned().unwrap_or_default();
    let codes: Vec<&str> = reasons.iter().filter_map(|reason| reason["Code"].as_str()).collect();
    equal(codes, vec!["None", "ConditionalCheckFailed"])?;
    let get = json!({ "TableName": "transactions", "Key": key("new") });
    equal(engine.ok("DynamoDB_20120810.GetItem", &get).await?.get("Item"), None)
}

async fn counters_and_numbers(engine: &Engine) -> Outcome {
    engine.table("counters").await?;
    let update = json!({
        "TableName": "counters",
        "Key": key("1"),
        "UpdateExpression": "ADD #n :one SET #g = if_not_exists(#g, :zero) + :one",
        "ExpressionAttributeNames": { "#n": "count", "#g": "generation" },
        "ExpressionAttributeValues": { ":one": { "N": "1" }, ":zero": { "N": "0" } },
        "ReturnValues": "ALL_NEW",
    });
    engine.ok("DynamoDB_20120810.UpdateItem", &update).await?;
    let answer = engine.ok("DynamoDB_20120810.UpdateItem", &update).await?;
    equal(answer["Attributes"]["count"]["N"].as_str(), Some("2"))?;
    equal(answer["Attributes"]["generation"]["N"].as_str(), Some("2"))
}

async fn ttl_is_kept(engine: &Engine) -> Outcome {
    engine.table("expiring").await?;
    let setting = json!({ "AttributeName": "ttl", "Enabled": true });
    let input = json!({ "TableName": "expiring", "TimeToLiveSpecification": setting });
    engine.ok("DynamoDB_20120810.UpdateTimeToLive", &input).await?;
    let answer =
        engine.ok("DynamoDB_20120810.DescribeTimeToLive", &json!({ "TableName": "expiring" })).await?;
    equal(answer["TimeToLiveDescription"]["AttributeName"].as_str(), Some("ttl"))?;
    // Until it is deleted, an expired item is still there: every read must look at the expiry itself.
    let mut item = key("old");
    item["ttl"] = json!({ "N": "1000000000" });
    engine.ok("DynamoDB_20120810.PutItem", &json!({ "TableName": "expiring", "Item": item })).await?;
    let get = json!({ "TableName": "expiring", "Key": key("old") });
    equal(
        engine.ok("DynamoDB_20120810.GetItem", &get).await?["Item"]["ttl"]["N"].as_str(),
        Some("1000000000"),
    )
}

async fn data_key(engine: &Engine) -> Result<Value, String> {
    let made = engine.ok("TrentService.CreateKey", &json!({})).await?;
    let input = json!({
        "KeyId": made["KeyMetadata"]["KeyId"],
        "KeySpec": "AES_256",
        "EncryptionContext": { "purpose": "access", "tenant": "t1" },
    });
    engine.ok("TrentService.GenerateDataKey", &input).await
}

fn decrypt(blob: &Value, purpose: &str) -> Value {
    json!({ "CiphertextBlob": blob, "EncryptionContext": { "tenant": "t1", "purpose": purpose } })
}

async fn kms_round_trip(engine: &Engine) -> Outcome {
    let made = data_key(engine).await?;
    let opened = engine.ok("TrentService.Decrypt", &decrypt(&made["CiphertextBlob"], "access")).await?;
    equal(&opened["Plaintext"], &made["Plaintext"])
}

async fn kms_context(engine: &Engine) -> Outcome {
    let made = data_key(engine).await?;
    let (_, answer) = engine.call("TrentService.Decrypt", &decrypt(&made["CiphertextBlob"], "refresh")).await;
    equal(code(&answer), "InvalidCiphertextException")
}

async fn kms_tampering(engine: &Engine) -> Outcome {
    let made = data_key(engine).await?;
    let blob = made["CiphertextBlob"].as_str().unwrap_or_default();
    // Ten characters from the end are inside the sealed part of every engine's format.
    let at = blob.len() - 10;
    let other = if &blob[at..=at] == "A" { "B" } else { "A" };
    let changed = json!(format!("{}{other}{}", &blob[..at], &blob[at + 1..]));
    let (_, answer) = engine.call("TrentService.Decrypt", &decrypt(&changed, "access")).await;
    equal(code(&answer), "InvalidCiphertextException")
}

async fn kms_disabled(engine: &Engine) -> Outcome {
    let made = data_key(engine).await?;
    // The id, not the ARN: moto knows no better here.
    let id = made["KeyId"].as_str().and_then(|arn| arn.rsplit('/').next());
    engine.ok("TrentService.DisableKey", &json!({ "KeyId": id })).await?;
    let (_, answer) = engine.call("TrentService.Decrypt", &decrypt(&made["CiphertextBlob"], "access")).await;
    equal(code(&answer), "DisabledException")?;
    engine.ok("TrentService.EnableKey", &json!({ "KeyId": id })).await?;
    engine.ok("TrentService.Decrypt", &decrypt(&made["CiphertextBlob"], "access")).await.map(|_| ())
}

async fn kms_rotation(engine: &Engine) -> Outcome {
    let made = data_key(engine).await?;
    engine.ok("TrentService.RotateKeyOnDemand", &json!({ "KeyId": made["KeyId"] })).await?;
    let opened = engine.ok("TrentService.Decrypt", &decrypt(&made["CiphertextBlob"], "access")).await?;
    equal(&opened["Plaintext"], &made["Plaintext"])
}

async fn sqs_redrive(engine: &Engine) -> Outcome {
    let dead = engine.queue("dead", json!({})).await?;
    let asked = json!({ "QueueUrl": dead, "AttributeNames": ["QueueArn"] });
    let arn = engine.ok("AmazonSQS.GetQueueAttributes", &asked).await?["Attributes"]["QueueArn"].clone();
    let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 2 }).to_string();
    let jobs = engine.queue("jobs", json!({ "RedrivePolicy": policy, "VisibilityTimeout": "0" })).await?;
    engine.ok("AmazonSQS.SendMessage", &json!({ "QueueUrl": jobs, "MessageBody": "x" })).await?;
    let receive = |queue: &str| json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10 });
    let count = |answer: &Value| answer["Messages"].as_array().map_or(0, Vec::len);
    for expected in [1, 1, 0] {
        let answer = engine.ok("AmazonSQS.ReceiveMessage", &receive(&jobs)).await?;
        equal(count(&answer), expected)?;
    }
    equal(count(&engine.ok("AmazonSQS.ReceiveMessage", &receive(&dead)).await?), 1)
}

async fn sqs_partial_batch(engine: &Engine) -> Outcome {
    let queue = engine.queue("partial", json!({})).await?;
    let entries = json!([
        { "Id": "good", "MessageBody": "x" },
        { "Id": "bad", "MessageBody": "x", "DelaySeconds": 100_000 },
    ]);
    let answer =
        engine.ok("AmazonSQS.SendMessageBatch", &json!({ "QueueUrl": queue, "Entries": entries })).await?;
    equal(answer["Successful"][0]["Id"].as_str(), Some("good"))?;
    equal(answer["Failed"][0]["Id"].as_str(), Some("bad"))
}

async fn schedule_expressions(engine: &Engine) -> Outcome {
    for (name, good) in
        [("s1", "rate(5 minutes)"), ("s2", "cron(0 8 * * ? *)"), ("s3", "at(2099-01-01T00:00:00)")]
    {
        equal(engine.schedule(name, good).await, 200).map_err(|error| format!("{good}: {error}"))?;
    }
    Ok(())
}

async fn bad_schedule_expressions(engine: &Engine) -> Outcome {
    for bad in ["at(nonsense)", "rate(0 minutes)", "cron(0 8 * * * *)", "whenever"] {
        equal(engine.schedule("bad", bad).await, 400).map_err(|error| format!("{bad}: {error}"))?;
    }
    Ok(())
}

/// Runs every check; the names of those that failed, each with its reason.
async fn run(engine: &Engine) -> Vec<(&'static str, String)> {
    let mut failed = Vec::new();
    macro_rules! check {
        ($name:literal, $check:ident) => {
            if let Err(error) = $check(engine).await {
                failed.push(($name, error));
            }
        };
    }
    check!("dynamodb: a failed condition shows the item", conditional_write);
    check!("dynamodb: deleting answers the old item once", old_values);
    check!("dynamodb: a cancelled transaction gives its reasons in order", cancellation_reasons);
    check!("dynamodb: counters add up", counters_and_numbers);
    check!("dynamodb: an expired item is there until TTL deletes it", ttl_is_kept);
    check!("kms: a data key opens again", kms_round_trip);
    check!("kms: a ciphertext of another context is refused", kms_context);
    check!("kms: a ciphertext that was changed is refused", kms_tampering);
    check!("kms: a disabled key refuses", kms_disabled);
    check!("kms: what was sealed before a rotation opens", kms_rotation);
    check!("sqs: a message received too often goes to the dead-letter queue", sqs_redrive);
    check!("sqs: a batch reports each entry", sqs_partial_batch);
    check!("scheduler: good expressions are accepted", schedule_expressions);
    check!("scheduler: bad expressions are refused", bad_schedule_expressions);
    failed
}

#[tokio::test]
async fn our_engines_keep_the_contract() {
    let world = World::start().await;
    assert_eq!(run(&Engine::new(world.stack.info().aws())).await, []);
}

#[tokio::test]
async fn ministack_keeps_the_contract_but_for_what_is_written_here() {
    compare("ministack", &[], MINISTACK_DIFFERS).await;
}

#[tokio::test]
async fn moto_keeps_the_contract_but_for_what_is_written_here() {
    compare("moto_server", &["-p"], MOTO_DIFFERS).await;
}

/// A stack whose DynamoDB and KMS are another engine's.
#[tokio::test]
async fn the_stack_runs_on_another_engine() {
    let Some((_child, engine)) = start("moto_server", &["-p"]).await else { return };
    let world = World::with(Options { endpoint_url: Some(engine.url.clone()), ..options() }).await;
    let get = json!({ "TableName": "ringbridge-local-things", "Key": key("1") });
    let seen = world.aws_through("DynamoDB_20120810.GetItem", &get).await.json();
    assert_eq!(seen["status"], 200, "{seen}");
    let tables = engine.ok("DynamoDB_20120810.ListTables", &json!({})).await.unwrap();
    let names = tables["TableNames"].as_array().unwrap();
    for name in ["ringbridge-local-changes", "ringbridge-local-things"] {
        assert!(names.contains(&json!(name)), "the table {name} is the engine's");
    }
    let input = json!({
        "KeyId": "alias/ringbridge-local-vault", "KeySpec": "AES_256", "EncryptionContext": { "purpose": "access" },
    });
    let made = world.aws_through("TrentService.GenerateDataKey", &input).await.json();
    assert_eq!(made["status"], 200, "{made}");
    let blob = &made["body"]["CiphertextBlob"];
    let input = json!({ "CiphertextBlob": blob, "EncryptionContext": { "purpose": "access" } });
    let opened = world.aws_through("TrentService.Decrypt", &input).await.json();
    assert_eq!(opened["body"]["Plaintext"], made["body"]["Plaintext"]);
    // The key of the template keeps its name, whatever the engine calls it.
    assert_eq!(opened["body"]["KeyId"], made["body"]["KeyId"]);
    let described =
        world.aws("TrentService.DescribeKey", &json!({ "KeyId": "alias/ringbridge-local-vault" })).await;
    assert_eq!(described.json()["KeyMetadata"]["Arn"], made["body"]["KeyId"]);
}

/// A table's stream on another engine feeds our functions.
#[tokio::test]
async fn streams_of_another_engine_feed_functions() {
    for (command, arguments) in [("moto_server", &["-p"] as &[&str]), ("ministack", &[])] {
        let Some((_child, engine)) = start(command, arguments).await else { continue };
        let world = World::with(Options { endpoint_url: Some(engine.url.clone()), ..options() }).await;
        for name in ["1", "2", "3"] {
            let put = json!({ "TableName": "ringbridge-local-changes", "Item": key(name) });
            assert_eq!(world.aws("DynamoDB_20120810.PutItem", &put).await.status, 200);
        }
        world.stack.settle().await;
        let seen = crate::streams::names(&world, "follower").concat();
        assert_eq!(seen, ["1", "2", "3"], "{command}");
    }
}

#[tokio::test]
async fn an_engine_that_does_not_answer_is_told_in_one_line() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = Options { endpoint_url: Some(format!("http://{nobody}")), ..options() };
    let Err(error) = Stack::start(options).await else { panic!("it started") };
    let error = format!("{error:#}");
    assert!(error.contains("does not answer") && !error.contains('\n'), "{error}");
}

async fn compare(command: &str, arguments: &[&str], differs: &[&str]) {
    let Some((_child, engine)) = start(command, arguments).await else { return };
    let failed = run(&engine).await;
    for (name, reason) in &failed {
        eprintln!("{command} differs: {name}: {reason}");
    }
    let names: BTreeSet<&str> = failed.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        differs.iter().copied().collect(),
        "what is written down about {command} is no longer so"
    );
}

/// Starts an emulator on a free port; nothing, loudly, where it is not installed.
async fn start(command: &str, arguments: &[&str]) -> Option<(Child, Engine)> {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut process = Command::new(command);
    process
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if arguments.is_empty() {
        process.env("GATEWAY_PORT", &port).env("BIND_HOST", "127.0.0.1");
    } else {
        process.arg(&port);
    }
    let Ok(mut child) = process.spawn() else {
        eprintln!("\n*** SKIPPED: {command} is not installed (pip install \"moto[server]\" ministack) ***\n");
        return None;
    };
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    loop {
        let line = tokio::select! {
            Ok(Some(line)) = stdout.next_line() => line,
            Ok(Some(line)) = stderr.next_line() => line,
            else => panic!("{command} ended before it answered"),
        };
        if line.contains("Running on http") {
            break;
        }
    }
    // A full pipe would stop it.
    drain(stdout);
    drain(stderr);
    Some((child, Engine::new(&format!("http://127.0.0.1:{port}"))))
}

#[expect(clippy::disallowed_methods, reason = "reads on until the emulator ends")]
fn drain(mut lines: tokio::io::Lines<impl tokio::io::AsyncBufRead + Unpin + Send + 'static>) {
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
}
