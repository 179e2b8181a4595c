//! Why something that lies in a source is no document.
//!
//! Owns the names under which such things are counted and shown. Never decides whether one of them ends the work.

use super::{kind::Kind, names::Beside};

/// Why something is no document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// No text at all: an empty file, a null or missing field.
    Empty,
    /// More than a document may have.
    TooLarge,
    /// A line without a text.
    BrokenLine,
    /// A file that ends early or was changed.
    DamagedFile,
    /// A file of a kind that holds no text.
    Foreign(Kind),
    /// A file that lies beside the data.
    Beside(Beside),
}

impl LeftOut {
    /// The name under which it is counted.
    pub fn name(self) -> &'static str {
        let phrase = self.phrase();
        phrase.strip_prefix("a ").or_else(|| phrase.strip_prefix("an ")).unwrap_or(phrase)
    }

    /// What is said of it behind "it is".
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge => "larger than 16 MiB",
            Self::BrokenLine => "a broken line",
            Self::DamagedFile => "a damaged file",
            Self::Foreign(kind) => kind.phrase(),
            Self::Beside(beside) => beside.phrase(),
        }
    }
}
