//! The JSON of a check of the RingCentral app.

use schemars::JsonSchema;
use serde::Serialize;

use crate::app_check::{AppCheck, CheckOutcome};
use crate::config::Config;

/// What a check of the RingCentral app has found.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RingCentralCheck")]
pub struct AppCheckView<'a> {
    /// The RingCentral platform.
    server: &'a str,
    /// The client ID of the app.
    client_id: &'a str,
    /// The redirect URI that the app must have.
    redirect_uri: String,
    /// One finding for each check.
    findings: [FindingView; 3],
}

/// The finding of a check.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RingCentralFinding")]
struct FindingView {
    /// What was checked.
    #[schemars(extend("enum" = ["credentials", "redirect_uri", "permissions"]))]
    check: &'static str,
    /// `unknown`: it could not be checked.
    #[schemars(extend("enum" = ["passed", "failed", "unknown"]))]
    status: &'static str,
    /// What was found.
    detail: String,
    /// What to do; `null` if nothing has to be done.
    advice: Option<String>,
    /// RingCentral's error code, if it reported one.
    code: Option<String>,
}

impl<'a> AppCheckView<'a> {
    pub fn of(check: AppCheck, config: &'a Config) -> Self {
        let redirect_uri = config.redirect_uri();
        let credentials = finding(
            "credentials",
            check.credentials,
            ("RingCentral accepts the client ID and secret", "RingCentral rejects the client ID or secret"),
            "Compare RingCentralClientId and the secret <stack>/ringcentral-app with the Developer Console."
                .to_owned(),
        );
        let redirect = finding(
            "redirect_uri",
            check.redirect_uri,
            (
                "RingCentral accepts the redirect URI",
                "RingCentral rejects the login page: the redirect URI or the client ID is wrong",
            ),
            format!("Register {redirect_uri} in the Developer Console, exactly as it is here."),
        );
        let permissions = FindingView {
            check: "permissions",
            status: "unknown",
            detail: "RingCentral reports the permissions of an app only to a signed-in user".to_owned(),
            advice: Some(
                "Connect an extension: GET /v1/rc/extensions then shows which permission is missing."
                    .to_owned(),
            ),
            code: None,
        };
        Self {
            server: &config.ringcentral_server,
            client_id: &config.ringcentral_client_id,
            redirect_uri,
            findings: [credentials, redirect, permissions],
        }
    }
}

/// `details` of a check that passed, and of one that failed.
fn finding(check: &'static str, outcome: CheckOutcome, details: (&str, &str), advice: String) -> FindingView {
    let (status, detail, advice, code) = match outcome {
        CheckOutcome::Passed => ("passed", details.0.to_owned(), None, None),
        CheckOutcome::Failed(code) => ("failed", details.1.to_owned(), Some(advice), code),
        CheckOutcome::Busy(wait) => {
            let advice = format!("Check again in {} seconds.", wait.as_secs().max(1));
            ("unknown", "The rate limit of sign-ins at RingCentral is reached".to_owned(), Some(advice), None)
        }
        CheckOutcome::Unclear(reason) => {
            let advice = "Check again; if it stays, look at https://status.ringcentral.com.".to_owned();
            ("unknown", reason, Some(advice), None)
        }
    };
    FindingView { check, status, detail, advice, code }
}
