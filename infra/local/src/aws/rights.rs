//! What a request needs to be allowed: actions on resources, and what conditions can look at.

use super::Aws;
use super::request::{Request, Service};
use crate::names;
use crate::template::Template;
use serde_json::Value;
use std::collections::BTreeMap;

/// One right that a request needs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Need {
    /// `service:Operation`.
    pub action: String,
    /// ARN, or `*` for an operation without a resource.
    pub resource: String,
    /// Values by condition key.
    pub context: BTreeMap<String, Vec<String>>,
}

impl Need {
    fn new(action: impl Into<String>, resource: impl Into<String>) -> Self {
        Self { action: action.into(), resource: resource.into(), context: BTreeMap::new() }
    }
}

/// Partition keys of the tables, and of their indexes.
#[derive(Clone, Debug, Default)]
pub struct PartitionKeys(BTreeMap<(String, Option<String>), String>);

impl PartitionKeys {
    /// Reads them from the tables of the template.
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

/// What a request needs; nothing if only the service can tell what is wrong with it.
#[must_use]
pub fn needs(aws: &Aws, request: &Request) -> Vec<Need> {
    let input = &request.input;
    match request.service {
        Service::DynamoDb => dynamodb(&aws.partition_keys, &request.operation, input),
        Service::Kms => kms(aws, &request.operation, input),
        Service::SecretsManager => {
            let id = input["SecretId"].as_str().unwrap_or_default();
            let resource = if id.starts_with("arn:") { id.to_owned() } else { names::secret_arn(id) };
            vec![Need::new(format!("secretsmanager:{}", request.operation), resource)]
        }
        Service::Sqs => {
            // A batch needs the right of its single operation.
            let operation = request.operation.strip_suffix("Batch").unwrap_or(&request.operation);
            vec![Need::new(format!("sqs:{operation}"), aws.sqs.arn_of(input))]
        }
        Service::Scheduler => scheduler(&request.operation, input),
        Service::Lambda => {
            let name = input["FunctionName"].as_str().unwrap_or_default();
            let known = aws.functions.get().and_then(|functions| functions.find(name));
            let name = known.map_or(name, |function| function.name.as_str());
            let resource = if name.starts_with("arn:") { name.to_owned() } else { names::function_arn(name) };
            vec![Need::new("lambda:InvokeFunction", resource)]
        }
    }
}

fn dynamodb(keys: &PartitionKeys, operation: &str, input: &Value) -> Vec<Need> {
    let table_arn = |table: &str| names::table_arn(table.rsplit('/').next().unwrap_or(table));
    let need = |action: &str, table: &str, items: &[&Value]| {
        let mut need = Need::new(format!("dynamodb:{action}"), table_arn(table));
        let key = keys.of(table.rsplit('/').next().unwrap_or(table), None);
        let leading: Vec<String> =
            items.iter().filter_map(|item| key.and_then(|key| plain(&item[key]))).collect();
        if !leading.is_empty() {
            need.context.insert("dynamodb:LeadingKeys".to_owned(), leading);
        }
        let attributes: Vec<String> = items
            .iter()
            .flat_map(|item| item.as_object().into_iter().flatten())
            .map(|(name, _)| name.clone())
            .chain(attribute_names(input))
            .collect();
        need.context.insert("dynamodb:Attributes".to_owned(), attributes);
        need
    };
    let table = input["TableName"].as_str().unwrap_or_default();
    match operation {
        "TransactWriteItems" | "TransactGetItems" => {
            let mut needs = Vec::new();
            for item in input["TransactItems"].as_array().into_iter().flatten() {
                for (kind, action) in item.as_object().into_iter().flatten() {
                    let name = if kind == "ConditionCheck" {
                        "ConditionCheckItem".to_owned()
                    } else {
                        format!("{kind}Item")
                    };
                    let of = if kind == "Put" { &action["Item"] } else { &action["Key"] };
                    needs.push(need(&name, action["TableName"].as_str().unwrap_or_default(), &[of]));
                }
            }
            needs
        }
        "BatchGetItem" => {
            let tables = input["RequestItems"].as_object().into_iter().flatten();
            tables
                .map(|(table, what)| {
                    let items: Vec<&Value> = what["Keys"].as_array().into_iter().flatten().collect();
                    need(operation, table, &items)
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
                    need(operation, table, &items)
                })
                .collect()
        }
        "Query" | "Scan" => {
            let index = input["IndexName"].as_str();
            let mut needed = need(operation, table, &[]);
            if let Some(index) = index {
                needed.resource = format!("{}/index/{index}", needed.resource);
            }
            if let Some(value) = keys.of(table, index).and_then(|key| queried(input, key)) {
                needed.context.insert("dynamodb:LeadingKeys".to_owned(), vec![value]);
            }
            vec![needed]
        }
        "ListStreams" => vec![Need::new("dynamodb:ListStreams", "*")],
        "DescribeStream" | "GetShardIterator" => {
            let stream = input["StreamArn"].as_str().unwrap_or_default();
            vec![Need::new(format!("dynamodb:{operation}"), stream)]
        }
        "ListTables" => vec![Need::new("dynamodb:ListTables", "*")],
        _ => {
            let item = if input.get("Item").is_some() { &input["Item"] } else { &input["Key"] };
            vec![need(operation, table, &[item])]
        }
    }
}

/// Attribute names that expressions use.
fn attribute_names(input: &Value) -> Vec<String> {
    let names = input["ExpressionAttributeNames"].as_object().into_iter().flatten();
    names.filter_map(|(_, name)| name.as_str().map(str::to_owned)).collect()
}

/// The value that a query wants of the partition key: `#key = :value` in its key condition.
fn queried(input: &Value, key: &str) -> Option<String> {
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

fn kms(aws: &Aws, operation: &str, input: &Value) -> Vec<Need> {
    let action = format!("kms:{operation}");
    if ["ListKeys", "GenerateRandom", "CreateKey"].contains(&operation) {
        return vec![Need::new(action, "*")];
    }
    let Some(key) = aws.kms.arn_of(input) else { return Vec::new() };
    let mut need = Need::new(action, key);
    for (name, value) in input["EncryptionContext"].as_object().into_iter().flatten() {
        let values = value.as_str().map(str::to_owned).into_iter().collect();
        need.context.insert(format!("kms:EncryptionContext:{name}"), values);
    }
    vec![need]
}

fn scheduler(operation: &str, input: &Value) -> Vec<Need> {
    let name = input["Name"].as_str().unwrap_or_default();
    let group = input["GroupName"].as_str().unwrap_or("default");
    let resource = match operation {
        "ListSchedules" | "ListScheduleGroups" => "*".to_owned(),
        group if group.ends_with("ScheduleGroup") => names::schedule_group_arn(name),
        _ => names::schedule_arn(group, name),
    };
    let mut needs = vec![Need::new(format!("scheduler:{operation}"), resource)];
    if let Some(role) = input["Target"]["RoleArn"].as_str() {
        needs.push(Need::new("iam:PassRole", role));
    }
    needs
}
