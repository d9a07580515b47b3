//! Configuration from environment variables, read once and validated together. No other module reads the environment.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `STAGE` | `production`, `staging` or `local`; only the local stage accepts http URLs |
//! | `PUBLIC_URL` | the public origin of this deployment, without a trailing slash |
//! | `RINGCENTRAL_SERVER` | the origin of the RingCentral platform |
//! | `RINGCENTRAL_CLIENT_ID` | the client id of the RingCentral app |
//! | `RINGCENTRAL_SECRET` | name of the secret with `{"clientSecret":"…"}` |
//! | `OPERATOR_SECRET` | name of the secret with the operator's key |
//! | `EVENT_TAG_SECRET` | name of the secret that tags the URLs of webhook subscriptions |
//! | `TENANTS_TABLE`, `CONNECT_TOKENS_TABLE`, `CONNECTIONS_TABLE`, `EXTENSIONS_TABLE`, `RATE_LIMITS_TABLE`, `AUDIT_TABLE`, `EVENTS_TABLE`, `DELIVERIES_TABLE`, `MESSAGES_TABLE`, `CONSENTS_TABLE`, `QUARANTINE_TABLE` | DynamoDB tables |
//! | `VAULT_KEY` | the KMS key that wraps data keys |
//! | `REFRESH_QUEUE` | URL of the queue of the function that refreshes tokens |
//! | `TOKEN_CALLS_PER_MINUTE` | limit of calls of RingCentral's token endpoint, of all functions together |
//! | `SYNC_MINUTES_ACTIVE`, `SYNC_MINUTES_RECENT`, `SYNC_MINUTES_IDLE` | minutes between two message syncs of a connection whose last message was within an hour, within a day, or earlier |
//! | `SHARDS` | number of shards of every index that spans all tenants |
//! | `DELIVERIES_QUEUE`, `RETRIES_QUEUE` | URLs of the queues of first delivery attempts and of retries |
//! | `FAN_OUT_QUEUE` | URL of the queue of events that could not be fanned out at once |
//! | `SWEEP_QUEUE`, `SYNC_QUEUE`, `RENEWAL_QUEUE`, `ERASURE_QUEUE` | URLs of the queues that hand out shards of due work |
//! | `DELIVER_SMS_QUEUE` | URL of the queue that wakes senders |
//! | `FETCH_MEDIA_QUEUE` | URL of the queue of messages whose files are to be copied |
//! | `MEDIA_BUCKET` | S3 bucket of the files of messages |
//! | `MEDIA_RETENTION_DAYS` | days for which the bucket keeps the files of messages |
//! | `REFRESH_FUNCTION` | ARN of the function that may decrypt refresh tokens |
//! | `SCHEDULE_GROUP`, `SCHEDULE_ROLE`, `SCHEDULE_DEAD_LETTERS` | group, execution role and dead-letter queue of the schedules of connections |
//! | `METRICS_NAMESPACE` | CloudWatch namespace of the metrics |
//! | `LOG_LEVEL` | `error`, `warn`, `info` (default), `debug` or `trace` |
//! | `SECRETS_REVISION` | not read: changing the value restarts every function, after a secret was changed |
//! | `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | set by Lambda; the session token may be absent elsewhere |
//! | `AWS_ENDPOINT_URL` | one endpoint for all AWS services; the local stack sets it |
//! | `RINGBRIDGE_CLOCK_OFFSET_SECONDS` | offset of the clock; rejected unless `AWS_ENDPOINT_URL` is a loopback address |

use std::collections::HashMap;

use aws_credential_types::Credentials;
use url::{Host, Url};

use crate::aws::AwsEnvironment;
use crate::limits;
use crate::model::activity::SyncIntervals;
use crate::model::event_route::EventRoute;
use crate::model::ids::AppId;
use crate::model::trigger_token::TriggerToken;
use crate::outbound::Destinations;
use crate::store::Tables;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Production,
    Staging,
    /// The local stack on a developer's machine.
    Local,
}

