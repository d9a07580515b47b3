//! Table `consents`, in the partition of a tenant:
//!
//! - `consent#<to>#<from>`: the consent of a pair of numbers;
//! - `consent#<to>#account:<account>`: the consent to messages from all numbers of a RingCentral account;
//! - `history#<to>#<position>`: what was ever recorded about consents of this party, oldest first. Never changed;
//! - `opt_outs#<to>`: the scopes, as in the keys above, that the party has opted out of.
//!
//! The consents are authoritative. A transaction that changes whether one is an opt-out changes `opt_outs` too, so that the
//! transaction that accepts a message has one condition, however many consents decide about it.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, KeysAndAttributes, Put, TransactWriteItem, Update,
};

use super::item::{self, Item, Row, Writer};
use super::{Page, Store, StoreError, WriteOutcome, complete, failure, query};
use crate::limits;
use crate::model::consent::{
    Consent, ConsentEntry, ConsentMark, ConsentPair, ConsentReport, ConsentReporter, ConsentScope,
    ConsentSource, ConsentState, ConsentStatus, ConsentUpdate, DecisiveConsents, Replaces, StoredConsent,
};
use crate::model::ids::TenantId;
use crate::model::phone::E164;
use crate::model::secret::Secret;
use crate::model::tenant::Tenant;

/// Which consents of a tenant to list.
#[derive(Debug, Clone, Default)]
pub struct ConsentFilter {
    /// Only consents of this number, not those of its account.
    pub from: Option<E164>,
    pub to: Option<E164>,
    pub status: Option<ConsentStatus>,
}

const CONSENT: &str = "consent#";
const HISTORY: &str = "history#";
const OPT_OUTS: &str = "opt_outs#";

