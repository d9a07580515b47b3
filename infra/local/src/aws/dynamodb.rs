//! DynamoDB: dynoxide behind our address, its tables from the template, and TTL by the stack's clock.

use super::Refusal;
use super::request::Request;
use crate::server::{self, Answer};
use crate::template::Table;
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

/// What the SDKs would sign with; the engine checks only that there is something.
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

/// Operations that can tell what they consume.
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

/// Capacity units that a call consumed: of reading or of writing, as its operation is.
#[derive(Clone, Copy, Debug)]
pub struct Units(pub f64);

/// The body of a request, which asks for what it consumes, too.
fn measured(request: &Request) -> Bytes {
    let body = &request.call.body;
    let asks = MEASURED.contains(&request.operation.as_str())
        && request.input.as_object().is_some_and(|input| !input.contains_key("ReturnConsumedCapacity"));
    match body.iter().position(|byte| *byte == b'{') {
        Some(at) if asks => {
            let empty = request.input.as_object().is_some_and(serde_json::Map::is_empty);
            let asked = if empty { "" } else { "," };
            let asked = format!(r#"{{"ReturnConsumedCapacity":"TOTAL"{asked}"#);
            [asked.as_bytes(), &body[at + 1..]].concat().into()
        }
        _ => body.clone(),
    }
}

/// What an answer says that was consumed, of all tables and indexes together.
fn units(body: &[u8]) -> f64 {
    #[derive(serde::Deserialize)]
    struct Consumed {
        #[serde(rename = "ConsumedCapacity")]
        consumed: Option<Value>,
    }
    let told = serde_json::from_slice::<Consumed>(body).ok().and_then(|answer| answer.consumed);
    let of = |one: &Value| one["CapacityUnits"].as_f64().unwrap_or(0.0);
    match told {
        Some(Value::Array(tables)) => tables.iter().map(of).sum(),
        Some(table) => of(&table),
        None => 0.0,
    }
}

/// The engine.
pub struct DynamoDb {
    url: String,
    client: reqwest::Client,
    ttl: BTreeMap<String, String>,
    /// Tables with a stream.
    streamed: BTreeSet<String>,
    /// How many writes there were that a stream may hold.
    written: watch::Sender<u64>,
    _serving: Option<Serving>,
}

struct Serving(AbortHandle);

/// Tells of a write when it is over, however it ends.
struct Writing<'engine>(&'engine DynamoDb);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.tell();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl DynamoDb {
    /// Opens the engine of the data folder (or one in memory), and makes the tables of the template.
    pub async fn open(folder: Option<&Path>, tables: &[Table]) -> Result<Self> {
        let database = open(folder).map_err(|error| anyhow!("the tables cannot be opened: {error:#}"))?;
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port for DynamoDB")?;
        let url = format!("http://{}/", listener.local_addr()?);
        let serving = tokio::spawn(dynoxide::server::serve_on(listener, database));
        Self::with_engine(url, Some(Serving(serving.abort_handle())), tables).await
    }

    /// Uses another engine at this address.
    pub async fn at(url: String, tables: &[Table]) -> Result<Self> {
        Self::with_engine(url, None, tables).await
    }

    async fn with_engine(url: String, serving: Option<Serving>, tables: &[Table]) -> Result<Self> {
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
        let written = watch::Sender::new(0);
        let engine = Self { url, client, ttl, streamed, written, _serving: serving };
        for table in tables {
            engine.ensure(table).await.with_context(|| format!("table {}", table.name))?;
        }
        Ok(engine)
    }

    /// Passes a request on as it came.
    pub async fn answer(&self, request: &Request) -> Result<Answer, Refusal> {
        let target = request.call.header("x-amz-target").unwrap_or_default();
        let writes = WRITES.contains(&request.operation.as_str())
            && (request.operation.starts_with("Execute")
                || request.tables().iter().any(|table| self.streamed.contains(table)));
        let _writing = writes.then(|| Writing(self));
        let (status, body, code) = self
            .send(target, measured(request))
            .await
            .map_err(|error| Refusal::with_status(500, "InternalServerError", format!("{error:#}")))?;
        let units = units(&body);
        let mut answer = server::body(status, "application/x-amz-json-1.0", body);
        answer.extensions_mut().insert(Units(units));
        let code = code.and_then(|code| code.parse().ok());
        if let Some(code) = code {
            answer.headers_mut().insert("x-amzn-errortype", code);
        }
        if let Ok(id) = uuid::Uuid::new_v4().to_string().parse() {
            answer.headers_mut().insert("x-amzn-requestid", id);
        }
        Ok(answer)
    }

