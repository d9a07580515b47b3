//! What RingCentral itself records about consents: the events of a subscription that RingCentral may refuse, and a search once a day,
//! which finds what neither a message nor an event has shown. Of several connections of an account, the one with the lowest extension
//! number does both.

use std::time::Duration;

use crate::consents;
use crate::gateway::Gateway;
use crate::limits;
use crate::model::connection::{Connection, Subscription};
use crate::model::consent::ConsentSource;
use crate::ringcentral::consents::ConsentQuery;
use crate::ringcentral::subscriptions::CONSENT_CHANGES;
use crate::ringcentral::{Api, ErrorKind};
use crate::setup;
use crate::store::WriteOutcome;
use crate::tokens::{self, CallError};

/// Renews the subscription to consent events, or tries to create it, and reads a part of RingCentral's list of consents.
///
/// # Errors
/// If RingCentral or the store fails. What was read before that is recorded.
pub async fn run(gateway: &Gateway, connection: &Connection, within: Duration) -> Result<(), CallError> {
    let Some(account) = connection.identity.account.as_deref() else { return Ok(()) };
    let connections = gateway.store.connections(&connection.tenant).await?;
    let is_of_account = |other: &&Connection| {
        other.identity.account.as_deref() == Some(account) && other.status.is_connected()
    };
    let first = connections.iter().filter(is_of_account).map(|other| &other.extension).min();
    let is_first = first.is_none_or(|first| *first == connection.extension);
    if !is_first && connection.consents.subscription.is_none() {
        return Ok(());
    }
    let read = |api: Api, connection: Connection| async move {
        if is_first {
            sync(gateway, account, &api, &connection).await
        } else {
            unsubscribe(gateway, &api, &connection).await
        }
    };
    let synced = tokens::call(gateway, &connection.tenant, &connection.id, read);
    tokio::time::timeout(within, synced).await.unwrap_or(Err(CallError::Timeout))
}

async fn sync(gateway: &Gateway, account: &str, api: &Api, connection: &Connection) -> Result<(), CallError> {
    let subscribed = subscribe(gateway, api, connection).await;
    if let Err(CallError::RingCentral(error)) = &subscribed
        && matches!(error.kind(), ErrorKind::AccessToken | ErrorKind::RateLimited)
    {
        return subscribed;
    }
    // Events are only faster: without them the search finds every change.
    search(gateway, account, api, connection).await?;
    subscribed
}

/// Renews the subscription. One that is gone, was stopped or has another URL is replaced.
async fn subscribe(gateway: &Gateway, api: &Api, connection: &Connection) -> Result<(), CallError> {
    if let Some(id) = &connection.consents.subscription {
        let url = setup::subscription_url(gateway, connection).await?;
        match api.renew_subscription(id).await {
            Ok(renewed) if renewed.is_active() && renewed.address().is_none_or(|address| address == url) => {
                return Ok(());
            }
            Ok(_) => setup::unsubscribe(api, id).await?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    match setup::create_subscription(gateway, api, connection, &[CONSENT_CHANGES]).await {
        Ok(created) => store(gateway, api, connection, &created).await,
        Err(CallError::RingCentral(error)) if is_refusal(error.kind()) => {
            tracing::info!(tenant.id = %connection.tenant, connection.id = %connection.id, error = %error,
                "RingCentral refuses the subscription to consent events; consents are read once a day");
            forget(gateway, connection).await
        }
        Err(error) => Err(error),
    }
}

async fn store(
    gateway: &Gateway,
    api: &Api,
    connection: &Connection,
    created: &Subscription,
) -> Result<(), CallError> {
    match gateway.store.set_consent_subscription(connection, Some(created)).await? {
        WriteOutcome::Applied => Ok(()),
        // The connection was deleted meanwhile.
        WriteOutcome::Conflict => setup::unsubscribe(api, &created.id).await,
    }
}

fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Invalid | ErrorKind::Forbidden | ErrorKind::NotFound | ErrorKind::Refused)
}

/// Deletes the subscription of a connection that is no longer the first of its account.
async fn unsubscribe(gateway: &Gateway, api: &Api, connection: &Connection) -> Result<(), CallError> {
    if let Some(id) = &connection.consents.subscription {
        setup::unsubscribe(api, id).await?;
    }
    forget(gateway, connection).await
}

async fn forget(gateway: &Gateway, connection: &Connection) -> Result<(), CallError> {
    if connection.consents.subscription.is_some() {
        // A conflict means that the connection was deleted.
        let _: WriteOutcome = gateway.store.set_consent_subscription(connection, None).await?;
    }
    Ok(())
}

/// Reads at most [`limits::CONSENT_SEARCH_PAGES`] of the account's consents. The next search goes on where this one ends.
async fn search(
    gateway: &Gateway,
    account: &str,
    api: &Api,
    connection: &Connection,
) -> Result<(), CallError> {
    let query = ConsentQuery { per_page: Some(limits::CONSENT_SEARCH_PAGE), ..ConsentQuery::default() };
    let mut token = connection.consents.next_page.clone();
    for _ in 0..limits::CONSENT_SEARCH_PAGES {
        let page = match api.consents_page(&query, token.as_deref()).await {
            Ok(page) => page,
            // RingCentral no longer knows this page.
            Err(error) if token.is_some() && is_refusal(error.kind()) => {
                token = None;
                save_next_page(gateway, connection, None).await?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if !page.records.unreadable().is_empty() {
            tracing::warn!(tenant.id = %connection.tenant, connection.id = %connection.id,
                count = page.records.unreadable().len(), "consents that cannot be read were skipped");
        }
        let source = ConsentSource::RingcentralSearch;
        consents::record_all(gateway, &connection.tenant, account, source, page.records).await?;
        if token != page.next_page_token {
            token = page.next_page_token;
            // After each page, so that a search that is cut off goes on from here.
            save_next_page(gateway, connection, token.as_deref()).await?;
        }
        if token.is_none() {
            break;
        }
    }
    Ok(())
}

async fn save_next_page(
    gateway: &Gateway,
    connection: &Connection,
    token: Option<&str>,
) -> Result<(), CallError> {
    // A conflict means that the connection was deleted.
    let _: WriteOutcome = gateway.store.set_consent_next_page(connection, token).await?;
    Ok(())
}