impl Store {
    pub async fn consent(&self, tenant: &TenantId, pair: &ConsentPair) -> Result<StoredConsent, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.consents).consistent_read(true);
        let item = get.set_key(Some(consent_key(tenant, pair))).send().await.map_err(failure)?.item;
        Ok(match self.read_one(&self.tables.consents, item, read_consent) {
            Ok(Some(consent)) => StoredConsent::Readable(consent),
            Ok(None) => StoredConsent::Absent,
            Err(StoreError::Damaged(_)) => StoredConsent::Unreadable,
            Err(error) => return Err(error),
        })
    }

    /// Whether the recipient of a message has opted out, and the tenant, in one call.
    pub async fn recipient_and_tenant(
        &self,
        tenant: &TenantId,
        consents: Option<&DecisiveConsents>,
    ) -> Result<(ConsentStatus, Option<Tenant>), StoreError> {
        let tables = [
            (&self.tables.tenants, Some(item::key(tenant, super::tenants::TENANT))),
            (&self.tables.consents, consents.map(|consents| opt_outs_key(tenant, &consents.to))),
        ];
        let keys = tables.into_iter().filter_map(|(table, key)| Some((table, key?)));
        let request = keys.fold(self.db.batch_get_item(), |request, (table, key)| {
            let key = KeysAndAttributes::builder().keys(key).consistent_read(true);
            request.request_items(table, complete(key.build()))
        });
        let answer = request.send().await.map_err(failure)?;
        if answer.unprocessed_keys.is_some_and(|keys| !keys.is_empty()) {
            return Err(StoreError::Unavailable("unprocessed keys".into()));
        }
        let mut rows = answer.responses.unwrap_or_default();
        let opt_outs = rows.remove(&self.tables.consents).unwrap_or_default().pop();
        let tenant = rows.remove(&self.tables.tenants).unwrap_or_default().pop();
        let tenant = self.read_one(&self.tables.tenants, tenant, super::tenants::read_tenant)?;
        Ok((decide(opt_outs.as_ref(), consents), tenant))
    }

    /// Whether the recipient of a message has opted out.
    pub async fn recipient_status(
        &self,
        tenant: &TenantId,
        consents: &DecisiveConsents,
    ) -> Result<ConsentStatus, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.consents).consistent_read(true);
        let get = get.set_key(Some(opt_outs_key(tenant, &consents.to)));
        let opt_outs = get.send().await.map_err(failure)?.item;
        Ok(decide(opt_outs.as_ref(), Some(consents)))
    }

    /// Writes a changed consent, its history entry and its event, in one transaction. A conflict if the consent has changed since it
    /// was read.
    pub async fn apply_consent(&self, update: &ConsentUpdate) -> Result<WriteOutcome, StoreError> {
        Ok(WriteOutcome::applied_if(self.transact(self.consent_items(update)).await?.is_ok()))
    }

    /// The parts of a transaction that write a changed consent. The condition is in the first one.
    pub(super) fn consent_items(&self, update: &ConsentUpdate) -> Vec<TransactWriteItem> {
        let consent =
            Put::builder().table_name(&self.tables.consents).set_item(Some(consent_item(&update.consent)));
        let consent = match update.replaces {
            Replaces::Nothing => consent.condition_expression("attribute_not_exists(tenant)"),
            Replaces::Version(seen) => consent
                .condition_expression("version = :seen")
                .expression_attribute_values(":seen", item::number(seen)),
            Replaces::Anything => consent,
        };
        let entry = Put::builder()
            .table_name(&self.tables.consents)
            .set_item(Some(history_item(&update.consent.tenant, &update.entry)));
        let puts =
            [consent, entry].map(|put| TransactWriteItem::builder().put(complete(put.build())).build());
        let event = update.event.as_ref().map(|event| self.append(event));
        puts.into_iter().chain(self.update_opt_outs(update)).chain(event).collect()
    }

    /// The part of a transaction that adds a consent to the opt-outs of its recipient, or removes it from them. `None` if nothing
    /// changes.
    fn update_opt_outs(&self, update: &ConsentUpdate) -> Option<TransactWriteItem> {
        let Consent { tenant, pair, state, .. } = &update.consent;
        let expression = match (&update.event, state.status(), update.replaces) {
            (Some(_), ConsentStatus::OptedOut, _) => "ADD scopes :scope",
            (Some(_), _, Replaces::Version(_) | Replaces::Anything) => "DELETE scopes :scope",
            (Some(_), _, Replaces::Nothing) | (None, ..) => return None,
        };
        let change = Update::builder()
            .table_name(&self.tables.consents)
            .set_key(Some(opt_outs_key(tenant, &pair.to)))
            .update_expression(expression)
            .expression_attribute_values(":scope", AttributeValue::Ss(vec![pair.scope.to_string()]));
        Some(TransactWriteItem::builder().update(complete(change.build())).build())
    }

    /// The part of a transaction that fails if the recipient has opted out.
    pub(super) fn check_not_opted_out(
        &self,
        tenant: &TenantId,
        consents: &DecisiveConsents,
    ) -> TransactWriteItem {
        let name = |at: usize| format!(":scope{at}");
        let scopes = consents.scopes.iter().enumerate();
        let conditions = scopes.clone().map(|(at, _)| format!("NOT contains(scopes, {})", name(at)));
        let check = ConditionCheck::builder()
            .table_name(&self.tables.consents)
            .set_key(Some(opt_outs_key(tenant, &consents.to)))
            .condition_expression(conditions.collect::<Vec<_>>().join(" AND "));
        let check = scopes.fold(check, |check, (at, scope)| {
            check.expression_attribute_values(name(at), item::text(scope.to_string()))
        });
        TransactWriteItem::builder().condition_check(complete(check.build())).build()
    }

    /// A page of a tenant's consents, by the other party's number, and where the next page begins if there may be more. A page may have
    /// fewer entries than requested, even none, without being the last one: at most [`limits::LIST_PAGES`] pages of the table are
    /// read.
    pub async fn consents(
        &self,
        tenant: &TenantId,
        filter: &ConsentFilter,
        page: &Page,
    ) -> Result<(Vec<Consent>, Option<String>), StoreError> {
        let prefix = filter.to.as_ref().map_or_else(|| CONSENT.to_owned(), |to| format!("{CONSENT}{to}#"));
        let attributes = [
            ("status", filter.status.map(|status| status.as_str().to_owned())),
            ("from", filter.from.as_ref().map(|from| from.as_str().to_owned())),
        ];
        let query = query::filtered(self.list(tenant, &prefix), attributes);
        self.read_list(tenant, query, page, read_consent).await
    }

    /// A page of what was ever recorded about consents of a party, oldest first, as [`Store::consents`] pages.
    pub async fn consent_history(
        &self,
        tenant: &TenantId,
        to: &E164,
        page: &Page,
    ) -> Result<(Vec<ConsentEntry>, Option<String>), StoreError> {
        let query = self.list(tenant, &format!("{HISTORY}{to}#"));
        self.read_list(tenant, query, page, read_entry).await
    }

    fn list(&self, tenant: &TenantId, prefix: &str) -> QueryFluentBuilder {
        self.items(&self.tables.consents, tenant, "begins_with(#item, :prefix)")
            .expression_attribute_values(":prefix", item::text(prefix))
    }

    async fn read_list<T>(
        &self,
        tenant: &TenantId,
        query: QueryFluentBuilder,
        page: &Page,
        read: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Result<(Vec<T>, Option<String>), StoreError> {
        let most = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let (mut entries, mut after) = (Vec::new(), page.after.clone());
        for _ in 0..limits::LIST_PAGES {
            let start = after.as_deref().map(|name| item::key(tenant, name));
            let (rows, last) = query::page(query.clone().set_exclusive_start_key(start)).await?;
            for row in rows {
                // An unreadable row is passed.
                entries.extend(self.checked(&self.tables.consents, &row, read(&row)));
                if entries.len() == most {
                    return Ok((entries, Some(row.text("item")?.to_owned())));
                }
            }
            after = last.and_then(|key| key.maybe_text("item"));
            if after.is_none() {
                break;
            }
        }
        Ok((entries, after))
    }
}

