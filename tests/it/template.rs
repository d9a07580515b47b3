//! What is deployed, read from `template.yaml` as it is written: every right is named, every schedule can be read, every
//! table is kept safe, and folders, routes and README say the same.

use std::collections::{BTreeMap, BTreeSet};

use local::Expression;
use serde_yaml_ng::{Mapping, Value};
use shared::limits;

use crate::house::{function_folders, read, root};

/// Tables of which nothing expires, with what they keep. Every other table has a TTL.
const NOTHING_EXPIRES: [(&str, &str); 3] = [
    ("TenantsTable", "tenants, apps and keys stay until somebody deletes them"),
    ("AuditTable", "who did what stays, also of tenants that are gone"),
    ("ExtensionsTable", "an extension stays until it is disconnected"),
];

/// KMS actions that take an encryption context.
const WITH_ENCRYPTION_CONTEXT: [&str; 6] = [
    "kms:Decrypt",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
];

/// What an access log may hold: nothing that a caller wrote.
const LOGGED: [&str; 6] =
    ["requestId", "routeKey", "status", "responseLatency", "requestTime", "responseLength"];

#[test]
fn every_schedule_can_be_read() {
    let mut found = 0;
    walk(&template(), &mut |key, value| {
        if key == "ScheduleExpression" {
            let text = value.as_str().expect("a schedule is a text");
            Expression::parse(text).unwrap_or_else(|error| panic!("{error}"));
            found += 1;
        }
    });
    assert!(found > 0, "the sweep has a schedule");
}

