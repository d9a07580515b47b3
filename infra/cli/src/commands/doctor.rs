//! `doctor`: checks a deployment from outside.

use std::process::Stdio;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;
use url::Url;

use super::Context;
use crate::api::{self, RingCentralCheck};
use crate::args::DoctorArguments;
use crate::client::{self, Client};
use crate::environment;
use crate::error::{CliError, CliResult, Exit};
use crate::output;
use crate::target::{self, Target};

/// RingCentral disables a webhook that takes longer than three seconds.
const WEBHOOK_LIMIT: Duration = Duration::from_secs(3);
/// Receivers reject webhooks whose timestamp is more than five minutes off; a tenth of it is worth a look.
const CLOCK_SKEW: i64 = 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Passed,
    Failed,
    Unknown,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    status: Status,
    detail: String,
    advice: Option<String>,
}

/// The findings so far. Each is printed when it is known.
struct Report<'a> {
    context: &'a Context,
    findings: Vec<Finding>,
}

impl Report<'_> {
    fn add(
        &mut self,
        check: &str,
        status: Status,
        detail: impl Into<String>,
        advice: Option<String>,
    ) -> bool {
        let finding = Finding { check: check.to_owned(), status, detail: detail.into(), advice };
        let output = &self.context.output;
        if !output.json {
            let mark = match status {
                Status::Passed => "passed",
                Status::Failed => "failed",
                Status::Unknown => "unknown",
            };
            let blank = " ".repeat(8 - mark.len());
            output.line(&format!("{}{blank}{}: {}", output.status(mark), finding.check, finding.detail));
            if let Some(advice) = &finding.advice {
                output.line(&format!("        {advice}"));
            }
        }
        self.findings.push(finding);
        status == Status::Passed
    }

    fn check(&mut self, check: &str, outcome: Result<String, String>, advice: &str) -> bool {
        match outcome {
            Ok(detail) => self.add(check, Status::Passed, detail, None),
            Err(problem) => self.add(check, Status::Failed, problem, Some(advice.to_owned())),
        }
    }

    fn skip(&mut self, check: &str, reason: &str, advice: &str) {
        self.add(check, Status::Unknown, reason, Some(advice.to_owned()));
    }
}

pub async fn run(context: &Context, arguments: DoctorArguments) -> CliResult<()> {
    let (url, key) = find(context, arguments.url.as_deref())?;
    let http = client::http(&url)?;
    let mut report = Report { context, findings: Vec::new() };
    if reachable(&mut report, &http, &url).await {
        readiness(&mut report, &http, &url).await;
        webhook(&mut report, &http, &url).await;
        match &key {
            Some(key) => with_operator_key(&mut report, &Client::new(&url, Some(key))?, &url).await,
            None => {
                let advice =
                    "Set RINGBRIDGE_KEY to the operator key, which is in the secret <stack>/operator-key.";
                report.skip("operator key", "there is none", advice);
            }
        }
    }
    match &arguments.stack {
        Some(stack) => alarms(&mut report, stack).await,
        None if target::is_loopback(&url) => {}
        None => report.skip(
            "alarms",
            "not checked",
            "Name the CloudFormation stack with --stack; it needs the AWS CLI.",
        ),
    }
    let failed = report.findings.iter().filter(|finding| finding.status == Status::Failed).count();
    if context.output.json {
        context.output.json(&serde_json::json!({ "url": url.as_str(), "findings": report.findings }));
    }
    if failed == 0 {
        Ok(())
    } else {
        Err(CliError::new(Exit::Findings, format!("{} failed", output::count(failed, "check"))))
    }
}

/// The URL to check, and the operator key, if there is one for it.
fn find(context: &Context, named: Option<&str>) -> CliResult<(Url, Option<String>)> {
    let target = context.target();
    let Some(named) = named else {
        let target = target?;
        return Ok((target.url.clone(), operator_key(&target)));
    };
    let url = target::parse(named)?;
    let same = target.ok().filter(|target| target.url.origin() == url.origin());
    let of_environment = environment::variable("RINGBRIDGE_KEY");
    Ok((url, same.as_ref().and_then(operator_key).or(of_environment)))
}

fn operator_key(target: &Target) -> Option<String> {
    let key = target.operator_key.clone().or_else(|| target.key.clone())?;
    (!key.starts_with("sgw_")).then_some(key)
}

fn join(url: &Url, path: &str) -> String {
    format!("{}{path}", url.as_str().trim_end_matches('/'))
}

