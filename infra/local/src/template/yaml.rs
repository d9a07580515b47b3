//! CloudFormation's YAML as a tree of nodes with line numbers. Short intrinsic functions (`!Ref x`) are rewritten to the
//! long form (`Ref: x`).

use anyhow::{Result, bail};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use std::borrow::Cow;

/// The supported intrinsic functions in their long form.
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

#[derive(Clone, Debug)]
pub struct YamlNode {
    /// Counted from 1.
    pub line: usize,
    pub kind: NodeKind,
}

#[derive(Clone, Debug)]
pub enum NodeKind {
    Scalar {
        text: String,
        /// Written without quotes and not as a block. `"5"` is a string, `5` is a number.
        plain: bool,
    },
    Sequence(Vec<YamlNode>),
    /// In the order of the file.
    Mapping(Vec<(String, YamlNode)>),
}

impl YamlNode {
    /// The value of a key, if this is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&YamlNode> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// The entries of a mapping, empty for other nodes.
    #[must_use]
    pub fn entries(&self) -> &[(String, YamlNode)] {
        match &self.kind {
            NodeKind::Mapping(entries) => entries,
            NodeKind::Scalar { .. } | NodeKind::Sequence(_) => &[],
        }
    }

    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Scalar { text, .. } => Some(text),
            NodeKind::Sequence(_) | NodeKind::Mapping(_) => None,
        }
    }

    /// Name and argument, if this node is an intrinsic function.
    #[must_use]
    pub fn intrinsic(&self) -> Option<(&str, &YamlNode)> {
        match self.entries() {
            [(name, argument)] if INTRINSICS.contains(&name.as_str()) => Some((name, argument)),
            _ => None,
        }
    }
}

/// Parses one YAML document. Errors name the line.
pub fn parse(text: &str) -> Result<YamlNode> {
    let mut reader = Reader { events: Parser::new_from_str(text), line: 1 };
    loop {
        let (event, _) = reader.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            Event::StreamEnd | Event::DocumentEnd => bail!("the template is empty"),
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
            None => bail!("line {}: the file ends inside a value", self.line),
        }
    }

    fn node(&mut self, first: Event<'input>) -> Result<YamlNode> {
        let line = self.line;
        let (kind, tag) = match first {
            Event::Scalar(text, style, _, tag) => {
                (NodeKind::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain }, tag)
            }
            Event::SequenceStart(_, tag) => {
                let mut items = Vec::new();
                loop {
                    match self.next()?.0 {
                        Event::SequenceEnd => break,
                        event => items.push(self.node(event)?),
                    }
                }
                (NodeKind::Sequence(items), tag)
            }
            Event::MappingStart(_, tag) => (NodeKind::Mapping(self.mapping()?), tag),
            Event::Alias(_) => bail!("line {line}: anchors and aliases are not supported by the local stack"),
            other => bail!("line {line}: unexpected {other:?}"),
        };
        tagged(YamlNode { line, kind }, tag.as_ref())
    }

    fn mapping(&mut self) -> Result<Vec<(String, YamlNode)>> {
        let mut entries: Vec<(String, YamlNode)> = Vec::new();
        loop {
            let key = match self.next()?.0 {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => bail!("line {}: a key must be a string", self.line),
            };
            let line = self.line;
            if entries.iter().any(|(name, _)| *name == key) {
                bail!("line {line}: duplicate key \"{key}\"");
            }
            if key.starts_with("Fn::") && !INTRINSICS.contains(&key.as_str()) {
                bail!("line {line}: the intrinsic function {key} is not supported by the local stack");
            }
            let event = self.next()?.0;
            let value = self.node(event)?;
            // The line of an entry is the line of its key.
            entries.push((key, YamlNode { line, ..value }));
        }
    }
}

/// Rewrites `!Sub x` to `Fn::Sub: x`, and `!GetAtt A.B` to `Fn::GetAtt: [A, B]`.
fn tagged(node: YamlNode, tag: Option<&Cow<'_, Tag>>) -> Result<YamlNode> {
    let Some(tag) = tag.filter(|tag| tag.handle == "!") else { return Ok(node) };
    let line = node.line;
    let name = match tag.suffix.as_str() {
        short @ ("Ref" | "Condition") => short.to_owned(),
        other => format!("Fn::{other}"),
    };
    if !INTRINSICS.contains(&name.as_str()) {
        bail!("line {line}: the intrinsic function !{} is not supported by the local stack", tag.suffix);
    }
    let argument = match (&node.kind, name.as_str()) {
        (NodeKind::Scalar { text, .. }, "Fn::GetAtt") => {
            let Some((resource, attribute)) = text.split_once('.') else {
                bail!("line {line}: !GetAtt takes Resource.Attribute, not \"{text}\"");
            };
            let part = |text: &str| YamlNode {
                line,
                kind: NodeKind::Scalar { text: text.to_owned(), plain: false },
            };
            YamlNode { line, kind: NodeKind::Sequence(vec![part(resource), part(attribute)]) }
        }
        _ => node,
    };
    Ok(YamlNode { line, kind: NodeKind::Mapping(vec![(name, argument)]) })
}
