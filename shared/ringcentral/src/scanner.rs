//! A scanner that splits JSON at its brackets, commas and colons, and finds the ends of strings. It parses nothing else, so it
//! accepts much that is not valid JSON. In valid JSON, it finds exactly the values.

/// How the ends of strings are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// A quotation mark in a string is escaped, as JSON requires.
    Escaped,
    /// It may be unescaped: a string begins only where a name or value can, and ends only where one can.
    Unescaped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Comma,
    Colon,
    /// A string, a whole object or list, or a word.
    Value(&'a str),
    /// The end of the object or list, behind which the text ends.
    End,
}

/// Reads the tokens of an object or list.
#[derive(Debug, Clone)]
pub(crate) struct Scanner<'a> {
    json: &'a str,
    at: usize,
    /// The last byte before `at` that is not white space.
    before: u8,
    closing: u8,
    quotes: Quotes,
    /// True if no single quote that could end a string follows.
    no_single_quote: bool,
}

impl<'a> Scanner<'a> {
    /// A scanner behind the first bracket of an object (`{`) or list (`[`).
    pub fn inside(json: &'a str, bracket: char, quotes: Quotes) -> Option<Self> {
        let at = json.len() - json.trim_start().strip_prefix(bracket)?.len();
        let (before, closing) = if bracket == '{' { (b'{', b'}') } else { (b'[', b']') };
        Some(Self { json, at, before, closing, quotes, no_single_quote: false })
    }

    /// The next token; `None` if a bracket or string has no end, or if more text follows the end.
    pub fn next(&mut self) -> Option<Token<'a>> {
        let start = self.skip_space();
        let first = self.byte(start)?;
        let end = match first {
            b',' | b':' => start + 1,
            b'}' | b']' => {
                self.at = start + 1;
                let is_end = first == self.closing && self.skip_space() == self.json.len();
                return is_end.then_some(Token::End);
            }
            b'{' | b'[' => self.end_of_group(start)?,
            _ => match self.end_of_string(start, self.before) {
                StringEnd::At(end) => end,
                StringEnd::Missing => return None,
                StringEnd::NotAString => self.end_of_word(start),
            },
        };
        self.at = end;
        self.before = self.byte(end - 1)?;
        Some(match first {
            b',' => Token::Comma,
            b':' => Token::Colon,
            _ => Token::Value(&self.json[start..end]),
        })
    }

    /// The next token, if it is a value.
    pub fn next_value(&mut self) -> Option<&'a str> {
        let mut ahead = self.clone();
        match ahead.next() {
            Some(Token::Value(value)) => {
                *self = ahead;
                Some(value)
            }
            _ => None,
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.json.as_bytes().get(at).copied()
    }

    /// Skips white space, and returns the position behind it.
    fn skip_space(&mut self) -> usize {
        self.at = self.behind_space(self.at);
        self.at
    }

    fn behind_space(&self, at: usize) -> usize {
        let rest = &self.json.as_bytes()[at..];
        at + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
    }

    /// The end of an object or list, whose brackets match.
    fn end_of_group(&mut self, start: usize) -> Option<usize> {
        let mut closing: Vec<u8> = Vec::new();
        let (mut at, mut before) = (start, b'[');
        loop {
            let byte = self.byte(at)?;
            let mut next = at + 1;
            match byte {
                b'{' => closing.push(b'}'),
                b'[' => closing.push(b']'),
                b'}' | b']' => {
                    if closing.pop() != Some(byte) {
                        return None;
                    }
                    if closing.is_empty() {
                        return Some(next);
                    }
                }
                b'"' | b'\'' => match self.end_of_string(at, before) {
                    StringEnd::At(end) => next = end,
                    StringEnd::Missing => return None,
                    StringEnd::NotAString => {}
                },
                _ => {}
            }
            if !byte.is_ascii_whitespace() {
                before = byte;
            }
            at = next;
        }
    }

    /// The end of the string that begins here. `before` is the last byte before it that is not white space.
    fn end_of_string(&mut self, start: usize, before: u8) -> StringEnd {
        let can_begin = matches!(before, b'{' | b'[' | b',' | b':');
        let quote = self.byte(start);
        let may_be_unescaped = match quote {
            Some(b'"') if self.quotes == Quotes::Escaped => false,
            Some(b'"') if can_begin => true,
            Some(b'\'') if can_begin && !self.no_single_quote => true,
            _ => return StringEnd::NotAString,
        };
        let mut at = start + 1;
        while let Some(byte) = self.byte(at) {
            if byte == b'\\' {
                at += 2;
                continue;
            }
            at += 1;
            if Some(byte) == quote && (!may_be_unescaped || self.can_end(at)) {
                return StringEnd::At(at);
            }
        }
        if quote == Some(b'"') {
            return StringEnd::Missing;
        }
        // An apostrophe.
        self.no_single_quote = true;
        StringEnd::NotAString
    }

    /// Whether a name or value can end here.
    fn can_end(&self, at: usize) -> bool {
        matches!(self.byte(self.behind_space(at)), None | Some(b',' | b':' | b'}' | b']'))
    }

    /// The end of a word: a number, `true`, or what stands where a value should be.
    fn end_of_word(&self, start: usize) -> usize {
        let is_over = |byte: u8| match byte {
            b',' | b':' | b'{' | b'}' | b'[' | b']' => true,
            b'"' => self.quotes == Quotes::Escaped,
            _ => byte.is_ascii_whitespace(),
        };
        let rest = &self.json.as_bytes()[start + 1..];
        start + 1 + rest.iter().take_while(|byte| !is_over(**byte)).count()
    }
}

