//! The permissions that a request requires: actions on resources, with the values that conditions compare.

use super::request::{AwsCall, AwsService};
use super::services::AwsServices;
use crate::iam_policy::RequiredPermission;
use crate::names;
use crate::template::Template;
use serde_json::Value;
use std::collections::BTreeMap;

/// Partition keys of the tables, and of their indexes.
#[derive(Clone, Debug, Default)]
pub struct PartitionKeys(BTreeMap<(String, Option<String>), String>);

impl PartitionKeys {
    #[must_use]
    pub fn new(template: &Template) -> Self {
        let mut keys = BTreeMap::new();
        let hash = |schema: &Value| {
            let parts = schema.as_array().into_iter().flatten();
            parts
                .filter(|part| part["KeyType"] == "HASH")
                .find_map(|part| part["AttributeName"].as_str().map(str::to_owned))
        };
        for table in &template.tables {
            if let Some(key) = hash(&table.create["KeySchema"]) {
                keys.insert((table.name.clone(), None), key);
            }
            for index in table.create["GlobalSecondaryIndexes"].as_array().into_iter().flatten() {
                if let (Some(name), Some(key)) = (index["IndexName"].as_str(), hash(&index["KeySchema"])) {
                    keys.insert((table.name.clone(), Some(name.to_owned())), key);
                }
            }
        }
        Self(keys)
    }

    fn of(&self, table: &str, index: Option<&str>) -> Option<&str> {
        self.0.get(&(table.to_owned(), index.map(str::to_owned))).map(String::as_str)
    }
}

/// The permissions that a request requires. The list is empty if the request is invalid in a way that the service
/// itself reports.
#[must_use]
pub fn required(
    services: &AwsServices,
    partition_keys: &PartitionKeys,
    request: &AwsCall,
) -> Vec<RequiredPermission> {
    let input = &request.input;
    match request.service {
        AwsService::DynamoDb => dynamodb(partition_keys, &request.operation, input),
        AwsService::Kms => kms(services, &request.operation, input),
        AwsService::SecretsManager => {
            let id = input["SecretId"].as_str().unwrap_or_default();
            let resource = if id.starts_with("arn:") { id.to_owned() } else { names::secret_arn(id) };
            vec![RequiredPermission::new(format!("secretsmanager:{}", request.operation), resource)]
        }
        AwsService::Sqs => {
            // A batch requires the permission of the single operation.
            let operation = request.operation.strip_suffix("Batch").unwrap_or(&request.operation);
            vec![RequiredPermission::new(format!("sqs:{operation}"), services.sqs.queue_arn(input))]
        }
        AwsService::Scheduler => scheduler(&request.operation, input),
        // Checked with the signature, when the parameters are known.
        AwsService::S3 => Vec::new(),
        AwsService::Lambda => {
            let name = input["FunctionName"].as_str().unwrap_or_default();
            let known = services.functions.get().and_then(|functions| functions.find(name));
            let name = known.map_or(name, |function| function.name.as_str());
            let resource = if name.starts_with("arn:") { name.to_owned() } else { names::function_arn(name) };
            vec![RequiredPermission::new("lambda:InvokeFunction", resource)]
        }
    }
}

