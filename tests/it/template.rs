//! Checks of `template.yaml`: policies without wildcards, valid schedules, protected tables; and that the function folders, the
//! environment and the documentation match it.

use std::collections::{BTreeMap, BTreeSet};

use local::ScheduleExpression;
use serde_yaml_ng::{Mapping, Value};
use shared::limits;

use crate::house::{function_folders, read, root};

/// Tables without a TTL, and why.
const WITHOUT_TTL: [(&str, &str); 4] = [
    ("TenantsTable", "tenants, apps and keys stay until they are deleted"),
    ("ConsentsTable", "consents and their history prove what recipients wanted, until the tenant is erased"),
    ("AuditTable", "audit entries stay, including those of deleted tenants"),
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

#[test]
fn every_schedule_expression_is_valid() {
    let mut found = 0;
    walk(&template(), &mut |key, value| {
        if key == "ScheduleExpression" {
            let text = value.as_str().expect("a schedule expression is a string");
            ScheduleExpression::parse(text).unwrap_or_else(|error| panic!("{error}"));
            found += 1;
        }
    });
    assert!(found > 0, "no schedule found");
}

#[test]
fn invalid_schedule_expressions_are_rejected() {
    for invalid in
        ["rate(1 minutes)", "rate(5 minute)", "every 5 minutes", "at(nonsense)", "cron(* * * * * *)", ""]
    {
        assert!(ScheduleExpression::parse(invalid).is_err(), "{invalid}");
    }
}

#[test]
fn policies_contain_no_wildcards() {
    let problems = policy_problems(&template());
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn wildcards_in_policies_are_detected() {
    assert_eq!(problems_in("{Effect: Allow, Action: 'dynamodb:*', Resource: !GetAtt T.Arn}"), 1);
    assert_eq!(
        problems_in(
            "{Effect: Allow, Action: ['dynamodb:GetItem', 'dynamodb:Put?tem'], Resource: !GetAtt T.Arn}"
        ),
        1
    );
    assert_eq!(problems_in("{Effect: Allow, Action: 'dynamodb:GetItem', Resource: '*'}"), 1);
    assert_eq!(problems_in("{Effect: Allow, Action: 'dynamodb:GetItem', Resource: [!Sub '${T.Arn}/*']}"), 1);
    assert_eq!(problems_in("{Effect: Allow, NotAction: 'iam:PassRole', Resource: !GetAtt T.Arn}"), 1);
    assert_eq!(problems_in("{Effect: Allow, Action: 'dynamodb:GetItem', Resource: !GetAtt T.Arn}"), 0);
    assert_eq!(problems_in("{Effect: Deny, Principal: '*', Action: 's3:*', Resource: '*'}"), 0);
    let with_schedule = |action: &str, group: &str| {
        problems_in(&format!(
            "{{Effect: Allow, Action: '{action}', Resource: 'arn:aws:scheduler:r:a:schedule/{group}/connection-*'}}"
        ))
    };
    assert_eq!(with_schedule("scheduler:CreateSchedule", "stack"), 0);
    assert_eq!(with_schedule("scheduler:CreateSchedule", "*"), 1);
    assert_eq!(with_schedule("scheduler:CreateScheduleGroup", "stack"), 1);
    assert_eq!(
        problems_in("{Effect: Allow, Action: 'kms:Decrypt', Resource: !GetAtt K.Arn}"),
        1,
        "no encryption context"
    );
    assert_eq!(
        problems_in(
            "{Effect: Allow, Action: 'kms:Decrypt', Resource: !GetAtt K.Arn, Condition: {StringEquals: {'kms:EncryptionContext:app': ringbridge, 'kms:EncryptionContext:purpose': access}}}"
        ),
        0
    );
}

#[test]
fn every_wildcard_resource_has_a_comment_with_the_reason() {
    let text = read(&root().join("template.yaml"));
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for (at, line) in lines.iter().enumerate() {
        let is_wildcard = line.contains("Resource: '*'") || line.ends_with("*\"");
        if line.contains("Resource:") && is_wildcard {
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
fn roles_are_passed_to_the_scheduler_alone() {
    let template = template();
    let mut passing = 0;
    for (id, function) in resources(&template, "AWS::Serverless::Function") {
        for statement in statements(function) {
            if strings(statement.get("Action")).iter().any(|action| action == "iam:PassRole") {
                let service = &statement["Condition"]["StringEquals"]["iam:PassedToService"];
                assert_eq!(service.as_str(), Some("scheduler.amazonaws.com"), "{id}");
                passing += 1;
            }
        }
    }
    assert_eq!(passing, 2);
}

#[test]
fn only_one_function_can_decrypt_refresh_tokens() {
    let template = template();
    let mut decrypting = Vec::new();
    for (id, function) in resources(&template, "AWS::Serverless::Function") {
        for statement in statements(function) {
            let decrypts = strings(statement.get("Action")).iter().any(|action| action == "kms:Decrypt");
            if decrypts && constrings(statement, "purpose").iter().any(|purpose| purpose == "refresh") {
                decrypting.push(id);
            }
        }
    }
    assert_eq!(decrypting, ["RefreshTokens"]);
    assert!(routes_of(resource(&template, "RefreshTokens")).is_empty(), "it has no route");
}

#[test]
fn every_function_has_its_own_role() {
    let template = template();
    assert!(template["Globals"]["Function"].get("Role").is_none());
    for (id, function) in resources(&template, "AWS::Serverless::Function") {
        let properties = &function["Properties"];
        // SAM creates a role for each function that does not name one.
        assert!(properties.get("Role").is_none(), "{id} shares a role");
        for policy in sequence(properties.get("Policies")) {
            assert!(policy.get("Statement").is_some(), "{id} uses a managed policy");
        }
    }
}

#[test]
fn function_folders_and_function_resources_match() {
    let template = template();
    let mut deployed = BTreeSet::new();
    for (id, function) in resources(&template, "AWS::Serverless::Function") {
        let binary = binary_of(function);
        assert_eq!(id, pascal(binary), "{binary}");
        let code = function["Properties"]["CodeUri"].as_str();
        assert_eq!(code, Some(format!("target/lambda/{binary}").as_str()), "{id}");
        let name = untagged(&function["Properties"]["FunctionName"]).as_str().unwrap_or_default();
        assert_eq!(name, format!("${{AWS::StackName}}-{binary}"), "{id}");
        assert!(
            function["Metadata"].is_null(),
            "{id} is built by `cargo lambda build`, and SAM only uploads it"
        );
        assert!(function["Properties"].get("Description").is_some(), "{id} has no description");
        deployed.insert(binary.to_owned());
    }
    assert_eq!(deployed, function_folders().into_iter().collect());
}

#[test]
fn every_table_is_protected() {
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
        // CloudFormation can neither roll back the creation of a protected table, nor delete one with its stack.
        let wanted: Value = match table["DeletionPolicy"] == "RetainExceptOnCreate" {
            true => serde_yaml_ng::from_str("[ProtectsTables, true, false]").unwrap(),
            false => Value::Null,
        };
        assert_eq!(protection, &wanted, "{id}: deletion protection");
        for policy in ["DeletionPolicy", "UpdateReplacePolicy"] {
            assert!(table.get(policy).is_some(), "{id} has no {policy}");
        }
        let expires = properties["TimeToLiveSpecification"]["Enabled"] == Value::Bool(true);
        let stays = WITHOUT_TTL.iter().any(|(table, _)| *table == id);
        assert!(expires || stays, "{id} has no TTL and is not in WITHOUT_TTL");
        if expires {
            assert_eq!(properties["TimeToLiveSpecification"]["AttributeName"], "ttl", "{id}");
        }
    }
}

#[test]
fn keys_rotate_and_secrets_are_retained() {
    let template = template();
    for (id, key) in resources(&template, "AWS::KMS::Key") {
        assert_eq!(key["Properties"]["EnableKeyRotation"], true, "{id}");
        assert_eq!(key["DeletionPolicy"], "RetainExceptOnCreate", "{id}");
    }
    for (id, secret) in resources(&template, "AWS::SecretsManager::Secret") {
        assert_eq!(secret["DeletionPolicy"], "RetainExceptOnCreate", "{id}");
        assert!(secret["Properties"].get("SecretString").is_none(), "{id} has its value in the template");
    }
}

#[test]
fn the_deployment_guide_matches_the_template() {
    let template = template();
    let guide = read(&root().join("docs/deploying.md"));
    let says = |text: &str| assert!(guide.contains(text), "docs/deploying.md does not say: {text}");
    let retained = |kind: &str| {
        let all = resources(&template, kind).into_iter();
        all.filter(|(_, resource)| resource["DeletionPolicy"] == "RetainExceptOnCreate").count()
    };
    let [tables, buckets, queues, keys, secrets] =
        ["DynamoDB::Table", "S3::Bucket", "SQS::Queue", "KMS::Key", "SecretsManager::Secret"]
            .map(|kind| retained(&format!("AWS::{kind}")));
    says(&format!(
        "leaves {tables} tables, {buckets} bucket, {queues} queues, {keys} key and {secrets} secrets behind"
    ));

    for (name, parameter) in mapping(&template["Parameters"]) {
        let default = match &parameter["Default"] {
            Value::Number(number) => format!("`{number}`"),
            Value::Null => "required".to_owned(),
            text if text.as_str() == Some("") => "empty".to_owned(),
            text => format!("`{}`", text.as_str().expect("a parameter has a default")),
        };
        says(&format!("| `{}` | {default} |", name.as_str().unwrap()));
    }

    for (_, function) in resources(&template, "AWS::Serverless::Function") {
        let mut runs = 0;
        walk(&function["Properties"]["Events"], &mut |key, value| {
            if key == "ScheduleExpression" {
                let minutes = value.as_str().unwrap().strip_prefix("rate(").unwrap();
                runs += 24 * 60 / minutes.split(' ').next().unwrap().parse::<u32>().unwrap();
            }
        });
        let binary = binary_of(function);
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

/// A stranger can request these at will, so each has a separate throttle.
#[test]
fn routes_that_answer_without_a_key_are_throttled() {
    let template = template();
    let routes: BTreeSet<String> = resources(&template, "AWS::Serverless::Function")
        .into_iter()
        .flat_map(|(_, function)| routes_of(function))
        .collect();
    let settings = &template["Resources"]["Api"]["Properties"]["RouteSettings"];
    for (route, _) in mapping(settings) {
        assert!(routes.contains(route.as_str().unwrap()), "{route:?} is no route");
    }
    let throttle = |route: &str| {
        let number =
            |name: &str| settings[route][name].as_u64().unwrap_or_else(|| panic!("{route} has no {name}"));
        (number("ThrottlingRateLimit"), number("ThrottlingBurstLimit"))
    };
    assert_eq!(throttle(DEFAULT_ROUTE), (10, 20));
    for route in ["GET /health/ready", "DELETE /v1/triggers/sms-received/subscribe/{id}"] {
        assert!(throttle(route) <= (10, 20), "{route}");
    }
}

#[test]
fn function_timeouts_match_the_limits() {
    let template = template();
    let seconds = |id: &str| resource(&template, id)["Properties"]["Timeout"].as_u64().expect("a timeout");
    assert_eq!(seconds("FinishConnection") * 1_000, limits::CALLBACK_FUNCTION_MS);
    assert!(seconds("RefreshTokens") * 1_000 > limits::INVOKE_MS, "the caller times out first");
    for (id, function) in resources(&template, "AWS::Serverless::Function") {
        let seconds = function["Properties"].get("Timeout").and_then(Value::as_u64);
        assert!(
            routes_of(function).is_empty() || seconds.is_none_or(|s| s <= 29),
            "API Gateway gives {id} 30 seconds"
        );
    }
}

#[test]
fn the_environment_matches_the_variables_that_config_reads() {
    let variables = &template()["Globals"]["Function"]["Environment"]["Variables"];
    let set: BTreeSet<String> =
        variables.as_mapping().unwrap().keys().map(|name| name.as_str().unwrap().to_owned()).collect();
    let config = read(&root().join("shared/src/config.rs"));
    let documented: BTreeSet<String> = config
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `")?.split(" | ").next())
        .flat_map(|names| names.split(", ").map(|name| name.trim_matches('`').to_owned()))
        // Lambda sets these, and the local stack.
        .filter(|name| name != "RINGBRIDGE_CLOCK_OFFSET_SECONDS" && !name.starts_with("AWS_"))
        .collect();
    assert_eq!(set, documented);
}

#[test]
fn the_endpoint_page_lists_every_route_with_its_function() {
    let template = template();
    let mut routes = BTreeMap::new();
    for (id, function) in resources(&template, "AWS::Serverless::Function") {
        for route in routes_of(function) {
            assert!(routes.insert(route.clone(), id.to_owned()).is_none(), "{route} is defined twice");
        }
    }
    routes.retain(|_, function| function != &pascal(REJECTING));
    let mut listed = BTreeMap::new();
    for line in read(&root().join("docs/endpoints.md")).lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let Some((method, path)) = cells.get(1).and_then(|cell| cell.split_once(" `/")) else { continue };
        let path = path.split('`').next().unwrap_or_default();
        let function = cells.iter().rev().find(|cell| !cell.is_empty()).copied().unwrap_or_default();
        listed.insert(format!("{method} /{path}"), pascal(function.trim_matches('`')));
    }
    assert_eq!(listed, routes);
}

/// How many problems a function's policy with one statement has.
pub fn problems_in(statement: &str) -> usize {
    let text = format!(
        "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      Policies:\n        - Statement:\n            - {statement}\n"
    );
    policy_problems(&serde_yaml_ng::from_str(&text).unwrap()).len()
}

/// Wildcards in actions, resources or principals, and KMS permissions without an encryption context.
fn policy_problems(template: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for (id, resource) in mapping(&template["Resources"]) {
        let id = id.as_str().unwrap_or_default();
        // It only limits what the policies of the functions allow.
        if id == "FunctionBoundary" {
            continue;
        }
        let is_key = resource["Type"] == "AWS::KMS::Key";
        for statement in statements(resource) {
            // A denial only restricts.
            if statement.get("Effect").is_some_and(|effect| effect == "Deny") {
                continue;
            }
            let actions = strings(statement.get("Action"));
            // A role's trust policy has no resource: it applies to the role itself.
            let is_trust = actions == ["sts:AssumeRole"] && statement.get("Principal").is_some();
            if actions.is_empty() || (statement.get("Resource").is_none() && !is_trust) {
                problems.push(format!("{id}: a statement does not name its actions or its resources"));
            }
            for action in &actions {
                if action.contains(['*', '?']) || !action.contains(':') {
                    problems.push(format!("{id}: the action {action}"));
                }
            }
            for target in strings(statement.get("Resource")) {
                // A key policy applies to its own key, so its resource may be a wildcard.
                let is_connection_schedule = target.strip_suffix("/connection-*").is_some_and(|before| {
                    !before.contains(['*', '?']) && actions.iter().all(|action| is_schedule_action(action))
                });
                let is_media = MEDIA_PREFIXES.iter().any(|objects| target == *objects)
                    && actions.iter().all(|action| OBJECT_ACTIONS.contains(&action.as_str()));
                let is_allowed = (is_key && target == "*") || is_connection_schedule || is_media;
                if target.contains(['*', '?']) && !is_allowed {
                    problems.push(format!("{id}: the resource {target}"));
                }
            }
            let principals = strings(statement.get("Principal"));
            if principals.iter().any(|principal| principal == "*") {
                problems.push(format!("{id}: the principal *"));
            }
            if actions.iter().any(|action| WITH_ENCRYPTION_CONTEXT.contains(&action.as_str())) {
                let for_product = constrings(statement, "app") == ["ringbridge"];
                let for_purpose = is_key || !constrings(statement, "purpose").is_empty();
                if !for_product || !for_purpose {
                    problems.push(format!("{id}: {} without its encryption context", actions.join(", ")));
                }
            }
        }
    }
    problems
}

/// The prefixes of the media bucket. The keys below them contain ids of tenants, which a policy cannot name.
const MEDIA_PREFIXES: [&str; 2] = ["${MediaBucket.Arn}/uploads/*", "${MediaBucket.Arn}/media/*"];
const OBJECT_ACTIONS: [&str; 3] = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"];

/// The functions create the schedules of connections, so a policy cannot contain their complete names.
fn is_schedule_action(action: &str) -> bool {
    ["scheduler:CreateSchedule", "scheduler:UpdateSchedule", "scheduler:DeleteSchedule"].contains(&action)
}

/// The values that a statement's condition allows for an entry of the encryption context.
fn constrings(statement: &Mapping, entry: &str) -> Vec<String> {
    let condition = statement.get("Condition").and_then(|condition| condition.get("StringEquals"));
    strings(condition.and_then(|values| values.get(format!("kms:EncryptionContext:{entry}"))))
}

/// All policy statements below a node.
pub fn statements(node: &Value) -> Vec<&Mapping> {
    match untagged(node) {
        Value::Mapping(map) if map.contains_key("Effect") => vec![map],
        Value::Mapping(map) => map.values().flat_map(statements).collect(),
        Value::Sequence(items) => items.iter().flat_map(statements).collect(),
        _ => Vec::new(),
    }
}

/// All strings of a node: the node itself, the items of a list, or the operands of an intrinsic function.
pub fn strings(node: Option<&Value>) -> Vec<String> {
    match node.map(untagged) {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Sequence(items)) => items.iter().flat_map(|item| strings(Some(item))).collect(),
        Some(Value::Mapping(map)) => map.values().flat_map(|value| strings(Some(value))).collect(),
        _ => Vec::new(),
    }
}

fn walk(node: &Value, visit: &mut impl FnMut(&str, &Value)) {
    match untagged(node) {
        Value::Mapping(map) => {
            for (key, value) in map {
                visit(key.as_str().unwrap_or_default(), value);
                walk(value, visit);
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

/// `METHOD /path` of each HTTP event of a function, or `$default`, which matches what no other route does.
fn routes_of(function: &Value) -> Vec<String> {
    let events = function["Properties"].get("Events").map(mapping).into_iter().flatten();
    let properties = events.map(|(_, event)| event).filter(|event| event["Type"] == "HttpApi");
    let text = |event: &Value, key: &str| event["Properties"][key].as_str().unwrap_or_default().to_owned();
    let route = |event| match (text(event, "Method"), text(event, "Path")) {
        (method, path) if method.is_empty() && path.is_empty() => DEFAULT_ROUTE.to_owned(),
        (method, path) => format!("{method} {path}"),
    };
    properties.map(route).collect()
}

const DEFAULT_ROUTE: &str = "$default";

/// The function behind the default route, and behind methods that a path does not have.
const REJECTING: &str = "reject-unknown-route";

/// The name of the function behind each route that does not reject every request.
pub fn routes_with_functions() -> BTreeMap<String, String> {
    let template = template();
    let mut functions = BTreeMap::new();
    for (_, function) in resources(&template, "AWS::Serverless::Function") {
        let binary = binary_of(function);
        functions.extend(routes_of(function).into_iter().map(|route| (route, binary.to_owned())));
    }
    functions.retain(|_, function| function != REJECTING);
    functions
}

pub struct UnroutedFunction {
    pub name: String,
    pub description: String,
    pub invokers: Vec<String>,
}

/// The functions that no route leads to, and the one that rejects requests, sorted by name.
pub fn functions_without_routes() -> Vec<UnroutedFunction> {
    let template = template();
    let functions = resources(&template, "AWS::Serverless::Function").into_iter();
    let is_unrouted = |id: &str, function: &Value| id == pascal(REJECTING) || routes_of(function).is_empty();
    let unrouted = functions.filter(|(id, function)| is_unrouted(id, function)).map(|(_, function)| {
        let name = binary_of(function).to_owned();
        let description = function["Properties"]["Description"].as_str().unwrap().to_owned();
        UnroutedFunction { invokers: invokers(&template, &name, function), name, description }
    });
    let mut unrouted: Vec<_> = unrouted.collect();
    unrouted.sort_by(|one, other| one.name.cmp(&other.name));
    unrouted
}

/// What invokes a function, in words: its schedules, queues and streams, and the roles that may call it.
fn invokers(template: &Value, name: &str, function: &Value) -> Vec<String> {
    let mut invokers = Vec::new();
    for (_, event) in function["Properties"].get("Events").map(mapping).into_iter().flatten() {
        let properties = &event["Properties"];
        let resource = |key: &str| {
            let target = untagged(&properties[key]).as_str().unwrap();
            target.split('.').next().unwrap().to_owned()
        };
        invokers.push(match event["Type"].as_str().unwrap() {
            "ScheduleV2" => {
                let rate = properties["ScheduleExpression"].as_str().unwrap();
                let rate = rate.trim_start_matches("rate(").trim_end_matches(')');
                format!("a schedule, every {}", rate.strip_prefix("1 ").unwrap_or(rate))
            }
            "SQS" => format!("`{}`", resource("Queue")),
            "DynamoDB" => format!("the stream of `{}`", resource("Stream")),
            "HttpApi" if invokers.is_empty() => "requests that match no route".to_owned(),
            "HttpApi" => continue,
            other => panic!("{name} has an event of the type {other}"),
        });
    }
    for (kind, words) in
        [("AWS::Serverless::Function", "other functions"), ("AWS::IAM::Role", "schedules of connections")]
    {
        let may_invoke = resources(template, kind)
            .into_iter()
            .flat_map(|(_, resource)| statements(resource))
            .any(|statement| {
                strings(statement.get("Action")).iter().any(|action| action == "lambda:InvokeFunction")
                    && strings(statement.get("Resource")).iter().any(|arn| arn.ends_with(&format!("-{name}")))
            });
        if may_invoke {
            invokers.push(words.to_owned());
        }
    }
    invokers
}

pub fn resources<'a>(template: &'a Value, kind: &str) -> Vec<(&'a str, &'a Value)> {
    let all = mapping(&template["Resources"]).into_iter();
    all.filter(|(_, resource)| resource["Type"] == kind)
        .map(|(id, resource)| (id.as_str().unwrap(), resource))
        .collect()
}

pub fn resource<'a>(template: &'a Value, id: &str) -> &'a Value {
    template["Resources"].get(id).unwrap_or_else(|| panic!("template.yaml has no {id}"))
}

pub fn mapping(node: &Value) -> Vec<(&Value, &Value)> {
    node.as_mapping().map(|map| map.iter().collect()).unwrap_or_default()
}

pub fn sequence(node: Option<&Value>) -> Vec<&Value> {
    node.and_then(Value::as_sequence).map(|items| items.iter().collect()).unwrap_or_default()
}

pub fn untagged(node: &Value) -> &Value {
    match node {
        Value::Tagged(tagged) => untagged(&tagged.value),
        other => other,
    }
}

/// The name of a function's binary and folder: the last part of its `CodeUri`.
fn binary_of(function: &Value) -> &str {
    function["Properties"]["CodeUri"].as_str().and_then(|path| path.rsplit('/').next()).unwrap_or_default()
}

fn pascal(name: &str) -> String {
    let capital = |part: &str| part[..1].to_uppercase() + &part[1..];
    name.split('-').filter(|part| !part.is_empty()).map(capital).collect()
}

pub fn template() -> Value {
    serde_yaml_ng::from_str(&read(&root().join("template.yaml"))).expect("template.yaml is YAML")
}
