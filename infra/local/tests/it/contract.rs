//! The behaviours of AWS that the gateway relies on, as a list of checks. The local stack must pass all of them. A stack on
//! another engine (`--endpoint-url`) runs the same list, with the known differences of the engine.
//!
//! The other engine is moto, because `--endpoint-url` needs a test. There is no comparison with further emulators: AWS
//! defines the behaviours, so a difference in an emulator is a defect of the emulator, and a list of such defects fails
//! when the emulator has a release, not when this repository changes.

use crate::test_stack::{TestStack, options};
use crate::tools;
use local::{Stack, StackOptions};
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

/// An AWS endpoint under test.
struct AwsClient {
    url: String,
    client: reqwest::Client,
}

/// The error is the reason.
type CheckResult = Result<(), String>;

/// The checks that fail on moto 5.2.
const MOTO_DIFFERENCES: &[&str] = &[
    // It checks the state of a key only if the request names the key.
    "kms: a disabled key cannot be used",
];

impl AwsClient {
    fn new(url: &str) -> Self {
        Self { url: url.to_owned(), client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// Calls an operation and returns status and body.
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
            (200, body) => Ok(body),
            (status, body) => Err(format!("{target} returned {status}: {body}")),
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
        let response = self.ok("AmazonSQS.CreateQueue", &input).await?;
        Ok(response["QueueUrl"].as_str().unwrap_or_default().to_owned())
    }
}

fn code(response: &Value) -> &str {
    response["__type"].as_str().unwrap_or_default().rsplit('#').next().unwrap_or_default()
}

#[expect(clippy::needless_pass_by_value, reason = "it is used like assert_eq")]
fn equal<T: PartialEq + std::fmt::Debug>(actual: T, expected: T) -> CheckResult {
    if actual == expected { Ok(()) } else { Err(format!("{actual:?} instead of {expected:?}")) }
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

async fn conditional_write(aws: &AwsClient) -> CheckResult {
    aws.table("conditional").await?;
    let mut put = put_new("conditional", "1");
    aws.ok("DynamoDB_20120810.PutItem", &put).await?;
    put["ReturnValuesOnConditionCheckFailure"] = json!("ALL_OLD");
    let (status, response) = aws.call("DynamoDB_20120810.PutItem", &put).await;
    equal((status, code(&response)), (400, "ConditionalCheckFailedException"))?;
    equal(response["Item"]["item"]["S"].as_str(), Some("1"))
}

async fn old_values(aws: &AwsClient) -> CheckResult {
    aws.table("old").await?;
    aws.ok("DynamoDB_20120810.PutItem", &put_new("old", "1")).await?;
    let delete = json!({ "TableName": "old", "Key": key("1"), "ReturnValues": "ALL_OLD" });
    equal(
        aws.ok("DynamoDB_20120810.DeleteItem", &delete).await?["Attributes"]["item"]["S"].as_str(),
        Some("1"),
    )?;
    equal(aws.ok("DynamoDB_20120810.DeleteItem", &delete).await?.get("Attributes"), None)
}

async fn cancellation_reasons(aws: &AwsClient) -> CheckResult {
    aws.table("transactions").await?;
    aws.ok("DynamoDB_20120810.PutItem", &put_new("transactions", "there")).await?;
    let items =
        json!([{ "Put": put_new("transactions", "new") }, { "Put": put_new("transactions", "there") }]);
    let input = json!({ "TransactItems": items });
    let (_, response) = aws.call("DynamoDB_20120810.TransactWriteItems", &input).await;
    equal(code(&response), "TransactionCanceledException")?;
    let reasons = response["CancellationReasons"].as_array().cloned().unwrap_or_default();
    let codes: Vec<&str> = reasons.iter().filter_map(|reason| reason["Code"].as_str()).collect();
    equal(codes, vec!["None", "ConditionalCheckFailed"])?;
    let get = json!({ "TableName": "transactions", "Key": key("new") });
    equal(aws.ok("DynamoDB_20120810.GetItem", &get).await?.get("Item"), None)
}

async fn counters_and_numbers(aws: &AwsClient) -> CheckResult {
    aws.table("counters").await?;
    let update = json!({
        "TableName": "counters",
        "Key": key("1"),
        "UpdateExpression": "ADD #n :one SET #g = if_not_exists(#g, :zero) + :one",
        "ExpressionAttributeNames": { "#n": "count", "#g": "generation" },
        "ExpressionAttributeValues": { ":one": { "N": "1" }, ":zero": { "N": "0" } },
        "ReturnValues": "ALL_NEW",
    });
    aws.ok("DynamoDB_20120810.UpdateItem", &update).await?;
    let response = aws.ok("DynamoDB_20120810.UpdateItem", &update).await?;
    equal(response["Attributes"]["count"]["N"].as_str(), Some("2"))?;
    equal(response["Attributes"]["generation"]["N"].as_str(), Some("2"))
}

async fn expired_items(aws: &AwsClient) -> CheckResult {
    aws.table("expiring").await?;
    let setting = json!({ "AttributeName": "ttl", "Enabled": true });
    let input = json!({ "TableName": "expiring", "TimeToLiveSpecification": setting });
    aws.ok("DynamoDB_20120810.UpdateTimeToLive", &input).await?;
    let response =
        aws.ok("DynamoDB_20120810.DescribeTimeToLive", &json!({ "TableName": "expiring" })).await?;
    equal(response["TimeToLiveDescription"]["AttributeName"].as_str(), Some("ttl"))?;
    // DynamoDB returns expired items until it deletes them, so every read must check the expiry.
    let mut item = key("old");
    item["ttl"] = json!({ "N": "1000000000" });
    aws.ok("DynamoDB_20120810.PutItem", &json!({ "TableName": "expiring", "Item": item })).await?;
    let get = json!({ "TableName": "expiring", "Key": key("old") });
    equal(aws.ok("DynamoDB_20120810.GetItem", &get).await?["Item"]["ttl"]["N"].as_str(), Some("1000000000"))
}

async fn data_key(aws: &AwsClient) -> Result<Value, String> {
    let created = aws.ok("TrentService.CreateKey", &json!({})).await?;
    let input = json!({
        "KeyId": created["KeyMetadata"]["KeyId"],
        "KeySpec": "AES_256",
        "EncryptionContext": { "purpose": "access", "tenant": "t1" },
    });
    aws.ok("TrentService.GenerateDataKey", &input).await
}

fn decrypt(blob: &Value, purpose: &str) -> Value {
    json!({ "CiphertextBlob": blob, "EncryptionContext": { "tenant": "t1", "purpose": purpose } })
}

async fn kms_round_trip(aws: &AwsClient) -> CheckResult {
    let key = data_key(aws).await?;
    let decrypted = aws.ok("TrentService.Decrypt", &decrypt(&key["CiphertextBlob"], "access")).await?;
    equal(&decrypted["Plaintext"], &key["Plaintext"])
}

async fn kms_context(aws: &AwsClient) -> CheckResult {
    let key = data_key(aws).await?;
    let (_, response) = aws.call("TrentService.Decrypt", &decrypt(&key["CiphertextBlob"], "refresh")).await;
    equal(code(&response), "InvalidCiphertextException")
}

async fn kms_tampering(aws: &AwsClient) -> CheckResult {
    let key = data_key(aws).await?;
    let blob = key["CiphertextBlob"].as_str().unwrap_or_default();
    // Ten characters from the end are inside the encrypted part of every engine's format.
    let at = blob.len() - 10;
    let other = if &blob[at..=at] == "A" { "B" } else { "A" };
    let changed = json!(format!("{}{other}{}", &blob[..at], &blob[at + 1..]));
    let (_, response) = aws.call("TrentService.Decrypt", &decrypt(&changed, "access")).await;
    equal(code(&response), "InvalidCiphertextException")
}

async fn kms_disabled(aws: &AwsClient) -> CheckResult {
    let key = data_key(aws).await?;
    // Moto accepts only the id here, not the ARN.
    let id = key["KeyId"].as_str().and_then(|arn| arn.rsplit('/').next());
    aws.ok("TrentService.DisableKey", &json!({ "KeyId": id })).await?;
    let (_, response) = aws.call("TrentService.Decrypt", &decrypt(&key["CiphertextBlob"], "access")).await;
    equal(code(&response), "DisabledException")?;
    aws.ok("TrentService.EnableKey", &json!({ "KeyId": id })).await?;
    aws.ok("TrentService.Decrypt", &decrypt(&key["CiphertextBlob"], "access")).await.map(|_| ())
}

async fn kms_rotation(aws: &AwsClient) -> CheckResult {
    let key = data_key(aws).await?;
    aws.ok("TrentService.RotateKeyOnDemand", &json!({ "KeyId": key["KeyId"] })).await?;
    let decrypted = aws.ok("TrentService.Decrypt", &decrypt(&key["CiphertextBlob"], "access")).await?;
    equal(&decrypted["Plaintext"], &key["Plaintext"])
}

async fn sqs_redrive(aws: &AwsClient) -> CheckResult {
    let dead = aws.queue("dead", json!({})).await?;
    let input = json!({ "QueueUrl": dead, "AttributeNames": ["QueueArn"] });
    let arn = aws.ok("AmazonSQS.GetQueueAttributes", &input).await?["Attributes"]["QueueArn"].clone();
    let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 2 }).to_string();
    let jobs = aws.queue("jobs", json!({ "RedrivePolicy": policy, "VisibilityTimeout": "0" })).await?;
    aws.ok("AmazonSQS.SendMessage", &json!({ "QueueUrl": jobs, "MessageBody": "x" })).await?;
    let receive = |queue: &str| json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10 });
    let count = |response: &Value| response["Messages"].as_array().map_or(0, Vec::len);
    for expected in [1, 1, 0] {
        let response = aws.ok("AmazonSQS.ReceiveMessage", &receive(&jobs)).await?;
        equal(count(&response), expected)?;
    }
    equal(count(&aws.ok("AmazonSQS.ReceiveMessage", &receive(&dead)).await?), 1)
}