fn dynamodb(keys: &PartitionKeys, operation: &str, input: &Value) -> Vec<RequiredPermission> {
    let table_arn = |table: &str| names::table_arn(table.rsplit('/').next().unwrap_or(table));
    let permission = |action: &str, table: &str, items: &[&Value], input: &Value| {
        let mut permission = RequiredPermission::new(format!("dynamodb:{action}"), table_arn(table));
        let key = keys.of(table.rsplit('/').next().unwrap_or(table), None);
        let leading: Vec<String> =
            items.iter().filter_map(|item| key.and_then(|key| plain(&item[key]))).collect();
        if !leading.is_empty() {
            permission.context.insert("dynamodb:LeadingKeys".to_owned(), leading);
        }
        let attributes: Vec<String> = items
            .iter()
            .flat_map(|item| item.as_object().into_iter().flatten())
            .map(|(name, _)| name.clone())
            .chain(attribute_names(input))
            .collect();
        permission.context.insert("dynamodb:Attributes".to_owned(), attributes);
        for parameter in ["ReturnValues", "Select"] {
            if let Some(value) = input[parameter].as_str() {
                permission.context.insert(format!("dynamodb:{parameter}"), vec![value.to_owned()]);
            }
        }
        permission
    };
    let table = input["TableName"].as_str().unwrap_or_default();
    match operation {
        "TransactWriteItems" | "TransactGetItems" => {
            let mut permissions = Vec::new();
            for item in input["TransactItems"].as_array().into_iter().flatten() {
                for (kind, action) in item.as_object().into_iter().flatten() {
                    let name = if kind == "ConditionCheck" {
                        "ConditionCheckItem".to_owned()
                    } else {
                        format!("{kind}Item")
                    };
                    let of = if kind == "Put" { &action["Item"] } else { &action["Key"] };
                    permissions.push(permission(
                        &name,
                        action["TableName"].as_str().unwrap_or_default(),
                        &[of],
                        action,
                    ));
                }
            }
            permissions
        }
        "BatchGetItem" => {
            let tables = input["RequestItems"].as_object().into_iter().flatten();
            tables
                .map(|(table, what)| {
                    let items: Vec<&Value> = what["Keys"].as_array().into_iter().flatten().collect();
                    permission(operation, table, &items, what)
                })
                .collect()
        }
        "BatchWriteItem" => {
            let tables = input["RequestItems"].as_object().into_iter().flatten();
            tables
                .map(|(table, what)| {
                    let items: Vec<&Value> = what
                        .as_array()
                        .into_iter()
                        .flatten()
                        .flat_map(|write| [&write["PutRequest"]["Item"], &write["DeleteRequest"]["Key"]])
                        .filter(|item| !item.is_null())
                        .collect();
                    permission(operation, table, &items, &Value::Null)
                })
                .collect()
        }
        "Query" | "Scan" => {
            let index = input["IndexName"].as_str();
            let mut permission = permission(operation, table, &[], input);
            if let Some(index) = index {
                permission.resource = format!("{}/index/{index}", permission.resource);
            }
            if let Some(value) = keys.of(table, index).and_then(|key| queried_key(input, key)) {
                permission.context.insert("dynamodb:LeadingKeys".to_owned(), vec![value]);
            }
            vec![permission]
        }
        "ListStreams" => vec![RequiredPermission::new("dynamodb:ListStreams", "*")],
        "DescribeStream" | "GetShardIterator" => {
            let stream = input["StreamArn"].as_str().unwrap_or_default();
            vec![RequiredPermission::new(format!("dynamodb:{operation}"), stream)]
        }
        "ListTables" => vec![RequiredPermission::new("dynamodb:ListTables", "*")],
        _ => {
            let item = if input.get("Item").is_some() { &input["Item"] } else { &input["Key"] };
            vec![permission(operation, table, &[item], input)]
        }
    }
}

/// The top-level attributes that the expressions of a request name, directly or by a placeholder.
fn attribute_names(input: &Value) -> Vec<String> {
    EXPRESSIONS
        .iter()
        .filter_map(|name| input[*name].as_str())
        .flat_map(|text| attributes_in(text, input))
        .collect()
}

const EXPRESSIONS: [&str; 5] = [
    "UpdateExpression",
    "ConditionExpression",
    "KeyConditionExpression",
    "FilterExpression",
    "ProjectionExpression",
];

/// Words of expressions that are no attributes. DynamoDB ignores their case; functions are lower case.
const KEYWORDS: [&str; 9] = ["SET", "REMOVE", "ADD", "DELETE", "AND", "OR", "NOT", "BETWEEN", "IN"];
const OPERATIONS: [&str; 8] = [
    "attribute_exists",
    "attribute_not_exists",
    "attribute_type",
    "begins_with",
    "contains",
    "size",
    "if_not_exists",
    "list_append",
];

