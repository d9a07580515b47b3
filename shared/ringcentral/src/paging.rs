//! Lists that come in pages.

use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::api::{Api, Call};
use crate::error::Result;

/// No list is followed further than this; a server that always promises another page ends here.
const MAX_PAGES: u32 = 10_000;

/// One page of a list (Developer Guide, "Pagination").
#[derive(Debug, Clone, Deserialize)]
pub struct Page<T> {
    /// The things on this page.
    #[serde(default = "Vec::new")]
    pub records: Vec<T>,
    /// Where in the list this page is.
    #[serde(default)]
    pub paging: Paging,
    #[serde(default)]
    navigation: Navigation,
}

/// Where in a list a page is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Paging {
    /// The number of this page, from 1.
    pub page: Option<u32>,
    /// How many things a page holds; larger wishes are cut.
    pub per_page: Option<u32>,
    /// How many pages there are.
    pub total_pages: Option<u32>,
    /// How many things there are.
    pub total_elements: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Navigation {
    next_page: Option<serde::de::IgnoredAny>,
}

impl<T> Page<T> {
    /// True if the answer says that another page follows.
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
    /// The page with this number, from 1.
    pub(crate) async fn page<T: DeserializeOwned>(&self, call: Call, page: u32) -> Result<Page<T>> {
        self.json(call.query("page", &page.to_string())).await
    }

    /// The pages of a list, one call each, made as the stream is read. Page numbers are counted here rather
    /// than addresses followed, so a token goes nowhere but where the call went.
    pub(crate) fn pages<T>(&self, call: Call) -> impl Stream<Item = Result<Page<T>>> + Send + use<T>
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

    /// All things of a list.
    pub(crate) async fn all<T: DeserializeOwned + Send>(&self, call: Call) -> Result<Vec<T>> {
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
    fn the_next_page_is_told_by_count_or_by_address() {
        let next = |json: &str| serde_json::from_str::<Page<u8>>(json).expect("a page").has_next();
        assert!(next(r#"{"records":[1],"paging":{"page":1,"totalPages":2}}"#));
        assert!(!next(r#"{"records":[1],"paging":{"page":2,"totalPages":2}}"#));
        assert!(next(r#"{"records":[1],"navigation":{"nextPage":{"uri":"https://x"}}}"#));
        assert!(!next(r#"{"records":[1],"navigation":{"firstPage":{"uri":"https://x"}}}"#));
        assert!(!next(r#"{"records":[],"paging":{"page":1,"totalPages":9}}"#));
        assert!(!next("{}"));
    }
}
