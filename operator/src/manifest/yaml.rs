//! One YAML document as a tree in which every value knows its line.
//!
//! Owns keys, anchors, aliases and merge keys, as kubectl reads them. Never knows what a manifest is.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::scalar::{self, Word};

/// Most values of one document, aliases counted as what they stand for: a few lines of nested aliases stand for billions.
const MAX_NODES: usize = 1 << 20;
/// The key that takes over the fields of other objects (YAML 1.1, <https://yaml.org/type/merge.html>).
const MERGE: &str = "<<";

/// A place in the text, both counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Yaml,
    /// Where it begins.
    pub at: Mark,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Yaml {
    /// A word that is no text, and how it was written.
    Word(Word, String),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Fields in their order, no name twice.
    Map(Vec<(Key, Node)>),
}

/// The name of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The name.
    pub name: String,
    /// Where it begins.
    pub at: Mark,
}

/// What is wrong with the text itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text} at line {}, column {}", .at.line, .at.column)]
pub struct Broken {
    /// What is wrong.
    pub text: String,
    /// Where.
    pub at: Mark,
}

impl Node {
    /// Whether it is nothing: left empty, or `null`.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Yaml::Word(Word::Null, _))
    }

    /// A field of an object, unless it is nothing.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Yaml::Map(fields) = &self.value else { return None };
        fields.iter().find(|(key, value)| key.name == name && !value.is_null()).map(|(_, value)| value)
    }

    /// The text of a field that holds text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match &self.get(name)?.value {
            Yaml::Text(text) => Some(text),
            _ => None,
        }
    }

    fn count(&self) -> usize {
        1 + match &self.value {
            Yaml::Word(..) | Yaml::Text(_) => 0,
            Yaml::List(items) => items.iter().map(Self::count).sum(),
            Yaml::Map(fields) => fields.iter().map(|(_, value)| value.count()).sum(),
        }
    }
}

/// The document; none where it holds nothing.
///
/// # Errors
/// At the first place that is no YAML, or means nothing to Kubernetes.
pub fn read(text: &str) -> Result<Option<Node>, Broken> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Broken { text: error.info(), at: mark(error.marker()) })?;
        builder.take(event, span)?;
    }
    Ok(builder.root.filter(|root| !root.is_null()))
}

fn mark(of: &granit_parser::Marker) -> Mark {
    Mark { line: of.line(), column: of.col() + 1 }
}

/// A list or an object that is not closed yet.
struct Open {
    collection: Collection,
    at: Mark,
    anchor: usize,
}