/// DNS, TLS, the API and its clock.
async fn reachable(report: &mut Report<'_>, http: &reqwest::Client, url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(443);
    let found = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await;
    let found = found.map(Iterator::count).map_err(|error| error.to_string());
    let dns = match found {
        Ok(0) | Err(_) => Err(format!("{host} does not resolve")),
        Ok(_) => Ok(format!("{host} resolves")),
    };
    if !report.check("dns", dns, "Check the DNS record of the domain (docs/deploying.md).") {
        return false;
    }
    let began = environment::now();
    let response = match http.get(join(url, "/health")).send().await {
        Ok(response) => response,
        Err(error) => {
            let reason = client::reason(&error);
            let is_tls = reason.to_lowercase().contains("certificate") || reason.contains("tls");
            let check = if is_tls { "tls" } else { "connection" };
            let advice = "Check the certificate of the domain, firewalls and the proxy of this machine.";
            return report.check(check, Err(reason), advice);
        }
    };
    let security =
        if url.scheme() == "https" { "the certificate is valid" } else { "not used on this machine" };
    report.check("tls", Ok(security.to_owned()), "");
    let ended = environment::now();
    let date = response.headers().get("date").and_then(|date| date.to_str().ok().map(str::to_owned));
    let status = response.status();
    let body: Value = serde_json::from_str(&response.text().await.unwrap_or_default()).unwrap_or_default();
    let health = if status == 200 && body["status"] == "ok" {
        Ok("GET /health is ok".to_owned())
    } else {
        Err(format!("GET /health returned {status}, and not what a gateway returns"))
    };
    let is_gateway = report.check("api", health, "Check the URL: it is the PublicUrl of the stack.");
    clock(report, date.as_deref(), began, ended);
    is_gateway
}

/// Compares the clocks. The response was made between `began` and `ended`, and its date has no fractions of a second.
fn clock(report: &mut Report<'_>, date: Option<&str>, began: Timestamp, ended: Timestamp) {
    let Some(date) = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()) else {
        report.skip("clock", "the response has no date", "Nothing to do.");
        return;
    };
    let date = date.timestamp();
    let second = SignedDuration::from_secs(1);
    let skew = if date > ended {
        date.duration_since(ended)
    } else {
        (date.duration_since(began) + second).min(SignedDuration::ZERO)
    };
    let skew = skew.as_secs();
    let outcome = if skew.abs() <= CLOCK_SKEW {
        Ok("the clocks of this machine and of the gateway agree".to_owned())
    } else {
        Err(format!(
            "this machine's clock is {} seconds {} the gateway's",
            skew.abs(),
            if skew > 0 { "behind" } else { "ahead of" }
        ))
    };
    report.check(
        "clock",
        outcome,
        "Synchronize the clock of this machine: signatures of webhooks contain the time.",
    );
}

async fn readiness(report: &mut Report<'_>, http: &reqwest::Client, url: &Url) {
    let outcome = match http.get(join(url, "/health/ready")).send().await {
        Ok(response) if response.status() == 200 => {
            Ok("all tables and the encryption key are available".to_owned())
        }
        Ok(response) => Err(format!("GET /health/ready returned {}", response.status())),
        Err(error) => Err(client::reason(&error)),
    };
    report.check("readiness", outcome, "The log of check-readiness says which table or key cannot be used.");
}

/// Sends an event as RingCentral does. Without the tag that only the stack can make, the function rejects it, without a body.
async fn webhook(report: &mut Report<'_>, http: &reqwest::Client, url: &Url) {
    let began = Instant::now();
    let request =
        http.post(join(url, "/v1/webhooks/ringcentral")).header("validation-token", "doctor").body("{}");
    let outcome = match request.header("content-type", "application/json").send().await {
        Ok(response) => {
            let status = response.status();
            let is_empty = response.text().await.is_ok_and(|text| text.is_empty());
            let took = began.elapsed();
            if status != 401 || !is_empty {
                Err(format!("an event without a tag got {status}, and not 401 from the function"))
            } else if took > WEBHOOK_LIMIT {
                Err(format!("the response took {:.1} s", took.as_secs_f64()))
            } else {
                Ok(format!("responds in {} ms", took.as_millis()))
            }
        }
        Err(error) => Err(client::reason(&error)),
    };
    let advice = "RingCentral must reach it from the internet, without a VPN, within three seconds.";
    report.check("webhook", outcome, advice);
}

