//! The result of each row: a CSV file, and a summary.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::journal::{Journal, NOT_PROCESSED, State};
use super::plan::BulkPlan;
use crate::commands::Context;
use crate::error::{CliError, CliResult};

const HEADING: [&str; 8] = ["line", "to", "from", "result", "messageId", "status", "code", "error"];

pub struct Results {
    rows: Vec<[String; 8]>,
    campaign: String,
    accepted: usize,
    rejected: usize,
    invalid: usize,
    /// Not sent, or without a known outcome.
    left: usize,
}

impl Results {
    pub fn of(plan: &BulkPlan, journal: &Journal) -> Self {
        let mut results = Self {
            rows: Vec::with_capacity(plan.all.len()),
            campaign: plan.campaign().to_owned(),
            accepted: 0,
            rejected: 0,
            invalid: plan.invalid.len(),
            left: 0,
        };
        for planned in &plan.all {
            let none = String::new;
            let (count, result, message_id, status, code, error) = match journal
                .get(&planned.row.key)
                .map(|entry| &entry.state)
            {
                None => (&mut results.left, "not_sent", none(), none(), none(), none()),
                Some(State::Sending) => (&mut results.left, "unknown", none(), none(), none(), none()),
                Some(State::Rejected { code, .. }) if code == NOT_PROCESSED => {
                    (&mut results.left, "not_sent", none(), none(), none(), none())
                }
                Some(State::Accepted { message_id, status }) => {
                    (&mut results.accepted, "accepted", message_id.clone(), status.clone(), none(), none())
                }
                Some(State::Rejected { code, error }) => {
                    (&mut results.rejected, "rejected", none(), none(), code.clone(), error.clone())
                }
            };
            *count += 1;
            let (line, to, from) =
                (planned.row.line.to_string(), planned.row.to.clone(), planned.request.from.clone());
            results.rows.push([line, to, from, result.to_owned(), message_id, status, code, error]);
        }
        for row in &plan.invalid {
            let empty = String::new;
            let (line, to, reason) = (row.line.to_string(), row.to.clone(), row.reason.clone());
            results.rows.push([line, to, empty(), "invalid".to_owned(), empty(), empty(), empty(), reason]);
        }
        results
    }

    pub fn is_success(&self) -> bool {
        self.rejected + self.invalid + self.left == 0
    }

    /// Writes the file beside the CSV file.
    pub fn write(&self, csv: &Path, campaign: &str) -> CliResult<PathBuf> {
        let name: String =
            campaign.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' }).collect();
        let mut path = csv.as_os_str().to_owned();
        path.push(format!(".{name}.results.csv"));
        let path = PathBuf::from(path);
        let failed = |error: csv::Error| CliError::usage(format!("{}: {error}", path.display()));
        let mut writer = csv::Writer::from_path(&path).map_err(failed)?;
        writer.write_record(HEADING).map_err(failed)?;
        for row in &self.rows {
            writer.write_record(row).map_err(failed)?;
        }
        writer.flush().map_err(|error| CliError::file(&path, &error))?;
        Ok(path)
    }

    pub fn show(&self, context: &Context, path: &Path) {
        let Self { accepted, rejected, invalid, left, .. } = self;
        if context.output.json {
            context.output.json(&json!({
                "campaign": self.campaign, "accepted": accepted, "rejected": rejected, "invalid": invalid, "left": left,
                "results": path,
            }));
            return;
        }
        context
            .output
            .line(&format!("{accepted} accepted, {rejected} rejected, {invalid} invalid, {left} left"));
        context.output.note(&format!("Results: {}", path.display()));
    }
}