#[test]
fn a_wrong_schedule_is_found() {
    for wrong in
        ["rate(1 minutes)", "rate(5 minute)", "every 5 minutes", "at(nonsense)", "cron(* * * * * *)", ""]
    {
        assert!(Expression::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn every_right_is_written_out() {
    let wrong = patterns(&template());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_planted_pattern_is_found() {
    let planted = |policy: &str| {
        let text = format!(
            "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      Policies:\n        - Statement:\n            - {policy}\n"
        );
        patterns(&serde_yaml_ng::from_str(&text).unwrap()).len()
    };
    assert_eq!(planted("{Effect: Allow, Action: 'dynamodb:*', Resource: !GetAtt T.Arn}"), 1);
    assert_eq!(
        planted("{Effect: Allow, Action: ['dynamodb:GetItem', 'dynamodb:Put?tem'], Resource: !GetAtt T.Arn}"),
        1
    );
    assert_eq!(planted("{Effect: Allow, Action: 'dynamodb:GetItem', Resource: '*'}"), 1);
    assert_eq!(planted("{Effect: Allow, Action: 'dynamodb:GetItem', Resource: [!Sub '${T.Arn}/*']}"), 1);
    assert_eq!(planted("{Effect: Allow, NotAction: 'iam:PassRole', Resource: !GetAtt T.Arn}"), 1);
    assert_eq!(planted("{Effect: Allow, Action: 'dynamodb:GetItem', Resource: !GetAtt T.Arn}"), 0);
    let of_connections = |action: &str, group: &str| {
        planted(&format!(
            "{{Effect: Allow, Action: '{action}', Resource: 'arn:aws:scheduler:r:a:schedule/{group}/connection-*'}}"
        ))
    };
    assert_eq!(of_connections("scheduler:CreateSchedule", "stack"), 0);
    assert_eq!(of_connections("scheduler:CreateSchedule", "*"), 1);
    assert_eq!(of_connections("scheduler:CreateScheduleGroup", "stack"), 1);
    assert_eq!(planted("{Effect: Allow, Action: 'kms:Decrypt', Resource: !GetAtt K.Arn}"), 1, "no context");
    assert_eq!(
        planted(
            "{Effect: Allow, Action: 'kms:Decrypt', Resource: !GetAtt K.Arn, Condition: {StringEquals: {'kms:EncryptionContext:app': ringbridge, 'kms:EncryptionContext:purpose': access}}}"
        ),
        0
    );
}

#[test]
fn every_exception_has_its_reason() {
    let text = read(&root().join("template.yaml"));
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for (at, line) in lines.iter().enumerate() {
        let is_pattern = line.contains("Resource: '*'") || line.ends_with("*\"");
        if line.contains("Resource:") && is_pattern {
            let reason = at.checked_sub(1).and_then(|before| lines[before].strip_prefix("# "));
            assert!(
                reason.is_some_and(|reason| reason.len() > 20),
                "line {}: {line} has no reason above it",
                at + 1
            );
        }
    }
}

#[test]
fn one_function_alone_opens_refresh_tokens() {
    let template = template();
    let mut openers = Vec::new();
    for (id, function) in resources(&template, "AWS::Serverless::Function") {
        for statement in statements(function) {
            let decrypts = texts(statement.get("Action")).iter().any(|action| action == "kms:Decrypt");
            if decrypts && contexts(statement, "purpose").iter().any(|purpose| purpose == "refresh") {
                openers.push(id);
            }
        }
    }
    assert_eq!(openers, ["RefreshTokens"]);
    assert!(routes_of(resource(&template, "RefreshTokens")).is_empty(), "it is called by functions alone");
}

#[test]
fn every_function_has_a_role_of_its_own() {
    let template = template();
    assert!(template["Globals"]["Function"].get("Role").is_none());
    for (id, function) in resources(&template, "AWS::Serverless::Function") {
        let properties = &function["Properties"];
        // Without one named, SAM makes one for each function.
        assert!(properties.get("Role").is_none(), "{id} shares a role");
        for policy in sequence(properties.get("Policies")) {
            assert!(policy.get("Statement").is_some(), "{id} takes a policy that is not written out");
        }
    }
}

#[test]
fn every_function_folder_is_a_resource_of_the_same_name_and_the_other_way_round() {
    let template = template();
    let mut deployed = BTreeSet::new();
    for (id, function) in resources(&template, "AWS::Serverless::Function") {
        let binary = function["Metadata"]["BuildProperties"]["Binary"].as_str().unwrap_or_default();
        assert_eq!(id, pascal(binary), "{binary}");
        let name = untagged(&function["Properties"]["FunctionName"]).as_str().unwrap_or_default();
        assert_eq!(name, format!("${{AWS::StackName}}-{binary}"), "{id}");
        assert_eq!(function["Metadata"]["BuildMethod"], "rust-cargolambda", "{id}");
        assert!(function["Properties"].get("Description").is_some(), "{id} says what it does");
        deployed.insert(binary.to_owned());
    }
    assert_eq!(deployed, function_folders().into_iter().collect());
}

#[test]
fn every_table_is_kept_safe() {
    let template = template();
    for (id, table) in resources(&template, "AWS::DynamoDB::Table") {
        let properties = &table["Properties"];
        assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST", "{id}");
        assert_eq!(
            properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], true,
            "{id}"
        );
        assert_eq!(properties["SSESpecification"]["SSEEnabled"], true, "{id}");
        let protection = untagged(&properties["DeletionProtectionEnabled"]);
        let wanted: Value = serde_yaml_ng::from_str("[IsProduction, true, false]").unwrap();
        assert_eq!(protection, &wanted, "{id}: production is protected");
        for policy in ["DeletionPolicy", "UpdateReplacePolicy"] {
            assert!(table.get(policy).is_some(), "{id} does not say what becomes of it: {policy}");
        }
        let expires = properties["TimeToLiveSpecification"]["Enabled"] == Value::Bool(true);
        let stays = NOTHING_EXPIRES.iter().any(|(table, _)| *table == id);
        assert!(expires || stays, "{id} has no TTL, and is not among those of which nothing expires");
        if expires {
            assert_eq!(properties["TimeToLiveSpecification"]["AttributeName"], "ttl", "{id}");
        }
    }
}

#[test]
fn keys_rotate_and_secrets_stay() {
    let template = template();
    for (id, key) in resources(&template, "AWS::KMS::Key") {
        assert_eq!(key["Properties"]["EnableKeyRotation"], true, "{id}");
        assert_eq!(key["DeletionPolicy"], "Retain", "{id}");
    }
    for (id, secret) in resources(&template, "AWS::SecretsManager::Secret") {
        assert_eq!(secret["DeletionPolicy"], "Retain", "{id}");
        assert!(secret["Properties"].get("SecretString").is_none(), "{id} has its secret in the template");
    }
}

/// What an operator reads of the template is counted here, so that it stays true.
#[test]
fn the_operators_page_says_what_the_template_has() {
    let template = template();
    let page = read(&root().join("infra/README.md"));
    let says = |text: &str| assert!(page.contains(text), "infra/README.md does not say: {text}");
    let kept = |kind: &str| {
        let all = resources(&template, kind).into_iter();
        all.filter(|(_, resource)| resource["DeletionPolicy"] == "Retain").count()
    };
    let [tables, queues, keys, secrets] =
        ["DynamoDB::Table", "SQS::Queue", "KMS::Key", "SecretsManager::Secret"]
            .map(|kind| kept(&format!("AWS::{kind}")));
    says(&format!("leaves {tables} tables, {queues} queues, {keys} key and {secrets} secrets behind"));

    for (name, parameter) in mapping(&template["Parameters"]) {
        let default = match &parameter["Default"] {
            Value::Number(number) => number.to_string(),
            text => text.as_str().expect("a parameter has a default").to_owned(),
        };
        says(&format!("| `{}` | `{default}` |", name.as_str().unwrap()));
    }

    for (_, function) in resources(&template, "AWS::Serverless::Function") {
        let mut runs = 0;
        walk(&function["Properties"]["Events"], &mut |key, value| {
            if key == "ScheduleExpression" {
                let minutes = value.as_str().unwrap().strip_prefix("rate(").unwrap();
                runs += 24 * 60 / minutes.split(' ').next().unwrap().parse::<u32>().unwrap();
            }
        });
        let binary = function["Metadata"]["BuildProperties"]["Binary"].as_str().unwrap();
        if runs > 0 {
            says(&format!("| `{binary}` | {runs} |"));
        }
    }

    for (_, queue) in resources(&template, "AWS::SQS::Queue") {
        if let Some(redrive) = queue["Properties"].get("RedrivePolicy") {
            let target = untagged(&redrive["deadLetterTargetArn"]).as_str().unwrap();
            let receives = redrive["maxReceiveCount"].as_u64().unwrap();
            says(&format!("| `{}` | {receives} receives |", target.trim_end_matches(".Arn")));
        }
    }
}

#[test]
fn the_access_log_holds_nothing_that_a_caller_wrote() {
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
        assert!(group["Properties"].get("RetentionInDays").is_some(), "{id} keeps its lines for ever");
    }
}

#[test]
fn functions_have_the_time_that_the_limits_count_on() {
    let template = template();
    let seconds = |id: &str| resource(&template, id)["Properties"]["Timeout"].as_u64().expect("a timeout");
    assert_eq!(seconds("FinishConnection") * 1_000, limits::CALLBACK_FUNCTION_MS);
    assert!(seconds("RefreshTokens") * 1_000 > limits::INVOKE_MS, "whoever invokes it gives up first");
    for (id, function) in resources(&template, "AWS::Serverless::Function") {
        let seconds = function["Properties"].get("Timeout").and_then(Value::as_u64);
        assert!(
            routes_of(function).is_empty() || seconds.is_none_or(|s| s <= 29),
            "API Gateway waits 30 s for {id}"
        );
    }
}

#[test]
fn the_environment_is_what_config_reads() {
    let variables = &template()["Globals"]["Function"]["Environment"]["Variables"];
    let given: BTreeSet<String> =
        variables.as_mapping().unwrap().keys().map(|name| name.as_str().unwrap().to_owned()).collect();
    let config = read(&root().join("shared/src/config.rs"));
    let listed: BTreeSet<String> = config
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `")?.split(" | ").next())
        .flat_map(|names| names.split(", ").map(|name| name.trim_matches('`').to_owned()))
        .filter(|name| name != "RINGBRIDGE_CLOCK_OFFSET_SECONDS")
        .collect();
    assert_eq!(given, listed);
}

#[test]
fn the_readme_lists_every_route_with_its_function_and_no_other() {
    let template = template();
    let mut routes = BTreeMap::new();
    for (id, function) in resources(&template, "AWS::Serverless::Function") {
        for route in routes_of(function) {
            assert!(routes.insert(route.clone(), id.to_owned()).is_none(), "{route} is there twice");
        }
    }
    let mut listed = BTreeMap::new();
    for line in read(&root().join("README.md")).lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let Some((method, path)) = cells.get(1).and_then(|cell| cell.split_once(" `/")) else { continue };
        let path = path.split('`').next().unwrap_or_default();
        let function = cells.iter().rev().find(|cell| !cell.is_empty()).copied().unwrap_or_default();
        listed.insert(format!("{method} /{path}"), pascal(function));
    }
    assert_eq!(listed, routes);
}

/// What is wrong with the rights: patterns in actions or resources, and keys that open without an encryption context.
fn patterns(template: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for (id, resource) in mapping(&template["Resources"]) {
        let id = id.as_str().unwrap_or_default();
        let is_key = resource["Type"] == "AWS::KMS::Key";
        for statement in statements(resource) {
            let actions = texts(statement.get("Action"));
            // A role's trust policy can only mean the role that it belongs to.
            let is_trust = actions == ["sts:AssumeRole"] && statement.get("Principal").is_some();
            if actions.is_empty() || (statement.get("Resource").is_none() && !is_trust) {
                wrong.push(format!("{id}: a statement does not name its actions or its resources"));
            }
            for action in &actions {
                if action.contains(['*', '?']) || !action.contains(':') {
                    wrong.push(format!("{id}: the action {action}"));
                }
            }
            for target in texts(statement.get("Resource")) {
                // A key policy can only mean its own key.
                let of_connections = target.strip_suffix("/connection-*").is_some_and(|before| {
                    !before.contains(['*', '?']) && actions.iter().all(|action| is_of_a_schedule(action))
                });
                if target.contains(['*', '?']) && !(is_key && target == "*") && !of_connections {
                    wrong.push(format!("{id}: the resource {target}"));
                }
            }
            let principals = texts(statement.get("Principal"));
            if principals.iter().any(|principal| principal == "*") {
                wrong.push(format!("{id}: everybody"));
            }
            if actions.iter().any(|action| WITH_ENCRYPTION_CONTEXT.contains(&action.as_str())) {
                let for_product = contexts(statement, "app") == ["ringbridge"];
                let for_purpose = is_key || !contexts(statement, "purpose").is_empty();
                if !for_product || !for_purpose {
                    wrong.push(format!("{id}: {} without its encryption context", actions.join(", ")));
                }
            }
        }
    }
    wrong
}

/// Schedules of connections are made by the product itself, so nobody knows their whole names beforehand.
fn is_of_a_schedule(action: &str) -> bool {
    ["scheduler:CreateSchedule", "scheduler:UpdateSchedule", "scheduler:DeleteSchedule"].contains(&action)
}

/// The values that a statement wants an entry of the encryption context to have.
fn contexts(statement: &Mapping, entry: &str) -> Vec<String> {
    let condition = statement.get("Condition").and_then(|condition| condition.get("StringEquals"));
    texts(condition.and_then(|values| values.get(format!("kms:EncryptionContext:{entry}"))))
}

/// Every statement below a node.
fn statements(node: &Value) -> Vec<&Mapping> {
    match untagged(node) {
        Value::Mapping(map) if map.contains_key("Effect") => vec![map],
        Value::Mapping(map) => map.values().flat_map(statements).collect(),
        Value::Sequence(items) => items.iter().flat_map(statements).collect(),
        _ => Vec::new(),
    }
}

/// The texts of a node: itself, those of a list, or those that an intrinsic is made of.
fn texts(node: Option<&Value>) -> Vec<String> {
    match node.map(untagged) {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Sequence(items)) => items.iter().flat_map(|item| texts(Some(item))).collect(),
        Some(Value::Mapping(map)) => map.values().flat_map(|value| texts(Some(value))).collect(),
        _ => Vec::new(),
    }
}

