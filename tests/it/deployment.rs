//! The policies of the deployer, and deployments with `sam deploy` into ministack, an implementation of CloudFormation that does not know this project: one that
//! fails in the middle, one that succeeds, an update, and the removal.
//!
//! ministack runs no functions here, and has no alarms with metric math: they are left out. It does not enforce IAM policies,
//! quotas or `DeletionProtectionEnabled`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use serde_yaml_ng::Value as Yaml;
use tokio::process::{Child, Command};

use crate::house::{function_folders, read, root};
use crate::packages::{feed, has, skipped};
use crate::template::{mapping, resources, template};
use crate::world::signature;

const STACK: &str = "ringbridge";
/// Not the placeholder, which the template rejects.
const PUBLIC_URL: &str = "https://sms.rehearsal.test";

#[tokio::test]
async fn a_first_deployment_that_fails_leaves_nothing_behind_and_can_be_repeated() {
    let Some(rehearsal) = Rehearsal::start().await else { return };

    let failure =
        rehearsal.deploy(&failing(deployable()), &[]).await.expect_err("a resource cannot be created");
    assert!(failure.contains("WaitCondition"), "it failed for another reason:\n{failure}");
    rehearsal.assert_left_behind(&BTreeMap::new()).await;

    let output = rehearsal.deploy(&deployable(), &[]).await.unwrap();
    assert!(
        output.contains(&format!("{PUBLIC_URL}/v1/rc/callback")),
        "no redirect URI in the outputs:\n{output}"
    );
    let functions: BTreeSet<String> =
        function_folders().iter().map(|folder| format!("{STACK}-{folder}")).collect();
    assert_eq!(rehearsal.functions().await, functions);

    rehearsal.deploy(&deployable(), &["SecretsRevision=2"]).await.unwrap();
    rehearsal.deploy(&deployable(), &["SecretsRevision=2"]).await.expect("an empty change is no failure");

    rehearsal.sam(&["delete", "--stack-name", STACK, "--no-prompts"]).await.unwrap();
    assert_eq!(rehearsal.functions().await, BTreeSet::new());
    rehearsal.assert_left_behind(&retained()).await;
}

#[test]
fn the_deployment_policies_cover_every_service_of_the_template() {
    let mut allowed = BTreeSet::new();
    for name in ["code", "data"] {
        let text = read(&root().join(format!("infra/deploy/deployer-policy-{name}.json")));
        let size = text.chars().filter(|char| !char.is_whitespace()).count();
        assert!(size <= 6_144, "IAM allows no managed policy of {size} characters");
        let policy: Value = serde_json::from_str(&text).unwrap();
        for statement in policy["Statement"].as_array().unwrap() {
            for action in statement["Action"].as_array().unwrap() {
                let (service, operation) = action.as_str().unwrap().split_once(':').unwrap();
                assert!(!operation.contains('*'), "{action} is a wildcard");
                allowed.insert(service.to_owned());
            }
        }
    }
    for (_, resource) in mapping(&template()["Resources"]) {
        let kind = resource["Type"].as_str().unwrap();
        let services: &[&str] = match kind {
            "AWS::Serverless::Function" => &["lambda", "iam"],
            "AWS::Serverless::HttpApi" => &["apigateway"],
            _ => match kind.split("::").nth(1).unwrap() {
                "ApiGatewayV2" => &["apigateway"],
                "CloudFormation" => &["cloudformation"],
                "CloudWatch" => &["cloudwatch"],
                "DynamoDB" => &["dynamodb"],
                "IAM" => &["iam"],
                "KMS" => &["kms"],
                "Lambda" => &["lambda"],
                "Logs" => &["logs"],
                "Route53" => &["route53"],
                "S3" => &["s3"],
                "SNS" => &["sns"],
                "SQS" => &["sqs"],
                "Scheduler" => &["scheduler"],
                "SecretsManager" => &["secretsmanager"],
                _ => panic!("the deployment policies may lack permissions for {kind}"),
            },
        };
        for service in services {
            assert!(allowed.contains(*service), "no deployment policy allows {service}, for {kind}");
        }
    }
}

/// ministack, and a folder with a function bundle for each function.
struct Rehearsal {
    url: String,
    folder: tempfile::TempDir,
    http: reqwest::Client,
    _engine: Child,
}

