//! `page` and `perPage`, and the `paging` and `navigation` objects of a reply.

use serde_json::{Map, Value, json};

use crate::error::ApiError;

/// A query string with repeated keys.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string; an empty value is absent.
    pub fn parse(raw: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(raw.unwrap_or_default().as_bytes());
        Self(pairs.filter(|(_, v)| !v.is_empty()).map(|(k, v)| (k.into_owned(), v.into_owned())).collect())
    }

    /// The first value of a key.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// All values of a key: repeated, or with commas between them.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(k, _)| k == name).flat_map(|(_, v)| v.split(',')).collect()
    }

    /// A whole number, at least `least`.
    pub fn number(&self, name: &str, least: usize) -> Result<Option<usize>, ApiError> {
        self.get(name)
            .map(|text| {
                text.parse().ok().filter(|n| *n >= least).ok_or_else(|| ApiError::parameter(name, text))
            })
            .transpose()
    }

    /// This query with another page.
    fn with_page(&self, page: usize, per_page: usize) -> String {
        let kept = self.0.iter().filter(|(k, _)| k != "page" && k != "perPage" && k != "access_token");
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(kept);
        query.append_pair("page", &page.to_string()).append_pair("perPage", &per_page.to_string());
        query.finish()
    }
}

/// One page of a list.
pub struct Page {
    /// The records of this page.
    pub records: Vec<Value>,
    /// `paging` of the reply.
    pub paging: Value,
    /// `navigation` of the reply.
    pub navigation: Value,
    /// The address of this page.
    pub uri: String,
}

/// Cuts the page that `query` asks for out of `records`. `uri` is the list's address without a query.
pub fn page(query: &Query, uri: &str, records: Vec<Value>) -> Result<Page, ApiError> {
    let page = query.number("page", 1)?.unwrap_or(1);
    let per_page = query.number("perPage", 1)?.unwrap_or(100).min(1000);
    let total = records.len();
    let pages = total.div_ceil(per_page).max(1);
    let start = (page - 1).saturating_mul(per_page);
    let records: Vec<Value> = records.into_iter().skip(start).take(per_page).collect();
    let mut paging = json!({"page": page, "perPage": per_page, "totalPages": pages, "totalElements": total});
    if !records.is_empty() {
        paging["pageStart"] = start.into();
        paging["pageEnd"] = (start + records.len() - 1).into();
    }
    let link = |page| json!({"uri": format!("{uri}?{}", query.with_page(page, per_page))});
    let mut navigation = Map::new();
    navigation.insert("firstPage".into(), link(1));
    navigation.insert("lastPage".into(), link(pages));
    if page < pages {
        navigation.insert("nextPage".into(), link(page + 1));
    }
    if page > 1 && page <= pages + 1 {
        navigation.insert("previousPage".into(), link(page - 1));
    }
    Ok(Page {
        records,
        paging,
        navigation: Value::Object(navigation),
        uri: format!("{uri}?{}", query.with_page(page, per_page)),
    })
}
