//! The rows of the CSV file: recipients, texts and keys.

use std::collections::HashMap;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use csv::StringRecord;
use data_encoding::HEXLOWER;

use crate::args::BulkArguments;
use crate::error::{CliError, CliResult};

/// The longest text that the gateway accepts, in UTF-16 code units.
const TEXT_UNITS: usize = 1_600;

/// A row that can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub line: u64,
    pub to: String,
    /// The column `from`.
    pub from: Option<String>,
    pub body: String,
    /// Identifies the message in all runs.
    pub key: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRow {
    pub line: u64,
    pub to: String,
    pub reason: String,
}

#[derive(Debug, Default)]
pub struct Rows {
    pub valid: Vec<Row>,
    pub invalid: Vec<InvalidRow>,
}

pub fn read(arguments: &BulkArguments) -> CliResult<Rows> {
    let template = template(arguments)?;
    let path = &arguments.file;
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::Headers)
        .from_path(path)
        .map_err(|error| broken(path, &error))?;
    let columns = Columns::of(reader.headers().map_err(|error| broken(path, &error))?);
    let to =
        columns.at("to").ok_or_else(|| CliError::usage(format!("{} has no column to", path.display())))?;
    let text = match template {
        Some(template) => Text::of_template(&template, &columns)?,
        None => Text::Column(columns.at("body").ok_or_else(|| {
            CliError::usage(format!("{} has no column body", path.display()))
                .advice("Add it, or use --body or --template.")
        })?),
    };
    let mut rows = Rows::default();
    let mut occurrences: HashMap<(String, String), u32> = HashMap::new();
    for record in reader.records() {
        let record = record.map_err(|error| broken(path, &error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let to = record.get(to).unwrap_or_default().trim().to_owned();
        let from =
            columns.at("from").and_then(|at| record.get(at)).map(str::trim).filter(|from| !from.is_empty());
        let body = text.of(&record);
        let reason = problem(&to, from, &body);
        if let Some(reason) = reason {
            rows.invalid.push(InvalidRow { line, to, reason });
            continue;
        }
        let occurrence = occurrences.entry((to.clone(), body.clone())).or_insert(0);
        *occurrence += 1;
        let key = key(&arguments.campaign, &to, &body, *occurrence);
        rows.valid.push(Row { line, to, from: from.map(str::to_owned), body, key });
    }
    Ok(rows)
}

fn template(arguments: &BulkArguments) -> CliResult<Option<String>> {
    if let Some(body) = &arguments.body {
        return Ok(Some(body.clone()));
    }
    let Some(file) = &arguments.template else { return Ok(None) };
    let text = std::fs::read_to_string(file).map_err(|error| CliError::file(file, &error))?;
    Ok(Some(text.trim_end_matches('\n').to_owned()))
}

fn broken(path: &Path, error: &csv::Error) -> CliError {
    CliError::usage(format!("{} cannot be read: {error}", path.display()))
}

/// Identifies a message: SHA-256 of campaign, recipient, text and the number of the occurrence of both in the file, each with its length
/// before it. Rows can be inserted, moved and deleted without changing the keys of the others.
pub fn key(campaign: &str, to: &str, body: &str, occurrence: u32) -> String {
    let occurrence = occurrence.to_string();
    let parts = [campaign, to, body, &occurrence].map(|part| format!("{}:{part}", part.len()));
    HEXLOWER.encode(digest(&SHA256, parts.concat().as_bytes()).as_ref())
}

fn problem(to: &str, from: Option<&str>, body: &str) -> Option<String> {
    if !is_number(to) {
        return Some(format!("no valid recipient: {to:?}"));
    }
    if let Some(from) = from.filter(|from| !is_number(from)) {
        return Some(format!("no valid sender: {from:?}"));
    }
    match body.encode_utf16().count() {
        0 => Some("no text".to_owned()),
        units if units > TEXT_UNITS => {
            Some(format!("a text of {units} characters; at most {TEXT_UNITS} can be sent"))
        }
        _ => None,
    }
}

/// Whether a text is a phone number in E.164 form.
fn is_number(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    (7..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0')
}

/// The columns by their names.
struct Columns(HashMap<String, usize>);

impl Columns {
    fn of(heading: &StringRecord) -> Self {
        // Spreadsheets write a byte order mark.
        let name = |name: &str| name.trim_start_matches('\u{feff}').trim().to_lowercase();
        Self(heading.iter().enumerate().map(|(at, text)| (name(text), at)).collect())
    }

    fn at(&self, name: &str) -> Option<usize> {
        self.0.get(&name.to_lowercase()).copied()
    }
}

/// Where the text of a row comes from.
#[derive(Debug)]
enum Text {
    Column(usize),
    Template(Vec<Piece>),
}

#[derive(Debug)]
enum Piece {
    Fixed(String),
    Column(usize),
}

impl Text {
    fn of_template(template: &str, columns: &Columns) -> CliResult<Self> {
        let mut pieces = Vec::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) =
                after.split_once("}}").ok_or_else(|| CliError::usage("the text has {{ without }}"))?;
            let at = columns
                .at(name.trim())
                .ok_or_else(|| CliError::usage(format!("the file has no column {}", name.trim())))?;
            pieces.push(Piece::Fixed(before.to_owned()));
            pieces.push(Piece::Column(at));
            rest = after;
        }
        pieces.push(Piece::Fixed(rest.to_owned()));
        Ok(Self::Template(pieces))
    }

    fn of(&self, record: &StringRecord) -> String {
        match self {
            Self::Column(at) => record.get(*at).unwrap_or_default().to_owned(),
            Self::Template(pieces) => pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Fixed(text) => text.as_str(),
                    Piece::Column(at) => record.get(*at).unwrap_or_default(),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        bulk: BulkArguments,
    }

    fn rows(csv: &str, more: &[&str]) -> CliResult<Rows> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("list.csv");
        std::fs::write(&file, csv).unwrap();
        let arguments = ["bulk", file.to_str().unwrap(), "--campaign", "spring"];
        read(&Line::parse_from(arguments.iter().chain(more)).bulk)
    }

    #[test]
    fn inserting_and_moving_rows_keeps_the_keys_of_the_others() {
        let before = rows("to,body\n+16505550111,a\n+16505550112,b\n+16505550111,a\n", &[]).unwrap().valid;
        let after = rows("to,body\n+16505550113,c\n+16505550112,b\n+16505550111,a\n+16505550111,a\n", &[])
            .unwrap()
            .valid;
        let keys =
            |rows: &[Row]| rows.iter().map(|row| row.key.clone()).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(keys(&before).len(), 3, "the same message twice has two keys");
        assert!(keys(&after).is_superset(&keys(&before)));
    }

    #[test]
    fn the_parts_of_a_key_cannot_be_confused() {
        assert_ne!(key("a", "b", "c", 1), key("ab", "", "c", 1));
        assert_ne!(key("a", "b", "c1", 1), key("a", "b", "c", 11));
    }

    #[test]
    fn templates_take_columns_whatever_their_case_and_a_byte_order_mark() {
        let csv = "\u{feff}To,Name\n+16505550111,Ann\n";
        let found = rows(csv, &["--body", "Hi {{ name }}, {{to}}!"]).unwrap();
        assert_eq!(found.valid[0].body, "Hi Ann, +16505550111!");
        assert!(rows(csv, &["--body", "Hi {{first}}"]).unwrap_err().text.contains("no column first"));
        assert!(rows(csv, &["--body", "Hi {{name"]).is_err());
        assert!(rows(csv, &[]).unwrap_err().text.contains("no column body"));
    }

    #[test]
    fn rows_that_cannot_be_sent_say_why() {
        let long = "a".repeat(1_601);
        let csv = format!(
            "to,from,body\n101,,a\n+16505550111,x,a\n+16505550111,,\n+16505550111,,{long}\n+16505550111,,a\n"
        );
        let found = rows(&csv, &[]).unwrap();
        assert_eq!(found.invalid.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 3, 4, 5]);
        assert_eq!(found.valid.len(), 1);
    }
}
