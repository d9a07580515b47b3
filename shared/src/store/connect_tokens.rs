//! Links and flows, in the table `connect_tokens`: items `link#<digest of the token>` and `flow#<digest of the state>`.
//!
//! Each step of a link's life is one conditional write (reliability rule 1).

use aws_sdk_dynamodb::types::{Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use jiff::{SignedDuration, Timestamp};

use super::item::{self, Item, Row, Writer};
use super::{Store, StoreError, complete, failed, failure, is_conditional};
use crate::limits;
use crate::model::audit::AuditEntry;
use crate::model::connect_token::{Flow, FlowStatus, Link, LinkState};

/// What became of a press on the button.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// The link belongs to this browser, and its flow is stored.
    Yes,
    /// The link can't be used by this browser.
    No(LinkState),
    /// The link's tenant is suspended or gone.
    TenantUnavailable,
}

/// What became of an attempt to be the one callback that exchanges a flow's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// This is the one.
    Yes,
    /// Another one was, or the flow is over.
    Handled,
}

/// What became of an attempt to forget a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// It is gone, and no connection came or will come of it.
    Yes,
    /// A connection came of it, so it stays.
    Done,
}

impl Store {
    /// Writes a new link.
    pub async fn create_link(
        &self,
        digest: &str,
        link: &Link,
        deed: &AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        let item = Writer::keyed([("id", item::text(link_id(digest)))])
            .set("tenant", item::text(link.tenant.as_str()))
            .set("tenant_name", item::text(&link.tenant_name))
            .maybe("label", link.label.as_ref().map(item::text))
            .maybe("return_url", link.return_url.as_ref().map(item::text))
            .set("expires_at", item::time(link.expires_at))
            // Kept a while longer, so that a late visitor reads "expired" and not "unknown".
            .set("ttl", item::ttl(later(link.expires_at, EXPIRED_LINK_KEPT_SECONDS)))
            .done();
        let put = Put::builder().table_name(&self.tables.connect_tokens).set_item(Some(item));
        let put = TransactWriteItem::builder().put(complete(put.build())).build();
        self.transact(vec![put, self.write_down(deed)]).await?.map_err(|_| StoreError::Damaged("audit log"))
    }

    /// The link behind a token's digest.
    pub async fn link(&self, digest: &str) -> Result<Option<Link>, StoreError> {
        self.token_row(link_id(digest)).await?.map(|row| read_link(&row)).transpose()
    }

    /// Gives the link to the flow's browser and stores the flow, in one transaction, if the link is still open to that
    /// browser and the tenant is active.
    pub async fn start_flow(&self, flow: &Flow) -> Result<Started, StoreError> {
        let now = self.clock.now();
        let take_link = Update::builder()
            .table_name(&self.tables.connect_tokens)
            .key("id", item::text(link_id(&flow.link)))
            .update_expression("SET browser = :browser")
            .condition_expression(
                "attribute_exists(id) AND expires_at > :now AND attribute_not_exists(used_at) \
                 AND (attribute_not_exists(browser) OR browser = :browser)",
            )
            .expression_attribute_values(":browser", item::text(&flow.browser))
            .expression_attribute_values(":now", item::time(now))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put_flow = Put::builder()
            .table_name(&self.tables.connect_tokens)
            .set_item(Some(flow_item(flow)))
            .condition_expression("attribute_not_exists(id)");
        let items = vec![
            TransactWriteItem::builder().update(complete(take_link.build())).build(),
            TransactWriteItem::builder().put(complete(put_flow.build())).build(),
            self.if_tenant_is_active(&flow.tenant),
        ];
        let reasons = match self.transact(items).await? {
            Ok(()) => return Ok(Started::Yes),
            Err(reasons) => reasons,
        };
        if !failed(&reasons, 0) {
            return Ok(Started::TenantUnavailable);
        }
        let state = match reasons[0].item.clone() {
            Some(item) if !item.is_empty() => read_link(&Row(item))?.state(Some(&flow.browser), now),
            _ => LinkState::Expired,
        };
        Ok(Started::No(state))
    }

    /// A flow by its id. Expired ones are not found.
    pub async fn flow(&self, id: &str) -> Result<Option<Flow>, StoreError> {
        let flow = self.token_row(flow_id(id)).await?.map(|row| read_flow(id, &row)).transpose()?;
        Ok(flow.filter(|flow| flow.expires_at > self.clock.now()))
    }

