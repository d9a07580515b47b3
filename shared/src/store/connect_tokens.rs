//! Links and flows, in the table `connect_tokens`: items `link#<digest of the token>` and `flow#<digest of the state>`.
//!
//! Each change of a link's state is one conditional write (reliability rule 1).

use aws_sdk_dynamodb::types::{Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use jiff::{SignedDuration, Timestamp};

use super::item::{self, Item, Row, Writer};
use super::{Store, StoreError, WriteOutcome, complete, failed, failure, write_outcome};
use crate::clock::saturating_add;
use crate::limits;
use crate::model::audit::AuditEntry;
use crate::model::connect_token::{Flow, FlowStatus, Link, LinkState};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFlowOutcome {
    /// The link is bound to this browser, and the flow is stored.
    Started,
    /// This browser can't use the link.
    LinkUnavailable(LinkState),
    /// The link's tenant is suspended or deleted.
    TenantUnavailable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimFlowOutcome {
    /// The caller exchanges the flow's code.
    Claimed,
    /// Another callback has claimed the flow, or the flow has ended.
    AlreadyHandled,
    /// As many codes as a link allows were exchanged with the flow's link.
    LinkExhausted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteFlowOutcome {
    /// The flow is deleted. No connection was or will be stored for it.
    Deleted,
    /// A connection was stored for the flow, so the flow stays.
    Completed,
}

impl Store {
    pub async fn create_link(
        &self,
        digest: &str,
        link: &Link,
        audit_entry: &AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        let item = Writer::keyed([("id", item::text(link_id(digest)))])
            .set("tenant", item::text(link.tenant.as_str()))
            .set("tenant_name", item::text(&link.tenant_name))
            .maybe("label", link.label.as_ref().map(item::text))
            .maybe("return_url", link.return_url.as_ref().map(item::text))
            .set("expires_at", item::time(link.expires_at))
            // Kept for a day, so that a late visitor sees "expired" instead of "unknown".
            .set("ttl", item::ttl(later(link.expires_at, EXPIRED_LINK_KEPT_SECONDS)))
            .done();
        let put = Put::builder().table_name(&self.tables.connect_tokens).set_item(Some(item));
        let put = TransactWriteItem::builder().put(complete(put.build())).build();
        self.transact(vec![put, self.put_audit_entry(audit_entry)])
            .await?
            .map_err(|_| StoreError::Damaged("audit log"))
    }

    pub async fn link(&self, digest: &str) -> Result<Option<Link>, StoreError> {
        let item = self.token_item(link_id(digest)).await?;
        self.read_one(&self.tables.connect_tokens, item, read_link)
    }

    /// Binds the link to the flow's browser and stores the flow in one transaction, if the link is still open to that browser
    /// and the tenant is active.
    pub async fn start_flow(&self, flow: &Flow) -> Result<StartFlowOutcome, StoreError> {
        let now = self.clock.now();
        let bind_link = Update::builder()
            .table_name(&self.tables.connect_tokens)
            .key("id", item::text(link_id(&flow.link)))
            .update_expression("SET browser = :browser ADD starts :one")
            .condition_expression(
                "attribute_exists(id) AND expires_at > :now AND attribute_not_exists(used_at) \
                 AND (attribute_not_exists(browser) OR browser = :browser) \
                 AND (attribute_not_exists(starts) OR starts < :starts) \
                 AND (attribute_not_exists(exchanges) OR exchanges < :exchanges)",
            )
            .expression_attribute_values(":one", item::number(1))
            .expression_attribute_values(":starts", item::number(limits::LINK_STARTS))
            .expression_attribute_values(":exchanges", item::number(limits::LINK_EXCHANGES))
            .expression_attribute_values(":browser", item::text(&flow.browser))
            .expression_attribute_values(":now", item::time(now))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put_flow = Put::builder()
            .table_name(&self.tables.connect_tokens)
            .set_item(Some(flow_item(flow)))
            .condition_expression("attribute_not_exists(id)");
        let items = vec![
            TransactWriteItem::builder().update(complete(bind_link.build())).build(),
            TransactWriteItem::builder().put(complete(put_flow.build())).build(),
            self.if_tenant_is_active(&flow.tenant),
        ];
        let reasons = match self.transact(items).await? {
            Ok(()) => return Ok(StartFlowOutcome::Started),
            Err(reasons) => reasons,
        };
        if !failed(&reasons, 0) {
            return Ok(StartFlowOutcome::TenantUnavailable);
        }
        let state = match reasons[0].item.clone() {
            Some(item) if !item.is_empty() => read_link(&Row(item))?.state(Some(&flow.browser), now),
            _ => LinkState::Expired,
        };
        Ok(StartFlowOutcome::LinkUnavailable(state))
    }

    /// A flow that has not expired.
    pub async fn flow(&self, id: &str) -> Result<Option<Flow>, StoreError> {
        let item = self.token_item(flow_id(id)).await?;
        let flow = self.read_one(&self.tables.connect_tokens, item, |row| read_flow(id, row))?;
        Ok(flow.filter(|flow| flow.expires_at > self.clock.now()))
    }

    /// Lets at most one caller exchange the flow's code, and counts the exchange with the link.
    pub async fn claim_flow(&self, flow: &Flow) -> Result<ClaimFlowOutcome, StoreError> {
        let claim = Update::builder()
            .table_name(&self.tables.connect_tokens)
            .key("id", item::text(flow_id(&flow.id)))
            .update_expression("SET #status = :exchanging")
            .condition_expression("#status = :started AND expires_at > :now")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":started", item::text(FlowStatus::Started.as_str()))
            .expression_attribute_values(":exchanging", item::text(FlowStatus::Exchanging.as_str()))
            .expression_attribute_values(":now", item::time(self.clock.now()));
        let count = Update::builder()
            .table_name(&self.tables.connect_tokens)
            .key("id", item::text(link_id(&flow.link)))
            .update_expression("ADD exchanges :one")
            .condition_expression(
                "attribute_exists(id) AND (attribute_not_exists(exchanges) OR exchanges < :exchanges)",
            )
            .expression_attribute_values(":one", item::number(1))
            .expression_attribute_values(":exchanges", item::number(limits::LINK_EXCHANGES));
        let items = vec![
            TransactWriteItem::builder().update(complete(claim.build())).build(),
            TransactWriteItem::builder().update(complete(count.build())).build(),
        ];
        Ok(match self.transact(items).await? {
            Ok(()) => ClaimFlowOutcome::Claimed,
            Err(reasons) if failed(&reasons, 0) => ClaimFlowOutcome::AlreadyHandled,
            Err(_) => ClaimFlowOutcome::LinkExhausted,
        })
    }

    /// Deletes a failed flow, unless a connection was stored for it. Afterwards no connection can be stored for it: that
    /// transaction requires the flow.
    pub async fn delete_flow(&self, id: &str) -> Result<DeleteFlowOutcome, StoreError> {
        let delete = self
            .db
            .delete_item()
            .table_name(&self.tables.connect_tokens)
            .key("id", item::text(flow_id(id)))
            .condition_expression("attribute_not_exists(id) OR #status <> :done")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":done", item::text(FlowStatus::Done.as_str()));
        Ok(match write_outcome(delete.send().await)? {
            WriteOutcome::Applied => DeleteFlowOutcome::Deleted,
            WriteOutcome::Conflict => DeleteFlowOutcome::Completed,
        })
    }

    async fn token_item(&self, id: String) -> Result<Option<Item>, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.connect_tokens).key("id", item::text(id));
        Ok(get.consistent_read(true).send().await.map_err(failure)?.item)
    }

    /// The items of a transaction that mark the link as used and the flow as done.
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
    saturating_add(time, SignedDuration::from_secs(seconds))
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
        starts: row.maybe_number("starts")?.unwrap_or_default(),
        exchanges: row.maybe_number("exchanges")?.unwrap_or_default(),
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
