//! Consents: which recipients accept messages from which numbers. The gateway mirrors what it learns from recipients, from
//! RingCentral and from the API.
//!
//! A consent is merged from reports that may come late, twice and in any order. [`ConsentState`] therefore keeps the newest report of
//! each kind, and the status follows from them; merging is commutative and idempotent.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::event::{Event, EventKind};
use super::ids::TenantId;
use super::phone::E164;
use super::string_enum::string_enum;

string_enum! {
    pub enum ConsentStatus {
        /// The recipient accepts messages.
        OptedIn = "opted_in",
        /// The recipient accepts no messages: they are rejected.
        OptedOut = "opted_out",
        /// Nothing is known. Messages are sent.
        Unknown = "unknown",
    }
}

string_enum! {
    /// How the gateway learned of a consent.
    pub enum ConsentSource {
        /// An inbound message was a keyword such as STOP.
        Keyword = "keyword",
        /// RingCentral reported a change.
        RingcentralEvent = "ringcentral_event",
        /// RingCentral's list of consents was read.
        RingcentralSearch = "ringcentral_search",
        /// A message was not delivered, because the recipient had opted out.
        DeliveryError = "delivery_error",
        /// The tenant set it.
        Api = "api",
    }
}

string_enum! {
    /// Which of the tenant's numbers a consent is about.
    pub enum Coverage {
        /// One number.
        PhoneNumber = "PhoneNumber",
        /// All numbers of a RingCentral account.
        Account = "Account",
    }
}

/// The numbers of the tenant that a consent covers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ConsentScope {
    Number(E164),
    /// All numbers of the RingCentral account with this id.
    Account(String),
}

impl ConsentScope {
    pub fn coverage(&self) -> Coverage {
        match self {
            Self::Number(_) => Coverage::PhoneNumber,
            Self::Account(_) => Coverage::Account,
        }
    }

    /// The tenant's number; `None` if the consent covers an account.
    pub fn from(&self) -> Option<&E164> {
        match self {
            Self::Number(number) => Some(number),
            Self::Account(_) => None,
        }
    }
}

/// What a consent is about: the tenant's numbers, and the other party.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConsentPair {
    pub scope: ConsentScope,
    pub to: E164,
}

impl ConsentPair {
    pub fn of_number(from: E164, to: E164) -> Self {
        Self { scope: ConsentScope::Number(from), to }
    }

    pub fn of_account(account: &str, to: E164) -> Self {
        Self { scope: ConsentScope::Account(account.to_owned()), to }
    }
}

/// The consents that decide whether a message may be sent: an opt-out from one of the scopes blocks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisiveConsents {
    pub to: E164,
    pub scopes: Vec<ConsentScope>,
}

impl DecisiveConsents {
    /// Those of the sender's number, and of its account if that is known.
    pub fn of(from: &E164, to: &E164, account: Option<&str>) -> Self {
        let account = account.map(|account| ConsentScope::Account(account.to_owned()));
        let scopes = std::iter::once(ConsentScope::Number(from.clone())).chain(account).collect();
        Self { to: to.clone(), scopes }
    }
}

string_enum! {
    /// Who vouches for a report.
    pub enum ConsentReporter {
        /// The recipient, by a word that RingCentral acts on too.
        Recipient = "recipient",
        /// The recipient, by a word that RingCentral does not know. When the gateway has written the consent to RingCentral, an API call
        /// can lift it there, so only the recipient's own opt-in lifts it here.
        RecipientToGateway = "recipient_to_gateway",
        /// RingCentral: an event, a search, or the failure of a message.
        RingCentral = "ringcentral",
        /// The tenant, by the API alone.
        Tenant = "tenant",
    }
}

/// Something that was learned about a consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsentReport {
    pub status: ConsentStatus,
    pub source: ConsentSource,
    pub reporter: ConsentReporter,
    /// When the consent changed at its source, not when the gateway learned of it.
    pub at: Timestamp,
}

/// A status with its source and its time there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsentMark {
    pub status: ConsentStatus,
    pub source: ConsentSource,
    pub at: Timestamp,
}

impl ConsentMark {
    /// What makes one mark win over another: knowing something, then being newer; a tie goes to `opted_out`.
    fn weight(&self) -> (bool, Timestamp, u8, &'static str) {
        let severity = match self.status {
            ConsentStatus::OptedOut => 2,
            ConsentStatus::Unknown => 1,
            ConsentStatus::OptedIn => 0,
        };
        (self.status != ConsentStatus::Unknown, self.at, severity, self.source.as_str())
    }
}

