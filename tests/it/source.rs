//! Reading Rust source for the house tests: code without comments and strings, its tokens, and their lines.

/// The first position where a word begins with `word`.
pub fn find_word(code: &str, word: &str) -> Option<usize> {
    let begins = |at: usize| {
        let before = code[..at].chars().next_back();
        !word.starts_with(char::is_alphabetic) || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    };
    code.match_indices(word).map(|(at, _)| at).find(|at| begins(*at))
}

/// Names, `::` and single characters, each with its position.
pub fn tokens(code: &str) -> Vec<(usize, String)> {
    let mut tokens: Vec<(usize, String)> = Vec::new();
    let mut end = 0;
    for (at, c) in code.char_indices() {
        let joins = tokens.last().is_some_and(|(_, last)| {
            at == end
                && ((is_part_of_name(c) && last.chars().all(is_part_of_name)) || (c == ':' && last == ":"))
        });
        if c.is_whitespace() {
            continue;
        }
        end = at + c.len_utf8();
        match tokens.last_mut() {
            Some((_, last)) if joins => last.push(c),
            _ => tokens.push((at, c.to_string())),
        }
    }
    tokens
}

fn is_part_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Replaces comments, strings and characters by blanks; line numbers are unchanged.
pub fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = skipped(text, at);
        if end == at {
            let c = text[at..].chars().next().unwrap();
            code.push(c);
            at += c.len_utf8();
        } else {
            code.extend(text[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// The end of the comment, string or character that begins at a position; the position itself if none does.
fn skipped(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let after = |length: Option<usize>| length.map_or(text.len(), |length| at + length);
    if rest.starts_with("//") {
        return after(rest.find('\n'));
    }
    if rest.starts_with("/*") {
        let (mut depth, mut length) = (0, 0);
        while length < rest.len() {
            if rest[length..].starts_with("/*") {
                (depth, length) = (depth + 1, length + 2);
            } else if rest[length..].starts_with("*/") {
                (depth, length) = (depth - 1, length + 2);
                if depth == 0 {
                    return at + length;
                }
            } else {
                length += rest[length..].chars().next().map_or(1, char::len_utf8);
            }
        }
        return text.len();
    }
    let begins_name = !text[..at].chars().next_back().is_some_and(is_part_of_name);
    if let Some(raw) = rest.strip_prefix('r').filter(|_| begins_name) {
        let hashes = raw.bytes().take_while(|b| *b == b'#').count();
        if raw[hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let body = 1 + hashes + 1;
            return after(rest[body..].find(&close).map(|length| body + length + close.len()));
        }
    }
    if let Some(body) = rest.strip_prefix('"') {
        return after(unescaped(body, '"').map(|length| 1 + length + 1));
    }
    if let Some(body) = rest.strip_prefix('\'') {
        // A lifetime has no closing quote after one character.
        let closes = body.starts_with('\\') || body.chars().nth(1) == Some('\'');
        if closes {
            return after(unescaped(body, '\'').map(|length| 1 + length + 1));
        }
    }
    at
}

/// The first position of a character without a backslash before it.
fn unescaped(text: &str, wanted: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (escaped, c) {
            (true, _) => escaped = false,
            (false, '\\') => escaped = true,
            (false, c) if c == wanted => return Some(at),
            (false, _) => {}
        }
    }
    None
}

pub fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The crate's modules that code names, with the place: `crate::name`, `crate::{name, …}`, and `super::name` where `depth`
/// `super`s lead to the crate's root.
pub fn imports(code: &str, depth: usize, is_module: impl Fn(&str) -> bool) -> Vec<(usize, String)> {
    let tokens = tokens(code);
    let word = |at: usize| tokens.get(at).map_or("", |(_, word)| word.as_str());
    let (mut found, mut braces, mut inner) = (Vec::new(), 0_usize, Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        match word(at) {
            "{" => {
                braces += 1;
                if at >= 2 && word(at - 2) == "mod" {
                    inner.push(braces);
                }
            }
            "}" => {
                if inner.last() == Some(&braces) {
                    inner.pop();
                }
                braces = braces.saturating_sub(1);
            }
            "crate" if word(at + 1) == "::" => {
                found.extend(named_after(&tokens, at + 2));
                at += 1;
            }
            "super" if word(at + 1) == "::" => {
                let mut supers = 1;
                while word(at + 2) == "super" && word(at + 3) == "::" {
                    supers += 1;
                    at += 2;
                }
                if supers == depth + inner.len() {
                    found
                        .extend(named_after(&tokens, at + 2).into_iter().filter(|(_, name)| is_module(name)));
                }
                at += 1;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The name at a place, or those at the top of the group there.
fn named_after(tokens: &[(usize, String)], at: usize) -> Vec<(usize, String)> {
    let is_name = |word: &str| word.starts_with(|c: char| c.is_lowercase());
    let Some((_, first)) = tokens.get(at) else { return Vec::new() };
    if first != "{" {
        return tokens[at..=at].iter().filter(|(_, word)| is_name(word)).cloned().collect();
    }
    let (mut names, mut depth, mut begins) = (Vec::new(), 0, false);
    for (place, word) in &tokens[at..] {
        match word.as_str() {
            "{" => {
                depth += 1;
                begins = depth == 1;
            }
            "}" => depth -= 1,
            "," => begins = depth == 1,
            _ => {
                if begins && is_name(word) {
                    names.push((*place, word.clone()));
                }
                begins = false;
            }
        }
        if depth == 0 {
            break;
        }
    }
    names
}