async fn sqs_partial_batch(aws: &AwsClient) -> CheckResult {
    let queue = aws.queue("partial", json!({})).await?;
    let entries = json!([
        { "Id": "good", "MessageBody": "x" },
        { "Id": "bad", "MessageBody": "x", "DelaySeconds": 100_000 },
    ]);
    let response =
        aws.ok("AmazonSQS.SendMessageBatch", &json!({ "QueueUrl": queue, "Entries": entries })).await?;
    equal(response["Successful"][0]["Id"].as_str(), Some("good"))?;
    equal(response["Failed"][0]["Id"].as_str(), Some("bad"))
}

async fn schedule_expressions(aws: &AwsClient) -> CheckResult {
    for (name, good) in [("s1", "rate(5 minutes)"), ("s2", "at(2099-01-01T00:00:00)")] {
        equal(aws.schedule(name, good).await, 200).map_err(|error| format!("{good}: {error}"))?;
    }
    Ok(())
}

async fn invalid_schedule_expressions(aws: &AwsClient) -> CheckResult {
    for bad in ["at(nonsense)", "rate(0 minutes)", "cron(0 8 * * * *)", "whenever"] {
        equal(aws.schedule("bad", bad).await, 400).map_err(|error| format!("{bad}: {error}"))?;
    }
    Ok(())
}