fn is_opted_out(mark: Option<ConsentMark>) -> bool {
    mark.is_some_and(|mark| mark.status == ConsentStatus::OptedOut)
}

fn newest(one: Option<ConsentMark>, other: Option<ConsentMark>) -> Option<ConsentMark> {
    one.into_iter().chain(other).max_by_key(ConsentMark::weight)
}

/// The newest report of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsentState {
    /// Of the recipient and of RingCentral.
    pub observed: Option<ConsentMark>,
    /// Of the recipient, with a word that only the gateway knows, or an opt-in since.
    pub gateway_only: Option<ConsentMark>,
    /// Of the API.
    pub requested: Option<ConsentMark>,
}

impl ConsentState {
    /// Adds a report. The order in which reports are added does not matter, and a repeated one changes nothing.
    #[must_use]
    pub fn merge(mut self, report: &ConsentReport) -> Self {
        let mark = Some(ConsentMark { status: report.status, source: report.source, at: report.at });
        let is_observed = report.reporter != ConsentReporter::Tenant;
        let is_gateway_only = match report.reporter {
            ConsentReporter::RecipientToGateway => true,
            ConsentReporter::Recipient => report.status == ConsentStatus::OptedIn,
            ConsentReporter::RingCentral | ConsentReporter::Tenant => false,
        };
        if is_observed {
            self.observed = newest(self.observed, mark);
        } else {
            self.requested = newest(self.requested, mark);
        }
        if is_gateway_only {
            self.gateway_only = newest(self.gateway_only, mark);
        }
        self
    }

    /// The mark that decides. What the recipient or RingCentral opted out of stays so, whatever the API says.
    pub fn decisive(&self) -> Option<ConsentMark> {
        [self.gateway_only, self.observed]
            .into_iter()
            .find(|mark| is_opted_out(*mark))
            .unwrap_or_else(|| newest(self.observed, self.requested))
    }

    pub fn status(&self) -> ConsentStatus {
        self.decisive().map_or(ConsentStatus::Unknown, |mark| mark.status)
    }
}

/// What the table has about a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredConsent {
    Absent,
    Readable(Consent),
    /// Its row cannot be read, so it may be an opt-out.
    Unreadable,
}

impl StoredConsent {
    /// Nothing is known of a row that cannot be read.
    pub fn state(&self) -> ConsentState {
        match self {
            Self::Readable(consent) => consent.state,
            Self::Absent | Self::Unreadable => ConsentState::default(),
        }
    }
}

/// What a written consent replaces; its write expects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaces {
    Nothing,
    Version(u64),
    Anything,
}

/// The consent of a recipient to messages from a number, or from all numbers of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    pub tenant: TenantId,
    pub pair: ConsentPair,
    pub state: ConsentState,
    /// Incremented by every write.
    pub version: u64,
}

/// An entry of the history of a consent. Entries are never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentEntry {
    pub pair: ConsentPair,
    pub report: ConsentReport,
    /// The status of the consent with this report.
    pub status: ConsentStatus,
    /// The tenant's note.
    pub note: Option<String>,
    /// When the gateway recorded it.
    pub recorded_at: Timestamp,
}

/// What one transaction writes.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsentUpdate {
    pub consent: Consent,
    pub replaces: Replaces,
    pub entry: ConsentEntry,
    /// `None` if the status is the same as before.
    pub event: Option<Event>,
}

