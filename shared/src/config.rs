//! What the environment says, read once and checked together. No other module reads the environment.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `STAGE` | `production`, `staging` or `local`; the local stage alone accepts http addresses |
//! | `PUBLIC_URL` | the product's own address, without a slash at the end |
//! | `RINGCENTRAL_SERVER` | the platform's address |
//! | `RINGCENTRAL_CLIENT_ID` | the app's client id |
//! | `RINGCENTRAL_SECRET` | name of the secret that holds `{"clientSecret":"…"}` |
//! | `OPERATOR_SECRET` | name of the secret that holds the operator's key |
//! | `TENANTS_TABLE`, `CONNECT_TOKENS_TABLE`, `CONNECTIONS_TABLE`, `EXTENSIONS_TABLE`, `RATE_LIMITS_TABLE`, `AUDIT_TABLE`, `EVENTS_TABLE`, `DELIVERIES_TABLE`, `MESSAGES_TABLE` | DynamoDB tables |
//! | `VAULT_KEY` | the KMS key that wraps data keys |
//! | `REFRESH_QUEUE` | address of the queue that the same function works |
//! | `TOKEN_CALLS_PER_MINUTE` | how many calls of RingCentral's token endpoint all functions make together |
//! | `DELIVERIES_QUEUE`, `RETRIES_QUEUE` | addresses of the queues of first tries and of later ones |
//! | `DELIVER_SMS_QUEUE` | address of the queue that rings senders |
//! | `REFRESH_FUNCTION` | ARN of the function that may open refresh tokens |
//! | `SCHEDULE_GROUP`, `SCHEDULE_ROLE`, `SCHEDULE_DEAD_LETTERS` | where schedules of connections are made, who carries them out, and the queue of calls that failed |
//! | `METRICS_NAMESPACE` | under which name CloudWatch keeps the metrics |
//! | `LOG_LEVEL` | `error`, `warn`, `info` (default), `debug` or `trace` |
//! | `SECRETS_REVISION` | read by nobody: another value makes Lambda start every function afresh, after a secret was changed |
//! | `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | set by Lambda; the session token may be absent elsewhere |
//! | `AWS_ENDPOINT_URL` | one endpoint for all AWS services; the local stack sets it |
//! | `RINGBRIDGE_CLOCK_OFFSET_SECONDS` | moves the clock; refused unless `AWS_ENDPOINT_URL` is a loopback address |

use std::collections::HashMap;

use aws_credential_types::Credentials;
use url::{Host, Url};

use crate::aws::AwsEnvironment;
use crate::model::ids::{ConnectionId, TenantId};
use crate::outbound::Reach;
use crate::store::Tables;

/// Where this runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// For customers.
    Production,
    /// For rehearsals.
    Staging,
    /// On a developer's machine.
    Local,
}

/// Where schedules are made.
#[derive(Debug, Clone)]
pub struct Schedules {
    /// Their group.
    pub group: String,
    /// ARN of the role that carries them out.
    pub role: String,
    /// ARN of the queue of calls that failed.
    pub dead_letters: String,
}

/// What the environment says.
#[derive(Debug, Clone)]
pub struct Config {
    /// How AWS is reached.
    pub aws: AwsEnvironment,
    /// Where this runs.
    pub stage: Stage,
    /// The product's own address, without a slash at the end.
    pub public_url: String,
    /// The platform's address, without a slash at the end: the issuer of all tokens.
    pub ringcentral_server: String,
    /// The app's client id.
    pub ringcentral_client_id: String,
    /// Name of the secret with the app's client secret.
    pub ringcentral_secret: String,
    /// Name of the secret with the operator's key.
    pub operator_secret: String,
    /// DynamoDB tables.
    pub tables: Tables,
    /// The KMS key that wraps data keys.
    pub vault_key: String,
    /// Address of the queue that rings senders.
    pub deliver_sms_queue: String,
    /// ARN of the function that may open refresh tokens.
    pub refresh_function: String,
    /// Where schedules of connections are made.
    pub schedules: Schedules,
    /// Under which name CloudWatch keeps the metrics.
    pub metrics_namespace: String,
    /// Address of the queue that the same function works.
    pub refresh_queue: String,
    /// How many calls of RingCentral's token endpoint all functions make together, in a minute.
    pub token_calls_per_minute: u32,
    /// Address of the queue of deliveries that are tried for the first time.
    pub deliveries_queue: String,
    /// Address of the queue of deliveries that are tried again.
    pub retries_queue: String,
    /// How much to log.
    pub log_level: String,
    /// Seconds by which the clock is moved; 0 in production.
    pub clock_offset_seconds: i64,
}

