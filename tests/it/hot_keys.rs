//! The meter of DynamoDB's hot keys on the local stack: units per key and second, and DynamoDB's limits of a key.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Reply, World, signature};

/// A table of the stack with an index that projects all attributes.
struct Table<'a> {
    world: &'a World,
    name: String,
    index: String,
    /// The index's partition key and sort key.
    index_keys: [String; 2],
    /// The type of the index's sort key, `S` or `N`.
    sort_type: String,
}

impl<'a> Table<'a> {
    async fn of(world: &'a World) -> Self {
        let name = world.table("TenantsTable").await;
        let described = world.dynamodb("DescribeTable", &json!({ "TableName": name })).await;
        let index = &described["Table"]["GlobalSecondaryIndexes"][0];
        let key = |at: usize| index["KeySchema"][at]["AttributeName"].as_str().unwrap().to_owned();
        let definitions = described["Table"]["AttributeDefinitions"].as_array().unwrap();
        let sort = definitions.iter().find(|one| one["AttributeName"] == key(1).as_str()).unwrap();
        Self {
            sort_type: sort["AttributeType"].as_str().unwrap().to_owned(),
            world,
            index: index["IndexName"].as_str().unwrap().to_owned(),
            index_keys: [key(0), key(1)],
            name,
        }
    }

    /// An item of a tenant with this many bytes, at a key of the index if there is one.
    fn item(&self, tenant: &str, bytes: usize, at: Option<&str>) -> Value {
        let mut item =
            json!({ "tenant": { "S": tenant }, "item": { "S": "x" }, "body": { "S": "b".repeat(bytes) } });
        if let Some(at) = at {
            item[&self.index_keys[0]] = json!({ "S": at });
            item[&self.index_keys[1]] = json!({ &self.sort_type: "1" });
        }
        item
    }

    async fn call(&self, operation: &str, mut body: Value) -> Reply {
        if body.get("TableName").is_some() {
            body["TableName"] = json!(self.name);
        }
        let world = self.world;
        let request = world
            .http
            .post(world.stack.info().aws())
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .header("authorization", signature("dynamodb"))
            .header("content-type", "application/x-amz-json-1.0")
            .body(body.to_string());
        Reply::of(request.send().await.unwrap()).await
    }

    async fn put(&self, item: Value) -> Reply {
        self.call("PutItem", json!({ "TableName": "", "Item": item })).await
    }

    /// The write and read units of each key whose name starts with `hot-`, and of the index's keys, over all seconds.
    async fn units(&self) -> BTreeMap<String, (f64, f64)> {
        let mut sums = BTreeMap::new();
        for entry in self.world.hot_keys(0).await {
            let (key, index) = (entry["key"].as_str().unwrap(), entry["index"].as_str());
            if key.starts_with("hot-") && entry["table"] == self.name.as_str() {
                assert!(index.is_none_or(|index| index == self.index));
                let name = if index.is_some() { format!("index {key}") } else { key.to_owned() };
                let sum: &mut (f64, f64) = sums.entry(name).or_default();
                sum.0 += entry["writeUnits"].as_f64().unwrap();
                sum.1 += entry["readUnits"].as_f64().unwrap();
            }
        }
        sums
    }
}

