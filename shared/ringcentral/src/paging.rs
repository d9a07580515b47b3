//! Paginated lists.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;

use futures_util::stream::{self, Stream};

use crate::api::{Api, ApiCall};
use crate::error::Result;
use crate::lenient::{self, Fields, FromFields, Read, RecordError, record};
use crate::scanner::Quotes;

/// The maximum number of pages of a list, in case a server always reports another page.
const MAX_PAGES: u32 = 10_000;

/// The records of a list. It dereferences to those that could be read.
#[derive(Debug, Clone)]
pub struct Records<T> {
    readable: Vec<T>,
    unreadable: Vec<Unreadable>,
}

impl<T> Records<T> {
    /// The records that could not be read.
    #[must_use]
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    fn extend(&mut self, more: Self) {
        self.readable.extend(more.readable);
        self.unreadable.extend(more.unreadable);
    }
}

impl<T> Default for Records<T> {
    fn default() -> Self {
        Self { readable: Vec::new(), unreadable: Vec::new() }
    }
}

impl<T> Deref for Records<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.readable
    }
}

impl<T> IntoIterator for Records<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.readable.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Records<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A record of a list that could not be read. The other records are not affected. `Debug` omits the record.
#[derive(Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The record as it came.
    pub json: String,
    /// Why it could not be read, without its content.
    pub reason: String,
}

impl fmt::Debug for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unreadable({})", self.reason)
    }
}

impl<T: FromFields> FromFields for Records<T> {
    fn from_fields(fields: &Fields<'_>) -> std::result::Result<Self, RecordError> {
        let list = fields.raw("records").filter(|json| json.starts_with('['));
        let mut records = Self::default();
        let elements = list.and_then(lenient::elements).ok_or(RecordError::Field("records"))?;
        for json in elements {
            match lenient::read_record(json) {
                Ok(record) => records.readable.push(record),
                Err(error) => {
                    records.unreadable.push(Unreadable { json: json.to_owned(), reason: error.to_string() });
                }
            }
        }
        Ok(records)
    }
}

/// A page of a list (Developer Guide, "Pagination").
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The records of this page.
    pub records: Records<T>,
    /// The position of this page in the list.
    pub paging: Paging,
    next_page: Option<NextPage>,
    /// Of the records as they came.
    hash: u64,
}

impl<T: FromFields> FromFields for Page<T> {
    const QUOTES: Quotes = Quotes::Unescaped;

    fn from_fields(fields: &Fields<'_>) -> std::result::Result<Self, RecordError> {
        let navigation: Option<Navigation> = fields.lossy("navigation");
        Ok(Self {
            records: Records::from_fields(fields)?,
            paging: fields.lossy("paging").unwrap_or_default(),
            next_page: navigation.and_then(|navigation| navigation.next_page),
            hash: hash(fields.raw("records").unwrap_or_default()),
        })
    }
}

/// The position of a page in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paging {
    /// The number of this page, from 1.
    pub page: Option<u32>,
    /// The page size. RingCentral reduces sizes that are too large.
    pub per_page: Option<u32>,
    /// The number of pages.
    pub total_pages: Option<u32>,
    /// The number of records in the list.
    pub total_elements: Option<u64>,
}

record!(Paging {
    page: lossy "page",
    per_page: lossy "perPage",
    total_pages: lossy "totalPages",
    total_elements: lossy "totalElements",
});

struct Navigation {
    next_page: Option<NextPage>,
}

record!(Navigation { next_page: lossy "nextPage", });

/// The presence of a next page.
#[derive(Debug, Clone, Copy)]
struct NextPage;

