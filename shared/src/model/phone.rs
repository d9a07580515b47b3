//! Phone numbers.

use std::fmt;

/// A phone number in E.164 form: `+`, then 7 to 15 digits, the first not zero. `Debug` shows only the last two digits:
/// logs must not contain phone numbers.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct E164(String);

impl E164 {
    /// The regular expression of what [`E164::parse`] accepts.
    pub const PATTERN: &str = r"^\+[1-9][0-9]{6,14}$";

    /// `None` unless `text` is in E.164 form.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+')?;
        let ok = (7..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        ok.then(|| Self(text.to_owned()))
    }

    /// Parses a number as RingCentral writes it: live data has the `+`, some of its samples do not.
    pub fn from_ringcentral(text: &str) -> Option<Self> {
        if text.starts_with('+') { Self::parse(text) } else { Self::parse(&format!("+{text}")) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "…{}", &self.0[self.0.len() - 2..])
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_e164_is_accepted() {
        assert!(E164::parse("+14155550100").is_some());
        for bad in [
            "",
            "+",
            "14155550100",
            "+0415555010",
            "+1415555010a",
            "+1 415 555 0100",
            "+1234567890123456",
            "+123456",
        ] {
            assert!(E164::parse(bad).is_none(), "{bad}");
        }
        assert_eq!(E164::from_ringcentral("14155550100"), E164::parse("+14155550100"));
    }

    #[test]
    fn debug_output_masks_the_number() {
        assert_eq!(format!("{:?}", E164::parse("+14155550100").unwrap()), "…00");
    }
}
