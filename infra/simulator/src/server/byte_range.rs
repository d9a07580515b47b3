//! Range requests for one range of bytes.

/// First and last byte of a part; both are included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    pub first: usize,
    pub last: usize,
}

impl ByteRange {
    /// The first half of `size` bytes, rounded up; `None` if that is everything.
    pub fn first_half(size: usize) -> Option<Self> {
        (size > 1).then(|| Self { first: 0, last: size.div_ceil(2) - 1 })
    }

    /// The value of `Content-Range`.
    pub fn content_range(self, size: usize) -> String {
        format!("bytes {}-{}/{size}", self.first, self.last)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestedRange {
    /// Also for an invalid `Range` or several ranges, which a server may ignore.
    Whole,
    Part(ByteRange),
    Unsatisfiable,
}

impl RequestedRange {
    /// Parses the value of `Range` for content of `size` bytes.
    pub fn parse(header: &str, size: usize) -> Self {
        match Self::parse_bounds(header) {
            None => Self::Whole,
            // The last bytes.
            Some((None, Some(count))) if count > 0 && size > 0 => {
                Self::Part(ByteRange { first: size.saturating_sub(count), last: size - 1 })
            }
            Some((Some(first), last)) if first < size => {
                let last = last.map_or(size - 1, |last| last.min(size - 1));
                if first <= last { Self::Part(ByteRange { first, last }) } else { Self::Whole }
            }
            Some(_) => Self::Unsatisfiable,
        }
    }

    /// The numbers before and after the hyphen; `None` if the header is not a single range of bytes.
    fn parse_bounds(header: &str) -> Option<(Option<usize>, Option<usize>)> {
        let (first, last) = header.trim().strip_prefix("bytes=")?.split_once('-')?;
        let number = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
        let bounds = (number(first)?, number(last)?);
        (bounds != (None, None)).then_some(bounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_ranges_are_parsed_and_limited_to_the_content() {
        let part = |first, last| RequestedRange::Part(ByteRange { first, last });
        for (header, expected) in [
            ("bytes=0-3", part(0, 3)),
            ("bytes=4-", part(4, 9)),
            ("bytes=4-99", part(4, 9)),
            ("bytes=-3", part(7, 9)),
            ("bytes=-99", part(0, 9)),
            ("bytes=10-", RequestedRange::Unsatisfiable),
            ("bytes=-0", RequestedRange::Unsatisfiable),
            ("bytes=5-4", RequestedRange::Whole),
            ("bytes=-", RequestedRange::Whole),
            ("bytes=0-1,3-4", RequestedRange::Whole),
            ("items=0-1", RequestedRange::Whole),
            ("bytes=a-b", RequestedRange::Whole),
        ] {
            assert_eq!(RequestedRange::parse(header, 10), expected, "{header}");
        }
        assert_eq!(RequestedRange::parse("bytes=-1", 0), RequestedRange::Unsatisfiable);
    }
}
