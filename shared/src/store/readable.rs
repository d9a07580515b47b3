//! Rows that cannot be read. A list, batch or sweep reads row by row: an unreadable one is reported and passed, so that it does
//! not hide its neighbours (reliability rule 24).

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::item::{Item, Row};
use super::unreadable::UnreadableRow;
use super::{Store, StoreError, failure};
use crate::clock::saturating_add;
use crate::limits;

impl Store {
    /// The unreadable rows that were found since the last call, at most [`limits::UNREADABLE_ROWS`].
    pub fn take_unreadable_rows(&self) -> Vec<UnreadableRow> {
        self.unreadable.take()
    }

    /// Reads rows one by one. Unreadable ones are reported and passed.
    pub(super) fn readable<T>(
        &self,
        table: &str,
        rows: &[Row],
        read: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Vec<T> {
        rows.iter().filter_map(|row| self.checked(table, row, read(row)).ok()).collect()
    }

    /// Reads the row that a request asked for, if it exists.
    pub(super) fn read_one<T>(
        &self,
        table: &str,
        item: Option<Item>,
        read: impl FnOnce(&Row) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let row = item.map(Row);
        row.map(|row| self.checked(table, &row, read(&row))).transpose()
    }

    /// Reports a row that could not be read.
    pub(super) fn checked<T>(
        &self,
        table: &str,
        row: &Row,
        result: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        result.inspect_err(|error| {
            if let StoreError::Damaged(_) = error {
                self.report_unreadable(table, row, error);
            }
        })
    }

    pub(super) fn report_unreadable(&self, table: &str, row: &Row, error: &StoreError) {
        let key: Vec<String> = self.key_names(table).iter().filter_map(|name| row.maybe_text(name)).collect();
        let name = format!("{table} {}", key.join(" "));
        let now = self.clock.now();
        if self.unreadable.reported.get(&name, now).is_some() {
            return;
        }
        let until = saturating_add(now, SignedDuration::from_secs(limits::UNREADABLE_REPORT_SECONDS));
        self.unreadable.reported.insert(&name, (), until);
        tracing::error!(row = masked(&name), error = %error, "unreadable row passed");
        let content: Map<String, Value> =
            row.0.iter().map(|(name, value)| (name.clone(), as_json(value))).collect();
        self.unreadable.add(UnreadableRow {
            tenant: row.tenant().ok(),
            name,
            reason: error.to_string(),
            content: Value::Object(content).to_string(),
        });
    }

    /// Takes an entry that cannot be read out of the front of its index, so that it does not delay the others: removes it if its
    /// key is unreadable, otherwise makes it due later.
    pub(super) async fn pass_index_entry(
        &self,
        table: &str,
        (kind, due): (&str, &str),
        row: &Row,
        key_is_readable: impl FnOnce(&Row) -> bool,
        error: &StoreError,
    ) {
        self.report_unreadable(table, row, error);
        let key: Item = ["tenant", "item"]
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), row.0.get(*name)?.clone())))
            .collect();
        let update = self
            .db
            .update_item()
            .table_name(table)
            .set_key(Some(key))
            .condition_expression("attribute_exists(#due)")
            .expression_attribute_names("#due", due);
        let update = if key_is_readable(row) {
            let later = SignedDuration::from_secs(limits::UNREADABLE_RETRY_SECONDS);
            let until = saturating_add(self.clock.now(), later);
            update
                .update_expression("SET #due = :until")
                .expression_attribute_values(":until", super::item::time(until))
        } else {
            update.update_expression("REMOVE #kind, #due").expression_attribute_names("#kind", kind)
        };
        if let Err(error) = update.send().await.map_err(failure) {
            tracing::warn!(error = %error, "unreadable index entry stays in its index");
        }
    }

    fn key_names(&self, table: &str) -> &'static [&'static str] {
        let tables = &self.tables;
        match table {
            _ if table == tables.rate_limits => &["counter"],
            _ if table == tables.connect_tokens => &["id"],
            _ if table == tables.extensions => &["extension"],
            _ if table == tables.audit => &["tenant", "position"],
            _ => &["tenant", "item"],
        }
    }
}

/// The name of a row for the log. Of a phone number only the last four digits are shown.
fn masked(name: &str) -> String {
    let Some((before, number)) = name.rsplit_once('+') else { return name.to_owned() };
    let shown = number.char_indices().rev().nth(3).map_or(number, |(at, _)| &number[at..]);
    format!("{before}+…{shown}")
}

fn as_json(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Bool(is) => json!({ "BOOL": is }),
        AttributeValue::Null(is) => json!({ "NULL": is }),
        AttributeValue::B(blob) => json!({ "B": format!("{} bytes", blob.as_ref().len()) }),
        AttributeValue::L(list) => json!({ "L": list.iter().map(as_json).collect::<Vec<_>>() }),
        AttributeValue::M(map) => {
            let map = map.iter().map(|(name, value)| (name.clone(), as_json(value)));
            json!({ "M": map.collect::<Map<_, _>>() })
        }
        AttributeValue::Ss(texts) => json!({ "SS": texts }),
        AttributeValue::Ns(numbers) => json!({ "NS": numbers }),
        AttributeValue::Bs(blobs) => json!({ "BS": format!("{} values", blobs.len()) }),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_number_is_masked_in_the_name_of_a_row() {
        assert_eq!(masked("t tenant_1 number#+14155550100"), "t tenant_1 number#+…0100");
        assert_eq!(masked("t tenant_1 connection#conn_1"), "t tenant_1 connection#conn_1");
        assert_eq!(masked("t number#+é1"), "t number#+…é1");
    }
}