fn walk(node: &Value, see: &mut impl FnMut(&str, &Value)) {
    match untagged(node) {
        Value::Mapping(map) => {
            for (key, value) in map {
                see(key.as_str().unwrap_or_default(), value);
                walk(value, see);
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| walk(item, see)),
        _ => {}
    }
}

/// `METHOD /path` of each HTTP event of a function.
fn routes_of(function: &Value) -> Vec<String> {
    let events = function["Properties"].get("Events").map(mapping).into_iter().flatten();
    let properties = events.map(|(_, event)| event).filter(|event| event["Type"] == "HttpApi");
    let text = |event: &Value, key: &str| event["Properties"][key].as_str().unwrap_or_default().to_owned();
    properties.map(|event| format!("{} {}", text(event, "Method"), text(event, "Path"))).collect()
}

/// Every route with the function behind it.
pub fn routes_with_functions() -> BTreeMap<String, String> {
    let template = template();
    let mut behind = BTreeMap::new();
    for (_, function) in resources(&template, "AWS::Serverless::Function") {
        let binary = function["Metadata"]["BuildProperties"]["Binary"].as_str().unwrap_or_default();
        behind.extend(routes_of(function).into_iter().map(|route| (route, binary.to_owned())));
    }
    behind
}

fn resources<'a>(template: &'a Value, kind: &str) -> Vec<(&'a str, &'a Value)> {
    let all = mapping(&template["Resources"]).into_iter();
    all.filter(|(_, resource)| resource["Type"] == kind)
        .map(|(id, resource)| (id.as_str().unwrap(), resource))
        .collect()
}

fn resource<'a>(template: &'a Value, id: &str) -> &'a Value {
    template["Resources"].get(id).unwrap_or_else(|| panic!("template.yaml has no {id}"))
}

fn mapping(node: &Value) -> Vec<(&Value, &Value)> {
    node.as_mapping().map(|map| map.iter().collect()).unwrap_or_default()
}

fn sequence(node: Option<&Value>) -> Vec<&Value> {
    node.and_then(Value::as_sequence).map(|items| items.iter().collect()).unwrap_or_default()
}

fn untagged(node: &Value) -> &Value {
    match node {
        Value::Tagged(tagged) => untagged(&tagged.value),
        other => other,
    }
}

fn pascal(name: &str) -> String {
    let capital = |part: &str| part[..1].to_uppercase() + &part[1..];
    name.split('-').filter(|part| !part.is_empty()).map(capital).collect()
}

fn template() -> Value {
    serde_yaml_ng::from_str(&read(&root().join("template.yaml"))).expect("template.yaml is YAML")
}
