//! A meter of DynamoDB's hot keys: the units that each partition key of a table or an index consumed in each second of the
//! stack's clock. On request it rejects what would exceed DynamoDB's limits of a partition key.
//!
//! The engine reports the units of a call for the table and each index. They are divided evenly among the items of the call.

use super::error::AwsError;
use super::request::AwsCall;
use crate::template::TableResource;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Units that a partition key takes in a second.
const WRITE_UNITS: f64 = 1_000.0;
const READ_UNITS: f64 = 3_000.0;
/// Of more keys and seconds than this, the oldest seconds are forgotten.
const MAX_ENTRIES: usize = 200_000;
/// Items whose index keys are remembered, to know where an entry was that a write has removed or moved.
const MAX_ITEMS: usize = 200_000;
/// Entries in one response.
const MAX_LISTED: usize = 1_000;

pub struct HotKeys {
    tables: BTreeMap<String, TableKeys>,
    enforces_limits: AtomicBool,
    state: Mutex<State>,
}

/// The key attributes of a table.
struct TableKeys {
    /// The partition key, and the sort key if there is one.
    primary: Vec<String>,
    /// The partition key of each index.
    indexes: BTreeMap<String, String>,
}

#[derive(Default)]
struct State {
    seconds: BTreeMap<i64, HashMap<HotKey, Units>>,
    entries: usize,
    /// The partition keys in the indexes, by table and primary key.
    items: HashMap<(String, String), IndexKeys>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct HotKey {
    table: String,
    /// `None` is the table.
    index: Option<String>,
    key: String,
}

#[derive(Clone, Copy, Debug, Default)]
struct Units {
    write: f64,
    read: f64,
}

/// Partition keys by index.
type IndexKeys = BTreeMap<String, String>;

#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Read,
    Write,
}

/// An item, or the part of a query's table or index, that a call accesses.
struct Access {
    table: String,
    index: Option<String>,
    /// The value of the partition key.
    partition: String,
    /// The complete primary key, for a single item.
    primary: Option<Map<String, Value>>,
    /// The item that a put writes.
    item: Option<Value>,
    deletes: bool,
}

impl HotKeys {
    #[must_use]
    pub fn new(tables: &[TableResource]) -> Self {
        let attributes = |schema: &Value| -> Vec<String> {
            let parts = schema.as_array().into_iter().flatten();
            parts.filter_map(|part| part["AttributeName"].as_str().map(str::to_owned)).collect()
        };
        let keys = tables.iter().map(|table| {
            let indexes = table.create["GlobalSecondaryIndexes"].as_array().into_iter().flatten();
            let indexes = indexes.filter_map(|index| {
                let name = index["IndexName"].as_str()?.to_owned();
                Some((name, attributes(&index["KeySchema"]).into_iter().next()?))
            });
            let keys =
                TableKeys { primary: attributes(&table.create["KeySchema"]), indexes: indexes.collect() };
            (table.name.clone(), keys)
        });
        Self { tables: keys.collect(), enforces_limits: AtomicBool::new(false), state: Mutex::default() }
    }

    #[must_use]
    pub fn enforces_limits(&self) -> bool {
        self.enforces_limits.load(Ordering::Relaxed)
    }

    pub fn enforce_limits(&self, enforce: bool) {
        self.enforces_limits.store(enforce, Ordering::Relaxed);
    }

    /// Rejects a call to a key that has used up its units of this second, if limits are enforced. A write is also rejected if
    /// the key of an index that it changes is used up.
    pub fn check(&self, call: &AwsCall, second: i64) -> Result<(), AwsError> {
        let Some(kind) = kind(&call.operation).filter(|_| self.enforces_limits()) else { return Ok(()) };
        let state = self.lock();
        let Some(keys) = state.seconds.get(&second) else { return Ok(()) };
        let is_used_up = |table: &str, index: Option<&str>, key: &str| {
            let key =
                HotKey { table: table.to_owned(), index: index.map(str::to_owned), key: key.to_owned() };
            keys.get(&key).is_some_and(|units| match kind {
                Kind::Read => units.read >= READ_UNITS,
                Kind::Write => units.write >= WRITE_UNITS,
            })
        };
        for access in self.accesses(call) {
            if is_used_up(&access.table, access.index.as_deref(), &access.partition) {
                return Err(throttled(access.index.as_deref().unwrap_or(&access.table)));
            }
            let (Kind::Write, Some(primary)) = (kind, &access.primary) else { continue };
            let Some(table) = self.tables.get(&access.table) else { continue };
            let known = state.items.get(&(access.table.clone(), text(primary)));
            for (index, attribute) in &table.indexes {
                let before = known.and_then(|keys| keys.get(index));
                let after = access.item.as_ref().and_then(|item| plain(&item[attribute]));
                // An update may set the index's key to any value of its expression.
                let set = call.input.pointer("/ExpressionAttributeValues").and_then(Value::as_object);
                let set = set.into_iter().flat_map(Map::values).filter_map(plain);
                if before
                    .cloned()
                    .into_iter()
                    .chain(after)
                    .chain(set)
                    .any(|key| is_used_up(&access.table, Some(index), &key))
                {
                    return Err(throttled(index));
                }
            }
        }
        Ok(())
    }

