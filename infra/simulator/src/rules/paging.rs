//! Pages of a list by `page` and `perPage`.

use serde_json::{Map, Value, json};

use crate::platform::errors::RestError;
use crate::rules::query::QueryString;

const DEFAULT_PER_PAGE: usize = 100;
const MAX_PER_PAGE: usize = 1000;

pub struct PageOfRecords {
    pub records: Vec<Value>,
    pub paging: Value,
    pub navigation: Value,
    /// The absolute URL of this page.
    pub uri: String,
}

impl PageOfRecords {
    /// The body of a reply with all parts of the page.
    #[must_use]
    pub fn into_json(self) -> Value {
        json!({
            "uri": self.uri, "records": self.records, "navigation": self.navigation, "paging": self.paging,
        })
    }
}

/// Selects the requested page of `records`. `uri` is the absolute URL of the list without a query.
pub fn page_of(query: &QueryString, uri: &str, records: Vec<Value>) -> Result<PageOfRecords, RestError> {
    let page = query.number("page", 1)?.unwrap_or(1);
    let per_page = query.number("perPage", 1)?.unwrap_or(DEFAULT_PER_PAGE).min(MAX_PER_PAGE);
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
    Ok(PageOfRecords {
        records,
        paging,
        navigation: Value::Object(navigation),
        uri: format!("{uri}?{}", query.with_page(page, per_page)),
    })
}
