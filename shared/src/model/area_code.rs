//! Area codes of the North American Numbering Plan: the states and time zones in which their subscribers live.
//!
//! A subscriber may have moved and kept the number; the area code is what a sender can know.

/// What an area code says about the place of a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area<'a> {
    code: &'a str,
    country: &'a str,
    regions: &'a str,
    zones: &'a str,
}

/// One line for each area code: code, country, states or provinces, time zones.
const TABLE: &str = include_str!("area_code/table.txt");

/// The code of numbers without a place, such as toll-free ones, and of those whose area code is newer than the table.
pub const ANYWHERE: &str = "any";

/// A number of [`ANYWHERE`] may be in any zone of the United States or Canada.
const UNKNOWN: Area<'static> = Area {
    code: ANYWHERE,
    country: "-",
    regions: "-",
    zones: "America/St_Johns,America/Halifax,America/New_York,America/Chicago,America/Regina,America/Denver,America/Phoenix,\
            America/Los_Angeles,America/Anchorage,America/Adak,Pacific/Honolulu",
};

impl<'a> Area<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let mut fields = line.split(' ');
        let mut next = || fields.next();
        Some(Self { code: next()?, country: next()?, regions: next()?, zones: next()? })
    }

    pub fn code(&self) -> &'a str {
        self.code
    }

    /// What areas have in common that are alike but for their codes.
    pub fn place(&self) -> (&'a str, &'a str) {
        (self.regions, self.zones)
    }

    /// The two-letter postal codes of the states, territories or provinces; none outside the United States and Canada.
    pub fn regions(&self) -> impl Iterator<Item = &'a str> {
        self.regions.split(',').filter(|region| *region != "-")
    }

    /// Names of the time zone database.
    pub fn zones(&self) -> impl Iterator<Item = &'a str> {
        self.zones.split(',')
    }

    /// True if the area code says nothing about the place.
    pub fn is_unknown(&self) -> bool {
        self.country == UNKNOWN.country
    }

    /// True if the subscriber may be in the United States.
    pub fn may_be_in_the_us(&self) -> bool {
        self.is_unknown() || self.country == "US"
    }
}

/// The area of a North American number in E.164 form; `None` for other numbers.
pub fn area_of(number: &str) -> Option<Area<'static>> {
    let national = number.strip_prefix("+1").filter(|national| national.len() == 10)?;
    let area = lines().find(|line| line.get(..3) == national.get(..3)).and_then(Area::read);
    Some(area.unwrap_or(UNKNOWN))
}

/// All areas, and the one of numbers without a place.
pub fn all() -> impl Iterator<Item = Area<'static>> {
    lines().filter_map(Area::read).chain([UNKNOWN])
}

/// True for the postal code of a state, territory or province that has an area code.
pub fn is_region(code: &str) -> bool {
    all().any(|area| area.regions().any(|region| region == code))
}