impl ConsentUpdate {
    /// Adds a report to a consent; `None` if the report changes nothing. Only an opt-out replaces a row that cannot be read.
    pub fn of(
        tenant: &TenantId,
        pair: &ConsentPair,
        current: &StoredConsent,
        report: &ConsentReport,
        note: Option<&str>,
        now: Timestamp,
    ) -> Option<Self> {
        // As it is stored: a report that is repeated must be equal.
        let at = Timestamp::from_millisecond(report.at.as_millisecond()).unwrap_or(report.at);
        let report = &ConsentReport { at, ..*report };
        let (before, replaces) = match current {
            StoredConsent::Absent => (ConsentState::default(), Replaces::Nothing),
            StoredConsent::Readable(consent) => (consent.state, Replaces::Version(consent.version)),
            StoredConsent::Unreadable if report.status == ConsentStatus::OptedOut => {
                (ConsentState::default(), Replaces::Anything)
            }
            StoredConsent::Unreadable => return None,
        };
        let state = before.merge(report);
        if state == before {
            return None;
        }
        let version = if let Replaces::Version(seen) = replaces { seen + 1 } else { 1 };
        let consent = Consent { tenant: tenant.clone(), pair: pair.clone(), state, version };
        let entry = ConsentEntry {
            pair: pair.clone(),
            report: *report,
            status: state.status(),
            note: note.map(str::to_owned),
            recorded_at: now,
        };
        let event = state.decisive().filter(|_| state.status() != before.status()).map(|mark| {
            let data = ConsentChanged {
                from: pair.scope.from().map(E164::as_str),
                to: pair.to.as_str(),
                status: mark.status,
                source: mark.source,
            };
            Event::new(tenant, EventKind::ConsentChanged, now, &data)
        });
        Some(Self { consent, replaces, entry, event })
    }
}

impl ConsentUpdate {
    /// True for what RingCentral does not know of and is to learn: each opt-in, and an opt-out that is not known here either.
    pub fn needs_follow_up(&self) -> bool {
        let report = &self.entry.report;
        let is_new = report.status == ConsentStatus::OptedIn || self.event.is_some();
        is_new && report.reporter == ConsentReporter::RecipientToGateway
    }
}

/// The fields of the event `consent_changed`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsentChanged<'a> {
    /// The tenant's phone number; `null` if the consent covers all numbers of a RingCentral account.
    pub from: Option<&'a str>,
    /// The other party's phone number.
    pub to: &'a str,
    /// Whether the other party accepts messages now.
    pub status: ConsentStatus,
    /// How the gateway learned of it.
    pub source: ConsentSource,
}

