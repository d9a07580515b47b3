//! Metric math: arithmetic, comparisons, `IF`, `FILL`, and `SUM`, `MAX`, `MIN` and `AVG` over several metrics, one period at a
//! time. A period without data has no value, and neither has what is computed from it; functions over several metrics pass it.

use anyhow::{Result, bail};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    Number(f64),
    /// A metric or another expression of the alarm.
    Id(String),
    Binary(char, Box<Expression>, Box<Expression>),
    If(Box<[Expression; 3]>),
    Fill(Box<[Expression; 2]>),
    /// The function's name, and what it is applied to; `None` is `METRICS()`.
    Over(String, Option<Vec<Expression>>),
}

/// The values of a period by id. Those of metrics come before those of expressions.
pub type PeriodValues = BTreeMap<String, Option<f64>>;

impl Expression {
    pub fn parse(text: &str) -> Result<Self> {
        let mut parser = Parser { rest: text };
        let expression = parser.comparison()?;
        match parser.rest.trim() {
            "" => Ok(expression),
            rest => bail!("the local stack does not support this in metric math: {rest}"),
        }
    }

    /// `metrics` are the values of metrics, `values` also those of expressions.
    #[must_use]
    pub fn evaluate(&self, metrics: &PeriodValues, values: &PeriodValues) -> Option<f64> {
        let of = |expression: &Self| expression.evaluate(metrics, values);
        match self {
            Self::Number(number) => Some(*number),
            Self::Id(id) => values.get(id).copied().flatten(),
            Self::Binary(operator, left, right) => {
                let (left, right) = (of(left)?, of(right)?);
                let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
                Some(match operator {
                    '+' => left + right,
                    '-' => left - right,
                    '*' => left * right,
                    '/' if right == 0.0 => return None,
                    '/' => left / right,
                    '<' => truth(left < right),
                    _ => truth(left > right),
                })
            }
            Self::If(parts) => match of(&parts[0])? {
                0.0 => of(&parts[2]),
                _ => of(&parts[1]),
            },
            Self::Fill(parts) => of(&parts[0]).or_else(|| of(&parts[1])),
            Self::Over(function, parts) => {
                let present: Vec<f64> = match parts {
                    Some(parts) => parts.iter().filter_map(of).collect(),
                    None => metrics.values().copied().flatten().collect(),
                };
                if present.is_empty() {
                    return None;
                }
                let sum: f64 = present.iter().sum();
                Some(match function.as_str() {
                    "SUM" => sum,
                    #[expect(clippy::cast_precision_loss, reason = "an alarm has few metrics")]
                    "AVG" => sum / present.len() as f64,
                    "MAX" => present.into_iter().fold(f64::MIN, f64::max),
                    _ => present.into_iter().fold(f64::MAX, f64::min),
                })
            }
        }
    }
}

struct Parser<'text> {
    rest: &'text str,
}

impl<'text> Parser<'text> {
    fn comparison(&mut self) -> Result<Expression> {
        let left = self.binary(&['+', '-'], |parser| parser.binary(&['*', '/'], Self::part))?;
        match ['<', '>'].into_iter().find(|sign| self.take(&sign.to_string())) {
            None => Ok(left),
            Some(sign) => {
                let right = self.binary(&['+', '-'], |parser| parser.binary(&['*', '/'], Self::part))?;
                Ok(Expression::Binary(sign, Box::new(left), Box::new(right)))
            }
        }
    }

    fn binary(
        &mut self,
        operators: &[char],
        operand: impl Fn(&mut Self) -> Result<Expression>,
    ) -> Result<Expression> {
        let mut left = operand(self)?;
        while let Some(sign) = operators.iter().find(|sign| self.take(&sign.to_string())) {
            left = Expression::Binary(*sign, Box::new(left), Box::new(operand(self)?));
        }
        Ok(left)
    }

    fn part(&mut self) -> Result<Expression> {
        if self.take("(") {
            let inner = self.comparison()?;
            self.expect(")")?;
            return Ok(inner);
        }
        let word = self.word();
        if word.is_empty() {
            bail!("the local stack does not support this in metric math: {}", self.rest);
        }
        if let Ok(number) = word.parse() {
            return Ok(Expression::Number(number));
        }
        if !self.take("(") {
            return Ok(Expression::Id(word.to_owned()));
        }
        let expression = match word {
            "SUM" | "MAX" | "MIN" | "AVG" if self.take("METRICS(") => {
                self.expect(")")?;
                Expression::Over(word.to_owned(), None)
            }
            "SUM" | "MAX" | "MIN" | "AVG" => {
                self.expect("[")?;
                let parts = self.list()?;
                self.expect("]")?;
                Expression::Over(word.to_owned(), Some(parts))
            }
            "IF" => match <[Expression; 3]>::try_from(self.list()?) {
                Ok(parts) => Expression::If(Box::new(parts)),
                Err(_) => bail!("IF takes three values"),
            },
            "FILL" => match <[Expression; 2]>::try_from(self.list()?) {
                Ok(parts) => Expression::Fill(Box::new(parts)),
                Err(_) => bail!("FILL takes two values"),
            },
            other => bail!("the local stack does not support the function {other} of metric math"),
        };
        self.expect(")")?;
        Ok(expression)
    }

    fn list(&mut self) -> Result<Vec<Expression>> {
        let mut parts = vec![self.comparison()?];
        while self.take(",") {
            parts.push(self.comparison()?);
        }
        Ok(parts)
    }

    fn word(&mut self) -> &'text str {
        let rest = self.rest.trim_start();
        let end = rest.find(|char: char| !char.is_alphanumeric() && char != '_' && char != '.');
        let (word, rest) = rest.split_at(end.unwrap_or(rest.len()));
        self.rest = rest;
        word
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest.trim_start().strip_prefix(token);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<()> {
        match self.take(token) {
            true => Ok(()),
            false => bail!("metric math: {token} is missing before {}", self.rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Expression, PeriodValues};

    fn value(text: &str) -> Option<f64> {
        let metrics: PeriodValues =
            [("a".to_owned(), Some(4.0)), ("b".to_owned(), Some(0.5)), ("none".to_owned(), None)].into();
        Expression::parse(text).unwrap().evaluate(&metrics, &metrics)
    }

    #[test]
    fn expressions_have_the_values_of_metric_math() {
        for (text, expected) in [
            ("SUM(METRICS())", Some(4.5)),
            ("MAX([a, b*10, none])", Some(5.0)),
            ("MIN([a, b])", Some(0.5)),
            ("AVG(METRICS())", Some(2.25)),
            ("1 + 2*a - b", Some(8.5)),
            ("a + none", None),
            ("a + FILL(none, 1)", Some(5.0)),
            ("IF(a > 3, 1, 0) + IF(b > 3, 1, 0)", Some(1.0)),
            ("a / (b - 0.5)", None),
            ("SUM([none])", None),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn other_expressions_are_errors() {
        for text in ["", "SEARCH('x')", "IF(a, b)", "a +", "SUM(a)", "a b"] {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
    }
}