enum Collection {
    List(Vec<Node>),
    Map { pairs: Vec<(Key, Node)>, key: Option<Key> },
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Broken> {
        let at = mark(&span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = word(&text, style, tag.as_deref()).map_err(|text| Broken { text, at })?;
                self.put(Node { value, at }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push(Open { collection: Collection::List(Vec::new()), at, anchor });
                Ok(())
            }
            Event::MappingStart(_, anchor, _) => {
                let collection = Collection::Map { pairs: Vec::new(), key: None };
                self.open.push(Open { collection, at, anchor });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(id) => {
                let node = self.anchors.get(&id).ok_or_else(|| Broken {
                    text: "an alias stands inside of what it stands for: write the value out".to_owned(),
                    at,
                })?;
                let node = Node { at, ..node.clone() };
                self.count(node.count(), at)?;
                self.put(node, 0)
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(Broken { text: "a second document begins: separate them by a line ---".to_owned(), at })
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), Broken> {
        let Some(Open { collection, at, anchor }) = self.open.pop() else { return Ok(()) };
        let value = match collection {
            Collection::List(items) => Yaml::List(items),
            Collection::Map { pairs, .. } => Yaml::Map(fields_of(pairs)?),
        };
        self.put(Node { value, at }, anchor)
    }

    fn count(&mut self, more: usize, at: Mark) -> Result<(), Broken> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > MAX_NODES {
            let text = format!("the document stands for more than {MAX_NODES} values; does it nest aliases?");
            return Err(Broken { text, at });
        }
        Ok(())
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), Broken> {
        self.count(1, node.at)?;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.collection) {
            None => self.root = Some(node),
            Some(Collection::List(items)) => items.push(node),
            Some(Collection::Map { pairs, key }) => match key.take() {
                None => *key = Some(key_of(node)?),
                Some(key) => pairs.push((key, node)),
            },
        }
        Ok(())
    }
}

/// What a scalar is, by its quotes and its tag.
fn word(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Yaml, String> {
    let of = |text: &str| match scalar::plain(text) {
        Word::Text => Yaml::Text(text.to_owned()),
        word => Yaml::Word(word, text.to_owned()),
    };
    match tag.map(|tag| tag.core_suffix()) {
        None if style == ScalarStyle::Plain => Ok(of(text)),
        Some(Some(name @ ("int" | "float" | "bool" | "null"))) => match of(text) {
            Yaml::Word(Word::Integer(value), raw) if name == "float" => Ok(Yaml::Word(Word::Integer(value), raw)),
            Yaml::Word(word, raw) if name_of(word) == name => Ok(Yaml::Word(word, raw)),
            _ => Err(format!("{text:?} is no !!{name}")),
        },
        _ => Ok(Yaml::Text(text.to_owned())),
    }
}

fn name_of(word: Word) -> &'static str {
    match word {
        Word::Null => "null",
        Word::Bool(_) => "bool",
        Word::Integer(_) => "int",
        Word::Float(_) => "float",
        Word::Text => "str",
    }
}

/// A number or a truth value is the name that JSON would give it, as with kubectl.
fn key_of(node: Node) -> Result<Key, Broken> {
    let at = node.at;
    let name = match node.value {
        Yaml::Text(text) => text,
        Yaml::Word(Word::Integer(value), _) => value.to_string(),
        Yaml::Word(Word::Bool(value), _) => value.to_string(),
        Yaml::Word(Word::Float(_), raw) => raw,
        Yaml::Word(Word::Null | Word::Text, _) => {
            return Err(Broken { text: "a field has no name".to_owned(), at });
        }
        Yaml::List(_) | Yaml::Map(_) => {
            return Err(Broken {
                text: "the name of a field is a list or an object; {{ }} of a template?".to_owned(),
                at,
            });
        }
    };
    Ok(Key { name, at })
}

/// The fields of an object, with those that merge keys take over. As with kubectl the later wins of what is written and what
/// is taken over; a name that is written twice is a mistake.
fn fields_of(pairs: Vec<(Key, Node)>) -> Result<Vec<(Key, Node)>, Broken> {
    let mut fields: Vec<(Key, Node)> = Vec::with_capacity(pairs.len());
    let mut places: HashMap<String, (usize, bool)> = HashMap::new();
    let mut set = |key: Key, value: Node, is_written: bool| match places.get(&key.name).copied() {
        Some((_, true)) if is_written => {
            Err(Broken { text: format!("{} is there twice; write it once", key.name), at: key.at })
        }
        Some((place, was_written)) => {
            places.insert(key.name.clone(), (place, was_written || is_written));
            fields[place] = (key, value);
            Ok(())
        }
        None => {
            places.insert(key.name.clone(), (fields.len(), is_written));
            fields.push((key, value));
            Ok(())
        }
    };
    for (key, value) in pairs {
        if key.name == MERGE {
            merge(value)?.into_iter().try_for_each(|(key, value)| set(key, value, false))?;
        } else {
            set(key, value, true)?;
        }
    }
    Ok(fields)
}

/// The fields of one object, or of a list of them: of two with one name the first counts, which is why it comes last.
fn merge(node: Node) -> Result<Vec<(Key, Node)>, Broken> {
    let at = node.at;
    match node.value {
        Yaml::Map(fields) => Ok(fields),
        Yaml::List(items) => Ok(items.into_iter().rev().map(merge).collect::<Result<Vec<_>, _>>()?.concat()),
        Yaml::Word(..) | Yaml::Text(_) => {
            Err(Broken { text: "<< takes over the fields of an object; this is none".to_owned(), at })
        }
    }
}

#[cfg(test)]
mod tests;