/// Runs every check and returns the names of those that failed, with the reasons.
async fn run(aws: &AwsClient) -> Vec<(&'static str, String)> {
    let mut failed = Vec::new();
    macro_rules! check {
        ($name:literal, $check:ident) => {
            if let Err(error) = $check(aws).await {
                failed.push(($name, error));
            }
        };
    }
    check!("dynamodb: a failed condition returns the item", conditional_write);
    check!("dynamodb: deleting returns the old item once", old_values);
    check!("dynamodb: a cancelled transaction returns its reasons in order", cancellation_reasons);
    check!("dynamodb: counters add up", counters_and_numbers);
    check!("dynamodb: an expired item exists until TTL deletes it", expired_items);
    check!("kms: a data key can be decrypted", kms_round_trip);
    check!("kms: another encryption context is rejected", kms_context);
    check!("kms: a modified ciphertext is rejected", kms_tampering);
    check!("kms: a disabled key cannot be used", kms_disabled);
    check!("kms: a ciphertext from before a rotation can be decrypted", kms_rotation);
    check!("sqs: a message received too often goes to the dead-letter queue", sqs_redrive);
    check!("sqs: a batch reports the result of each entry", sqs_partial_batch);
    check!("scheduler: valid expressions are accepted", schedule_expressions);
    check!("scheduler: invalid expressions are rejected", invalid_schedule_expressions);
    failed
}

