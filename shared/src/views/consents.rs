//! The JSON and the CSV of consents.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::iso;
use crate::model::consent::{Consent, ConsentEntry, ConsentSource, ConsentStatus, Coverage};
use crate::model::consent_change::{ChangeResult, ConsentResult};
use crate::model::phone::E164;

/// Whether a recipient accepts messages.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Consent")]
struct ConsentView<'a> {
    /// The phone number of the tenant; `null` if the consent covers all numbers of a RingCentral account.
    from: Option<&'a str>,
    /// The recipient's phone number.
    to: &'a str,
    /// Whether the recipient accepts messages. `unknown`: nothing is known, messages are sent.
    status: ConsentStatus,
    /// How the gateway learned of it.
    source: Option<ConsentSource>,
    /// Which numbers of the tenant the consent covers.
    coverage: Coverage,
    /// When the consent changed, as its source reports it.
    #[schemars(with = "Option<Timestamp>")]
    updated_at: Option<String>,
}

/// The response of `GET /v1/consents`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsentList<'a> {
    /// The consents, by the recipient's number.
    consents: Vec<ConsentView<'a>>,
    /// Send it as `cursor` to get the next page; `null` on the last page. A page may have fewer consents than `limit`, even none,
    /// without being the last one: a request reads a limited amount of data.
    next_cursor: Option<String>,
}

impl<'a> ConsentList<'a> {
    pub fn of(consents: &'a [Consent], next_cursor: Option<String>) -> Self {
        let view = |consent: &'a Consent| {
            let mark = consent.state.decisive();
            ConsentView {
                from: consent.pair.scope.from().map(E164::as_str),
                to: consent.pair.to.as_str(),
                status: consent.state.status(),
                source: mark.map(|mark| mark.source),
                coverage: consent.pair.scope.coverage(),
                updated_at: mark.map(|mark| iso(mark.at)),
            }
        };
        Self { consents: consents.iter().map(view).collect(), next_cursor }
    }

    pub fn next_cursor(&self) -> Option<&str> {
        self.next_cursor.as_deref()
    }

    pub fn csv(&self) -> String {
        let rows = self.consents.iter().map(|consent| {
            [
                consent.from.unwrap_or_default().to_owned(),
                consent.to.to_owned(),
                consent.status.as_str().to_owned(),
                consent.source.map(ConsentSource::as_str).unwrap_or_default().to_owned(),
                consent.coverage.as_str().to_owned(),
                consent.updated_at.clone().unwrap_or_default(),
            ]
        });
        table(["from", "to", "status", "source", "coverage", "updatedAt"], rows)
    }
}

/// An entry of the history of consents.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ConsentHistoryEntry")]
struct ConsentEntryView<'a> {
    /// The phone number of the tenant; `null` if the consent covers all numbers of a RingCentral account.
    from: Option<&'a str>,
    /// The recipient's phone number.
    to: &'a str,
    /// Which numbers of the tenant the consent covers.
    coverage: Coverage,
    /// What was reported.
    reported: ConsentStatus,
    /// The status of the consent with this report.
    status: ConsentStatus,
    /// How the gateway learned of it.
    source: ConsentSource,
    /// The note of the request that set it.
    note: Option<&'a str>,
    /// When it happened, as its source reports it.
    #[schemars(with = "Timestamp")]
    happened_at: String,
    /// When the gateway recorded it.
    #[schemars(with = "Timestamp")]
    recorded_at: String,
}

/// The response of `GET /v1/consents/history`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsentHistory<'a> {
    /// The entries, oldest first.
    entries: Vec<ConsentEntryView<'a>>,
    /// Send it as `cursor` to get the next page; `null` on the last page.
    next_cursor: Option<String>,
}

impl<'a> ConsentHistory<'a> {
    pub fn of(entries: &'a [ConsentEntry], next_cursor: Option<String>) -> Self {
        let view = |entry: &'a ConsentEntry| ConsentEntryView {
            from: entry.pair.scope.from().map(E164::as_str),
            to: entry.pair.to.as_str(),
            coverage: entry.pair.scope.coverage(),
            reported: entry.report.status,
            status: entry.status,
            source: entry.report.source,
            note: entry.note.as_deref(),
            happened_at: iso(entry.report.at),
            recorded_at: iso(entry.recorded_at),
        };
        Self { entries: entries.iter().map(view).collect(), next_cursor }
    }

    pub fn next_cursor(&self) -> Option<&str> {
        self.next_cursor.as_deref()
    }

    pub fn csv(&self) -> String {
        let rows = self.entries.iter().map(|entry| {
            [
                entry.from.unwrap_or_default().to_owned(),
                entry.to.to_owned(),
                entry.coverage.as_str().to_owned(),
                entry.reported.as_str().to_owned(),
                entry.status.as_str().to_owned(),
                entry.source.as_str().to_owned(),
                inert(entry.note.unwrap_or_default()),
                entry.happened_at.clone(),
                entry.recorded_at.clone(),
            ]
        });
        let names =
            ["from", "to", "coverage", "reported", "status", "source", "note", "happenedAt", "recordedAt"];
        table(names, rows)
    }
}

/// CSV (RFC 4180) with a line of names.
fn table<const N: usize>(names: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut csv = names.join(",") + "\r\n";
    for row in rows {
        csv.push_str(&row.map(|cell| quoted(&cell)).join(","));
        csv.push_str("\r\n");
    }
    csv
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

/// A text that spreadsheets would take for a formula, with an apostrophe before it. Phone numbers keep their plus sign: all that
/// follows it are digits.
fn inert(text: &str) -> String {
    let is_formula = text
        .trim_start()
        .starts_with(['=', '+', '-', '@', '\t', '\r', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']);
    if is_formula { format!("'{text}") } else { text.to_owned() }
}

/// The outcome of a row.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ConsentResult")]
struct ConsentResultView<'a> {
    /// The phone number of the tenant.
    from: Option<&'a str>,
    /// The recipient's phone number.
    to: &'a str,
    /// The status of the consent now.
    status: ConsentStatus,
    /// `applied`: the gateway and RingCentral have recorded it. `refused`: it is not possible. `failed`: RingCentral has not
    /// confirmed it; it may be tried again.
    outcome: ChangeResult,
    /// Why it was not applied, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// The response of `PUT /v1/consents`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConsentResults<'a> {
    /// The outcome of each row, in the order of the request.
    results: Vec<ConsentResultView<'a>>,
}

impl<'a> ConsentResults<'a> {
    pub fn of(results: &'a [ConsentResult]) -> Self {
        let view = |result: &'a ConsentResult| ConsentResultView {
            from: result.change.pair.scope.from().map(E164::as_str),
            to: result.change.pair.to.as_str(),
            status: result.status,
            outcome: result.result,
            reason: result.reason.as_deref(),
        };
        Self { results: results.iter().map(view).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_quoted_and_has_no_formulas() {
        let cells = ["=1+1", "+cmd|' /C calc'!A0", " =A1", "-2", "@SUM(A1)", "a,b", "say \"hi\"", "plain"];
        let csv = table(["note"], cells.iter().map(|cell| [inert(cell)]));
        let expected = "note\r\n'=1+1\r\n'+cmd|' /C calc'!A0\r\n' =A1\r\n'-2\r\n'@SUM(A1)\r\n\"a,b\"\r\n\"say \"\"hi\"\"\"\r\nplain\r\n";
        assert_eq!(csv, expected);
    }
}