/// Where a string ends.
#[derive(Debug, Clone, Copy)]
enum StringEnd {
    /// Behind its quotation mark.
    At(usize),
    /// Nowhere.
    Missing,
    /// No string begins here.
    NotAString,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// The values of a list, split as deep as it is nested.
    fn flat(json: &str, quotes: Quotes, into: &mut Vec<String>) -> Option<()> {
        let bracket = json.chars().next().filter(|first| matches!(first, '{' | '['));
        let Some(bracket) = bracket else {
            into.push(json.to_owned());
            return Some(());
        };
        let mut scanner = Scanner::inside(json, bracket, quotes)?;
        loop {
            match scanner.next()? {
                Token::End => return Some(()),
                Token::Value(value) => flat(value, quotes, into)?,
                Token::Comma | Token::Colon => {}
            }
        }
    }

    fn leaves(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| leaves(item, into)),
            Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                into.push(Value::from(name.as_str()).to_string());
                leaves(value, into);
            }),
            other => into.push(other.to_string()),
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let text = "[ -~\\t\\né]{0,8}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map(text, inner, 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn valid_json_is_split_at_its_values(value in any_json(), pretty: bool) {
            let json = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let json = json.expect("written");
            let mut expected = Vec::new();
            leaves(&value, &mut expected);
            for quotes in [Quotes::Escaped, Quotes::Unescaped] {
                let mut found = Vec::new();
                prop_assert_eq!(flat(&json, quotes, &mut found), Some(()));
                prop_assert_eq!(&found, &expected);
            }
        }

        #[test]
        fn valid_json_that_was_cut_off_has_no_end(value in any_json(), at in any::<prop::sample::Index>()) {
            let json = Value::from(vec![value]).to_string();
            let cut = at.index(json.len());
            prop_assume!(json.is_char_boundary(cut) && cut > 0);
            for quotes in [Quotes::Escaped, Quotes::Unescaped] {
                prop_assert_eq!(flat(&json[..cut], quotes, &mut Vec::new()), None);
            }
        }

        #[test]
        fn no_text_causes_a_panic(text in "[\\[\\]{}\"',:\\\\a é]{0,40}") {
            for quotes in [Quotes::Escaped, Quotes::Unescaped] {
                let _ = flat(&text, quotes, &mut Vec::new());
            }
        }
    }
}