    /// Makes the caller the one that exchanges the flow's code.
    pub async fn claim_flow(&self, id: &str, claimant: &str) -> Result<Claimed, StoreError> {
        let claim = self
            .db
            .update_item()
            .table_name(&self.tables.connect_tokens)
            .key("id", item::text(flow_id(id)))
            .update_expression("SET #status = :exchanging, claimant = :me")
            // The SDK's own retry of a write that was applied must recognise it.
            .condition_expression("(#status = :started AND expires_at > :now) OR claimant = :me")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":started", item::text(FlowStatus::Started.as_str()))
            .expression_attribute_values(":exchanging", item::text(FlowStatus::Exchanging.as_str()))
            .expression_attribute_values(":me", item::text(claimant))
            .expression_attribute_values(":now", item::time(self.clock.now()));
        match claim.send().await {
            Ok(_) => Ok(Claimed::Yes),
            Err(error) if is_conditional(&error) => Ok(Claimed::Handled),
            Err(error) => Err(failure(error)),
        }
    }

    /// Forgets a flow that came to nothing, unless a connection came of it. Afterwards none can come of it any more:
    /// the transaction that stores a connection needs its flow.
    pub async fn drop_flow(&self, id: &str) -> Result<Dropped, StoreError> {
        let delete = self
            .db
            .delete_item()
            .table_name(&self.tables.connect_tokens)
            .key("id", item::text(flow_id(id)))
            .condition_expression("attribute_not_exists(id) OR #status <> :done")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":done", item::text(FlowStatus::Done.as_str()));
        match delete.send().await {
            Ok(_) => Ok(Dropped::Yes),
            Err(error) if is_conditional(&error) => Ok(Dropped::Done),
            Err(error) => Err(failure(error)),
        }
    }

    async fn token_row(&self, id: String) -> Result<Option<Row>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.connect_tokens).key("id", item::text(id));
        Ok(get.consistent_read(true).send().await.map_err(failure)?.item.map(Row))
    }

    /// The part of the transaction that stores a connection which closes its link and its flow.
    pub(super) fn close_link_and_flow(&self, flow: &Flow) -> [TransactWriteItem; 2] {
        let now = self.clock.now();
        let use_link = Update::builder()
            .table_name(&self.tables.connect_tokens)
            .key("id", item::text(link_id(&flow.link)))
            .update_expression("SET used_at = :now")
            .condition_expression("attribute_not_exists(used_at) AND browser = :browser")
            .expression_attribute_values(":browser", item::text(&flow.browser))
            .expression_attribute_values(":now", item::time(now));
        let finish_flow = Update::builder()
            .table_name(&self.tables.connect_tokens)
            .key("id", item::text(flow_id(&flow.id)))
            .update_expression("SET #status = :done, expires_at = :until, #ttl = :ttl")
            .condition_expression("#status = :exchanging")
            .expression_attribute_names("#status", "status")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":exchanging", item::text(FlowStatus::Exchanging.as_str()))
            .expression_attribute_values(":done", item::text(FlowStatus::Done.as_str()))
            .expression_attribute_values(":until", item::time(later(now, limits::DONE_PAGE_SECONDS)))
            .expression_attribute_values(":ttl", item::ttl(later(now, limits::DONE_PAGE_SECONDS)));
        [
            TransactWriteItem::builder().update(complete(use_link.build())).build(),
            TransactWriteItem::builder().update(complete(finish_flow.build())).build(),
        ]
    }
}

const EXPIRED_LINK_KEPT_SECONDS: i64 = 24 * 3_600;

fn link_id(digest: &str) -> String {
    format!("link#{digest}")
}

fn flow_id(id: &str) -> String {
    format!("flow#{id}")
}

fn later(time: Timestamp, seconds: i64) -> Timestamp {
    time.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(time)
}

fn read_link(row: &Row) -> Result<Link, StoreError> {
    Ok(Link {
        tenant: row.tenant()?,
        tenant_name: row.text("tenant_name")?.to_owned(),
        label: row.maybe_text("label"),
        return_url: row.maybe_text("return_url"),
        expires_at: row.time("expires_at")?,
        browser: row.maybe_text("browser"),
        used_at: row.maybe_time("used_at")?,
    })
}

fn flow_item(flow: &Flow) -> Item {
    Writer::keyed([("id", item::text(flow_id(&flow.id)))])
        .set("tenant", item::text(flow.tenant.as_str()))
        .set("tenant_name", item::text(&flow.tenant_name))
        .set("link", item::text(&flow.link))
        .set("browser", item::text(&flow.browser))
        .set("issuer", item::text(&flow.issuer))
        .set("redirect_uri", item::text(&flow.redirect_uri))
        .set("connection", item::text(flow.connection.as_str()))
        .maybe("return_url", flow.return_url.as_ref().map(item::text))
        .set("status", item::text(flow.status.as_str()))
        .set("expires_at", item::time(flow.expires_at))
        .set("ttl", item::ttl(flow.expires_at))
        .done()
}

fn read_flow(id: &str, row: &Row) -> Result<Flow, StoreError> {
    Ok(Flow {
        id: id.to_owned(),
        tenant: row.tenant()?,
        tenant_name: row.text("tenant_name")?.to_owned(),
        link: row.text("link")?.to_owned(),
        browser: row.text("browser")?.to_owned(),
        issuer: row.text("issuer")?.to_owned(),
        redirect_uri: row.text("redirect_uri")?.to_owned(),
        connection: row.connection()?,
        return_url: row.maybe_text("return_url"),
        status: FlowStatus::parse(row.text("status")?).ok_or(StoreError::Damaged("status"))?,
        expires_at: row.time("expires_at")?,
    })
}
