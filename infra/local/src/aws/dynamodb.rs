//! DynamoDB: dynoxide, or another engine behind `--endpoint-url`. It has the tables of the template, and items expire by
//! the stack's clock.

use super::calls::CapacityUnits;
use super::error::AwsError;
use super::hot_keys::HotKeys;
use super::request::AwsCall;
use crate::server::{self, HttpResponse};
use crate::template::TableResource;
use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use dynoxide::Database;
use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Engines require a signature, but do not verify it.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, \
                             SignedHeaders=host, Signature=local";

/// Operations that change items.
const WRITES: [&str; 8] = [
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "BatchWriteItem",
    "TransactWriteItems",
    "ExecuteStatement",
    "ExecuteTransaction",
    "BatchExecuteStatement",
];

/// Operations with `ReturnConsumedCapacity`.
const MEASURED: [&str; 10] = [
    "GetItem",
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "Query",
    "Scan",
    "BatchGetItem",
    "BatchWriteItem",
    "TransactGetItems",
    "TransactWriteItems",
];

/// The body of a request, with `ReturnConsumedCapacity` added where it can be.
fn with_consumed_capacity(request: &AwsCall) -> Bytes {
    let body = &request.http.body;
    let adds = MEASURED.contains(&request.operation.as_str())
        && request.input.as_object().is_some_and(|input| !input.contains_key("ReturnConsumedCapacity"));
    match body.iter().position(|byte| *byte == b'{') {
        Some(at) if adds => {
            let empty = request.input.as_object().is_some_and(serde_json::Map::is_empty);
            let separator = if empty { "" } else { "," };
            let start = format!(r#"{{"ReturnConsumedCapacity":"INDEXES"{separator}"#);
            [start.as_bytes(), &body[at + 1..]].concat().into()
        }
        _ => body.clone(),
    }
}

/// The parts of a response that say what a call consumed.
fn outcome(body: &[u8]) -> Value {
    #[derive(Default, serde::Deserialize, serde::Serialize)]
    struct Outcome {
        #[serde(rename = "ConsumedCapacity")]
        consumed: Option<Value>,
        #[serde(rename = "__type")]
        error: Option<String>,
    }
    json!(serde_json::from_slice::<Outcome>(body).unwrap_or_default())
}

/// The capacity units of an outcome, summed over all tables and indexes.
fn units(outcome: &Value) -> f64 {
    let units_of = |table: &Value| table["CapacityUnits"].as_f64().unwrap_or(0.0);
    match &outcome["ConsumedCapacity"] {
        Value::Array(tables) => tables.iter().map(units_of).sum(),
        table => units_of(table),
    }
}

pub struct DynamoDb {
    url: String,
    client: reqwest::Client,
    /// The TTL attribute by table.
    ttl: BTreeMap<String, String>,
    /// Tables with a stream.
    streamed: BTreeSet<String>,
    /// Counts writes that may have added stream records.
    stream_writes: watch::Sender<u64>,
    pub hot_keys: HotKeys,
    _engine: Option<EngineTask>,
}

struct EngineTask(AbortHandle);

/// Notifies the streams when a write has ended, whether it succeeded or not.
struct WriteInProgress<'engine>(&'engine DynamoDb);

impl Drop for WriteInProgress<'_> {
    fn drop(&mut self) {
        self.0.notify_streams();
    }
}

impl Drop for EngineTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl DynamoDb {
    /// Opens the database of the data folder, or one in memory, and creates the tables of the template.
    pub async fn open(folder: Option<&Path>, tables: &[TableResource]) -> Result<Self> {
        let database =
            open(folder).map_err(|error| anyhow!("the DynamoDB database cannot be opened: {error:#}"))?;
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port for DynamoDB")?;
        let url = format!("http://{}/", listener.local_addr()?);
        let engine = tokio::spawn(dynoxide::server::serve_on(listener, database));
        Self::with_engine(url, Some(EngineTask(engine.abort_handle())), tables).await
    }

    /// Uses another engine, and creates the tables of the template there.
    pub async fn connect(url: String, tables: &[TableResource]) -> Result<Self> {
        Self::with_engine(url, None, tables).await
    }