fn lines() -> impl Iterator<Item = &'static str> {
    TABLE.lines().filter(|line| !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;

    const CHRONOMOUSE: &str = include_str!("area_code/chronomouse.txt");
    const STATES: &str = include_str!("area_code/states.txt");

    /// Minutes from UTC in January and in July.
    type Offsets = (i32, i32);

    /// In 2025: the rules of that year do not change any more.
    fn offsets(zone: &str) -> Offsets {
        let zone = TimeZone::get(zone).unwrap();
        let minutes = |time: &str| zone.to_offset(time.parse::<Timestamp>().unwrap()).seconds() / 60;
        (minutes("2025-01-15T12:00:00Z"), minutes("2025-07-15T12:00:00Z"))
    }

    fn table() -> BTreeMap<&'static str, Area<'static>> {
        lines().map(|line| Area::read(line).unwrap()).map(|area| (area.code, area)).collect()
    }

    /// The area codes of an independent list, each with what the first word of its line says.
    fn listed(list: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
        list.lines().filter(|line| !line.starts_with('#')).flat_map(|line| {
            let (word, codes) = line.split_once(' ').unwrap();
            codes.split(' ').map(move |code| (code, word))
        })
    }

    fn abbreviated(zones: &str) -> BTreeSet<Offsets> {
        let (names, summer) = zones.strip_suffix('+').map_or((zones, 0), |names| (names, 60));
        let winter = |name| match name {
            "NST" => -210,
            "AST" => -240,
            "EST" => -300,
            "CST" => -360,
            "MST" => -420,
            "PST" => -480,
            "AKST" => -540,
            "HAST" => -600,
            "SST" => -660,
            "ChST" => 600,
            other => panic!("{other}"),
        };
        names.split('/').map(winter).map(|winter| (winter, winter + summer)).collect()
    }

    #[test]
    fn every_line_of_the_table_is_well_formed() {
        let codes: Vec<&str> = lines().map(|line| &line[..3]).collect();
        assert!(codes.is_sorted() && codes.len() > 430);
        for area in all() {
            assert!(
                area.zones().count() > 0 && area.zones().all(|zone| TimeZone::get(zone).is_ok()),
                "{area:?}"
            );
            assert!(area.regions().all(|region| region.len() == 2), "{area:?}");
            assert_eq!(area.regions().count() > 0, ["US", "CA"].contains(&area.country), "{area:?}");
        }
        assert_eq!(table().len(), codes.len());
    }

    /// The table comes from libphonenumber, the other list from chronomouse.com.
    #[test]
    fn the_zones_of_every_area_code_agree_with_an_independent_list() {
        // Areas with a part in another zone, which the list leaves out.
        let with_more = [
            "236", "250", "306", "367", "418", "474", "581", "639", "672", "709", "775", "778", "867", "907",
            "928", "930",
        ];
        // The list has the zone of the United States for Jamaica, the Dominican Republic, Saskatchewan and New Brunswick.
        let wrong = ["306", "428", "474", "639", "658", "809", "829", "849", "876"];
        // Newer than the list, and newer than the table.
        let newer = [
            "227", "235", "257", "273", "324", "353", "369", "686", "730", "738", "748", "821", "879", "942",
        ];
        let unknown = ["625", "861"];
        let (table, list) = (table(), listed(CHRONOMOUSE).collect::<BTreeMap<_, _>>());
        for (code, area) in &table {
            let ours: BTreeSet<Offsets> = area.zones().map(offsets).collect();
            let Some(zones) = list.get(code) else {
                assert!(newer.contains(code), "{code} is not in the list");
                continue;
            };
            let theirs = abbreviated(zones);
            if with_more.contains(code) {
                assert!(
                    ours.len() > theirs.len() && (wrong.contains(code) || ours.is_superset(&theirs)),
                    "{code}"
                );
            } else {
                assert_eq!(ours == theirs, !wrong.contains(code), "{code}: {ours:?}, {theirs:?}");
            }
        }
        let missing: Vec<_> = list.keys().filter(|code| !table.contains_key(*code)).collect();
        assert_eq!(missing, unknown.iter().collect::<Vec<_>>());
    }

    #[test]
    fn the_states_of_area_codes_agree_with_an_independent_list() {
        let table = table();
        for (code, state) in listed(STATES) {
            assert!(table[code].regions().any(|region| region == state), "{code}: {state}");
        }
    }

    #[test]
    fn the_area_of_a_number_follows_from_its_area_code() {
        let zones = |number| area_of(number).map(|area| area.zones().collect::<Vec<_>>());
        assert_eq!(zones("+14155550100").unwrap(), ["America/Los_Angeles"]);
        assert_eq!(zones("+18505550100").unwrap(), ["America/Chicago", "America/New_York"]);
        for anywhere in ["+18005550100", "+18335550100", "+15005550100", "+12995550100"] {
            assert!(area_of(anywhere).unwrap().is_unknown(), "{anywhere}");
            assert!(zones(anywhere).unwrap().len() > 9);
        }
        for foreign in ["+442079460958", "+1415555010", "+141555501000", "12345", "anonymous", ""] {
            assert_eq!(zones(foreign), None, "{foreign}");
        }
        assert!(
            is_region("FL") && is_region("ON") && !is_region("fl") && !is_region("-") && !is_region("XX")
        );
    }
}