async fn with_operator_key(report: &mut Report<'_>, client: &Client, url: &Url) {
    let query = api::ListTenantsQuery { limit: Some(1), cursor: None };
    let listed = match client.call(&api::list_tenants(&query)).await {
        Ok(listed) => listed,
        Err(error) => {
            let advice = "Read it again from the secret <stack>/operator-key.";
            report.check("operator key", Err(error.text), advice);
            return;
        }
    };
    report.check("operator key", Ok("accepted".to_owned()), "");
    if let (Some(limit), Some(left)) =
        (listed.number("ratelimit-limit"), listed.number("ratelimit-remaining"))
    {
        let outcome = if left * 10 >= limit {
            Ok(format!("{left} of {limit} requests a minute are left"))
        } else {
            Err(format!("only {left} of {limit} requests a minute are left"))
        };
        report.check("limits", outcome, "Another program uses the operator key; give it a key of a tenant.");
    }
    match client.call(&api::check_ringcentral()).await {
        Ok(check) => ringcentral(report, &check.value, url),
        Err(error) => {
            report.check("ringcentral", Err(error.text), "The log of check-ringcentral says why.");
        }
    }
}

fn ringcentral(report: &mut Report<'_>, check: &RingCentralCheck, url: &Url) {
    let expected = join(url, "/v1/rc/callback");
    let outcome = if check.redirect_uri == expected {
        Ok(format!("the stack has the URL {}", url.as_str().trim_end_matches('/')))
    } else {
        Err(format!("the stack redirects to {}", check.redirect_uri))
    };
    report.check(
        "public url",
        outcome,
        "Deploy with this URL as PublicUrl, or use the URL of the stack here.",
    );
    for finding in &check.findings {
        let status = match finding.status.as_str() {
            "passed" => Status::Passed,
            "failed" => Status::Failed,
            _ => Status::Unknown,
        };
        let code = finding.code.as_deref().map(|code| format!(" ({code})")).unwrap_or_default();
        let name = format!("ringcentral {}", finding.check.replace('_', " "));
        report.add(&name, status, format!("{}{code}", finding.detail), finding.advice.clone());
    }
}

/// The alarms of the stack, and who receives them, read with the AWS CLI: it knows every kind of credentials.
async fn alarms(report: &mut Report<'_>, stack: &str) {
    let prefix = format!("{stack}-");
    let described = aws(&["cloudwatch", "describe-alarms", "--alarm-name-prefix", &prefix]).await;
    let alarms = match described {
        Ok(described) => described["MetricAlarms"].as_array().cloned().unwrap_or_default(),
        Err(reason) => {
            report.skip("alarms", &reason, "Install the AWS CLI, and sign in to the account of the stack.");
            return;
        }
    };
    let firing: Vec<&str> = alarms
        .iter()
        .filter(|alarm| alarm["StateValue"] == "ALARM")
        .filter_map(|alarm| alarm["AlarmName"].as_str())
        .collect();
    let outcome = if alarms.is_empty() {
        Err(format!("there is no alarm whose name begins with {prefix}"))
    } else if firing.is_empty() {
        Ok(format!("{} alarms, none is firing", alarms.len()))
    } else {
        Err(format!("firing: {}", firing.join(", ")))
    };
    report.check("alarms", outcome, "docs/deploying.md says what each alarm means.");
    let mut topics: Vec<&str> = alarms
        .iter()
        .flat_map(|alarm| alarm["AlarmActions"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    topics.sort_unstable();
    topics.dedup();
    for topic in topics {
        let listed = aws(&["sns", "list-subscriptions-by-topic", "--topic-arn", topic]).await;
        let outcome = listed.and_then(|listed| {
            let confirmed = listed["Subscriptions"].as_array().into_iter().flatten().filter(|subscription| {
                subscription["SubscriptionArn"].as_str().is_some_and(|arn| arn != "PendingConfirmation")
            });
            match confirmed.count() {
                0 => Err("the alarms have no subscriber".to_owned()),
                count => Ok(output::count(count, "subscriber")),
            }
        });
        report.check(
            "alarm subscribers",
            outcome,
            "Set AlarmEmail, and confirm the subscription in the message from AWS.",
        );
    }
}

async fn aws(arguments: &[&str]) -> Result<Value, String> {
    let run = tokio::process::Command::new("aws")
        .args(arguments)
        .args(["--output", "json"])
        .stdin(Stdio::null())
        .output();
    let output = run.await.map_err(|_| "the AWS CLI is not installed".to_owned())?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(text.trim().lines().last().unwrap_or("the AWS CLI failed").to_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|_| "the AWS CLI printed no JSON".to_owned())
}