impl Rehearsal {
    /// `None` if a tool is missing.
    async fn start() -> Option<Self> {
        if let Some(tool) = ["ministack", "sam"].into_iter().find(|tool| !has(tool)) {
            skipped(
                "the deployment",
                &format!("{tool} is missing (pip install ministack aws-sam-translator aws-sam-cli)"),
            );
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        for function in function_folders() {
            let bundle = folder.path().join("target/lambda").join(function);
            fs::create_dir_all(&bundle).unwrap();
            fs::write(bundle.join("bootstrap"), "#!/bin/sh\n").unwrap();
            fs::set_permissions(bundle.join("bootstrap"), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::copy(root().join("samconfig.toml"), folder.path().join("samconfig.toml")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = fs::File::create(folder.path().join("engine.log")).unwrap();
        let engine = Command::new("ministack")
            .env("GATEWAY_PORT", port.to_string())
            .env("HOME", folder.path())
            .env("LOG_LEVEL", "WARNING")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let rehearsal = Self { url: format!("http://127.0.0.1:{port}"), folder, http, _engine: engine };
        rehearsal.wait_until_ready().await;
        Some(rehearsal)
    }

    async fn wait_until_ready(&self) {
        let health = format!("{}/_ministack/health", self.url);
        for _ in 0..600 {
            if self.http.get(&health).send().await.is_ok_and(|response| response.status().is_success()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!(
            "ministack does not start:\n{}",
            fs::read_to_string(self.folder.path().join("engine.log")).unwrap()
        );
    }

    /// Deploys a template with the settings of `samconfig.toml`. The error is SAM's output.
    async fn deploy(&self, template: &Yaml, parameters: &[&str]) -> Result<String, String> {
        fs::write(self.folder.path().join("template.yaml"), serde_yaml_ng::to_string(template).unwrap())
            .unwrap();
        let mut arguments = vec!["deploy", "--no-progressbar", "--no-confirm-changeset"];
        arguments.extend(["--parameter-overrides", "Stage=production"]);
        let public_url = format!("PublicUrl={PUBLIC_URL}");
        arguments.push(&public_url);
        arguments.push("RingCentralClientId=example");
        arguments.extend(parameters);
        self.sam(&arguments).await
    }

    async fn sam(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new("sam");
        command.args(arguments).args(["--region", "us-east-1"]).current_dir(self.folder.path());
        command
            .env("AWS_ENDPOINT_URL", &self.url)
            .env("HOME", self.folder.path())
            .env("SAM_CLI_TELEMETRY", "0");
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        feed(&mut command, "").await
    }

    async fn functions(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut marker = String::new();
        loop {
            let url = format!("{}/2015-03-31/functions/?MaxItems=50&Marker={marker}", self.url);
            let request = self.http.get(url).header("authorization", signature("lambda"));
            let page: Value =
                serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
            let functions = page["Functions"].as_array().unwrap();
            names.extend(
                functions.iter().map(|function| function["FunctionName"].as_str().unwrap().to_owned()),
            );
            match page["NextMarker"].as_str().filter(|next| !next.is_empty()) {
                Some(next) => next.clone_into(&mut marker),
                None => return names,
            }
        }
    }

    /// Asserts how many resources of each type that holds data exist.
    async fn assert_left_behind(&self, expected: &BTreeMap<&str, usize>) {
        let list = async |service: &str, target: &str, field: &str| {
            let found = self.call(service, target, &json!({})).await;
            found[field].as_array().cloned().unwrap_or_default()
        };
        let mut keys = Vec::new();
        for key in list("kms", "TrentService.ListKeys", "Keys").await {
            let described =
                self.call("kms", "TrentService.DescribeKey", &json!({ "KeyId": key["KeyId"] })).await;
            if described["KeyMetadata"]["KeyState"] == "Enabled" {
                keys.push(key);
            }
        }
        let found = [
            ("AWS::DynamoDB::Table", list("dynamodb", "DynamoDB_20120810.ListTables", "TableNames").await),
            ("AWS::SQS::Queue", list("sqs", "AmazonSQS.ListQueues", "QueueUrls").await),
            (
                "AWS::SecretsManager::Secret",
                list("secretsmanager", "secretsmanager.ListSecrets", "SecretList").await,
            ),
            ("AWS::KMS::Key", keys),
        ];
        let request = self.http.get(&self.url).header("authorization", signature("s3"));
        let buckets = request.send().await.unwrap().text().await.unwrap();
        let buckets = buckets.matches("<Name>ringbridge-mediabucket-").map(Value::from).collect();
        let found = found.into_iter().chain([("AWS::S3::Bucket", buckets)]);
        for (kind, found) in found {
            assert_eq!(found.len(), expected.get(kind).copied().unwrap_or_default(), "{kind}: {found:#?}");
        }
    }

    async fn call(&self, service: &str, target: &str, body: &Value) -> Value {
        let request = self
            .http
            .post(&self.url)
            .header("x-amz-target", target)
            .header("authorization", signature(service))
            .header("content-type", "application/x-amz-json-1.0")
            .body(body.to_string());
        serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap()
    }
}

/// The types whose resources are kept when the stack is deleted, with their number.
fn retained() -> BTreeMap<&'static str, usize> {
    let template = template();
    let types = [
        "AWS::DynamoDB::Table",
        "AWS::SQS::Queue",
        "AWS::SecretsManager::Secret",
        "AWS::KMS::Key",
        "AWS::S3::Bucket",
    ];
    let is_kept = |resource: &Yaml| {
        resource["DeletionPolicy"].as_str().is_some_and(|policy| policy.starts_with("Retain"))
    };
    let count = |kind| resources(&template, kind).iter().filter(|(_, resource)| is_kept(resource)).count();
    types.map(|kind| (kind, count(kind))).into()
}

/// The template without what the engine does not have: the alarms with metric math are in a nested stack.
fn deployable() -> Yaml {
    let mut template = template();
    for nested in ["Alarms", "DashboardAndQueries"] {
        template["Resources"].as_mapping_mut().unwrap().remove(nested);
    }
    template["Outputs"].as_mapping_mut().unwrap().remove("AlarmTopic");
    template
}

/// A template with one more resource, whose creation fails after that of a table, a secret, the key, a queue and a function.
fn failing(mut template: Yaml) -> Yaml {
    let more: Yaml = serde_yaml_ng::from_str(
        "FailureHandle: {Type: 'AWS::CloudFormation::WaitConditionHandle'}\n\
         Failure:\n  Type: AWS::CloudFormation::WaitCondition\n  \
         DependsOn: [MessagesTable, OperatorKey, VaultKey, RefreshQueue, SendSms]\n  \
         Properties: {Handle: !Ref FailureHandle, Timeout: '1'}\n",
    )
    .unwrap();
    template["Resources"].as_mapping_mut().unwrap().extend(more.as_mapping().unwrap().clone());
    template
}