/// `opted_out` if the recipient has opted out of one of the scopes; otherwise nothing keeps a message from being sent.
fn decide(opt_outs: Option<&Item>, consents: Option<&DecisiveConsents>) -> ConsentStatus {
    let opt_outs = opt_outs.and_then(|row| row.get("scopes")?.as_ss().ok());
    let is_opted_out = |scope: &ConsentScope| opt_outs.is_some_and(|all| all.contains(&scope.to_string()));
    let mut scopes = consents.into_iter().flat_map(|consents| &consents.scopes);
    if scopes.any(is_opted_out) { ConsentStatus::OptedOut } else { ConsentStatus::Unknown }
}

fn opt_outs_key(tenant: &TenantId, to: &E164) -> Item {
    item::key(tenant, &format!("{OPT_OUTS}{to}"))
}

fn consent_key(tenant: &TenantId, pair: &ConsentPair) -> Item {
    item::key(tenant, &format!("{CONSENT}{}#{}", pair.to, pair.scope))
}

fn pair_attributes(row: Writer, pair: &ConsentPair) -> Writer {
    let row = row.set("to", item::text(pair.to.as_str()));
    match &pair.scope {
        ConsentScope::Number(from) => row.set("from", item::text(from.as_str())),
        ConsentScope::Account(account) => row.set("account", item::text(account)),
    }
}

fn read_pair(row: &Row) -> Result<ConsentPair, StoreError> {
    let to = row.parsed("to", E164::parse)?;
    Ok(match row.maybe_text("account") {
        Some(account) => ConsentPair::of_account(&account, to),
        None => ConsentPair::of_number(row.parsed("from", E164::parse)?, to),
    })
}

fn consent_item(consent: &Consent) -> Item {
    let state = &consent.state;
    let row = Writer(consent_key(&consent.tenant, &consent.pair))
        .set("status", item::text(state.status().as_str()))
        .set("version", item::number(consent.version));
    let marks =
        [("observed", state.observed), ("gateway_only", state.gateway_only), ("requested", state.requested)];
    let row = marks.into_iter().fold(row, |row, (name, mark)| match mark {
        None => row,
        Some(mark) => row
            .set(&format!("{name}_status"), item::text(mark.status.as_str()))
            .set(&format!("{name}_source"), item::text(mark.source.as_str()))
            .set(&format!("{name}_at"), item::time(mark.at)),
    });
    pair_attributes(row, &consent.pair).done()
}

fn read_consent(row: &Row) -> Result<Consent, StoreError> {
    let mark = |status: &'static str, source: &'static str, at: &'static str| {
        if row.maybe_text(status).is_none() {
            return Ok(None);
        }
        Ok::<_, StoreError>(Some(ConsentMark {
            status: row.parsed(status, ConsentStatus::parse)?,
            source: row.parsed(source, ConsentSource::parse)?,
            at: row.time(at)?,
        }))
    };
    Ok(Consent {
        tenant: row.tenant()?,
        pair: read_pair(row)?,
        state: ConsentState {
            observed: mark("observed_status", "observed_source", "observed_at")?,
            gateway_only: mark("gateway_only_status", "gateway_only_source", "gateway_only_at")?,
            requested: mark("requested_status", "requested_source", "requested_at")?,
        },
        version: row.number("version")?,
    })
}

/// Entries sort by the time of recording. The digest keeps apart those of the same millisecond.
fn history_item(tenant: &TenantId, entry: &ConsentEntry) -> Item {
    let ConsentEntry { pair, report, status, note, recorded_at } = entry;
    let (what, source, at) = (report.status.as_str(), report.source.as_str(), report.at.as_millisecond());
    let content = format!("{}\n{what}\n{source}\n{at}", pair.scope);
    let digest = Secret::new(&content).digest();
    let position = query::position(*recorded_at, &digest[..16]);
    let row = Writer(item::key(tenant, &format!("{HISTORY}{}#{position}", pair.to)))
        .set("reported", item::text(report.status.as_str()))
        .set("source", item::text(report.source.as_str()))
        .set("reporter", item::text(report.reporter.as_str()))
        .set("at", item::time(report.at))
        .set("status", item::text(status.as_str()))
        .maybe("note", note.as_ref().map(item::text))
        .set("recorded_at", item::time(*recorded_at));
    pair_attributes(row, pair).done()
}

fn read_entry(row: &Row) -> Result<ConsentEntry, StoreError> {
    Ok(ConsentEntry {
        pair: read_pair(row)?,
        report: ConsentReport {
            status: row.parsed("reported", ConsentStatus::parse)?,
            source: row.parsed("source", ConsentSource::parse)?,
            reporter: row.parsed("reporter", ConsentReporter::parse)?,
            at: row.time("at")?,
        },
        status: row.parsed("status", ConsentStatus::parse)?,
        note: row.maybe_text("note"),
        recorded_at: row.time("recorded_at")?,
    })
}
