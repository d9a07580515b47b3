//! What a run will send, how fast, and until when.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::journal::{Journal, JournaledRequest, NOT_PROCESSED, State};
use super::rows::{InvalidRow, Row, Rows};
use crate::api::{self, PhoneNumber};
use crate::args::BulkArguments;
use crate::client::Pauses;
use crate::commands::Context;
use crate::environment;
use crate::error::{CliError, CliResult};
use crate::output;
use crate::persistent::PersistentClient;
use crate::times;

/// What the gateway sends for an extension in a minute (docs/sending.md).
const PER_EXTENSION: u32 = 39;
/// RingCentral takes this much text in one message; a longer one is sent as several.
const PART_UNITS: usize = 1_000;
/// A tenth of the limit of the key is left to other requests.
const SHARE: (u32, u32) = (9, 10);
const DEFAULT_LIMIT: u32 = 100;

/// A row with its request.
#[derive(Debug, Clone)]
pub struct PlannedRow {
    pub row: Row,
    pub request: JournaledRequest,
}

pub struct BulkPlan {
    /// What is to be sent now.
    pub rows: Vec<PlannedRow>,
    /// All valid rows, in the order of the file.
    pub all: Vec<PlannedRow>,
    pub invalid: Vec<InvalidRow>,
    /// Requests a minute.
    pub rate: u32,
    /// Requests a minute that are to be expected, since each takes its time.
    pace: f64,
    senders: usize,
    /// Recipients who have got another message of this campaign.
    changed: usize,
    campaign: String,
    /// How long RingCentral takes for the sender with the most messages.
    sending: Duration,
}

impl BulkPlan {
    pub async fn make(
        client: &PersistentClient,
        arguments: &BulkArguments,
        rows: Rows,
        journal: &Journal,
    ) -> CliResult<Self> {
        let began = Instant::now();
        let key = client.until_done(&api::get_key()).await?;
        let response_time = began.elapsed();
        let limit = key
            .number("ratelimit-limit")
            .and_then(|limit| u32::try_from(limit).ok())
            .unwrap_or(DEFAULT_LIMIT);
        let rate = arguments.rate.unwrap_or_else(|| (limit / SHARE.1).saturating_mul(SHARE.0).max(1));
        let possible = f64::from(arguments.concurrency) * 60.0 / response_time.as_secs_f64();
        let pace = f64::from(rate).min(possible);
        let numbers = numbers(client).await?;
        let pool = pool(arguments, &numbers)?;
        let mut all = Vec::with_capacity(rows.valid.len());
        for row in rows.valid {
            let request = request(arguments, &row, &pool, journal)?;
            all.push(PlannedRow { row, request });
        }
        let is_left = |planned: &&PlannedRow| match journal.get(&planned.row.key).map(|entry| &entry.state) {
            None | Some(State::Sending) => true,
            Some(State::Accepted { .. }) => false,
            Some(State::Rejected { code, .. }) => arguments.retry_rejected || code == NOT_PROCESSED,
        };
        let left: Vec<PlannedRow> = all.iter().filter(is_left).cloned().collect();
        let (senders, sending) = sending_time(&left, &numbers);
        let changed = changed(&all, &left, journal);
        let campaign = arguments.campaign.clone();
        Ok(Self { rows: left, all, invalid: rows.invalid, rate, pace, senders, changed, campaign, sending })
    }

    pub fn campaign(&self) -> &str {
        &self.campaign
    }

    fn requests_time(&self) -> Duration {
        time_for(self.rows.len(), self.pace)
    }

    /// When the last request is sent, at the pace so far.
    pub fn finish(&self, done: usize, elapsed: Duration) -> String {
        let done_in_a_minute = as_number(done) * 60.0 / elapsed.as_secs_f64().max(0.001);
        clock(time_for(self.rows.len() - done, done_in_a_minute.clamp(0.1, f64::from(self.rate))))
    }

    pub fn show(&self, context: &Context) {
        if context.output.json {
            return;
        }
        let note = |text: String| context.output.note(&text);
        let done = self.all.len() - self.rows.len();
        note(format!(
            "Campaign {}: {} rows, {done} done before, {} to send from {}",
            self.campaign,
            self.all.len(),
            self.rows.len(),
            output::count(self.senders, "number")
        ));
        if !self.invalid.is_empty() {
            context
                .output
                .warning(&format!("{} rows are left out, because they are not valid", self.invalid.len()));
        }
        if self.changed > 0 {
            context.output.warning(&format!(
                "{} recipients have already got another text in this campaign",
                self.changed
            ));
        }
        if self.rows.is_empty() {
            return;
        }
        note(format!(
            "At most {} requests a minute: accepted by about {}",
            self.rate,
            clock(self.requests_time())
        ));
        let last = self.sending.max(self.requests_time());
        note(format!(
            "RingCentral sends {PER_EXTENSION} messages a minute for each extension: sent by about {}",
            clock(last)
        ));
    }

    pub fn question(&self) -> String {
        format!("Send {} messages?", self.rows.len())
    }

    pub fn summary(&self) -> Value {
        json!({
            "campaign": self.campaign, "rows": self.all.len(), "toSend": self.rows.len(), "invalid": self.invalid.len(),
            "requestsPerMinute": self.rate, "acceptedInSeconds": self.requests_time().as_secs(),
            "sentInSeconds": self.sending.max(self.requests_time()).as_secs(), "recipientsWithAnotherText": self.changed,
        })
    }
}

fn as_number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn time_for(requests: usize, in_a_minute: f64) -> Duration {
    Duration::try_from_secs_f64(as_number(requests) * 60.0 / in_a_minute).unwrap_or(Duration::MAX)
}