    /// The items to read after a call, to know which keys of indexes it wrote: their tables and primary keys.
    #[must_use]
    pub fn items_to_read(&self, call: &AwsCall, response: &Value) -> Vec<(String, Map<String, Value>)> {
        let tables: Vec<&str> =
            consumed(response).filter(|table| index_units(table).next().is_some()).map(table_name).collect();
        if kind(&call.operation) != Some(Kind::Write) || tables.is_empty() {
            return Vec::new();
        }
        let accesses = self.accesses(call).into_iter();
        accesses
            .filter(|access| {
                tables.contains(&access.table.as_str()) && access.item.is_none() && !access.deletes
            })
            .filter_map(|access| Some((access.table, access.primary?)))
            .collect()
    }

    /// Counts the units of a call. `read` has the items that [`Self::items_to_read`] has named, with their keys.
    pub fn count(&self, call: &AwsCall, response: &Value, read: &[(Map<String, Value>, Value)], second: i64) {
        let Some(kind) = kind(&call.operation) else { return };
        let accesses = self.accesses(call);
        let mut state = self.lock();
        if let Some(units) = rejected_units(response) {
            for access in accesses {
                state.add(access.key(), kind, units, second);
            }
            return;
        }
        let read: HashMap<String, &Value> = read.iter().map(|(key, item)| (text(key), item)).collect();
        for table in consumed(response) {
            let name = table_name(table);
            let of_table: Vec<&Access> = accesses.iter().filter(|access| access.table == name).collect();
            let items: Vec<&&Access> = of_table.iter().filter(|access| access.index.is_none()).collect();
            let breakdown = table["Table"]["CapacityUnits"].as_f64();
            let units = breakdown.or_else(|| table["CapacityUnits"].as_f64()).unwrap_or_default();
            for access in &items {
                state.add(access.key(), kind, units / count_of(&items), second);
            }
            for (index, units) in index_units(table) {
                let queried: Vec<HotKey> = of_table
                    .iter()
                    .filter(|access| access.index.as_deref() == Some(index))
                    .map(|access| access.key())
                    .collect();
                let keys = match kind {
                    Kind::Read => queried,
                    Kind::Write => self.written_keys(&state, name, index, &items, &read),
                };
                for key in &keys {
                    state.add(key.clone(), kind, units / count_of(&keys), second);
                }
            }
            if kind == Kind::Write {
                for access in items {
                    self.remember(&mut state, access, &read);
                }
            }
        }
    }

    /// The keys of an index where the items of a call were, or are now.
    fn written_keys(
        &self,
        state: &State,
        table: &str,
        index: &str,
        items: &[&&Access],
        read: &HashMap<String, &Value>,
    ) -> Vec<HotKey> {
        let mut keys = Vec::new();
        for access in items {
            let Some(primary) = &access.primary else { continue };
            let before = state.items.get(&(table.to_owned(), text(primary))).and_then(|keys| keys.get(index));
            let after = self.index_keys(access, read).remove(index);
            let moved = before.filter(|before| Some(*before) != after.as_ref()).cloned();
            for key in moved.into_iter().chain(after) {
                keys.push(HotKey { table: table.to_owned(), index: Some(index.to_owned()), key });
            }
        }
        keys
    }