#[derive(Debug, Clone)]
pub struct ScheduleConfig {
    pub group: String,
    /// ARN of the execution role.
    pub role: String,
    /// ARN of the dead-letter queue.
    pub dead_letters: String,
}

#[derive(Debug, Clone)]
pub struct Config {
    pub aws: AwsEnvironment,
    pub stage: Stage,
    /// The public origin of this deployment, without a trailing slash.
    pub public_url: String,
    /// The origin of the RingCentral platform, without a trailing slash. It is the issuer of all tokens.
    pub ringcentral_server: String,
    pub ringcentral_client_id: String,
    /// Name of the secret with the client secret of the RingCentral app.
    pub ringcentral_secret: String,
    /// Name of the secret with the operator's key.
    pub operator_secret: String,
    /// Name of the secret that tags the URLs of webhook subscriptions.
    pub event_tag_secret: String,
    pub tables: Tables,
    /// The KMS key that wraps data keys.
    pub vault_key: String,
    /// URL of the queue that wakes senders.
    pub deliver_sms_queue: String,
    /// URL of the queue of messages whose files are to be copied.
    pub fetch_media_queue: String,
    /// S3 bucket of the files of messages.
    pub media_bucket: String,
    /// How long the bucket keeps the files of messages.
    pub media_retention_days: u32,
    /// ARN of the function that may decrypt refresh tokens.
    pub refresh_function: String,
    pub schedules: ScheduleConfig,
    /// CloudWatch namespace.
    pub metrics_namespace: String,
    /// URL of the queue of the function that refreshes tokens.
    pub refresh_queue: String,
    /// Limit of calls of RingCentral's token endpoint, of all functions together.
    pub token_calls_per_minute: u32,
    pub sync_intervals: SyncIntervals,
    /// Shards of every index that spans all tenants.
    pub shards: u8,
    /// URL of the queue of first delivery attempts.
    pub deliveries_queue: String,
    /// URL of the queue of delivery retries.
    pub retries_queue: String,
    /// URL of the queue of events that could not be fanned out at once.
    pub fan_out_queue: String,
    pub work_queues: WorkQueues,
    pub log_level: String,
    /// Offset of the clock; 0 in production.
    pub clock_offset_seconds: i64,
}

/// URLs of the queues that hand out shards of due work.
#[derive(Debug, Clone)]
pub struct WorkQueues {
    /// Of `sweep`.
    pub sweep: String,
    /// Of `sync-messages`.
    pub sync: String,
    /// Of `renew-subscriptions`.
    pub renewal: String,
    /// Of `erase-tenants`.
    pub erasure: String,
}

/// The variables of [`SyncIntervals`], in the order of its fields.
const SYNC_MINUTES: [&str; 3] = ["SYNC_MINUTES_ACTIVE", "SYNC_MINUTES_RECENT", "SYNC_MINUTES_IDLE"];

/// All problems of the environment.
#[derive(Debug, thiserror::Error)]
#[error("invalid environment: {}", .0.join("; "))]
pub struct ConfigError(Vec<String>);