impl fmt::Display for ConsentScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Account(account) => write!(f, "account:{account}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use ConsentReporter::{Recipient, RecipientToGateway, RingCentral, Tenant};
    use ConsentStatus::{OptedIn, OptedOut, Unknown};

    fn report(reporter: ConsentReporter, status: ConsentStatus, at: i64) -> ConsentReport {
        let source = match reporter {
            Recipient | RecipientToGateway => ConsentSource::Keyword,
            RingCentral => ConsentSource::RingcentralSearch,
            Tenant => ConsentSource::Api,
        };
        ConsentReport { status, source, reporter, at: Timestamp::from_second(at).unwrap() }
    }

    fn merged(reports: &[ConsentReport]) -> ConsentState {
        reports.iter().fold(ConsentState::default(), ConsentState::merge)
    }

    #[test]
    fn the_status_follows_from_the_reports() {
        for (reports, status) in [
            (vec![], Unknown),
            (vec![(Recipient, OptedOut, 1)], OptedOut),
            (vec![(Recipient, OptedOut, 1), (Tenant, OptedIn, 2)], OptedOut),
            (vec![(Tenant, OptedIn, 2), (Recipient, OptedOut, 1)], OptedOut),
            (vec![(Recipient, OptedOut, 1), (Recipient, OptedIn, 2)], OptedIn),
            (vec![(Recipient, OptedIn, 2), (Recipient, OptedOut, 1)], OptedIn),
            (vec![(Recipient, OptedIn, 1), (Recipient, OptedOut, 1)], OptedOut),
            (vec![(Recipient, OptedOut, 1), (RingCentral, OptedIn, 2)], OptedIn),
            // Read before RingCentral knew of the STOP.
            (vec![(Recipient, OptedOut, 2), (RingCentral, OptedIn, 1)], OptedOut),
            (vec![(RecipientToGateway, OptedOut, 1), (RingCentral, OptedIn, 2)], OptedOut),
            (vec![(RecipientToGateway, OptedOut, 1), (Recipient, OptedIn, 2)], OptedIn),
            (vec![(Recipient, OptedIn, 1), (Tenant, OptedOut, 2)], OptedOut),
            (vec![(Tenant, OptedOut, 1), (Tenant, OptedIn, 2)], OptedIn),
            (vec![(Tenant, OptedOut, 2), (Tenant, OptedIn, 2)], OptedOut),
            (vec![(Recipient, OptedOut, 1), (RingCentral, Unknown, 2)], OptedOut),
            (vec![(RingCentral, Unknown, 1)], Unknown),
        ] {
            let reports: Vec<_> = reports.into_iter().map(|(who, what, at)| report(who, what, at)).collect();
            assert_eq!(merged(&reports).status(), status, "{reports:?}");
        }
    }

    #[test]
    fn a_report_that_changes_nothing_is_not_written_and_one_that_keeps_the_status_has_no_event() {
        let (tenant, now) = (TenantId::generate(), Timestamp::UNIX_EPOCH);
        let number = |text| E164::parse(text).unwrap();
        let pair = ConsentPair::of_number(number("+14155550100"), number("+16505550111"));
        let stop = report(Recipient, OptedOut, 5);
        let first = ConsentUpdate::of(&tenant, &pair, &StoredConsent::Absent, &stop, None, now).unwrap();
        assert!(first.event.is_some());
        let stored = StoredConsent::Readable(first.consent.clone());
        let update = |report| ConsentUpdate::of(&tenant, &pair, &stored, &report, None, now);
        assert_eq!(update(stop), None);
        // Kept, because it decides what an older word that only the gateway knows means.
        assert!(update(report(Recipient, OptedIn, 4)).unwrap().event.is_none());
        assert_eq!(update(report(RingCentral, OptedIn, 4)), None);
        assert!(update(report(Recipient, OptedOut, 6)).unwrap().event.is_none());
        assert!(update(report(Tenant, OptedIn, 9)).unwrap().event.is_none());
        let unreadable =
            |report| ConsentUpdate::of(&tenant, &pair, &StoredConsent::Unreadable, &report, None, now);
        assert_eq!(unreadable(report(Recipient, OptedIn, 9)), None, "it may be an opt-out");
        assert_eq!(unreadable(stop).unwrap().replaces, Replaces::Anything);
        let event = update(report(Recipient, OptedIn, 6)).unwrap().event.unwrap();
        assert_eq!(event.data["status"], "opted_in");
        assert_eq!(event.data["from"], "+14155550100");
    }

    fn reports() -> impl Strategy<Value = Vec<ConsentReport>> {
        let reporters =
            prop_oneof![Just(Recipient), Just(RecipientToGateway), Just(RingCentral), Just(Tenant)];
        let statuses = prop_oneof![Just(OptedIn), Just(OptedOut), Just(Unknown)];
        let reports = (reporters, statuses, 0_i64..6).prop_map(|(who, what, at)| report(who, what, at));
        proptest::collection::vec(reports, 0..8)
    }

    proptest! {
        #[test]
        fn order_and_repetition_do_not_matter(
            (reports, shuffled) in reports().prop_flat_map(|reports| {
                let twice = [reports.clone(), reports.clone()].concat();
                (Just(reports), Just(twice).prop_shuffle())
            }),
        ) {
            prop_assert_eq!(merged(&reports), merged(&shuffled));
        }

        #[test]
        fn the_api_alone_never_lifts_an_opt_out_of_the_recipient(reports in reports(), at in 6_i64..9) {
            let before = merged(&reports);
            if is_opted_out(before.observed) || is_opted_out(before.gateway_only) {
                prop_assert_eq!(before.merge(&report(Tenant, OptedIn, at)).status(), OptedOut);
            }
        }

        #[test]
        fn a_later_keyword_of_the_recipient_always_decides(reports in reports()) {
            for status in [OptedIn, OptedOut] {
                let state = merged(&reports).merge(&report(Recipient, status, 9));
                prop_assert_eq!(state.status(), status);
            }
        }

        #[test]
        fn a_word_that_only_the_gateway_knows_is_lifted_by_the_recipient_alone(
            reports in reports(), statuses in proptest::collection::vec((0..2_i64, 10_i64..20), 0..6)
        ) {
            let mut state = merged(&reports).merge(&report(RecipientToGateway, OptedOut, 9));
            for (who, at) in statuses {
                state = state.merge(&report(if who == 0 { Tenant } else { RingCentral }, OptedIn, at));
            }
            prop_assert_eq!(state.status(), OptedOut);
        }

        #[test]
        fn a_consent_without_a_report_is_not_opted_in(reports in reports()) {
            if reports.iter().all(|report| report.status != OptedIn) {
                prop_assert_ne!(merged(&reports).status(), OptedIn);
            }
        }
    }
}
