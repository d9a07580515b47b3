//! Quiet hours: the hours of the day, in the recipient's time zone, in which marketing messages are not sent.
//!
//! The time zone follows from the area code. Where an area code spans several, or says nothing, as that of a toll-free number, a
//! message waits until the quiet hours are over in all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::area_code::{self, Area};
use crate::clock::saturating_add;
use crate::limits;

/// A time of the day, to the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay {
    /// Since midnight.
    minutes: i16,
}

impl TimeOfDay {
    /// The regular expression of what [`TimeOfDay::parse`] accepts.
    pub const PATTERN: &str = "^([01][0-9]|2[0-3]):[0-5][0-9]$";

    /// Reads `HH:MM`, `00:00` to `23:59`.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |at: usize| text.as_bytes()[at].is_ascii_digit();
        if text.len() != 5 || ![0, 1, 3, 4].into_iter().all(is_digit) || text.as_bytes()[2] != b':' {
            return None;
        }
        let (hours, minutes): (i16, i16) = (text[..2].parse().ok()?, text[3..].parse().ok()?);
        (hours < 24 && minutes < 60).then(|| Self { minutes: hours * 60 + minutes })
    }

    fn of(time: DateTime) -> Self {
        Self { minutes: i16::from(time.hour()) * 60 + i16::from(time.minute()) }
    }

    fn on(self, date: Date) -> DateTime {
        date.at(0, 0, 0, 0).saturating_add(i64::from(self.minutes).minutes())
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a time of the day"))
    }
}

impl JsonSchema for TimeOfDay {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeOfDay".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string", "pattern": Self::PATTERN })
    }
}

/// A part of each day. It contains midnight if it ends before it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuietWindow {
    /// When the quiet hours start: `HH:MM` in the recipient's time zone, inclusive.
    pub start: TimeOfDay,
    /// When the quiet hours end: `HH:MM` in the recipient's time zone, exclusive.
    pub end: TimeOfDay,
}

impl Default for QuietWindow {
    /// 21:00 to 08:00 (47 CFR 64.1200(c)(1)).
    fn default() -> Self {
        Self { start: TimeOfDay { minutes: 21 * 60 }, end: TimeOfDay { minutes: 8 * 60 } }
    }
}

impl QuietWindow {
    pub fn contains(self, time: TimeOfDay) -> bool {
        if self.start < self.end {
            (self.start..self.end).contains(&time)
        } else {
            time >= self.start || time < self.end
        }
    }

    /// When the quiet hours end that `at` is in; `None` if it is in none.
    fn end_after(self, zone: &TimeZone, at: Timestamp) -> Option<Timestamp> {
        let local = zone.to_datetime(at);
        let time = TimeOfDay::of(local);
        if !self.contains(time) {
            return None;
        }
        let is_tomorrow = self.start > self.end && time >= self.start;
        let date = if is_tomorrow { local.date().saturating_add(1.day()) } else { local.date() };
        let end = zone.to_ambiguous_timestamp(self.end.on(date));
        // When clocks are set back, the hour in which quiet hours end comes twice, and `at` may be in the second one.
        let ends = [end.compatible(), end.later()].into_iter().flatten();
        let end = ends.filter(|end| *end > at).min().unwrap_or_else(|| saturating_add(at, A_MINUTE));
        // The clock change itself ends them if it skips the end, or goes back to before the start.
        let change = zone.following(at).next().map(|transition| transition.timestamp());
        let change =
            change.filter(|change| *change < end && !self.contains(TimeOfDay::of(zone.to_datetime(*change))));
        Some(change.unwrap_or(end))
    }
}

const A_MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// The quiet hours of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuietHours {
    #[serde(flatten)]
    pub window: QuietWindow,
    /// Other quiet hours for recipients in a state, territory or province, by its two-letter postal code, such as `FL`.
    pub overrides: BTreeMap<String, QuietWindow>,
}

impl QuietHours {
    /// When the quiet hours are over that `at` is in; `None` if a message to this number may be sent then. Quiet hours apply to
    /// North American numbers only: the zone of others is not known.
    pub fn end_after(&self, to: &str, at: Timestamp) -> Option<Timestamp> {
        let places = self.places(&area_code::area_of(to)?);
        let latest = saturating_add(at, SignedDuration::from_secs(limits::QUIET_HOURS_MAX_SECONDS));
        let mut end = at;
        while end < latest {
            let ends = places.iter().filter_map(|(zone, window)| window.end_after(zone, end));
            let Some(later) = ends.max() else { break };
            end = later;
        }
        (end > at).then_some(end)
    }

    /// The zones of an area, each with the quiet hours that may apply there.
    fn places(&self, area: &Area<'_>) -> Vec<(TimeZone, QuietWindow)> {
        let mut windows: Vec<QuietWindow> = Vec::new();
        for region in area.regions() {
            windows.push(self.overrides.get(region).copied().unwrap_or(self.window));
        }
        if area.is_unknown() {
            windows.extend(self.overrides.values());
        }
        if windows.is_empty() || area.is_unknown() {
            windows.push(self.window);
        }
        let zones = area.zones().map(|name| TimeZone::get(name).expect("the zones of the table exist"));
        zones.flat_map(|zone| windows.iter().map(move |window| (zone.clone(), *window))).collect()
    }

