//! Prints an error with its causes on one line. Never decides what becomes of the error.

use std::{error::Error, fmt};

/// Shows `error` and every cause under it as `outer: inner: innermost`, on one line.
///
/// A cause whose text the line already ends with is left out, since some libraries repeat their source.
pub struct Chain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = one_line(self.0);
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = one_line(error);
            if !line.ends_with(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            cause = error.source();
        }
        out.write_str(&line)
    }
}

fn one_line(error: &dyn Error) -> String {
    error.to_string().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not read the model")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("the header\n  is torn")]
    struct Inner(#[source] std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("request failed: {0}")]
    struct Repeats(#[source] std::io::Error);

    #[test]
    fn joins_causes_on_one_line() {
        let error = Outer(Inner(std::io::Error::other("disk gone")));
        assert_eq!(Chain(&error).to_string(), "could not read the model: the header is torn: disk gone");
    }

    #[test]
    fn says_a_repeated_cause_once() {
        let error = Repeats(std::io::Error::other("disk gone"));
        assert_eq!(Chain(&error).to_string(), "request failed: disk gone");
    }
}