fn attributes_in(expression: &str, input: &Value) -> Vec<String> {
    let is_word = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '#' | ':' | '.');
    let words = expression.split(|char| !is_word(char)).filter(|word| !word.is_empty());
    // What follows a dot or stands in brackets is inside of an attribute.
    let names = words.filter_map(|word| word.split('.').next()).filter(|word| {
        let is_value = word.starts_with(':') || word.starts_with(|char: char| char.is_ascii_digit());
        let is_keyword = KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word));
        !word.is_empty() && !is_value && !is_keyword && !OPERATIONS.contains(word)
    });
    names.map(|name| input["ExpressionAttributeNames"][name].as_str().unwrap_or(name).to_owned()).collect()
}

/// The partition key value of a query, `#key = :value` in its key condition.
fn queried_key(input: &Value, key: &str) -> Option<String> {
    let expression = input["KeyConditionExpression"].as_str()?;
    let lower = expression.replace(" AND ", " and ");
    lower.split(" and ").find_map(|part| {
        let (left, right) = part.split_once('=')?;
        let (left, right) = (left.trim().trim_start_matches('('), right.trim().trim_end_matches(')'));
        let name = input["ExpressionAttributeNames"][left].as_str().unwrap_or(left);
        (name == key).then(|| plain(&input["ExpressionAttributeValues"][right]))?
    })
}

fn plain(value: &Value) -> Option<String> {
    ["S", "N", "B"].iter().find_map(|kind| value[*kind].as_str().map(str::to_owned))
}

fn kms(services: &AwsServices, operation: &str, input: &Value) -> Vec<RequiredPermission> {
    let action = format!("kms:{operation}");
    if ["ListKeys", "GenerateRandom", "CreateKey"].contains(&operation) {
        return vec![RequiredPermission::new(action, "*")];
    }
    let Some(key) = services.kms.key_arn(input) else { return Vec::new() };
    let mut permission = RequiredPermission::new(action, key);
    for (name, value) in input["EncryptionContext"].as_object().into_iter().flatten() {
        let values = value.as_str().map(str::to_owned).into_iter().collect();
        permission.context.insert(format!("kms:EncryptionContext:{name}"), values);
    }
    vec![permission]
}

fn scheduler(operation: &str, input: &Value) -> Vec<RequiredPermission> {
    let name = input["Name"].as_str().unwrap_or_default();
    let group = input["GroupName"].as_str().unwrap_or("default");
    let resource = match operation {
        "ListSchedules" | "ListScheduleGroups" => "*".to_owned(),
        group if group.ends_with("ScheduleGroup") => names::schedule_group_arn(name),
        _ => names::schedule_arn(group, name),
    };
    let mut permissions = vec![RequiredPermission::new(format!("scheduler:{operation}"), resource)];
    if let Some(role) = input["Target"]["RoleArn"].as_str() {
        let mut pass_role = RequiredPermission::new("iam:PassRole", role);
        pass_role
            .context
            .insert("iam:PassedToService".to_owned(), vec!["scheduler.amazonaws.com".to_owned()]);
        permissions.push(pass_role);
    }
    permissions
}

#[cfg(test)]
mod tests {
    use super::attribute_names;
    use serde_json::json;

    #[test]
    fn the_attributes_of_expressions_are_named_directly_or_by_a_placeholder() {
        let names = attribute_names(&json!({
            "UpdateExpression": "SET #a = if_not_exists(#a, :one), counts[3] = :x REMOVE some.inner",
            "ConditionExpression": "attribute_exists(tenant) AND (size(times) < :max or not other = :x)",
            "ExpressionAttributeNames": { "#a": "first" },
        }));
        assert_eq!(names, ["first", "first", "counts", "some", "tenant", "times", "other"]);
    }
}
