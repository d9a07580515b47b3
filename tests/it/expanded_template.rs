//! The template as CloudFormation gets it, after SAM has expanded it: its size, and the permissions of its roles. And what its logs
//! may contain.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tokio::process::Command;

use crate::house::root;
use crate::packages::{feed, has, skipped};
use crate::template::{mapping, resources, strings, template};

/// CloudFormation takes 500 resources and 1 MB. A stack that grows beyond these has to be divided, and the resources of a stack cannot
/// be moved without a plan.
const MAX_RESOURCES: usize = 400;
const MAX_BYTES: usize = 800_000;

/// The context variables that the access log may contain: none of them contains input of a caller.
const LOGGED: [&str; 6] =
    ["requestId", "routeKey", "status", "responseLatency", "requestTime", "responseLength"];

/// Expands a template as `sam deploy` does, with the library of SAM.
const EXPAND: &str = r#"
import json, sys
from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

template = yaml_parse(open(sys.argv[1]).read())
for resource in template["Resources"].values():
    properties = resource.get("Properties", {})
    if "CodeUri" in properties: properties["CodeUri"] = "s3://bucket/" + 64 * "0"
    if "TemplateURL" in properties: properties["TemplateURL"] = "https://s3.amazonaws.com/bucket/" + 64 * "0"
class Policies:
    def load(self):
        names = ["AWSLambdaBasicExecutionRole", "AWSLambdaSQSQueueExecutionRole", "AWSLambdaDynamoDBExecutionRole"]
        return {name: "arn:aws:iam::aws:policy/service-role/" + name for name in names}
parameters = {name: str(one.get("Default", "x")) for name, one in template.get("Parameters", {}).items()}
if "Transform" in template: template = transform(template, parameters, Policies())
json.dump(template, sys.stdout)
"#;

/// The Python that SAM is installed for.
fn python_of_sam() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let sam =
        std::env::split_paths(&path).map(|folder| folder.join("sam")).find(|sam| sam.is_file()).unwrap();
    let program = fs::read_to_string(&sam).unwrap();
    program.lines().next().unwrap().trim_start_matches("#!").trim().into()
}

async fn expanded(file: &str) -> Value {
    let mut command = Command::new(python_of_sam());
    command.args(["-c", EXPAND]).arg(root().join(file)).env("AWS_DEFAULT_REGION", "us-east-1");
    let output = feed(&mut command, "").await.unwrap();
    serde_json::from_str(output.lines().last().unwrap()).unwrap()
}

#[tokio::test]
async fn each_stack_is_far_below_the_limits_of_cloudformation() {
    if !has("sam") {
        return skipped("the size of the template", "sam is missing (pip install aws-sam-cli)");
    }
    for file in ["template.yaml", "infra/alarms.yaml"] {
        let template = expanded(file).await;
        let (count, bytes) = (template["Resources"].as_object().unwrap().len(), template.to_string().len());
        assert!(count < MAX_RESOURCES, "{file} has {count} resources");
        assert!(bytes < MAX_BYTES, "{file} has {bytes} bytes");
        // Every role of a function has a boundary, since SAM attaches managed policies that name no resource.
        for (id, resource) in template["Resources"].as_object().unwrap() {
            if resource["Type"] == "AWS::IAM::Role" {
                assert!(resource["Properties"].get("PermissionsBoundary").is_some(), "{id}");
            }
        }
    }
}

/// A permission that the boundary lacks would be lost.
#[test]
fn the_permissions_boundary_allows_every_action_of_the_functions() {
    let template = template();
    let mut allowed = BTreeSet::new();
    let statements = &template["Resources"]["FunctionBoundary"]["Properties"]["PolicyDocument"]["Statement"];
    for statement in statements.as_sequence().unwrap() {
        allowed.extend(strings(statement.get("Action")));
    }
    assert!(!allowed.is_empty() && allowed.iter().all(|action| !action.contains('*')));
    for (id, function) in resources(&template, "AWS::Serverless::Function") {
        for policy in function["Properties"]["Policies"].as_sequence().into_iter().flatten() {
            for statement in policy["Statement"].as_sequence().unwrap() {
                for action in strings(statement.get("Action")) {
                    assert!(
                        allowed.contains(&action),
                        "FunctionBoundary does not allow {action}, which {id} needs"
                    );
                }
            }
        }
    }
    let key = &template["Resources"]["VaultKey"]["Properties"]["KeyPolicy"]["Statement"][1];
    let roles = strings(key["Condition"]["ArnLike"].get("aws:PrincipalArn"));
    assert_eq!(roles.len(), 1);
    assert!(roles[0].ends_with(":role/${AWS::StackName}-*"), "{roles:?}");
    assert!(mapping(&template["Globals"]["Function"]).iter().any(|(name, _)| *name == "PermissionsBoundary"));
}

/// `infra/deploy/check-account` rejects longer names.
#[test]
fn the_longest_allowed_stack_name_leaves_room_for_the_names_of_the_functions() {
    let check = fs::read_to_string(root().join("infra/deploy/check-account")).unwrap();
    let longest = crate::house::function_folders().iter().map(String::len).max().unwrap();
    let allowed = 64 - 1 - longest;
    assert!(
        check.contains(&format!("-gt {allowed} ")),
        "Lambda leaves {allowed} characters for the stack's name"
    );
}

#[test]
fn the_access_log_contains_no_input_of_callers() {
    let template = template();
    for (id, api) in resources(&template, "AWS::Serverless::HttpApi") {
        let format = api["Properties"]["AccessLogSettings"]["Format"].as_str().unwrap_or_default();
        let names: Vec<&str> = format
            .split("$context.")
            .skip(1)
            .map(|rest| {
                rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').next().unwrap_or_default()
            })
            .collect();
        assert!(names.contains(&"routeKey"), "{id}");
        assert!(names.iter().all(|name| LOGGED.contains(name)), "{id} logs {names:?}");
    }
    for (id, group) in resources(&template, "AWS::Logs::LogGroup") {
        assert!(group["Properties"].get("RetentionInDays").is_some(), "{id} has no retention period");
    }
}
