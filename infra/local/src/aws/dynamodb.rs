//! DynamoDB: dynoxide behind our address, its tables from the template, and TTL by the stack's clock.

use super::Refusal;
use super::request::Request;
use crate::server::{self, Answer};
use crate::template::Table;
use anyhow::{Context, Result, anyhow, bail};
use dynoxide::Database;
use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// What the SDKs would sign with; the engine checks only that there is something.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, \
                             SignedHeaders=host, Signature=local";

/// The engine.
pub struct DynamoDb {
    url: String,
    client: reqwest::Client,
    ttl: BTreeMap<String, String>,
    _serving: Option<Serving>,
}

struct Serving(AbortHandle);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl DynamoDb {
    /// Opens the engine of the data folder (or one in memory), and makes the tables of the template.
    pub async fn open(folder: Option<&Path>, tables: &[Table]) -> Result<Self> {
        let database = match folder {
            None => Database::memory(),
            Some(folder) => Database::new(&folder.join("dynamodb.sqlite").to_string_lossy()),
        };
        let database = database.map_err(|error| anyhow!("the tables cannot be opened: {error}"))?;
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
        let engine = Self { url, client, ttl, _serving: serving };
        for table in tables {
            engine.ensure(table).await.with_context(|| format!("table {}", table.name))?;
        }
        Ok(engine)
    }

    /// Passes a request on as it came.
    pub async fn answer(&self, request: &Request) -> Result<Answer, Refusal> {
        let target = request.call.header("x-amz-target").unwrap_or_default();
        let (status, body, code) = self
            .send(target, request.call.body.clone())
            .await
            .map_err(|error| Refusal::with_status(500, "InternalServerError", format!("{error:#}")))?;
        let mut answer = server::body(status, "application/x-amz-json-1.0", body);
        let code = code.and_then(|code| code.parse().ok());
        if let Some(code) = code {
            answer.headers_mut().insert("x-amzn-errortype", code);
        }
        if let Ok(id) = uuid::Uuid::new_v4().to_string().parse() {
            answer.headers_mut().insert("x-amzn-requestid", id);
        }
        Ok(answer)
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
        if shape(&described["Table"]) == shape(&table.create) {
            Ok(())
        } else {
            bail!("its keys or indexes in the template have changed since it was made")
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
        let target = format!("DynamoDB_20120810.{operation}");
        let (status, body, _) = self.send(&target, input.to_string().into()).await?;
        let text = String::from_utf8_lossy(&body);
        if !status.is_success() {
            bail!("{operation} answered {status}: {text}");
        }
        Ok(serde_json::from_slice(&body)?)
    }

    async fn send(
        &self,
        target: &str,
        body: bytes::Bytes,
    ) -> Result<(StatusCode, bytes::Bytes, Option<String>)> {
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