impl Config {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(&std::env::vars().collect())
    }

    pub fn read(environment: &HashMap<String, String>) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut required = |name: &str| match environment.get(name).filter(|value| !value.is_empty()) {
            Some(value) => value.clone(),
            None => {
                problems.push(format!("{name} is missing"));
                String::new()
            }
        };
        let stage = required("STAGE");
        let public_url = required("PUBLIC_URL");
        let ringcentral_server = required("RINGCENTRAL_SERVER");
        let token_calls = required("TOKEN_CALLS_PER_MINUTE");
        let shards = required("SHARDS");
        let media_retention_days = required("MEDIA_RETENTION_DAYS");
        let sync_minutes = SYNC_MINUTES.map(|name| (name, required(name)));
        let aws = AwsEnvironment {
            region: required("AWS_REGION"),
            endpoint_url: environment.get("AWS_ENDPOINT_URL").filter(|url| !url.is_empty()).cloned(),
            credentials: Credentials::new(
                required("AWS_ACCESS_KEY_ID"),
                required("AWS_SECRET_ACCESS_KEY"),
                environment.get("AWS_SESSION_TOKEN").cloned(),
                None,
                "environment",
            ),
        };
        let mut config = Self {
            aws,
            stage: Stage::Production,
            public_url: String::new(),
            ringcentral_server: String::new(),
            ringcentral_client_id: required("RINGCENTRAL_CLIENT_ID"),
            ringcentral_secret: required("RINGCENTRAL_SECRET"),
            operator_secret: required("OPERATOR_SECRET"),
            event_tag_secret: required("EVENT_TAG_SECRET"),
            tables: Tables {
                tenants: required("TENANTS_TABLE"),
                connect_tokens: required("CONNECT_TOKENS_TABLE"),
                connections: required("CONNECTIONS_TABLE"),
                extensions: required("EXTENSIONS_TABLE"),
                rate_limits: required("RATE_LIMITS_TABLE"),
                audit: required("AUDIT_TABLE"),
                events: required("EVENTS_TABLE"),
                deliveries: required("DELIVERIES_TABLE"),
                messages: required("MESSAGES_TABLE"),
                consents: required("CONSENTS_TABLE"),
                quarantine: required("QUARANTINE_TABLE"),
            },
            vault_key: required("VAULT_KEY"),
            deliver_sms_queue: required("DELIVER_SMS_QUEUE"),
            fetch_media_queue: required("FETCH_MEDIA_QUEUE"),
            media_bucket: required("MEDIA_BUCKET"),
            media_retention_days: 0,
            refresh_function: required("REFRESH_FUNCTION"),
            schedules: ScheduleConfig {
                group: required("SCHEDULE_GROUP"),
                role: required("SCHEDULE_ROLE"),
                dead_letters: required("SCHEDULE_DEAD_LETTERS"),
            },
            metrics_namespace: required("METRICS_NAMESPACE"),
            refresh_queue: required("REFRESH_QUEUE"),
            token_calls_per_minute: 0,
            sync_intervals: SyncIntervals { active_seconds: 0, recent_seconds: 0, idle_seconds: 0 },
            shards: limits::DEFAULT_SHARDS,
            deliveries_queue: required("DELIVERIES_QUEUE"),
            retries_queue: required("RETRIES_QUEUE"),
            fan_out_queue: required("FAN_OUT_QUEUE"),
            work_queues: WorkQueues {
                sweep: required("SWEEP_QUEUE"),
                sync: required("SYNC_QUEUE"),
                renewal: required("RENEWAL_QUEUE"),
                erasure: required("ERASURE_QUEUE"),
            },
            log_level: environment.get("LOG_LEVEL").cloned().unwrap_or_else(|| "info".to_owned()),
            clock_offset_seconds: 0,
        };
        match stage.as_str() {
            "production" | "" => {}
            "staging" => config.stage = Stage::Staging,
            "local" => config.stage = Stage::Local,
            _ => problems.push("STAGE must be production, staging or local".to_owned()),
        }
        for (name, text, into) in [
            ("PUBLIC_URL", public_url, &mut config.public_url),
            ("RINGCENTRAL_SERVER", ringcentral_server, &mut config.ringcentral_server),
        ] {
            match origin(&text, config.stage) {
                Some(origin) => *into = origin,
                None if text.is_empty() => {}
                None => problems.push(format!("{name} must be an https origin without a path")),
            }
        }
        match token_calls.parse() {
            Ok(calls) if calls > 0 => config.token_calls_per_minute = calls,
            Err(_) if token_calls.is_empty() => {}
            _ => problems.push("TOKEN_CALLS_PER_MINUTE must be a positive integer".to_owned()),
        }
        match media_retention_days.parse() {
            Ok(days) if days > 0 => config.media_retention_days = days,
            Err(_) if media_retention_days.is_empty() => {}
            _ => problems.push("MEDIA_RETENTION_DAYS must be a positive integer".to_owned()),
        }
        match shards.parse() {
            Ok(count @ 1..=limits::SHARDS_MAX) => config.shards = count,
            Err(_) if shards.is_empty() => {}
            _ => problems.push(format!("SHARDS must be an integer from 1 to {}", limits::SHARDS_MAX)),
        }
        let SyncIntervals { active_seconds, recent_seconds, idle_seconds } = &mut config.sync_intervals;
        for ((name, text), into) in
            sync_minutes.into_iter().zip([active_seconds, recent_seconds, idle_seconds])
        {
            match text.parse() {
                Ok(minutes @ 1..=limits::SYNC_MINUTES_MAX) => *into = i64::from(minutes) * 60,
                Err(_) if text.is_empty() => {}
                _ => {
                    problems
                        .push(format!("{name} must be an integer from 1 to {}", limits::SYNC_MINUTES_MAX));
                }
            }
        }
        if !matches!(config.log_level.as_str(), "error" | "warn" | "info" | "debug" | "trace") {
            problems.push("LOG_LEVEL must be error, warn, info, debug or trace".to_owned());
        }
        if let Some(offset) = environment.get("RINGBRIDGE_CLOCK_OFFSET_SECONDS") {
            let endpoint = environment.get("AWS_ENDPOINT_URL").and_then(|text| Url::parse(text).ok());
            match offset.parse() {
                Ok(seconds) if endpoint.as_ref().is_some_and(is_loopback) => {
                    config.clock_offset_seconds = seconds;
                }
                Ok(_) => {
                    problems.push(
                        "RINGBRIDGE_CLOCK_OFFSET_SECONDS is allowed only in the local stack".to_owned(),
                    );
                }
                Err(_) => problems.push("RINGBRIDGE_CLOCK_OFFSET_SECONDS must be an integer".to_owned()),
            }
        }
        if problems.is_empty() { Ok(config) } else { Err(ConfigError(problems)) }
    }

    /// The OAuth redirect URI.
    pub fn redirect_uri(&self) -> String {
        format!("{}/v1/rc/callback", self.public_url)
    }

    /// The URL of a connection's webhook subscription. It contains the connection, so that a notification can be stored without a
    /// read.
    pub fn subscription_url(&self, route: &EventRoute) -> String {
        format!("{}?c={route}", self.subscription_url_prefix())
    }

    /// The URL at which a Power Automate flow unsubscribes.
    pub fn trigger_url(&self, id: &AppId, token: &TriggerToken) -> String {
        format!("{}/v1/triggers/sms-received/subscribe/{id}?token={}", self.public_url, token.expose())
    }

    /// The common prefix of these URLs.
    pub fn subscription_url_prefix(&self) -> String {
        format!("{}/v1/webhooks/ringcentral", self.public_url)
    }

    /// Which destinations are allowed for URLs that tenants choose.
    pub fn outbound_destinations(&self) -> Destinations {
        if self.allows_loopback_http() { Destinations::PublicAndLoopback } else { Destinations::Public }
    }

    pub fn allows_loopback_http(&self) -> bool {
        self.stage == Stage::Local
    }
}