    /// The partition keys that an item has in the indexes after the call.
    fn index_keys(&self, access: &Access, read: &HashMap<String, &Value>) -> IndexKeys {
        let Some(table) = self.tables.get(&access.table) else { return IndexKeys::new() };
        let name = access.primary.as_ref().map(text).unwrap_or_default();
        let Some(item) = access.item.as_ref().or_else(|| read.get(&name).copied()) else {
            return IndexKeys::new();
        };
        let indexes = table.indexes.iter();
        indexes.filter_map(|(index, attribute)| Some((index.clone(), plain(&item[attribute])?))).collect()
    }

    fn remember(&self, state: &mut State, access: &Access, read: &HashMap<String, &Value>) {
        let Some(primary) = &access.primary else { return };
        let name = (access.table.clone(), text(primary));
        let keys = self.index_keys(access, read);
        let is_known = access.item.is_some() || access.deletes || read.contains_key(&name.1);
        match (is_known, keys.is_empty()) {
            (false, _) => {}
            (true, true) => {
                state.items.remove(&name);
            }
            (true, false) => {
                if state.items.len() >= MAX_ITEMS {
                    state.items.clear();
                }
                state.items.insert(name, keys);
            }
        }
    }

    /// `{keys: […]}` from this second on, the hottest first.
    #[must_use]
    pub fn since(&self, second: i64) -> Value {
        let state = self.lock();
        let mut keys: Vec<(i64, &HotKey, Units)> = state
            .seconds
            .range(second..)
            .flat_map(|(second, keys)| keys.iter().map(|(key, units)| (*second, key, *units)))
            .collect();
        let heat = |units: &Units| (units.write / WRITE_UNITS).max(units.read / READ_UNITS);
        keys.sort_by(|one, other| {
            heat(&other.2)
                .total_cmp(&heat(&one.2))
                .then_with(|| (one.0, &one.1.key).cmp(&(other.0, &other.1.key)))
        });
        let round = |units: f64| (units * 100.0).round() / 100.0;
        let keys = keys.into_iter().take(MAX_LISTED).map(|(second, key, units)| {
            json!({ "table": key.table, "index": key.index, "key": key.key, "second": second,
                "writeUnits": round(units.write), "readUnits": round(units.read) })
        });
        json!({ "keys": keys.collect::<Vec<_>>() })
    }

    /// The items and keys that a call accesses. A scan accesses no key.
    fn accesses(&self, call: &AwsCall) -> Vec<Access> {
        let input = &call.input;
        let name = |value: &Value| {
            let name = value.as_str().unwrap_or_default();
            name.rsplit('/').next().unwrap_or_default().to_owned()
        };
        let item = |table: &str, of: &Value, kind: &str| self.item_access(table, of, kind);
        match call.operation.as_str() {
            "GetItem" | "UpdateItem" | "DeleteItem" => {
                let kind = call.operation.trim_end_matches("Item");
                item(&name(&input["TableName"]), &input["Key"], kind).into_iter().collect()
            }
            "PutItem" => item(&name(&input["TableName"]), &input["Item"], "Put").into_iter().collect(),
            "Query" => self.query_access(&name(&input["TableName"]), input).into_iter().collect(),
            "TransactWriteItems" | "TransactGetItems" => {
                let actions = input["TransactItems"].as_array().into_iter().flatten();
                let actions = actions.flat_map(|action| action.as_object().into_iter().flatten());
                actions
                    .filter_map(|(kind, action)| {
                        let of = if kind == "Put" { &action["Item"] } else { &action["Key"] };
                        item(&name(&action["TableName"]), of, kind)
                    })
                    .collect()
            }
            "BatchGetItem" | "BatchWriteItem" => {
                let mut found = Vec::new();
                for (table, what) in input["RequestItems"].as_object().into_iter().flatten() {
                    let table = table.rsplit('/').next().unwrap_or_default();
                    let keys = what["Keys"].as_array().into_iter().flatten().map(|key| (key, "Get"));
                    let writes =
                        what.as_array().into_iter().flatten().map(
                            |write| match &write["PutRequest"]["Item"] {
                                Value::Null => (&write["DeleteRequest"]["Key"], "Delete"),
                                item => (item, "Put"),
                            },
                        );
                    found.extend(keys.chain(writes).filter_map(|(of, kind)| item(table, of, kind)));
                }
                found
            }
            _ => Vec::new(),
        }
    }