/// A time of the day after some time, with its date unless that is today.
fn clock(after: Duration) -> String {
    let zone = jiff::tz::TimeZone::system();
    let now = environment::now();
    let end =
        now.saturating_add(SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX)).unwrap_or(now);
    let (now, end) = (now.to_zoned(zone.clone()), end.to_zoned(zone));
    let form = if now.date() == end.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    format!("{} (in {})", end.strftime(form), times::shown_duration(after))
}

/// The numbers of the tenant; none if the key must not read them.
async fn numbers(client: &PersistentClient) -> CliResult<Vec<PhoneNumber>> {
    let mut pauses = Pauses::default();
    loop {
        match client.attempt(&api::list_numbers(), &mut pauses).await? {
            Ok(reply) => return Ok(reply.value.numbers),
            Err(failure) if failure.status() == 403 => return Ok(Vec::new()),
            Err(failure) if failure.is_temporary() || failure.status() == 401 => {}
            Err(failure) => return Err(failure.into()),
        }
    }
}

/// The numbers that rows without a sender are sent from.
fn pool(arguments: &BulkArguments, numbers: &[PhoneNumber]) -> CliResult<Vec<String>> {
    let connected: Vec<String> =
        numbers.iter().filter(|number| number.connected).map(|number| number.phone_number.clone()).collect();
    let mut pool = match arguments.from.as_slice() {
        [] if connected.len() == 1 => connected,
        [] => Vec::new(),
        [all] if all == "all" => connected,
        named => {
            let unknown = named.iter().find(|name| !connected.is_empty() && !connected.contains(name));
            if let Some(unknown) = unknown {
                return Err(CliError::usage(format!("{unknown} is not a connected number"))
                    .advice("See: ringbridge numbers"));
            }
            named.to_vec()
        }
    };
    pool.sort_unstable();
    pool.dedup();
    Ok(pool)
}

/// The request of a row: as it was before, if there was one.
fn request(
    arguments: &BulkArguments,
    row: &Row,
    pool: &[String],
    journal: &Journal,
) -> CliResult<JournaledRequest> {
    if let Some(entry) = journal.get(&row.key).filter(|entry| !matches!(entry.state, State::Rejected { .. }))
    {
        return Ok(entry.request.clone());
    }
    let from = match &row.from {
        Some(from) => from.clone(),
        None => chosen(pool, &row.key).ok_or_else(|| {
            CliError::usage(format!("line {} has no sender", row.line)).advice(
                "Add a column from, or choose numbers with --from; --from all uses all connected ones.",
            )
        })?,
    };
    Ok(JournaledRequest {
        to: row.to.clone(),
        from,
        priority: arguments.priority.clone(),
        message_class: arguments.message_class.clone(),
    })
}

/// A number of the pool: always the same for a message, whatever other rows there are.
fn chosen(pool: &[String], key: &str) -> Option<String> {
    let count = u64::try_from(pool.len()).ok().filter(|count| *count > 0)?;
    let hash = u64::from_str_radix(key.get(..16)?, 16).ok()?;
    pool.get(usize::try_from(hash % count).ok()?).cloned()
}

/// How many numbers send, and how long RingCentral takes for the extension with the most messages.
fn sending_time(rows: &[PlannedRow], numbers: &[PhoneNumber]) -> (usize, Duration) {
    let extension = |from: &str| {
        let number = numbers.iter().find(|number| number.phone_number == from);
        number.and_then(|number| number.extension_id.clone()).unwrap_or_else(|| from.to_owned())
    };
    let mut parts: HashMap<String, u32> = HashMap::new();
    let mut senders: HashSet<&str> = HashSet::new();
    let mut extensions: HashMap<&str, String> = HashMap::new();
    for planned in rows {
        let from = planned.request.from.as_str();
        senders.insert(from);
        let of = extensions.entry(from).or_insert_with(|| extension(from));
        let units = planned.row.body.encode_utf16().count();
        *parts.entry(of.clone()).or_default() += u32::try_from(units.div_ceil(PART_UNITS)).unwrap_or(1);
    }
    let most = parts.into_values().max().unwrap_or(0);
    (senders.len(), Duration::from_secs_f64(f64::from(most) * 60.0 / f64::from(PER_EXTENSION)))
}

/// Recipients of rows to be sent who have got a message of this campaign that is no longer in the file.
fn changed(all: &[PlannedRow], left: &[PlannedRow], journal: &Journal) -> usize {
    let keys: HashSet<&str> = all.iter().map(|planned| planned.row.key.as_str()).collect();
    let others: HashSet<&str> = journal
        .entries()
        .filter(|(key, entry)| !keys.contains(key.as_str()) && !matches!(entry.state, State::Rejected { .. }))
        .map(|(_, entry)| entry.request.to.as_str())
        .collect();
    let recipients: HashSet<&str> = left.iter().map(|planned| planned.row.to.as_str()).collect();
    recipients.intersection(&others).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bulk::rows;

    #[test]
    fn a_message_always_gets_the_same_number_and_all_numbers_are_used() {
        let pool: Vec<String> = (0..3).map(|at| format!("+1415555010{at}")).collect();
        let mut counts: HashMap<String, u32> = HashMap::new();
        for at in 0..600 {
            let key = rows::key("spring", &format!("+1650555{at:04}"), "Hi", 1);
            let from = chosen(&pool, &key).unwrap();
            assert_eq!(chosen(&pool, &key), Some(from.clone()));
            *counts.entry(from).or_default() += 1;
        }
        assert!(counts.len() == 3 && counts.values().all(|count| *count > 150), "{counts:?}");
        assert_eq!(chosen(&[], "00000000000000000"), None);
    }
}