    /// How many writes there were that a stream may hold, as it changes.
    #[must_use]
    pub fn writes(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// How many writes there were that a stream may hold.
    #[must_use]
    pub fn told(&self) -> u64 {
        *self.written.borrow()
    }

    /// Has the streams looked at.
    pub fn tell(&self) {
        self.written.send_modify(|count| *count += 1);
    }

    /// The engine's ARN of a table's stream.
    pub async fn stream_of(&self, table: &str) -> Result<String> {
        let described = self.call("DescribeTable", &json!({ "TableName": table })).await?;
        let arn = described["Table"]["LatestStreamArn"].as_str().map(str::to_owned);
        arn.with_context(|| format!("the engine has no stream of table {table}"))
    }

    /// Calls DynamoDB Streams with JSON.
    pub async fn stream(&self, operation: &str, input: &Value) -> Result<Value> {
        self.call_target(&format!("DynamoDBStreams_20120810.{operation}"), input).await
    }

    /// Deletes what has expired; TTL looks at whole seconds of the attribute.
    pub async fn sweep(&self, now: Timestamp) {
        for (table, attribute) in &self.ttl {
            if let Err(error) = self.sweep_table(table, attribute, now).await {
                tracing::warn!(table, error = %format!("{error:#}"), "the TTL sweep failed");
            }
        }
    }

    async fn sweep_table(&self, table: &str, attribute: &str, now: Timestamp) -> Result<()> {
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
                // The item may have been renewed since it was read.
                let delete = json!({
                    "TableName": table,
                    "Key": key,
                    "ConditionExpression": "#ttl = :seen",
                    "ExpressionAttributeNames": { "#ttl": attribute },
                    "ExpressionAttributeValues": { ":seen": item[attribute] },
                });
                let _ = self.call("DeleteItem", &delete).await;
                if self.streamed.contains(table) {
                    self.tell();
                }
            }
            match page.get("LastEvaluatedKey") {
                Some(key) => start = key.clone(),
                None => return Ok(()),
            }
        }
    }

    /// Makes the table, or checks that the one of the data folder is still what the template says.
    async fn ensure(&self, table: &Table) -> Result<()> {
        let Ok(described) = self.call("DescribeTable", &json!({ "TableName": table.name })).await else {
            return self.create(table).await;
        };
        if shape(&described["Table"]) != shape(&table.create) {
            bail!("its keys or indexes in the template have changed since it was made");
        }
        let view = |table: &Value| table["StreamSpecification"]["StreamViewType"].clone();
        match (view(&described["Table"]), view(&table.create)) {
            (made, wanted) if made == wanted => Ok(()),
            (Value::Null, _) => {
                let stream = &table.create["StreamSpecification"];
                let input = json!({ "TableName": table.name, "StreamSpecification": stream });
                self.call("UpdateTable", &input).await.map(|_| ())
            }
            _ => bail!("its stream in the template has changed since it was made"),
        }
    }

    async fn create(&self, table: &Table) -> Result<()> {
        self.call("CreateTable", &table.create).await?;
        let Some(attribute) = &table.ttl_attribute else { return Ok(()) };
        let setting = json!({
            "TableName": table.name,
            "TimeToLiveSpecification": { "AttributeName": attribute, "Enabled": true },
        });
        self.call("UpdateTimeToLive", &setting).await.map(|_| ())
    }

    /// Calls the engine with JSON.
    pub async fn call(&self, operation: &str, input: &Value) -> Result<Value> {
        self.call_target(&format!("DynamoDB_20120810.{operation}"), input).await
    }

    async fn call_target(&self, target: &str, input: &Value) -> Result<Value> {
        let (status, body, _) = self.send(target, input.to_string().into()).await?;
        if !status.is_success() {
            bail!("{target} answered {status}: {}", String::from_utf8_lossy(&body));
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
            .context("DynamoDB does not answer")?;
        let status = response.status();
        let body = response.bytes().await.context("DynamoDB broke off its answer")?;
        let code = (!status.is_success()).then(|| {
            let document: Value = serde_json::from_slice(&body).unwrap_or_default();
            let code = document["__type"].as_str().unwrap_or_default();
            code.rsplit('#').next().unwrap_or_default().to_owned()
        });
        Ok((status, body, code.filter(|code| !code.is_empty())))
    }
}

/// Opens the engine's database, with an index over the records of streams: without one, each write looks at all of them.
fn open(folder: Option<&Path>) -> Result<Database> {
    let Some(folder) = folder else {
        // A database in memory has one connection, the engine's own; it takes the index from a copy in a file.
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

/// What makes two tables the same: keys and indexes.
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

    /// The statements are dynoxide's own, with which it numbers and reads records.
    #[test]
    fn a_write_does_not_look_at_all_records_of_streams() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.sqlite");
        for place in [None, Some(folder.path())] {
            let _ = std::fs::remove_file(&copy);
            open(place).unwrap().vacuum_into(&copy.to_string_lossy()).unwrap();
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
