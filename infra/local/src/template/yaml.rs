//! YAML as CloudFormation writes it: a tree whose nodes know their line, with short intrinsics (`!Ref x`) rewritten
//! to their long form (`Ref: x`).

use anyhow::{Result, bail};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use std::borrow::Cow;

/// The intrinsic functions that the runner understands, in their long form.
pub const INTRINSICS: [&str; 10] = [
    "Ref",
    "Condition",
    "Fn::Sub",
    "Fn::GetAtt",
    "Fn::If",
    "Fn::Join",
    "Fn::Equals",
    "Fn::Not",
    "Fn::And",
    "Fn::Or",
];

/// A value of the template and the line it begins on.
#[derive(Clone, Debug)]
pub struct Node {
    /// Line in the file, counted from 1.
    pub line: usize,
    /// The value.
    pub kind: Kind,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Text; `plain` is false when it was quoted or a block, so that `"5"` stays text.
    Scalar {
        /// The text.
        text: String,
        /// Written without quotes.
        plain: bool,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping, in the order of the file.
    Mapping(Vec<(String, Node)>),
}

impl Node {
    /// The entry of a mapping, if this is one and has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// The entries of a mapping; nothing for anything else.
    #[must_use]
    pub fn entries(&self) -> &[(String, Node)] {
        match &self.kind {
            Kind::Mapping(entries) => entries,
            Kind::Scalar { .. } | Kind::Sequence(_) => &[],
        }
    }

    /// The text of a scalar.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Sequence(_) | Kind::Mapping(_) => None,
        }
    }

    /// The name and argument of an intrinsic function, when this node is a call of one.
    #[must_use]
    pub fn intrinsic(&self) -> Option<(&str, &Node)> {
        match self.entries() {
            [(name, argument)] if INTRINSICS.contains(&name.as_str()) => Some((name, argument)),
            _ => None,
        }
    }
}

/// Reads one YAML document; errors name the line.
pub fn parse(text: &str) -> Result<Node> {
    let mut reader = Reader { events: Parser::new_from_str(text), line: 1 };
    loop {
        let (event, _) = reader.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            Event::StreamEnd | Event::DocumentEnd => bail!("it is empty"),
            first => return reader.node(first),
        }
    }
}

struct Reader<'input> {
    events: Parser<'input, StrInput<'input>>,
    line: usize,
}

impl<'input> Reader<'input> {
    fn next(&mut self) -> Result<(Event<'input>, Span)> {
        match self.events.next_event() {
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                Ok((event, span))
            }
            Some(Err(error)) => bail!("line {}: {}", error.marker().line(), error.info()),
            None => bail!("line {}: it ends in the middle of a value", self.line),
        }
    }

    fn node(&mut self, first: Event<'input>) -> Result<Node> {
        let line = self.line;
        let (kind, tag) = match first {
            Event::Scalar(text, style, _, tag) => {
                (Kind::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain }, tag)
            }
            Event::SequenceStart(_, tag) => {
                let mut items = Vec::new();
                loop {
                    match self.next()?.0 {
                        Event::SequenceEnd => break,
                        event => items.push(self.node(event)?),
                    }
                }
                (Kind::Sequence(items), tag)
            }
            Event::MappingStart(_, tag) => (Kind::Mapping(self.mapping()?), tag),
            Event::Alias(_) => bail!("line {line}: anchors and aliases are not understood"),
            other => bail!("line {line}: unexpected {other:?}"),
        };
        tagged(Node { line, kind }, tag.as_ref())
    }

    fn mapping(&mut self) -> Result<Vec<(String, Node)>> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let key = match self.next()?.0 {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => bail!("line {}: a key must be text", self.line),
            };
            let line = self.line;
            if entries.iter().any(|(name, _)| *name == key) {
                bail!("line {line}: \"{key}\" is there twice");
            }
            if key.starts_with("Fn::") && !INTRINSICS.contains(&key.as_str()) {
                bail!("line {line}: the intrinsic function {key} is not understood here");
            }
            let event = self.next()?.0;
            let value = self.node(event)?;
            // The line of an entry is that of its key: it is what a reader looks for.
            entries.push((key, Node { line, ..value }));
        }
    }
}

/// Rewrites `!Sub x` to `Fn::Sub: x`; `!GetAtt A.B` to `Fn::GetAtt: [A, B]`.
fn tagged(node: Node, tag: Option<&Cow<'_, Tag>>) -> Result<Node> {
    let Some(tag) = tag.filter(|tag| tag.handle == "!") else { return Ok(node) };
    let line = node.line;
    let name = match tag.suffix.as_str() {
        short @ ("Ref" | "Condition") => short.to_owned(),
        other => format!("Fn::{other}"),
    };
    if !INTRINSICS.contains(&name.as_str()) {
        bail!("line {line}: the intrinsic function !{} is not understood here", tag.suffix);
    }
    let argument = match (&node.kind, name.as_str()) {
        (Kind::Scalar { text, .. }, "Fn::GetAtt") => {
            let Some((resource, attribute)) = text.split_once('.') else {
                bail!("line {line}: !GetAtt takes Resource.Attribute, not \"{text}\"");
            };
            let part = |text: &str| Node { line, kind: Kind::Scalar { text: text.to_owned(), plain: false } };
            Node { line, kind: Kind::Sequence(vec![part(resource), part(attribute)]) }
        }
        _ => node,
    };
    Ok(Node { line, kind: Kind::Mapping(vec![(name, argument)]) })
}