impl Read for NextPage {
    fn read(_: &str) -> Option<Self> {
        Some(Self)
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl<T> Page<T> {
    /// Whether to request the page after this one, whose number is `number`. A server that always returns the same page, or
    /// counts from zero, does not make the list endless.
    fn continues(&self, number: u32, previous: Option<u64>) -> bool {
        self.has_next()
            && number < self.paging.total_pages.unwrap_or(MAX_PAGES)
            && previous.is_none_or(|previous| previous != self.hash)
    }

    /// Whether another page follows.
    #[must_use]
    pub fn has_next(&self) -> bool {
        if self.records.is_empty() && self.records.unreadable.is_empty() {
            return false;
        }
        let counted = match (self.paging.page, self.paging.total_pages) {
            (Some(page), Some(pages)) => Some(page < pages),
            _ => None,
        };
        counted.unwrap_or(self.next_page.is_some())
    }
}

impl Api {
    /// Returns the page with this number; the first page is 1.
    pub(crate) async fn page<T: FromFields>(&self, call: ApiCall, page: u32) -> Result<Page<T>> {
        self.json(call.query("page", &page.to_string())).await
    }

    /// Returns the pages of a list as a stream that makes one call per page as it is read. It counts page numbers instead
    /// of following the URLs in the responses, so that the access token is sent to the platform only.
    pub(crate) fn pages<T>(&self, call: ApiCall) -> impl Stream<Item = Result<Page<T>>> + Send + use<T>
    where
        T: FromFields + Send,
    {
        let api = self.clone();
        stream::try_unfold(Some((1, None)), move |next: Option<(u32, Option<u64>)>| {
            let (api, call) = (api.clone(), call.clone());
            async move {
                let Some((number, previous)) = next else { return Ok(None) };
                let page: Page<T> = api.page(call, number).await?;
                let next = page.continues(number, previous).then_some((number + 1, Some(page.hash)));
                Ok(Some((page, next)))
            }
        })
    }

    /// Returns all records of a list.
    pub(crate) async fn all<T: FromFields + Send>(&self, call: ApiCall) -> Result<Records<T>> {
        let (mut all, mut previous) = (Records::default(), None);
        for number in 1..=MAX_PAGES {
            let page: Page<T> = self.page(call.clone(), number).await?;
            let is_last = !page.continues(number, previous.replace(page.hash));
            all.extend(page.records);
            if is_last {
                break;
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::id::Id;
    use crate::identity::AccountReference;

    fn page(json: &str) -> Page<AccountReference> {
        lenient::read_record(json).expect("a page")
    }

    #[test]
    fn a_list_that_stands_still_ends() {
        let stuck = page(r#"{"records":[{"id":1}],"navigation":{"nextPage":{"uri":"https://x"}}}"#);
        assert!(stuck.continues(1, None));
        assert!(!stuck.continues(2, Some(stuck.hash)));
        let always_first = page(r#"{"records":[{"id":1}],"paging":{"page":1,"totalPages":3}}"#);
        assert!(always_first.continues(1, None) && !always_first.continues(3, None));
        let from_zero = page(r#"{"records":[{"id":1}],"paging":{"page":0,"totalPages":1}}"#);
        assert!(!from_zero.continues(1, None));
    }

    #[test]
    fn the_next_page_is_reported_by_count_or_by_url() {
        let next = |json: &str| page(json).has_next();
        assert!(next(r#"{"records":[{"id":1}],"paging":{"page":1,"totalPages":2}}"#));
        assert!(next(r#"{"records":[{"id":1}],"paging":{"page":"1","totalPages":"2"}}"#));
        assert!(!next(r#"{"records":[{"id":1}],"paging":{"page":2,"totalPages":2}}"#));
        assert!(next(r#"{"records":[{"id":1}],"navigation":{"nextPage":{"uri":"https://x"}}}"#));
        assert!(!next(r#"{"records":[{"id":1}],"navigation":{"firstPage":{"uri":"https://x"}}}"#));
        assert!(!next(r#"{"records":[{"id":1}],"navigation":{"nextPage":null}}"#));
        assert!(next(r#"{"records":[{}],"paging":{"page":1,"totalPages":2}}"#), "only unreadable records");
        assert!(!next(r#"{"records":[],"paging":{"page":1,"totalPages":9}}"#));
        // A body without a list is not an empty list.
        for body in ["{}", r#"{"records":null}"#, r#"{"records":{}}"#] {
            assert!(lenient::read_record::<Page<AccountReference>>(body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_record_that_cannot_be_read_is_kept_beside_the_others() {
        let page = page(r#"{"records":[{"id":1},{"id":[]},"odd",{"id":"2"}],"paging":[]}"#);
        assert_eq!(page.records.iter().map(|record| record.id).collect::<Vec<_>>(), [Id(1), Id(2)]);
        let unreadable: Vec<_> =
            page.records.unreadable().iter().map(|one| (one.json.as_str(), one.reason.as_str())).collect();
        assert_eq!(
            unreadable,
            [(r#"{"id":[]}"#, "the field id cannot be read"), (r#""odd""#, "not a JSON object")]
        );
    }

    const RECORD: &str = r#"{"id":"@ID@","to":[{"phoneNumber":"+14155550100","target":true}],
        "from":{"phoneNumber":"+16505550111","name":"Ann"},"type":"SMS","creationTime":"2026-02-03T10:05:08.000Z",
        "lastModifiedTime":"2026-02-03T10:05:09.000Z","readStatus":"Unread","direction":"Inbound","availability":"Alive",
        "attachments":[{"id":17,"type":"Text","contentType":"text/plain","size":5}],"subject":"hello",
        "messageStatus":"Received","segmentCount":1,"conversation":{"id":"1600000000000000017"},"unused":{"deep":[1]}}"#;

    /// JSON that can stand where a record or a field is expected.
    const ODD_VALUES: [&str; 14] = [
        "null",
        "true",
        "-1",
        "1e999",
        "\"\"",
        "\"soon\"",
        "{}",
        "[]",
        "[null]",
        "[[{}]]",
        "{\"a\":1,\"a\":2}",
        r#""\ud83d""#,
        "123456789012345678901234567890",
        "\"\u{202e}\u{0}\"",
    ];

    /// The places of all values inside a value.
    fn places(value: &Value, at: &str, into: &mut Vec<String>) {
        into.push(at.to_owned());
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, value)| places(value, &format!("{at}/{name}"), into));
            }
            Value::Array(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(index, value)| places(value, &format!("{at}/{index}"), into));
            }
            _ => {}
        }
    }

    /// What can be inserted anywhere in a record, so that brackets and quotation marks stay balanced.
    const INSERTED: [&str; 18] = [
        ",",
        ",,",
        ":",
        " ",
        "\n",
        "x",
        "7",
        "-",
        "NaN",
        "Infinity",
        "undefined",
        "{}",
        "[]",
        "[{},]",
        "\"\"",
        "é",
        "\0",
        "//",
    ];

    /// Text that is not valid JSON, and can stand where a value is expected. Its brackets match.
    const ODD_TEXTS: [&str; 22] = [
        "",
        "NaN",
        "-Infinity",
        "undefined",
        "tru",
        "+1",
        ".5",
        "0x1F",
        "1_000",
        "'single'",
        "'it\\'s'",
        "'say \"hi'",
        "{a:1,'b':\"c\",}",
        "[1,,2,]",
        "[\"a\" {\"b\":1}]",
        "{\"a\":1 \"b\":2}",
        "{\"a\"}",
        "{:}",
        "\"two\nlines\t\"",
        "\"\\x \\u12 \\ud83d\"",
        "\"a 5\" screen\"",
        "/* it's */",
    ];

    fn records(count: usize) -> Vec<String> {
        (0..count).map(|at| RECORD.replace("@ID@", &at.to_string())).collect()
    }

    fn page_of(records: &[String]) -> String {
        format!("{{\"records\":[{}],\"paging\":{{\"page\":1}}}}", records.join(","))
    }

    /// Checks that a page with a damaged record has the others unchanged, and that none is lost.
    fn check_neighbours(body: &str, count: usize, damaged: usize) -> std::result::Result<(), TestCaseError> {
        let page: Page<crate::Message> = lenient::read_body(body.as_bytes()).expect("a page");
        for expected in (0..count).filter(|at| *at != damaged).map(|at| Id(at as u64)) {
            let content = |message: &crate::Message| {
                (message.text.clone(), message.target_number().map(str::to_owned), message.attachments.len())
            };
            let found: Vec<_> =
                page.records.iter().filter(|message| message.id == expected).map(content).collect();
            let hello = (Some("hello".to_owned()), Some("+14155550100".to_owned()), 1);
            prop_assert!(found.contains(&hello), "{expected}: {found:?} in {body}");
        }
        prop_assert_eq!(
            page.records.len() + page.records.unreadable().len(),
            count,
            "none is lost: {}",
            body
        );
        Ok(())
    }

    proptest! {
        #[test]
        fn damaging_one_record_in_any_field_leaves_the_others_unchanged(
            count in 1_usize..5,
            damaged in 0_usize..5,
            place in any::<prop::sample::Index>(),
            odd in prop::sample::select([&ODD_VALUES[..], &ODD_TEXTS[..]].concat()),
        ) {
            let damaged = damaged % count;
            let mut records = records(count);
            let mut value: Value = serde_json::from_str(&records[damaged]).expect("valid");
            let mut all = Vec::new();
            places(&value, "", &mut all);
            let place = place.get(&all[..]).as_str();
            // In place of a whole record, nothing is no record, and three words are three.
            prop_assume!(!(place.is_empty() && (odd.is_empty() || odd.starts_with("/*"))));
            *value.pointer_mut(place).expect("a place") = "@ODD@".into();
            records[damaged] = value.to_string().replace("\"@ODD@\"", odd);
            check_neighbours(&page_of(&records), count, damaged)?;
        }

        #[test]
        fn damaging_one_record_anywhere_leaves_the_others_unchanged(
            count in 1_usize..5,
            damaged in 0_usize..5,
            edits in proptest::collection::vec((any::<prop::sample::Index>(), prop::option::of(0..INSERTED.len())), 1..6),
        ) {
            let damaged = damaged % count;
            let mut records = records(count);
            for (at, insert) in edits {
                let record = &mut records[damaged];
                // Inside of its outer brackets.
                let at = 1 + at.index(record.len() - 1);
                if !record.is_char_boundary(at) {
                    continue;
                }
                match insert {
                    Some(insert) => record.insert_str(at, INSERTED[insert]),
                    None if !matches!(record.as_bytes()[at], b'"' | b'{' | b'}' | b'[' | b']') => _ = record.remove(at),
                    None => {}
                }
            }
            check_neighbours(&page_of(&records), count, damaged)?;
        }

        #[test]
        fn an_unescaped_quotation_mark_in_one_record_leaves_the_others_unchanged(
            count in 1_usize..5,
            damaged in 0_usize..5,
            text in prop::sample::select(vec!["a 5\" screen", "\"", "say \"hi\" now", "C:\\", "\"hi\", he said", "'\"'"]),
        ) {
            let damaged = damaged % count;
            let mut records = records(count);
            records[damaged] = records[damaged].replace("hello", text);
            check_neighbours(&page_of(&records), count, damaged)?;
        }

        #[test]
        fn a_page_that_was_cut_off_is_not_a_page(count in 0_usize..4, at in any::<prop::sample::Index>()) {
            let body = page_of(&records(count));
            let cut = &body[..at.index(body.len())];
            prop_assert!(lenient::read_body::<Page<crate::Message>>(cut.as_bytes()).is_err(), "{cut}");
            let sync = lenient::read_body::<crate::SyncResult>(cut.as_bytes());
            prop_assert!(sync.is_err(), "{cut}");
        }
    }
}
