//! Patterns of metric filters for JSON lines: comparisons of fields with `&&`, `||` and parentheses.

use anyhow::{Result, bail};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq)]
pub enum FilterPattern {
    Any(Vec<FilterPattern>),
    All(Vec<FilterPattern>),
    Comparison { path: Vec<String>, operator: FieldOperator, value: Operand },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FieldOperator {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    Text(String),
    Number(f64),
}

const OPERATORS: [(&str, FieldOperator); 6] = [
    ("!=", FieldOperator::NotEqual),
    ("<=", FieldOperator::AtMost),
    (">=", FieldOperator::AtLeast),
    ("=", FieldOperator::Equal),
    ("<", FieldOperator::Less),
    (">", FieldOperator::Greater),
];

impl FilterPattern {
    pub fn parse(text: &str) -> Result<Self> {
        let inner = text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        let Some(inner) = inner else { bail!("the filter pattern {text} is not a pattern for JSON") };
        let mut parser = Parser { rest: inner };
        let pattern = parser.any()?;
        match parser.rest.trim() {
            "" => Ok(pattern),
            rest => bail!("the filter pattern has an unexpected end: {rest}"),
        }
    }

    #[must_use]
    pub fn matches(&self, line: &Value) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.matches(line)),
            Self::All(parts) => parts.iter().all(|part| part.matches(line)),
            Self::Comparison { path, operator, value } => {
                let field = path.iter().try_fold(line, |field, name| field.get(name));
                field.is_some_and(|field| compare(field, *operator, value))
            }
        }
    }

    /// False if no line with this text can match, which is cheaper to know than to read the line.
    #[must_use]
    pub fn may_match(&self, text: &str) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.may_match(text)),
            Self::All(parts) => parts.iter().all(|part| part.may_match(text)),
            Self::Comparison { path, operator: FieldOperator::Equal, value: Operand::Text(value) } => {
                text.contains(value.as_str()) && path.last().is_some_and(|name| text.contains(name.as_str()))
            }
            Self::Comparison { path, .. } => path.last().is_some_and(|name| text.contains(name.as_str())),
        }
    }
}

fn compare(field: &Value, operator: FieldOperator, wanted: &Operand) -> bool {
    match wanted {
        Operand::Text(wanted) => {
            let equal = field.as_str() == Some(wanted.as_str());
            match operator {
                FieldOperator::Equal => equal,
                FieldOperator::NotEqual => !equal,
                _ => false,
            }
        }
        Operand::Number(wanted) => field.as_f64().is_some_and(|field| match operator {
            FieldOperator::Equal => (field - wanted).abs() < f64::EPSILON,
            FieldOperator::NotEqual => (field - wanted).abs() >= f64::EPSILON,
            FieldOperator::Less => field < *wanted,
            FieldOperator::AtMost => field <= *wanted,
            FieldOperator::Greater => field > *wanted,
            FieldOperator::AtLeast => field >= *wanted,
        }),
    }
}

struct Parser<'text> {
    rest: &'text str,
}

impl<'text> Parser<'text> {
    fn any(&mut self) -> Result<FilterPattern> {
        let mut parts = vec![self.all()?];
        while self.take("||") {
            parts.push(self.all()?);
        }
        Ok(single_or(parts, FilterPattern::Any))
    }

    fn all(&mut self) -> Result<FilterPattern> {
        let mut parts = vec![self.part()?];
        while self.take("&&") {
            parts.push(self.part()?);
        }
        Ok(single_or(parts, FilterPattern::All))
    }

    fn part(&mut self) -> Result<FilterPattern> {
        if self.take("(") {
            let inner = self.any()?;
            if !self.take(")") {
                bail!("a closing parenthesis is missing before {}", self.rest);
            }
            return Ok(inner);
        }
        if !self.take("$.") {
            bail!("a field such as $.level is missing before {}", self.rest);
        }
        let path = self.while_true(|char| char.is_alphanumeric() || char == '_' || char == '.');
        let path = path.split('.').map(str::to_owned).collect();
        let Some((_, operator)) = OPERATORS.into_iter().find(|(sign, _)| self.take(sign)) else {
            bail!("the local stack does not support this operator: {}", self.rest);
        };
        self.rest = self.rest.trim_start();
        let value = if let Some(quoted) = self.rest.strip_prefix('"') {
            let Some((text, rest)) = quoted.split_once('"') else { bail!("a quotation mark is missing") };
            self.rest = rest;
            if text.contains('*') {
                bail!("the local stack does not support wildcards in filter patterns");
            }
            Operand::Text(text.to_owned())
        } else {
            let number = self.while_true(|char| char.is_ascii_digit() || char == '.' || char == '-');
            match number.parse() {
                Ok(number) => Operand::Number(number),
                Err(_) => bail!("a text or a number is missing before {}", self.rest),
            }
        };
        Ok(FilterPattern::Comparison { path, operator, value })
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest.trim_start().strip_prefix(token);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn while_true(&mut self, keep: impl Fn(char) -> bool) -> &'text str {
        let end = self.rest.find(|char| !keep(char)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

fn single_or(mut parts: Vec<FilterPattern>, all: fn(Vec<FilterPattern>) -> FilterPattern) -> FilterPattern {
    match parts.len() {
        1 => parts.remove(0),
        _ => all(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::FilterPattern;
    use serde_json::json;

    #[test]
    fn patterns_select_lines_as_cloudwatch_does() {
        let pattern = r#"{ ($.level = "ERROR") || (($.record.status = "timeout") && ($.ms >= 10)) }"#;
        let pattern = FilterPattern::parse(pattern).unwrap();
        for (line, matches) in [
            (json!({"level": "ERROR"}), true),
            (json!({"level": "ERRORS"}), false),
            (json!({"record": {"status": "timeout"}, "ms": 10}), true),
            (json!({"record": {"status": "timeout"}, "ms": 9}), false),
            (json!({"record": {"status": "timeout"}}), false),
            (json!("ERROR"), false),
        ] {
            assert_eq!(pattern.matches(&line), matches, "{line}");
            assert!(!matches || pattern.may_match(&line.to_string()), "{line}");
        }
        assert!(!pattern.may_match(r#"{"level":"INFO"}"#));
    }

    #[test]
    fn other_patterns_are_errors() {
        for pattern in ["ERROR", "{ $.level }", r#"{ $.level = "E*" }"#, r#"{ ($.a = "b" }"#, "{ $.a = b }"] {
            assert!(FilterPattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