/// Parses an origin: https, or http to loopback on the local stage; without path, query and credentials. The result has the form of
/// an `Origin` header.
fn origin(text: &str, stage: Stage) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let plain =
        url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let scheme =
        url.scheme() == "https" || (stage == Stage::Local && url.scheme() == "http" && is_loopback(&url));
    (plain && scheme && url.has_host()).then(|| url.origin().ascii_serialization())
}

pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> HashMap<String, String> {
        let names = [
            "RINGCENTRAL_CLIENT_ID",
            "RINGCENTRAL_SECRET",
            "OPERATOR_SECRET",
            "EVENT_TAG_SECRET",
            "TENANTS_TABLE",
            "CONNECT_TOKENS_TABLE",
            "CONNECTIONS_TABLE",
            "EXTENSIONS_TABLE",
            "RATE_LIMITS_TABLE",
            "AUDIT_TABLE",
            "EVENTS_TABLE",
            "DELIVERIES_TABLE",
            "DELIVERIES_QUEUE",
            "RETRIES_QUEUE",
            "FAN_OUT_QUEUE",
            "SWEEP_QUEUE",
            "SYNC_QUEUE",
            "RENEWAL_QUEUE",
            "ERASURE_QUEUE",
            "MESSAGES_TABLE",
            "CONSENTS_TABLE",
            "QUARANTINE_TABLE",
            "VAULT_KEY",
            "DELIVER_SMS_QUEUE",
            "FETCH_MEDIA_QUEUE",
            "MEDIA_BUCKET",
            "REFRESH_FUNCTION",
            "SCHEDULE_GROUP",
            "SCHEDULE_ROLE",
            "SCHEDULE_DEAD_LETTERS",
            "METRICS_NAMESPACE",
            "REFRESH_QUEUE",
            "AWS_REGION",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
        ];
        let mut all: HashMap<_, _> =
            names.into_iter().map(|name| (name.to_owned(), "x".to_owned())).collect();
        all.insert("TOKEN_CALLS_PER_MINUTE".into(), "300".into());
        all.insert("SHARDS".into(), "8".into());
        all.insert("MEDIA_RETENTION_DAYS".into(), "90".into());
        all.extend(
            SYNC_MINUTES
                .into_iter()
                .zip(["10", "120", "720"])
                .map(|(name, minutes)| (name.into(), minutes.into())),
        );
        all.insert("STAGE".into(), "production".into());
        all.insert("PUBLIC_URL".into(), "https://sms.example.com/".into());
        all.insert("RINGCENTRAL_SERVER".into(), "https://platform.ringcentral.com".into());
        all
    }

    #[test]
    fn a_complete_environment_is_read() {
        let config = Config::read(&environment()).unwrap();
        assert_eq!(config.public_url, "https://sms.example.com");
        assert_eq!(config.redirect_uri(), "https://sms.example.com/v1/rc/callback");
    }

    #[test]
    fn all_problems_are_reported_together() {
        let mut broken = environment();
        broken.remove("VAULT_KEY");
        broken.insert("PUBLIC_URL".into(), "http://sms.example.com".into());
        broken.insert("LOG_LEVEL".into(), "loud".into());
        broken.insert("SYNC_MINUTES_IDLE".into(), "1441".into());
        broken.insert("SHARDS".into(), "0".into());
        let problems = Config::read(&broken).unwrap_err().to_string();
        for name in ["VAULT_KEY", "PUBLIC_URL", "LOG_LEVEL", "SYNC_MINUTES_IDLE", "SHARDS"] {
            assert!(problems.contains(name), "{problems}");
        }
    }

    #[test]
    fn a_clock_offset_requires_a_loopback_endpoint() {
        let mut moved = environment();
        moved.insert("RINGBRIDGE_CLOCK_OFFSET_SECONDS".into(), "3600".into());
        assert!(Config::read(&moved).is_err());
        moved.insert("AWS_ENDPOINT_URL".into(), "https://dynamodb.us-east-1.amazonaws.com".into());
        assert!(Config::read(&moved).is_err());
        moved.insert("AWS_ENDPOINT_URL".into(), "http://127.0.0.1:9420".into());
        assert_eq!(Config::read(&moved).unwrap().clock_offset_seconds, 3600);
    }

    #[test]
    fn http_is_allowed_only_on_the_local_stage_and_to_loopback() {
        let mut local = environment();
        local.insert("PUBLIC_URL".into(), "http://127.0.0.1:9400".into());
        assert!(Config::read(&local).is_err());
        local.insert("STAGE".into(), "local".into());
        assert_eq!(Config::read(&local).unwrap().public_url, "http://127.0.0.1:9400");
        local.insert("PUBLIC_URL".into(), "http://192.0.2.1:9400".into());
        assert!(Config::read(&local).is_err());
    }
}
