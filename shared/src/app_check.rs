//! Checks the RingCentral app as far as that is possible without a user: its client id and secret, and the redirect URI.
//!
//! A check makes two calls, which count as calls of the token endpoint. RingCentral authenticates the app before it rejects a code that
//! does not exist, and compares the redirect URI before it shows its login page.

use std::time::Duration;

use crate::circuit_breaker::{self, Breaker, Permit};
use crate::error::Result;
use crate::gateway::Gateway;
use crate::ringcentral::oauth::{AuthorizeRequest, CodeExchange, TokenOptions};
use crate::ringcentral::{self, ErrorKind};

/// A check of the app.
#[derive(Debug)]
pub struct AppCheck {
    pub credentials: CheckOutcome,
    pub redirect_uri: CheckOutcome,
}

#[derive(Debug)]
pub enum CheckOutcome {
    Passed,
    /// RingCentral rejected what was checked, with this code, if it can be read.
    Failed(Option<String>),
    /// RingCentral takes no call at the moment.
    Busy(Duration),
    /// There was no response that says anything about the app.
    Unclear(String),
}

/// Checks the app. The alarm for rejected credentials fires as it would for a user.
///
/// # Errors
/// If a secret or the rate limits cannot be read.
pub async fn run(gateway: &Gateway) -> Result<AppCheck> {
    Ok(AppCheck {
        credentials: check_credentials(gateway).await?,
        redirect_uri: check_redirect_uri(gateway).await?,
    })
}

async fn check_credentials(gateway: &Gateway) -> Result<CheckOutcome> {
    let client = gateway.ringcentral_app().await?;
    let mut breaker = Breaker::for_app_check(&gateway.config.ringcentral_server);
    if let Permit::RetryAfter(wait) = breaker.acquire_permit(gateway).await? {
        return Ok(CheckOutcome::Busy(wait));
    }
    let exchange = CodeExchange::new("ringbridge-check").redirect_uri(gateway.config.redirect_uri());
    let outcome = match client.exchange_code(&exchange, &TokenOptions::default()).await {
        Ok(_) => CheckOutcome::Unclear("RingCentral accepted a code that does not exist".to_owned()),
        Err(error) => match error.kind() {
            ErrorKind::Grant(_) => {
                breaker.record_response(gateway).await;
                CheckOutcome::Passed
            }
            ErrorKind::AppConfiguration => {
                breaker.record_response(gateway).await;
                gateway.app_rejected().await;
                CheckOutcome::Failed(error.code().or(error.oauth_error()).map(str::to_owned))
            }
            _ => without_verdict(gateway, &breaker, &error).await,
        },
    };
    Ok(outcome)
}

async fn check_redirect_uri(gateway: &Gateway) -> Result<CheckOutcome> {
    let mut breaker = Breaker::for_app_check(&gateway.config.ringcentral_server);
    if let Permit::RetryAfter(wait) = breaker.acquire_permit(gateway).await? {
        return Ok(CheckOutcome::Busy(wait));
    }
    let request = AuthorizeRequest::new("ringbridge-check").redirect_uri(gateway.config.redirect_uri());
    let outcome = match gateway.ringcentral()?.check_login_page(&request).await {
        Ok(()) => CheckOutcome::Passed,
        Err(error) if error.kind() == ErrorKind::RateLimited => {
            without_verdict(gateway, &breaker, &error).await
        }
        Err(error) if error.status().is_some_and(|status| (400..500).contains(&status)) => {
            CheckOutcome::Failed(error.code().map(str::to_owned))
        }
        Err(error) => without_verdict(gateway, &breaker, &error).await,
    };
    if matches!(outcome, CheckOutcome::Passed | CheckOutcome::Failed(_)) {
        breaker.record_response(gateway).await;
    }
    Ok(outcome)
}

/// The outcome of a failure that says nothing about the app.
async fn without_verdict(gateway: &Gateway, breaker: &Breaker, error: &ringcentral::Error) -> CheckOutcome {
    if error.kind() != ErrorKind::RateLimited {
        return CheckOutcome::Unclear(error.to_string());
    }
    let until = circuit_breaker::penalty_end(gateway, error.retry(), 0);
    breaker.record_rate_limited(gateway, until).await;
    CheckOutcome::Busy(until.duration_since(gateway.clock.now()).try_into().unwrap_or_default())
}