    async fn with_engine(url: String, engine: Option<EngineTask>, tables: &[TableResource]) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().build().context("no HTTP client")?;
        let ttl = tables
            .iter()
            .filter_map(|table| table.ttl_attribute.clone().map(|attribute| (table.name.clone(), attribute)))
            .collect();
        let streamed = tables
            .iter()
            .filter(|table| table.create.get("StreamSpecification").is_some())
            .map(|table| table.name.clone())
            .collect();
        let (stream_writes, hot_keys) = (watch::Sender::new(0), HotKeys::new(tables));
        let dynamodb = Self { url, client, ttl, streamed, stream_writes, hot_keys, _engine: engine };
        for table in tables {
            dynamodb.ensure(table).await.with_context(|| format!("table {}", table.name))?;
        }
        Ok(dynamodb)
    }

    /// Passes a request on to the engine, and counts the units of its keys.
    pub async fn handle(&self, request: &AwsCall, now: Timestamp) -> Result<HttpResponse, AwsError> {
        self.hot_keys.check(request, now.as_second())?;
        let target = request.http.header("x-amz-target").unwrap_or_default();
        let writes = WRITES.contains(&request.operation.as_str())
            && (request.operation.starts_with("Execute")
                || request.tables().iter().any(|table| self.streamed.contains(table)));
        let _write = writes.then(|| WriteInProgress(self));
        let (status, body, code) = self
            .send(target, with_consumed_capacity(request))
            .await
            .map_err(|error| AwsError::with_status(500, "InternalServerError", format!("{error:#}")))?;
        let outcome = outcome(&body);
        self.count_units(request, &outcome, now).await;
        let units = units(&outcome);
        let mut response = server::with_body(status, "application/x-amz-json-1.0", body);
        response.extensions_mut().insert(CapacityUnits(units));
        let code = code.and_then(|code| code.parse().ok());
        if let Some(code) = code {
            response.headers_mut().insert("x-amzn-errortype", code);
        }
        if let Ok(id) = uuid::Uuid::new_v4().to_string().parse() {
            response.headers_mut().insert("x-amzn-requestid", id);
        }
        Ok(response)
    }

    async fn count_units(&self, request: &AwsCall, outcome: &Value, now: Timestamp) {
        let mut read = Vec::new();
        for (table, key) in self.hot_keys.items_to_read(request, outcome) {
            let get = json!({ "TableName": table, "Key": key, "ConsistentRead": true });
            if let Ok(mut found) = self.call("GetItem", &get).await {
                read.push((key, found["Item"].take()));
            }
        }
        self.hot_keys.count(request, outcome, &read, now.as_second());
    }

    /// Follows [`stream_writes`](Self::stream_writes).
    #[must_use]
    pub fn subscribe_stream_writes(&self) -> watch::Receiver<u64> {
        self.stream_writes.subscribe()
    }

    /// The number of writes that may have added stream records.
    #[must_use]
    pub fn stream_writes(&self) -> u64 {
        *self.stream_writes.borrow()
    }

    /// Makes the stream mappings read their streams.
    pub fn notify_streams(&self) {
        self.stream_writes.send_modify(|count| *count += 1);
    }

    /// The engine's ARN of a table's stream.
    pub async fn stream_arn(&self, table: &str) -> Result<String> {
        let described = self.call("DescribeTable", &json!({ "TableName": table })).await?;
        let arn = described["Table"]["LatestStreamArn"].as_str().map(str::to_owned);
        arn.with_context(|| format!("the engine has no stream of table {table}"))
    }

    /// Calls an operation of DynamoDB Streams.
    pub async fn call_streams(&self, operation: &str, input: &Value) -> Result<Value> {
        self.call_target(&format!("DynamoDBStreams_20120810.{operation}"), input).await
    }

    /// Deletes expired items. The TTL attribute holds seconds.
    pub async fn delete_expired(&self, now: Timestamp) {
        for (table, attribute) in &self.ttl {
            if let Err(error) = self.delete_expired_in(table, attribute, now).await {
                tracing::warn!(table, error = %format!("{error:#}"), "expired items could not be deleted");
            }
        }
    }

    async fn delete_expired_in(&self, table: &str, attribute: &str, now: Timestamp) -> Result<()> {
        let description = self.call("DescribeTable", &json!({ "TableName": table })).await?;
        let keys: Vec<String> = description["Table"]["KeySchema"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|key| key["AttributeName"].as_str().map(str::to_owned))
            .collect();
        let mut start = Value::Null;
        loop {
            let mut scan = json!({
                "TableName": table,
                "FilterExpression": "attribute_type(#ttl, :number) AND #ttl < :now",
                "ExpressionAttributeNames": { "#ttl": attribute },
                "ExpressionAttributeValues": {
                    ":number": { "S": "N" },
                    ":now": { "N": now.as_second().to_string() },
                },
            });
            if !start.is_null() {
                scan["ExclusiveStartKey"] = start;
            }
            let page = self.call("Scan", &scan).await?;
            for item in page["Items"].as_array().into_iter().flatten() {
                let key: BTreeMap<&String, &Value> = keys.iter().map(|key| (key, &item[key])).collect();
                // The item's expiry may have been extended since the scan.
                let delete = json!({
                    "TableName": table,
                    "Key": key,
                    "ConditionExpression": "#ttl = :seen",
                    "ExpressionAttributeNames": { "#ttl": attribute },
                    "ExpressionAttributeValues": { ":seen": item[attribute] },
                });
                let _ = self.call("DeleteItem", &delete).await;
                if self.streamed.contains(table) {
                    self.notify_streams();
                }
            }
            match page.get("LastEvaluatedKey") {
                Some(key) => start = key.clone(),
                None => return Ok(()),
            }
        }
    }

    /// Creates the table, or checks that the existing one matches the template.
    async fn ensure(&self, table: &TableResource) -> Result<()> {
        let Ok(described) = self.call("DescribeTable", &json!({ "TableName": table.name })).await else {
            return self.create(table).await;
        };
        if shape(&described["Table"]) != shape(&table.create) {
            bail!("the template has changed its keys or indexes since it was created");
        }
        let view = |table: &Value| table["StreamSpecification"]["StreamViewType"].clone();
        match (view(&described["Table"]), view(&table.create)) {
            (existing, wanted) if existing == wanted => Ok(()),
            (Value::Null, _) => {
                let stream = &table.create["StreamSpecification"];
                let input = json!({ "TableName": table.name, "StreamSpecification": stream });
                self.call("UpdateTable", &input).await.map(|_| ())
            }
            _ => bail!("the template has changed its stream since it was created"),
        }
    }

    async fn create(&self, table: &TableResource) -> Result<()> {
        self.call("CreateTable", &table.create).await?;
        let Some(attribute) = &table.ttl_attribute else { return Ok(()) };
        let setting = json!({
            "TableName": table.name,
            "TimeToLiveSpecification": { "AttributeName": attribute, "Enabled": true },
        });
        self.call("UpdateTimeToLive", &setting).await.map(|_| ())
    }

    /// Calls an operation of DynamoDB.
    pub async fn call(&self, operation: &str, input: &Value) -> Result<Value> {
        self.call_target(&format!("DynamoDB_20120810.{operation}"), input).await
    }

    async fn call_target(&self, target: &str, input: &Value) -> Result<Value> {
        let (status, body, _) = self.send(target, input.to_string().into()).await?;
        if !status.is_success() {
            bail!("{target} returned {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(serde_json::from_slice(&body)?)
    }

    async fn send(&self, target: &str, body: Bytes) -> Result<(StatusCode, Bytes, Option<String>)> {
        let response = self
            .client
            .post(&self.url)
            .header("x-amz-target", target)
            .header("content-type", "application/x-amz-json-1.0")
            .header("authorization", AUTHORIZATION)
            .header("x-amz-date", "20260101T000000Z")
            .body(body)
            .send()
            .await
            .context("DynamoDB does not respond")?;
        let status = response.status();
        let body = response.bytes().await.context("DynamoDB closed the connection during its response")?;
        let code = (!status.is_success()).then(|| {
            let document: Value = serde_json::from_slice(&body).unwrap_or_default();
            let code = document["__type"].as_str().unwrap_or_default();
            code.rsplit('#').next().unwrap_or_default().to_owned()
        });
        Ok((status, body, code.filter(|code| !code.is_empty())))
    }
}

/// Opens dynoxide's database and adds an index on stream records. Without it, every write scans all stream records.
fn open(folder: Option<&Path>) -> Result<Database> {
    let Some(folder) = folder else {
        // An in-memory database has a single connection, dynoxide's own, so the index is created in a copy on disk.
        let database = Database::memory()?;
        let copy = tempfile::tempdir()?;
        let path = copy.path().join("empty.sqlite");
        database.vacuum_into(&path.to_string_lossy())?;
        add_index(&path)?;
        database.restore_from(&path.to_string_lossy())?;
        return Ok(database);
    };
    let path = folder.join("dynamodb.sqlite");
    let database = Database::new(&path.to_string_lossy())?;
    add_index(&path)?;
    Ok(database)
}

fn add_index(path: &Path) -> Result<()> {
    let connection = rusqlite::Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(30))?;
    connection.execute_batch(
        "CREATE INDEX IF NOT EXISTS ringbridge_stream_order \
         ON _stream_records (table_name, CAST(sequence_number AS INTEGER))",
    )?;
    Ok(())
}

