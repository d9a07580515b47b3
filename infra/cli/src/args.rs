//! The arguments of the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::output::ColorChoice;

/// Sends, receives and forwards messages through a Ringbridge gateway, and checks its deployment.
#[derive(Debug, Parser)]
#[command(name = "ringbridge", version, about, arg_required_else_help = true, max_term_width = 100)]
pub struct Arguments {
    /// The profile to use, instead of the default one
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colors
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub color: ColorChoice,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a key, and store it in a profile
    Login(LoginArguments),
    /// Delete a profile with its key
    Logout,
    /// Show the key in use, with its app, tenant, scopes and end
    Whoami,
    /// List the profiles, or choose the default one
    #[command(subcommand)]
    Profiles(ProfilesCommand),
    /// Connect a RingCentral extension: open a link, and wait until it is connected
    Connect(ConnectArguments),
    /// Create a link that connects the RingCentral extension of another person
    Invite(InviteArguments),
    /// List the phone numbers
    Numbers(NumbersArguments),
    /// Send a message, and wait until it is delivered or has failed
    Send(SendArguments),
    /// Read messages
    #[command(subcommand)]
    Messages(MessagesCommand),
    /// Forward events to a program on this machine, signed like webhooks
    Listen(ListenArguments),
    /// List events, or send one again
    #[command(subcommand)]
    Events(EventsCommand),
    /// List the webhook deliveries of an app, or repeat some
    #[command(subcommand)]
    Deliveries(DeliveriesCommand),
    /// Verify the signature of a webhook
    Verify(VerifyArguments),
    /// Cause an event on the local stack
    #[command(subcommand)]
    Trigger(TriggerCommand),
    /// Send a message to each row of a CSV file
    #[command(subcommand)]
    Bulk(BulkCommand),
    /// Manage tenants (operator)
    #[command(subcommand)]
    Tenants(TenantsCommand),
    /// Manage apps
    #[command(subcommand)]
    Apps(AppsCommand),
    /// Manage the API keys of an app
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Check a deployment (operator)
    Doctor(DoctorArguments),
    /// Send and receive a message through a deployment, with a number of your own (operator)
    Smoke(SmokeArguments),
    /// Print a completion script for a shell
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub struct LoginArguments {
    /// The URL of the gateway; default: that of the profile
    #[arg(long)]
    pub url: Option<String>,
    /// The webhook secret of the app, for `listen` and `verify`
    #[arg(long, value_name = "SECRET")]
    pub webhook_secret: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum ProfilesCommand {
    /// List the profiles
    List,
    /// Choose the profile that is used without `--profile`
    Use { name: String },
}

#[derive(Debug, Args)]
pub struct ConnectArguments {
    /// Do not open the link in a browser
    #[arg(long)]
    pub no_open: bool,
    /// How long to wait
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub timeout: Duration,
}

#[derive(Debug, Args)]
pub struct InviteArguments {
    /// How long the link is valid, at most 7 days
    #[arg(long, default_value = "30m", value_parser = duration, value_name = "DURATION")]
    pub expires: Duration,
    /// A name for the link, which the person sees who opens it
    #[arg(long)]
    pub label: Option<String>,
    /// An https URL that the success page links to
    #[arg(long, value_name = "URL")]
    pub return_url: Option<String>,
}

#[derive(Debug, Args)]
pub struct NumbersArguments {
    /// Read the numbers from RingCentral again
    #[arg(long)]
    pub refresh: bool,
}

#[derive(Debug, Args)]
pub struct SendArguments {
    /// The recipient, in E.164 form
    #[arg(long, value_name = "NUMBER")]
    pub to: String,
    /// One of your numbers; not needed if you have only one
    #[arg(long, value_name = "NUMBER")]
    pub from: Option<String>,
    /// The text; `-` reads it from stdin. Not needed with --media
    #[arg(required_unless_present = "media")]
    pub body: Option<String>,
    /// A file to send, or the https URL of one; can be repeated
    #[arg(long, value_name = "FILE")]
    pub media: Vec<String>,
    /// When to send it: a time such as 2026-12-01T09:00:00Z, or +90m
    #[arg(long, value_name = "TIME")]
    pub schedule: Option<String>,
    /// When it is no longer to be sent: a time, or +2h
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
    #[arg(long, value_parser = ["high", "normal", "bulk"])]
    pub priority: Option<String>,
    /// `marketing` messages are held in quiet hours
    #[arg(long = "class", value_parser = ["transactional", "marketing"])]
    pub message_class: Option<String>,
    /// Identifies the request, so that it can be repeated; default: a random one
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Do not wait after the gateway has accepted the message
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait
    #[arg(long, default_value = "2m", value_parser = duration)]
    pub timeout: Duration,
    /// Fail unless a delivery is reported: `sent` is not enough
    #[arg(long)]
    pub require_delivery: bool,
}

#[derive(Debug, Subcommand)]
pub enum MessagesCommand {
    /// List messages, newest first
    List(MessagesFilter),
    /// Show a message
    Get { message_id: String },
    /// Show messages as they arrive and change their status
    Tail(TailArguments),
}

#[derive(Debug, Args)]
pub struct MessagesFilter {
    #[arg(long, value_parser = ["inbound", "outbound"])]
    pub direction: Option<String>,
    #[arg(long)]
    pub status: Option<String>,
    #[arg(long, value_name = "NUMBER")]
    pub from: Option<String>,
    #[arg(long, value_name = "NUMBER")]
    pub to: Option<String>,
    /// Messages since this day or time
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Messages before this time, or up to this day
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// How many messages
    #[arg(long, default_value_t = 20)]
    pub limit: usize,
}

#[derive(Debug, Args)]
pub struct TailArguments {
    #[arg(long, value_parser = ["inbound", "outbound"])]
    pub direction: Option<String>,
    /// How often to look
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub interval: Duration,
}

#[derive(Debug, Args)]
pub struct ListenArguments {
    /// Where to send the events, such as http://localhost:3000/hooks
    #[arg(long, value_name = "URL")]
    pub forward_to: String,
    /// Only events of these types, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "TYPES")]
    pub events: Vec<String>,
    /// The webhook secret that signs them; default: RINGBRIDGE_WEBHOOK_SECRET, that of the profile, or a new one
    #[arg(long)]
    pub secret: Option<String>,
    /// Start at this time, and not where the last run ended: a time, or -2h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// How often to look for events
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub interval: Duration,
    /// How long the program may take to respond
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// List events of the last 30 days, oldest first
    List {
        /// Events since this time, or -2h; default: the last day
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        since: Option<String>,
        #[arg(long, value_delimiter = ',', value_name = "TYPES")]
        types: Vec<String>,
        /// How many events
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Send an event again: to the webhook URL of an app, or to a program on this machine
    Resend(ResendArguments),
}

#[derive(Debug, Args)]
pub struct ResendArguments {
    #[arg(required_unless_present = "failed")]
    pub event_id: Option<String>,
    /// Forward it to this URL, as `listen` does
    #[arg(long, value_name = "URL")]
    pub forward_to: Option<String>,
    /// All events that `listen --forward-to` of this URL could not deliver
    #[arg(long, requires = "forward_to", conflicts_with = "event_id")]
    pub failed: bool,
    /// The app whose webhook URL gets it; default: that of the key
    #[arg(long, value_name = "APP_ID", conflicts_with = "forward_to")]
    pub app: Option<String>,
    /// The webhook secret that signs a forwarded event
    #[arg(long, requires = "forward_to")]
    pub secret: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum DeliveriesCommand {
    /// List deliveries, newest first
    List {
        /// The app; default: that of the key
        #[arg(long, value_name = "APP_ID")]
        app: Option<String>,
        #[arg(long, value_parser = ["pending", "delivered", "failed", "held"])]
        status: Option<String>,
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// How many deliveries
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Repeat one delivery, or those of a time range
    Replay {
        #[arg(required_unless_present = "since")]
        delivery_id: Option<String>,
        /// The app; default: that of the key
        #[arg(long, value_name = "APP_ID")]
        app: Option<String>,
        /// All deliveries since this time, or -2h
        #[arg(long, value_name = "TIME", conflicts_with = "delivery_id", allow_hyphen_values = true)]
        since: Option<String>,
        /// Until this time
        #[arg(long, value_name = "TIME", requires = "since", allow_hyphen_values = true)]
        until: Option<String>,
        /// Which of them; default: held
        #[arg(long, value_parser = ["held", "failed", "delivered"], requires = "since")]
        status: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// The file with the request, headers and body, as it was received; with `--signature`, with the body alone. Default: stdin
    pub file: Option<PathBuf>,
    /// The webhook secret; default: RINGBRIDGE_WEBHOOK_SECRET, or that of the profile
    #[arg(long)]
    pub secret: Option<String>,
    /// The header webhook-id
    #[arg(long, requires = "signature")]
    pub id: Option<String>,
    /// The header webhook-timestamp
    #[arg(long, requires = "signature")]
    pub timestamp: Option<String>,
    /// The header webhook-signature
    #[arg(long, requires = "id", requires = "timestamp")]
    pub signature: Option<String>,
    /// Accept a request that is older than five minutes
    #[arg(long)]
    pub ignore_age: bool,
}

#[derive(Debug, Subcommand)]
pub enum TriggerCommand {
    /// A message arrives
    SmsInbound {
        #[arg(long, default_value = "+16505550111", value_name = "NUMBER")]
        from: String,
        /// One of your connected numbers; default: the first
        #[arg(long, value_name = "NUMBER")]
        to: Option<String>,
        #[arg(long, default_value = "Hello")]
        body: String,
        /// RingCentral's event is lost: message sync finds the message
        #[arg(long)]
        lost: bool,
    },
    /// A message is sent, and gets this status
    Status {
        #[arg(value_parser = ["sent", "delivered", "failed"])]
        status: String,
        #[arg(long, default_value = "+16505550111", value_name = "NUMBER")]
        to: String,
        /// RingCentral's error code of a failed message
        #[arg(long, default_value = "SMS-UP-410", value_name = "CODE")]
        error_code: String,
    },
    /// A RingCentral user revokes the access to an extension
    Revoked {
        /// The extension; default: the first
        #[arg(long, value_name = "EXTENSION_ID")]
        extension: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum BulkCommand {
    /// Send the messages that were not sent yet
    Send(BulkArguments),
}

#[derive(Debug, Args)]
pub struct BulkArguments {
    /// A CSV file with a heading. Columns: `to`; `body`, unless --body or --template is used; `from`, unless --from is used
    pub file: PathBuf,
    /// The name of the campaign. The same message to the same number is sent once in a campaign
    #[arg(long, value_name = "NAME")]
    pub campaign: String,
    /// The text, with columns in braces: Hi {{name}}
    #[arg(long, value_name = "TEXT", conflicts_with = "template")]
    pub body: Option<String>,
    /// A file with the text
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,
    /// Your numbers to send from, separated by commas; `all` are all connected ones. Each recipient always gets the same one
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
    pub from: Vec<String>,
    #[arg(long, value_parser = ["high", "normal", "bulk"], default_value = "bulk")]
    pub priority: String,
    /// `marketing` messages are held in quiet hours
    #[arg(long = "class", value_parser = ["transactional", "marketing"], default_value = "transactional")]
    pub message_class: String,
    /// The most requests a minute; default: nine tenths of the limit of the key
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// How many requests at a time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub concurrency: u8,
    /// Leave out rows without a valid recipient, sender or text
    #[arg(long)]
    pub skip_invalid: bool,
    /// Send the messages again that the gateway rejected
    #[arg(long)]
    pub retry_rejected: bool,
    /// Show what would be sent, and how long it would take
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Subcommand)]
pub enum TenantsCommand {
    /// Create a tenant
    Create {
        name: String,
        /// Requests of one API key in a minute
        #[arg(long, value_name = "NUMBER")]
        requests_per_minute: Option<i64>,
        /// Requests of all API keys together in a minute
        #[arg(long, value_name = "NUMBER")]
        tenant_requests_per_minute: Option<i64>,
        /// Connect links in an hour
        #[arg(long, value_name = "NUMBER")]
        connect_tokens_per_hour: Option<i64>,
        /// An https URL that the success page links to
        #[arg(long, value_name = "URL")]
        return_url: Option<String>,
    },
    /// List tenants, newest first
    List,
    /// Show a tenant
    Get { tenant_id: String },
    /// Suspend a tenant: its keys are rejected, and its messages are not sent
    Suspend { tenant_id: String },
    /// Resume a suspended tenant
    Resume { tenant_id: String },
    /// Delete a tenant with its connections, messages and encryption keys
    Delete {
        tenant_id: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum AppsCommand {
    /// Register an app. Its key and webhook secret are shown once
    Register {
        name: String,
        /// The tenant (operator); default: that of the key
        #[arg(long, value_name = "TENANT_ID")]
        tenant: Option<String>,
        #[arg(long, value_name = "URL")]
        webhook_url: Option<String>,
        /// Only events of these types, separated by commas
        #[arg(long, value_delimiter = ',', value_name = "TYPES")]
        event_types: Vec<String>,
        /// Store its key and webhook secret in a profile, and do not show them
        #[arg(long, value_name = "PROFILE")]
        save: Option<String>,
    },
    /// List the apps of the tenant
    List,
    /// Show an app
    Get { app_id: String },
    /// Delete an app with its keys
    Delete {
        app_id: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Send a test event to the webhook URL of an app
    TestWebhook { app_id: String },
    /// Create a new webhook secret. The previous one signs for 24 hours more
    RotateWebhookSecret { app_id: String },
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List the keys of an app
    List {
        /// The app; default: that of the key in use
        #[arg(long, value_name = "APP_ID")]
        app: Option<String>,
    },
    /// Create a further key. It is shown once
    Create {
        #[arg(long, value_name = "APP_ID")]
        app: Option<String>,
        /// The scopes, separated by commas
        #[arg(long, value_delimiter = ',', required = true)]
        scopes: Vec<String>,
        /// When it expires: a time, or +30d
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// IP addresses and ranges that it may be used from, separated by commas
        #[arg(long, value_delimiter = ',', value_name = "ADDRESSES")]
        allowed_ips: Vec<String>,
    },
    /// Delete a key
    Delete {
        key_id: String,
        #[arg(long, value_name = "APP_ID")]
        app: Option<String>,
    },
    /// Replace the main key of an app. The new one is shown once
    Rotate {
        #[arg(long, value_name = "APP_ID")]
        app: Option<String>,
        /// How long the old key remains valid
        #[arg(long, default_value = "0s", value_parser = duration, value_name = "DURATION")]
        overlap: Duration,
    },
}

#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// The URL of the deployment; default: that of the profile or the local stack
    pub url: Option<String>,
    /// The name of the CloudFormation stack: checks its alarms too, with the AWS CLI and your AWS credentials
    #[arg(long, value_name = "NAME")]
    pub stack: Option<String>,
}

#[derive(Debug, Args)]
pub struct SmokeArguments {
    /// A RingCentral number of your own
    #[arg(long, value_name = "NUMBER")]
    pub from: String,
    /// A phone of your own
    #[arg(long, value_name = "NUMBER")]
    pub to: String,
    /// Wait for a reply from that phone too
    #[arg(long)]
    pub reply: bool,
    /// Do not delete the tenant of the test
    #[arg(long)]
    pub keep: bool,
    /// Do not open the link in a browser
    #[arg(long)]
    pub no_open: bool,
}

/// Parses `30s`, `5m`, `2h` or `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("{text} is not a duration such as 30s, 5m, 2h or 7d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(invalid)?;
    let factor = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err(invalid()),
    };
    let number: f64 = number.parse().map_err(|_| invalid())?;
    Duration::try_from_secs_f64(number * factor).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("0.5m"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
        for wrong in ["", "5", "m", "-1s", "1y", "1ö"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