    /// The first area code to which messages could be sent for less than [`limits::ALLOWED_MINUTES_MIN`] minutes of a day: `any` stands for
    /// numbers whose area code says nothing.
    pub fn area_without_time(&self) -> Option<&'static str> {
        let mut seen = BTreeSet::new();
        let mut areas = area_code::all().filter(|area| seen.insert(area.place()));
        areas.find(|area| self.allowed_minutes(area) < limits::ALLOWED_MINUTES_MIN).map(|area| area.code())
    }

    /// The minutes of a day in which messages to an area may be sent, in winter or summer, whichever are fewer.
    fn allowed_minutes(&self, area: &Area<'_>) -> usize {
        let places = self.places(area);
        let minutes_from = |noon: i64| {
            let offsets: Vec<i64> = places
                .iter()
                .map(|(zone, _)| {
                    i64::from(zone.to_offset(Timestamp::from_second(noon).unwrap_or_default()).seconds() / 60)
                })
                .collect();
            let is_allowed = |minute: &i64| {
                let time =
                    |offset: &i64| i16::try_from((minute + offset).rem_euclid(24 * 60)).unwrap_or_default();
                offsets
                    .iter()
                    .zip(&places)
                    .all(|(offset, (_, window))| !window.contains(TimeOfDay { minutes: time(offset) }))
            };
            (0..24 * 60).filter(is_allowed).count()
        };
        DAYS.into_iter().map(minutes_from).min().unwrap_or_default()
    }
}

