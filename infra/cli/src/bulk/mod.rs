//! `bulk`: a message to each row of a CSV file, and none twice.
//!
//! Each message has a key, made of campaign, recipient, text and occurrence ([`rows`]), which is the idempotency key of its request. A journal
//! beside the file ([`journal`]) has each request before it is sent. So a run that was killed at any point is repeated safely: within 24 hours
//! the gateway recognizes the key, and later the list of messages says whether a request was processed ([`sender`]).

mod journal;
mod plan;
mod results;
mod rows;
mod sender;

use crate::args::{BulkArguments, BulkCommand};
use crate::commands::Context;
use crate::error::{CliError, CliResult, Exit};
use crate::persistent::{self, PersistentClient};

use journal::Journal;
use plan::BulkPlan;
use results::Results;
use sender::Sender;

pub async fn run(context: &Context, command: BulkCommand) -> CliResult<()> {
    match command {
        BulkCommand::Send(arguments) => send(context, arguments).await,
    }
}

async fn send(context: &Context, arguments: BulkArguments) -> CliResult<()> {
    let rows = rows::read(&arguments)?;
    if let Some(first) = rows.invalid.first().filter(|_| !arguments.skip_invalid) {
        let more = rows.invalid.len() - 1;
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        return Err(CliError::usage(format!("line {} has {}{more}", first.line, first.reason))
            .advice("Correct the file, or leave such rows out with --skip-invalid."));
    }
    let client = PersistentClient::new(context.target()?, context.output)?;
    let journal = Journal::open(&arguments.file, &arguments.campaign)?;
    let plan = BulkPlan::make(&client, &arguments, rows, &journal).await?;
    plan.show(context);
    if arguments.dry_run {
        if context.output.json {
            context.output.json(&plan.summary());
        }
        return Ok(());
    }
    if !plan.rows.is_empty() {
        context.confirm(&plan.question(), arguments.yes)?;
    }
    let sender = Sender::new(&client, &arguments, &plan, journal);
    let outcome = sender.run(context).await;
    let results = Results::of(&plan, &sender.into_journal());
    let path = results.write(&arguments.file, &arguments.campaign)?;
    results.show(context, &path);
    match outcome? {
        sender::End::Interrupted => {
            Err(persistent::interrupted().advice("Run the same command again to go on."))
        }
        sender::End::Done if results.is_success() => Ok(()),
        sender::End::Done => Err(CliError::new(Exit::Findings, "some rows were not accepted")
            .advice("The results say why. --retry-rejected sends rejected ones again.")),
    }
}