    /// The access to the item with this key, or to this item. `kind` is the action's name in a transaction.
    fn item_access(&self, table: &str, of: &Value, kind: &str) -> Option<Access> {
        let keys = self.tables.get(table)?;
        let primary: Map<String, Value> =
            keys.primary.iter().map(|name| (name.clone(), of[name].clone())).collect();
        Some(Access {
            table: table.to_owned(),
            index: None,
            partition: plain(&of[keys.primary.first()?])?,
            primary: Some(primary),
            item: (kind == "Put").then(|| of.clone()),
            deletes: kind == "Delete",
        })
    }

    fn query_access(&self, table: &str, input: &Value) -> Option<Access> {
        let keys = self.tables.get(table)?;
        let index = input["IndexName"].as_str();
        let attribute = match index {
            Some(index) => keys.indexes.get(index)?,
            None => keys.primary.first()?,
        };
        let condition =
            input["KeyConditionExpression"].as_str()?.replace('=', " = ").replace(['(', ')'], " ");
        let words: Vec<&str> = condition.split_whitespace().collect();
        let is_attribute = |word: &str| {
            word == attribute || input["ExpressionAttributeNames"][word].as_str() == Some(attribute)
        };
        let value = words.windows(3).find_map(|words| match words {
            [name, "=", value] if is_attribute(name) => Some(*value),
            [value, "=", name] if is_attribute(name) => Some(*value),
            _ => None,
        })?;
        Some(Access {
            table: table.to_owned(),
            index: index.map(str::to_owned),
            partition: plain(&input["ExpressionAttributeValues"][value])?,
            primary: None,
            item: None,
            deletes: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Access {
    fn key(&self) -> HotKey {
        HotKey { table: self.table.clone(), index: self.index.clone(), key: self.partition.clone() }
    }
}

impl State {
    fn add(&mut self, key: HotKey, kind: Kind, units: f64, second: i64) {
        let keys = self.seconds.entry(second).or_default();
        let before = keys.len();
        let entry = keys.entry(key).or_default();
        match kind {
            Kind::Read => entry.read += units,
            Kind::Write => entry.write += units,
        }
        self.entries += keys.len() - before;
        while self.entries > MAX_ENTRIES && self.seconds.len() > 1 {
            let oldest = self.seconds.pop_first();
            self.entries -= oldest.map_or(0, |(_, keys)| keys.len());
        }
    }
}

fn kind(operation: &str) -> Option<Kind> {
    match operation {
        "GetItem" | "Query" | "BatchGetItem" | "TransactGetItems" => Some(Kind::Read),
        "PutItem" | "UpdateItem" | "DeleteItem" | "BatchWriteItem" | "TransactWriteItems" => {
            Some(Kind::Write)
        }
        _ => None,
    }
}

/// The consumed capacity of each table of a call.
fn consumed(response: &Value) -> impl Iterator<Item = &Value> {
    let (many, one) = match &response["ConsumedCapacity"] {
        Value::Array(tables) => (tables.as_slice(), None),
        Value::Null => (&[][..], None),
        table => (&[][..], Some(table)),
    };
    many.iter().chain(one)
}

fn table_name(consumed: &Value) -> &str {
    consumed["TableName"].as_str().unwrap_or_default()
}

fn index_units(consumed: &Value) -> impl Iterator<Item = (&str, f64)> {
    let indexes = consumed["GlobalSecondaryIndexes"].as_object().into_iter().flatten();
    indexes.filter_map(|(name, units)| Some((name.as_str(), units["CapacityUnits"].as_f64()?)))
}

/// The units of each item of a write whose condition failed. The engine does not report them.
fn rejected_units(response: &Value) -> Option<f64> {
    let code = response["__type"].as_str()?;
    match code.rsplit('#').next().unwrap_or_default() {
        "ConditionalCheckFailedException" => Some(1.0),
        "TransactionCanceledException" => Some(2.0),
        _ => Some(0.0),
    }
}

/// A key in a form that can be compared.
fn text(key: &Map<String, Value>) -> String {
    Value::Object(key.clone()).to_string()
}

/// The value of a string, number or binary attribute.
fn plain(attribute: &Value) -> Option<String> {
    ["S", "N", "B"].iter().find_map(|kind| attribute[*kind].as_str().map(str::to_owned))
}

#[expect(clippy::cast_precision_loss, reason = "a call has few items")]
fn count_of<T>(list: &[T]) -> f64 {
    list.len().max(1) as f64
}

fn throttled(name: &str) -> AwsError {
    AwsError::new(
        "ProvisionedThroughputExceededException",
        format!("The level of configured provisioned throughput was exceeded by a partition key of {name}"),
    )
}
