//! A minimal browser for the demo: it keeps cookies, follows redirects, and submits forms with the headers of a browser.

use anyhow::{Context, Result, bail};
use reqwest::header::{COOKIE, LOCATION, ORIGIN, REFERER, SET_COOKIE};
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

const MAX_REDIRECTS: usize = 10;

pub struct FormBrowser {
    client: reqwest::Client,
    /// By host and name. Cookies are shared between ports.
    cookies: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Clone, Debug)]
pub struct BrowserPage {
    pub url: Url,
    pub status: u16,
    pub html: String,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HtmlForm {
    /// As written in the page.
    pub action: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
    pub buttons: Vec<FormButton>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FormButton {
    pub name: String,
    pub value: String,
    pub text: String,
}

impl FormBrowser {
    pub fn new() -> Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(35))
            .build()
            .context("no HTTP client")?;
        Ok(Self { client, cookies: BTreeMap::new() })
    }

    /// Opens a URL.
    pub async fn open(&mut self, url: &str) -> Result<BrowserPage> {
        let url = Url::parse(url).with_context(|| format!("\"{url}\" is not a URL"))?;
        self.follow(url, None, None).await
    }

    /// Submits a form of a page with the first button whose text, name or value contains `button`.
    pub async fn press(
        &mut self,
        page: &BrowserPage,
        button: &str,
        values: &[(&str, &str)],
    ) -> Result<BrowserPage> {
        let forms = forms(&page.html);
        let found = forms.iter().find_map(|form| {
            let is_wanted = |found: &&FormButton| {
                [&found.text, &found.name, &found.value].iter().any(|part| part.contains(button))
            };
            form.buttons.iter().find(is_wanted).map(|button| (form, button))
        });
        let (form, pressed) = found.with_context(|| format!("{} has no button \"{button}\"", page.url))?;
        let mut fields: Vec<(String, String)> = form.fields.clone();
        for (name, value) in values {
            fields.retain(|(field, _)| field != name);
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        if !pressed.name.is_empty() {
            fields.push((pressed.name.clone(), pressed.value.clone()));
        }
        let action = if form.action.is_empty() { page.url.clone() } else { page.url.join(&form.action)? };
        self.follow(action, Some(fields), Some(&page.url)).await
    }

    async fn follow(
        &mut self,
        url: Url,
        form: Option<Vec<(String, String)>>,
        from: Option<&Url>,
    ) -> Result<BrowserPage> {
        let (mut url, mut form) = (url, form);
        for _ in 0..MAX_REDIRECTS {
            let response = self.request(&url, form.take(), from).await?;
            self.keep_cookies(&url, &response);
            let location =
                response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
            if let Some(location) = location.filter(|_| response.status().is_redirection()) {
                url = url.join(&location)?;
                continue;
            }
            let status = response.status().as_u16();
            return Ok(BrowserPage { url, status, html: response.text().await? });
        }
        bail!("{url} redirects too often")
    }

    async fn request(
        &self,
        url: &Url,
        form: Option<Vec<(String, String)>>,
        from: Option<&Url>,
    ) -> Result<reqwest::Response> {
        let mut request = match &form {
            None => self.client.get(url.clone()),
            Some(fields) => {
                let origin = from.map_or_else(|| url.origin(), Url::origin).ascii_serialization();
                let request = self.client.post(url.clone()).header(ORIGIN, origin).form(fields);
                match from {
                    Some(from) if from.origin() == url.origin() => {
                        request.header(REFERER, from.as_str()).header("sec-fetch-site", "same-origin")
                    }
                    _ => request,
                }
            }
        };
        let jar = self.cookies.get(url.host_str().unwrap_or_default());
        let cookies: Vec<String> =
            jar.into_iter().flatten().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        request.send().await.with_context(|| format!("{url} does not respond"))
    }

    fn keep_cookies(&mut self, url: &Url, response: &reqwest::Response) {
        let jar = self.cookies.entry(url.host_str().unwrap_or_default().to_owned()).or_default();
        for cookie in response.headers().get_all(SET_COOKIE) {
            let Ok(cookie) = cookie.to_str() else { continue };
            let mut parts = cookie.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let expired = parts.any(|part| part.eq_ignore_ascii_case("max-age=0"));
            if expired || value.is_empty() {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// The forms of a page. It parses the pages of the gateway and the simulator, not HTML in general.
#[must_use]
pub fn forms(html: &str) -> Vec<HtmlForm> {
    let mut forms: Vec<HtmlForm> = Vec::new();
    let mut inside = false;
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let tag_text = &rest[start + 1..];
        let Some(end) = tag_end(tag_text) else { break };
        let (tag, after) = (&tag_text[..end], &tag_text[end + 1..]);
        let name = tag.split(|character: char| character.is_whitespace()).next().unwrap_or_default();
        let attribute = |wanted: &str| attribute(tag, wanted).unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "form" => {
                inside = true;
                forms.push(HtmlForm { action: attribute("action"), ..HtmlForm::default() });
            }
            "/form" => inside = false,
            "input" if inside => {
                if let Some(form) = forms.last_mut().filter(|_| !attribute("name").is_empty()) {
                    form.fields.push((attribute("name"), attribute("value")));
                }
            }
            "button" if inside => {
                let close = after.find("</button").unwrap_or(after.len());
                if let Some(form) = forms.last_mut() {
                    form.buttons.push(FormButton {
                        name: attribute("name"),
                        value: attribute("value"),
                        text: text(&after[..close]),
                    });
                }
            }
            _ => {}
        }
        rest = after;
    }
    forms
}

/// The end of a tag: the first `>` outside quotes.
fn tag_end(text: &str) -> Option<usize> {
    let mut quote = None;
    for (index, character) in text.char_indices() {
        match (quote, character) {
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, '>') => return Some(index),
            _ => {}
        }
    }
    None
}

fn attribute(tag: &str, wanted: &str) -> Option<String> {
    let mut rest = tag;
    while let Some(found) = rest.find(wanted) {
        let before = rest[..found].chars().next_back();
        let after = &rest[found + wanted.len()..];
        if before.is_some_and(char::is_whitespace)
            && let Some(value) = after.strip_prefix('=')
        {
            let quoted = value.chars().next().filter(|quote| ['"', '\''].contains(quote));
            let value = match quoted {
                Some(quote) => value[1..].split(quote).next(),
                None => value.split_whitespace().next(),
            };
            return value.map(unescape);
        }
        rest = after;
    }
    None
}

/// HTML without its tags.
#[must_use]
pub fn text(html: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for character in html.chars() {
        match character {
            '<' => inside = true,
            '>' if inside => {
                inside = false;
                out.push(' ');
            }
            _ if inside => {}
            other => out.push(other),
        }
    }
    unescape(&out.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The first heading of a page.
#[must_use]
pub fn heading(html: &str) -> String {
    let heading = html.split_once("<h1").and_then(|(_, rest)| rest.split_once('>')).map(|(_, rest)| rest);
    heading.and_then(|rest| rest.split_once("</h1")).map(|(heading, _)| text(heading)).unwrap_or_default()
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let known = rest.find(';').filter(|end| *end < 10).and_then(|end| {
            let character = match &rest[1..end] {
                "amp" => Some('&'),
                "lt" => Some('<'),
                "gt" => Some('>'),
                "quot" => Some('"'),
                "apos" => Some('\''),
                number => match number.strip_prefix("#x") {
                    Some(hex) => u32::from_str_radix(hex, 16).ok().and_then(char::from_u32),
                    None => number
                        .strip_prefix('#')
                        .and_then(|digits| digits.parse().ok())
                        .and_then(char::from_u32),
                },
            };
            character.map(|character| (character, end))
        });
        match known {
            Some((character, end)) => {
                out.push(character);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::{FormButton, forms, heading, text};

    #[test]
    fn forms_are_read_with_fields_and_buttons() {
        let html = r#"<h1>Allow &quot;A&amp;B&quot;?</h1><form method="post" action="/x?a=1&amp;b=2">
            <input type="hidden" name="token" value="t&#x2F;1"><input name=plain value=1>
            <button name="user" value="7" class="a > b"><strong>Ann</strong><span>101</span></button></form><input name="out">"#;
        let forms = forms(html);
        assert_eq!(forms.len(), 1);
        assert_eq!(forms[0].action, "/x?a=1&b=2");
        assert_eq!(forms[0].fields, [("token".into(), "t/1".into()), ("plain".into(), "1".into())]);
        let button = FormButton { name: "user".into(), value: "7".into(), text: "Ann 101".into() };
        assert_eq!(forms[0].buttons, [button]);
        assert_eq!(heading(html), "Allow \"A&B\"?");
        assert_eq!(text("a<br>b &lt; c"), "a b < c");
    }
}