#[tokio::test]
async fn units_are_counted_for_each_key_of_tables_and_indexes_as_dynamodb_does() {
    let world = World::start().await;
    let table = Table::of(&world).await;
    let [partition, _] = &table.index_keys;
    let key = |tenant: &str| json!({ "tenant": { "S": tenant }, "item": { "S": "x" } });
    let update = |expression: &str, value: Value| {
        json!({ "TableName": "", "Key": key("hot-1"), "UpdateExpression": expression,
            "ExpressionAttributeNames": { "#a": if expression.contains("#a") { json!(partition) } else { Value::Null } },
            "ExpressionAttributeValues": { ":v": value } })
    };
    let mut expected: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    let mut step = async |operation: &str, body: Value, status: u16, units: &[(&str, f64, f64)]| {
        let reply = table.call(operation, body).await;
        assert_eq!(reply.status.as_u16(), status, "{operation}: {}", reply.text);
        for (key, write, read) in units {
            let sum = expected.entry((*key).to_owned()).or_default();
            *sum = (sum.0 + write, sum.1 + read);
        }
        assert_eq!(table.units().await, expected, "{operation}");
    };
    // 2.5 KB are three write units, in the table and in the index.
    let item = table.item("hot-1", 2_500, Some("hot-a"));
    step(
        "PutItem",
        json!({ "TableName": "", "Item": item }),
        200,
        &[("hot-1", 3.0, 0.0), ("index hot-a", 3.0, 0.0)],
    )
    .await;
    // A new key in the index costs the old and the new entry.
    step(
        "UpdateItem",
        update("SET #a = :v", json!({ "S": "hot-b" })),
        200,
        &[("hot-1", 3.0, 0.0), ("index hot-a", 3.0, 0.0), ("index hot-b", 3.0, 0.0)],
    )
    .await;
    let mut other = update("SET remark = :v", json!({ "S": "y" }));
    other.as_object_mut().unwrap().remove("ExpressionAttributeNames");
    step("UpdateItem", other, 200, &[("hot-1", 3.0, 0.0), ("index hot-b", 3.0, 0.0)]).await;
    let get =
        |consistent: bool| json!({ "TableName": "", "Key": key("hot-1"), "ConsistentRead": consistent });
    step("GetItem", get(true), 200, &[("hot-1", 0.0, 1.0)]).await;
    step("GetItem", get(false), 200, &[("hot-1", 0.0, 0.5)]).await;
    let query = json!({ "TableName": "", "KeyConditionExpression": "tenant=:t", "ConsistentRead": true,
        "ExpressionAttributeValues": { ":t": { "S": "hot-1" } } });
    step("Query", query, 200, &[("hot-1", 0.0, 1.0)]).await;
    let query = json!({ "TableName": "", "IndexName": table.index, "KeyConditionExpression": "(#a = :v)",
        "ExpressionAttributeNames": { "#a": partition }, "ExpressionAttributeValues": { ":v": { "S": "hot-b" } } });
    step("Query", query, 200, &[("index hot-b", 0.0, 0.5)]).await;
    let condition = json!({ "TableName": "", "Item": table.item("hot-1", 1, None), "ConditionExpression": "attribute_not_exists(tenant)" });
    step("PutItem", condition, 400, &[("hot-1", 1.0, 0.0)]).await;
    // Transactions cost twice as much.
    let put = |tenant: &str, condition: &str| json!({ "Put": { "TableName": table.name, "Item": table.item(tenant, 1, None), "ConditionExpression": condition } });
    let (new, old) = ("attribute_not_exists(tenant)", "attribute_exists(tenant)");
    let transaction = json!({ "TransactItems": [put("hot-2", new), put("hot-3", new)] });
    step("TransactWriteItems", transaction, 200, &[("hot-2", 2.0, 0.0), ("hot-3", 2.0, 0.0)]).await;
    let failing = json!({ "TransactItems": [put("hot-2", old), put("hot-4", old)] });
    step("TransactWriteItems", failing, 400, &[("hot-2", 2.0, 0.0), ("hot-4", 2.0, 0.0)]).await;
    let table_name = &table.name;
    let batch = json!({ "RequestItems": { table_name: [
        { "PutRequest": { "Item": table.item("hot-2", 1, Some("hot-c")) } }, { "DeleteRequest": { "Key": key("hot-3") } } ] } });
    step(
        "BatchWriteItem",
        batch,
        200,
        &[("hot-2", 1.0, 0.0), ("hot-3", 1.0, 0.0), ("index hot-c", 1.0, 0.0)],
    )
    .await;
    let batch = json!({ "RequestItems": { table_name: { "Keys": [key("hot-1"), key("hot-2")] } } });
    step("BatchGetItem", batch, 200, &[("hot-1", 0.0, 0.5), ("hot-2", 0.0, 0.5)]).await;
    let delete = json!({ "TableName": "", "Key": key("hot-1") });
    step("DeleteItem", delete, 200, &[("hot-1", 3.0, 0.0), ("index hot-b", 3.0, 0.0)]).await;

    // The hottest first, and only from the given second on.
    let all = world.hot_keys(0).await;
    let heat = |entry: &Value| {
        (entry["writeUnits"].as_f64().unwrap() / 1_000.0).max(entry["readUnits"].as_f64().unwrap() / 3_000.0)
    };
    assert!(all.is_sorted_by(|one, other| heat(one) >= heat(other)));
    assert!(world.hottest_keys().await.contains(all[0]["key"].as_str().unwrap()));
    let latest = all.iter().map(|entry| entry["second"].as_i64().unwrap()).max().unwrap();
    assert!(world.hot_keys(latest).await.iter().all(|entry| entry["second"].as_i64() >= Some(latest)));
    world.advance(60).await;
    let later = crate::world::now(&world).await.as_second();
    assert_eq!(world.hot_keys(later + 600).await, Vec::<Value>::new());
    let url = format!("{}/_aws/hot?since=x", world.stack.info().aws());
    assert_eq!(world.http.get(url).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_key_that_is_used_up_is_throttled_and_an_index_key_blocks_the_writes_to_its_table() {
    let world = World::start().await;
    let table = Table::of(&world).await;
    let large = 300_000;
    let throttled = async |tenant: &dyn Fn(usize) -> String, at: Option<&str>| {
        for attempt in 0..100 {
            let reply = table.put(table.item(&tenant(attempt), large, at)).await;
            if reply.status != 200 {
                assert_eq!(reply.status, 400);
                return Some(reply.json());
            }
        }
        None
    };
    let one = |_: usize| "hot-1".to_owned();
    for _ in 0..20 {
        table.put(table.item("hot-0", large, None)).await.expect(200);
    }
    let settings = json!({ "enforceKeyLimits": true });
    assert_eq!(world.aws(Method::PUT, "/_aws/settings", Some(settings.clone())).await, settings);
    assert_eq!(world.aws(Method::GET, "/_aws/settings", None).await, settings);
    let error = throttled(&one, None).await.expect("1,000 units a second are used up within a second");
    assert_eq!(error["__type"], "ProvisionedThroughputExceededException");
    table.put(table.item("hot-2", large, None)).await.expect(200);
    world.advance(1).await;
    table.put(table.item("hot-1", large, None)).await.expect(200);
    // Every item has a separate key in the table, and all have the same in the index.
    let error = throttled(&|attempt| format!("hot-1-{attempt}"), Some("hot-a")).await.unwrap();
    assert_eq!(error["__type"], "ProvisionedThroughputExceededException");
    assert!(error["message"].as_str().unwrap().ends_with(&table.index), "{error}");
    table.put(table.item("hot-3", large, Some("hot-b"))).await.expect(200);
    world.advance(1).await;
    table.put(table.item("hot-3", large, Some("hot-a"))).await.expect(200);
    let mixed = json!({ "enforceKeyLimits": "yes" });
    let url = format!("{}/_aws/settings", world.stack.info().aws());
    assert_eq!(world.http.put(url).body(mixed.to_string()).send().await.unwrap().status(), 400);
    let settings = json!({ "enforceKeyLimits": false });
    assert_eq!(world.aws(Method::PUT, "/_aws/settings", Some(settings.clone())).await, settings);
    assert_eq!(throttled(&one, None).await, None);
}