/// Everything that is wrong with the environment.
#[derive(Debug, thiserror::Error)]
#[error("the environment is not right: {}", .0.join("; "))]
pub struct ConfigError(Vec<String>);

impl Config {
    /// Reads the process's environment.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(&std::env::vars().collect())
    }

    /// Reads an environment given as a map.
    pub fn read(environment: &HashMap<String, String>) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut need = |name: &str| match environment.get(name).filter(|value| !value.is_empty()) {
            Some(value) => value.clone(),
            None => {
                problems.push(format!("{name} is missing"));
                String::new()
            }
        };
        let stage = need("STAGE");
        let public_url = need("PUBLIC_URL");
        let ringcentral_server = need("RINGCENTRAL_SERVER");
        let token_calls = need("TOKEN_CALLS_PER_MINUTE");
        let aws = AwsEnvironment {
            region: need("AWS_REGION"),
            endpoint_url: environment.get("AWS_ENDPOINT_URL").filter(|url| !url.is_empty()).cloned(),
            credentials: Credentials::new(
                need("AWS_ACCESS_KEY_ID"),
                need("AWS_SECRET_ACCESS_KEY"),
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
            ringcentral_client_id: need("RINGCENTRAL_CLIENT_ID"),
            ringcentral_secret: need("RINGCENTRAL_SECRET"),
            operator_secret: need("OPERATOR_SECRET"),
            tables: Tables {
                tenants: need("TENANTS_TABLE"),
                connect_tokens: need("CONNECT_TOKENS_TABLE"),
                connections: need("CONNECTIONS_TABLE"),
                extensions: need("EXTENSIONS_TABLE"),
                rate_limits: need("RATE_LIMITS_TABLE"),
                audit: need("AUDIT_TABLE"),
                events: need("EVENTS_TABLE"),
                deliveries: need("DELIVERIES_TABLE"),
                messages: need("MESSAGES_TABLE"),
            },
            vault_key: need("VAULT_KEY"),
            deliver_sms_queue: need("DELIVER_SMS_QUEUE"),
            refresh_function: need("REFRESH_FUNCTION"),
            schedules: Schedules {
                group: need("SCHEDULE_GROUP"),
                role: need("SCHEDULE_ROLE"),
                dead_letters: need("SCHEDULE_DEAD_LETTERS"),
            },
            metrics_namespace: need("METRICS_NAMESPACE"),
            refresh_queue: need("REFRESH_QUEUE"),
            token_calls_per_minute: 0,
            deliveries_queue: need("DELIVERIES_QUEUE"),
            retries_queue: need("RETRIES_QUEUE"),
            log_level: environment.get("LOG_LEVEL").cloned().unwrap_or_else(|| "info".to_owned()),
            clock_offset_seconds: 0,
        };
        match stage.as_str() {
            "production" | "" => {}
            "staging" => config.stage = Stage::Staging,
            "local" => config.stage = Stage::Local,
            _ => problems.push("STAGE is none of production, staging, local".to_owned()),
        }
        for (name, text, into) in [
            ("PUBLIC_URL", public_url, &mut config.public_url),
            ("RINGCENTRAL_SERVER", ringcentral_server, &mut config.ringcentral_server),
        ] {
            match origin(&text, config.stage) {
                Some(origin) => *into = origin,
                None if text.is_empty() => {}
                None => problems.push(format!("{name} is no https address without a path")),
            }
        }
        match token_calls.parse() {
            Ok(calls) if calls > 0 => config.token_calls_per_minute = calls,
            Err(_) if token_calls.is_empty() => {}
            _ => problems.push("TOKEN_CALLS_PER_MINUTE is no whole number above 0".to_owned()),
        }
        if !matches!(config.log_level.as_str(), "error" | "warn" | "info" | "debug" | "trace") {
            problems.push("LOG_LEVEL is none of error, warn, info, debug, trace".to_owned());
        }
        if let Some(offset) = environment.get("RINGBRIDGE_CLOCK_OFFSET_SECONDS") {
            let endpoint = environment.get("AWS_ENDPOINT_URL").and_then(|text| Url::parse(text).ok());
            match offset.parse() {
                Ok(seconds) if endpoint.as_ref().is_some_and(is_loopback) => {
                    config.clock_offset_seconds = seconds;
                }
                Ok(_) => {
                    problems.push("RINGBRIDGE_CLOCK_OFFSET_SECONDS is for the local stack alone".to_owned());
                }
                Err(_) => problems.push("RINGBRIDGE_CLOCK_OFFSET_SECONDS is no number".to_owned()),
            }
        }
        if problems.is_empty() { Ok(config) } else { Err(ConfigError(problems)) }
    }

    /// Where RingCentral sends browsers back to.
    pub fn redirect_uri(&self) -> String {
        format!("{}/v1/rc/callback", self.public_url)
    }

    /// Where RingCentral sends a connection's events to. The connection is a part of the address, so that what comes in is
    /// found with its own write.
    pub fn webhook_address_of(&self, tenant: &TenantId, connection: &ConnectionId) -> String {
        format!("{}?c={}-{}", self.webhook_address(), tenant.digits(), connection.digits())
    }

    /// What every address begins with that RingCentral sends events to.
    pub fn webhook_address(&self) -> String {
        format!("{}/v1/webhooks/ringcentral", self.public_url)
    }

    /// Which of the addresses that tenants choose may be reached.
    pub fn reach(&self) -> Reach {
        if self.allows_loopback_http() { Reach::InternetAndThisMachine } else { Reach::Internet }
    }

    /// True if http addresses of this machine may be used.
    pub fn allows_loopback_http(&self) -> bool {
        self.stage == Stage::Local
    }
}