/// Keys and indexes, which must not change.
fn shape(table: &Value) -> Value {
    let mut indexes: Vec<(String, Value)> = ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"]
        .iter()
        .flat_map(|kind| table[*kind].as_array().into_iter().flatten())
        .map(|index| (index["IndexName"].to_string(), index["KeySchema"].clone()))
        .collect();
    indexes.sort_by(|left, right| left.0.cmp(&right.0));
    json!({ "keys": table["KeySchema"], "indexes": indexes })
}

#[cfg(test)]
mod tests {
    use super::open;

    /// The statements are those with which dynoxide numbers and reads stream records.
    #[test]
    fn writing_and_reading_stream_records_uses_the_index() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.sqlite");
        for location in [None, Some(folder.path())] {
            let _ = std::fs::remove_file(&copy);
            open(location).unwrap().vacuum_into(&copy.to_string_lossy()).unwrap();
            let connection = rusqlite::Connection::open(&copy).unwrap();
            for statement in [
                "SELECT COALESCE(MAX(CAST(sequence_number AS INTEGER)), 0) + 1 FROM _stream_records WHERE table_name = 'a'",
                "SELECT event_name FROM _stream_records WHERE table_name = 'a' AND shard_id = 'b' \
                 AND CAST(sequence_number AS INTEGER) > 1 ORDER BY CAST(sequence_number AS INTEGER) ASC LIMIT 5",
            ] {
                let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
                let steps = plan.query_map((), |row| row.get::<_, String>(3)).unwrap();
                let steps: Vec<String> = steps.map(Result::unwrap).collect();
                assert!(
                    steps.len() == 1 && steps[0].contains("INDEX ringbridge_stream_order"),
                    "{statement}: {steps:?}"
                );
            }
        }
    }
}