#[tokio::test]
async fn the_local_stack_passes_every_check() {
    let test = TestStack::start().await;
    assert_eq!(run(&AwsClient::new(test.stack.info().aws())).await, []);
}

/// DynamoDB and KMS are the other engine's, and functions use them as they use the local ones.
#[tokio::test]
async fn a_stack_on_another_engine_passes_the_same_checks() {
    let Some((_process, moto)) = start_moto().await else { return };
    let test = TestStack::with(StackOptions { endpoint_url: Some(moto.url.clone()), ..options() }).await;
    let failed = run(&AwsClient::new(test.stack.info().aws())).await;
    let names: Vec<&str> = failed.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, MOTO_DIFFERENCES, "{failed:?}");

    let tables = moto.ok("DynamoDB_20120810.ListTables", &json!({})).await.unwrap();
    let tables = tables["TableNames"].as_array().unwrap();
    for name in ["ringbridge-local-changes", "ringbridge-local-things"] {
        assert!(tables.contains(&json!(name)), "the table {name} is in moto");
    }
    let get = json!({ "TableName": "ringbridge-local-things", "Key": key("1") });
    let response = test.aws_through("DynamoDB_20120810.GetItem", &get).await.json();
    assert_eq!(response["status"], 200, "{response}");

    let input = json!({
        "KeyId": "alias/ringbridge-local-vault", "KeySpec": "AES_256", "EncryptionContext": { "purpose": "access" },
    });
    let data_key = test.aws_through("TrentService.GenerateDataKey", &input).await.json();
    assert_eq!(data_key["status"], 200, "{data_key}");
    let blob = &data_key["body"]["CiphertextBlob"];
    let input = json!({ "CiphertextBlob": blob, "EncryptionContext": { "purpose": "access" } });
    let decrypted = test.aws_through("TrentService.Decrypt", &input).await.json();
    assert_eq!(decrypted["body"]["Plaintext"], data_key["body"]["Plaintext"]);
    // Functions see the key id of the template, not moto's.
    assert_eq!(decrypted["body"]["KeyId"], data_key["body"]["KeyId"]);
    let described =
        test.aws("TrentService.DescribeKey", &json!({ "KeyId": "alias/ringbridge-local-vault" })).await;
    assert_eq!(described.json()["KeyMetadata"]["Arn"], data_key["body"]["KeyId"]);

    for name in ["1", "2", "3"] {
        let put = json!({ "TableName": "ringbridge-local-changes", "Item": key(name) });
        assert_eq!(test.aws("DynamoDB_20120810.PutItem", &put).await.status, 200);
    }
    test.stack.wait_until_idle().await;
    assert_eq!(crate::streams::names(&test, "follower").concat(), ["1", "2", "3"], "moto's stream");
}

#[tokio::test]
async fn an_engine_that_does_not_respond_is_reported_in_one_line() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = StackOptions { endpoint_url: Some(format!("http://{unused}")), ..options() };
    let Err(error) = Stack::start(options).await else { panic!("it started") };
    let error = format!("{error:#}");
    assert!(error.contains("does not respond") && !error.contains('\n'), "{error}");
}

/// Starts moto on a free port.
async fn start_moto() -> Option<(Child, AwsClient)> {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut process = Command::new("moto_server");
    process.args(["-p", &port]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let Ok(mut child) = process.kill_on_drop(true).spawn() else {
        tools::skip("moto", "pip install 'moto[server]==5.2.*'");
        return None;
    };
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while !lines
        .next_line()
        .await
        .unwrap()
        .expect("moto exited before it was ready")
        .contains("Running on http")
    {}
    drain(lines);
    Some((child, AwsClient::new(&format!("http://127.0.0.1:{port}"))))
}

/// Reads the remaining output, because a full pipe would block the process.
#[expect(clippy::disallowed_methods, reason = "the task ends with the process")]
fn drain(mut lines: Lines<BufReader<ChildStderr>>) {
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
}
