//! Paginated lists.

use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::api::{Api, ApiCall};
use crate::error::Result;

/// The maximum number of pages of a list, in case a server always reports another page.
const MAX_PAGES: u32 = 10_000;

/// A page of a list (Developer Guide, "Pagination").
#[derive(Debug, Clone, Deserialize)]
pub struct Page<T> {
    /// The records of this page.
    #[serde(default = "Vec::new")]
    pub records: Vec<T>,
    /// The position of this page in the list.
    #[serde(default)]
    pub paging: Paging,
    #[serde(default)]
    navigation: Navigation,
}

/// The position of a page in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
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

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Navigation {
    next_page: Option<serde::de::IgnoredAny>,
}

impl<T> Page<T> {
    /// Whether another page follows.
    #[must_use]
    pub fn has_next(&self) -> bool {
        if self.records.is_empty() {
            return false;
        }
        let counted = match (self.paging.page, self.paging.total_pages) {
            (Some(page), Some(pages)) => Some(page < pages),
            _ => None,
        };
        counted.unwrap_or(self.navigation.next_page.is_some())
    }
}

impl Api {
    /// Returns the page with this number; the first page is 1.
    pub(crate) async fn page<T: DeserializeOwned>(&self, call: ApiCall, page: u32) -> Result<Page<T>> {
        self.json(call.query("page", &page.to_string())).await
    }

    /// Returns the pages of a list as a stream that makes one call per page as it is read. It counts page numbers instead
    /// of following the URLs in the responses, so that the access token is sent to the platform only.
    pub(crate) fn pages<T>(&self, call: ApiCall) -> impl Stream<Item = Result<Page<T>>> + Send + use<T>
    where
        T: DeserializeOwned + Send,
    {
        let api = self.clone();
        stream::try_unfold(Some(1), move |next: Option<u32>| {
            let (api, call) = (api.clone(), call.clone());
            async move {
                let Some(number) = next else { return Ok(None) };
                let page: Page<T> = api.page(call, number).await?;
                let next = (page.has_next() && number < MAX_PAGES).then_some(number + 1);
                Ok(Some((page, next)))
            }
        })
    }

    /// Returns all records of a list.
    pub(crate) async fn all<T: DeserializeOwned + Send>(&self, call: ApiCall) -> Result<Vec<T>> {
        let mut all = Vec::new();
        for number in 1..=MAX_PAGES {
            let page: Page<T> = self.page(call.clone(), number).await?;
            let more = page.has_next();
            all.extend(page.records);
            if !more {
                break;
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_reported_by_count_or_by_url() {
        let next = |json: &str| serde_json::from_str::<Page<u8>>(json).expect("a page").has_next();
        assert!(next(r#"{"records":[1],"paging":{"page":1,"totalPages":2}}"#));
        assert!(!next(r#"{"records":[1],"paging":{"page":2,"totalPages":2}}"#));
        assert!(next(r#"{"records":[1],"navigation":{"nextPage":{"uri":"https://x"}}}"#));
        assert!(!next(r#"{"records":[1],"navigation":{"firstPage":{"uri":"https://x"}}}"#));
        assert!(!next(r#"{"records":[],"paging":{"page":1,"totalPages":9}}"#));
        assert!(!next("{}"));
    }
}