/// An address without path, query and user, https outside the local stage; in the form of an `Origin` header.
fn origin(text: &str, stage: Stage) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let plain =
        url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let scheme =
        url.scheme() == "https" || (stage == Stage::Local && url.scheme() == "http" && is_loopback(&url));
    (plain && scheme && url.has_host()).then(|| url.origin().ascii_serialization())
}

/// True if a URL's host is this machine.
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
            "MESSAGES_TABLE",
            "VAULT_KEY",
            "DELIVER_SMS_QUEUE",
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
    fn all_problems_are_told_together() {
        let mut broken = environment();
        broken.remove("VAULT_KEY");
        broken.insert("PUBLIC_URL".into(), "http://sms.example.com".into());
        broken.insert("LOG_LEVEL".into(), "loud".into());
        let problems = Config::read(&broken).unwrap_err().to_string();
        for name in ["VAULT_KEY", "PUBLIC_URL", "LOG_LEVEL"] {
            assert!(problems.contains(name), "{problems}");
        }
    }

    #[test]
    fn the_clock_is_moved_beside_a_loopback_endpoint_only() {
        let mut moved = environment();
        moved.insert("RINGBRIDGE_CLOCK_OFFSET_SECONDS".into(), "3600".into());
        assert!(Config::read(&moved).is_err());
        moved.insert("AWS_ENDPOINT_URL".into(), "https://dynamodb.us-east-1.amazonaws.com".into());
        assert!(Config::read(&moved).is_err());
        moved.insert("AWS_ENDPOINT_URL".into(), "http://127.0.0.1:9420".into());
        assert_eq!(Config::read(&moved).unwrap().clock_offset_seconds, 3600);
    }

    #[test]
    fn http_is_for_the_local_stage_and_this_machine() {
        let mut local = environment();
        local.insert("PUBLIC_URL".into(), "http://127.0.0.1:9400".into());
        assert!(Config::read(&local).is_err());
        local.insert("STAGE".into(), "local".into());
        assert_eq!(Config::read(&local).unwrap().public_url, "http://127.0.0.1:9400");
        local.insert("PUBLIC_URL".into(), "http://192.0.2.1:9400".into());
        assert!(Config::read(&local).is_err());
    }
}