/// A day in winter and one in summer: 2026-01-15 and 2026-07-15.
const DAYS: [i64; 2] = [1_768_478_400, 1_784_116_800];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    fn window(start: &str, end: &str) -> QuietWindow {
        QuietWindow { start: TimeOfDay::parse(start).unwrap(), end: TimeOfDay::parse(end).unwrap() }
    }

    fn with_override(region: &str, start: &str, end: &str) -> QuietHours {
        QuietHours {
            overrides: BTreeMap::from([(region.to_owned(), window(start, end))]),
            ..QuietHours::default()
        }
    }

    #[test]
    fn times_of_the_day_have_one_form() {
        for good in ["00:00", "08:05", "23:59"] {
            assert_eq!(TimeOfDay::parse(good).unwrap().to_string(), good);
        }
        for bad in ["24:00", "8:00", "08:60", "08:00:00", "0800", "+8:00", "08-00", "", "２１:００", "21:00 "]
        {
            assert_eq!(TimeOfDay::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_default_hours_end_at_eight_in_the_recipients_zone() {
        let end =
            |to: &str, time: &str| QuietHours::default().end_after(to, at(time)).map(|end| end.to_string());
        // Los Angeles, winter and summer.
        assert_eq!(end("+14155550100", "2026-01-15T05:00:00Z").as_deref(), Some("2026-01-15T16:00:00Z"));
        assert_eq!(end("+14155550100", "2026-07-15T04:00:00Z").as_deref(), Some("2026-07-15T15:00:00Z"));
        assert_eq!(end("+14155550100", "2026-07-15T03:59:59.999Z"), None);
        assert_eq!(end("+14155550100", "2026-07-15T15:00:00Z"), None);
        // The Florida Panhandle: nine in the evening in New York, eight in the morning in Chicago.
        assert_eq!(end("+18505550100", "2026-01-15T02:00:00Z").as_deref(), Some("2026-01-15T14:00:00Z"));
        assert_eq!(end("+18505550100", "2026-01-15T13:59:00Z").as_deref(), Some("2026-01-15T14:00:00Z"));
        // A toll-free number: eight in the morning in Hawaii, nine in the evening in Newfoundland.
        assert_eq!(end("+18005550100", "2026-01-15T00:30:00Z").as_deref(), Some("2026-01-15T18:00:00Z"));
        assert_eq!(end("+18005550100", "2026-01-15T00:29:00Z"), None);
        assert_eq!(end("+442079460958", "2026-01-15T03:00:00Z"), None);
    }

    #[test]
    fn a_clock_change_can_end_quiet_hours() {
        let end = |start, end, time: &str| {
            let hours = QuietHours { window: window(start, end), overrides: BTreeMap::new() };
            hours.end_after("+15035550100", at(time)).map(|end| end.to_string())
        };
        // On March 8 in Oregon, 03:00 follows 01:59.
        assert_eq!(end("03:21", "02:13", "2026-03-08T09:30:00Z").as_deref(), Some("2026-03-08T10:00:00Z"));
        // On November 1, 01:00 follows 01:59.
        assert_eq!(end("01:30", "03:00", "2026-11-01T08:45:00Z").as_deref(), Some("2026-11-01T09:00:00Z"));
        assert_eq!(end("01:30", "03:00", "2026-11-01T09:30:00Z").as_deref(), Some("2026-11-01T11:00:00Z"));
    }

    #[test]
    fn an_override_replaces_the_hours_of_its_state() {
        let hours = with_override("FL", "20:00", "09:00");
        let end = |to: &str, time: &str| hours.end_after(to, at(time)).map(|end| end.to_string());
        assert_eq!(end("+13055550100", "2026-01-15T01:00:00Z").as_deref(), Some("2026-01-15T14:00:00Z"));
        assert_eq!(end("+12125550100", "2026-01-15T01:00:00Z"), None);
        // A number that may be anywhere has all overrides in all zones.
        let anywhere = end("+18005550100", "2026-01-15T00:00:00Z");
        assert_eq!(anywhere.as_deref(), Some("2026-01-15T19:00:00Z"));
        let strict = with_override("HI", "15:00", "14:00");
        assert!(strict.end_after("+18005550100", at("2026-01-15T20:00:00Z")).is_some());
        // Nova Scotia and Prince Edward Island share an area code.
        assert!(
            with_override("PE", "12:00", "08:00")
                .end_after("+19025550100", at("2026-01-15T17:00:00Z"))
                .is_some()
        );
    }

    #[test]
    fn hours_that_leave_no_time_are_found() {
        assert_eq!(QuietHours::default().area_without_time(), None);
        let hours = |start, end| QuietHours { window: window(start, end), overrides: BTreeMap::new() };
        assert_eq!(hours("17:00", "10:00").area_without_time(), Some(area_code::ANYWHERE));
        assert!(hours("12:00", "11:30").area_without_time().is_some());
        assert_eq!(hours("13:00", "15:00").area_without_time(), None);
        assert_eq!(with_override("PE", "08:00", "21:00").area_without_time(), Some("782"));
    }

    /// Days around which clocks change in North America, and others.
    fn times() -> impl Strategy<Value = Timestamp> {
        let changes = [
            "2025-03-09T00:00:00Z",
            "2025-11-02T00:00:00Z",
            "2026-03-08T00:00:00Z",
            "2026-11-01T00:00:00Z",
            "2027-03-14T00:00:00Z",
            "2027-11-07T00:00:00Z",
        ];
        let near = (proptest::sample::select(changes.map(at).to_vec()), 0_i64..3 * 86_400);
        prop_oneof![
            near.prop_map(|(day, seconds)| saturating_add(day, SignedDuration::from_secs(seconds))),
            (1_735_689_600_i64..1_900_000_000).prop_map(|second| Timestamp::from_second(second).unwrap()),
        ]
    }

    fn hours() -> impl Strategy<Value = QuietHours> {
        let time = || (0_i16..24 * 60).prop_map(|minutes| TimeOfDay { minutes });
        let window = move || {
            (time(), time())
                .prop_filter("not empty", |(start, end)| start != end)
                .prop_map(|(start, end)| QuietWindow { start, end })
        };
        let regions = proptest::sample::select(vec!["FL", "TX", "ID", "PE", "NT", "AK"]);
        let overrides = proptest::collection::btree_map(regions.prop_map(str::to_owned), window(), 0..3);
        prop_oneof![
            Just(QuietHours::default()),
            (window(), overrides).prop_map(|(window, overrides)| QuietHours { window, overrides }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        /// Over random times, those around clock changes included: a message is sent when it is not quiet in any zone of its area
        /// code, and no later than necessary.
        #[test]
        fn a_message_is_never_sent_in_quiet_hours_of_any_zone(
            hours in hours(),
            area in proptest::sample::select(area_code::all().collect::<Vec<_>>()),
            now in times(),
        ) {
            prop_assume!(hours.allowed_minutes(&area) >= limits::ALLOWED_MINUTES_MIN);
            let code = if area.is_unknown() { "800" } else { area.code() };
            let to = format!("+1{code}5550100");
            let is_quiet = |at: Timestamp| {
                let windows = area.regions().map(|region| hours.overrides.get(region).unwrap_or(&hours.window));
                let mut windows: Vec<_> = windows.collect();
                if area.is_unknown() {
                    windows.extend(hours.overrides.values());
                }
                if windows.is_empty() || area.is_unknown() {
                    windows.push(&hours.window);
                }
                area.zones().any(|zone| {
                    let local = TimeZone::get(zone).unwrap().to_datetime(at);
                    let text = format!("{:02}:{:02}", local.hour(), local.minute());
                    windows.iter().any(|window| {
                        let (start, end) = (window.start.to_string(), window.end.to_string());
                        if start < end { start <= text && text < end } else { start <= text || text < end }
                    })
                })
            };
            match hours.end_after(&to, now) {
                None => prop_assert!(!is_quiet(now), "{to} at {now}"),
                Some(end) => {
                    prop_assert!(end > now && !is_quiet(end), "{to} at {now}: {end}");
                    let mut earlier = now;
                    while earlier < end {
                        prop_assert!(is_quiet(earlier), "{to} at {now}: {earlier} is before {end}");
                        earlier = saturating_add(earlier, SignedDuration::from_mins(17));
                    }
                }
            }
        }

        #[test]
        fn stored_quiet_hours_are_read_again(hours in hours()) {
            let json = serde_json::to_string(&hours).unwrap();
            prop_assert_eq!(serde_json::from_str::<QuietHours>(&json).unwrap(), hours);
        }
    }
}
