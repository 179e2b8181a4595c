//! The include and exclude globs of one source.

use bedplate_crds::dataset::Source;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::{SourceError, names::Beside};

/// Decides by the path inside the source. `*` stays inside one folder, `**` crosses them.
pub(super) struct Selection<'a> {
    include: &'a [String],
    includes: GlobSet,
    excludes: GlobSet,
}

/// What a source makes of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// It is read.
    Keep,
    /// The globs do not want it.
    Other,
    /// The globs want it, but it is no data.
    LeftOut(Beside),
}

impl<'a> Selection<'a> {
    pub(super) fn new(index: usize, source: &'a Source) -> Result<Self, SourceError> {
        let set = |list: &str, globs: &[String]| {
            let failed = |glob: usize, error: globset::Error| SourceError::ParseGlob {
                field: format!("spec.sources[{index}].{list}[{glob}]"),
                reason: error.to_string(),
            };
            let mut builder = GlobSetBuilder::new();
            for (i, glob) in globs.iter().enumerate() {
                let glob = GlobBuilder::new(glob).literal_separator(true).build();
                builder.add(glob.map_err(|error| failed(i, error))?);
            }
            builder.build().map_err(|error| failed(0, error))
        };
        let (include, exclude) = (&source.include, &source.exclude);
        Ok(Self { include, includes: set("include", include)?, excludes: set("exclude", exclude)? })
    }

    /// What becomes of the file at `path`, which the source's uri does not name itself.
    pub(super) fn choose(&self, path: &str) -> Choice {
        let matches = self.includes.matches(path);
        if (matches.is_empty() && !self.include.is_empty()) || self.excludes.is_match(path) {
            return Choice::Other;
        }
        match Beside::of(path) {
            Some(beside) if !matches.iter().any(|&glob| beside.is_named_by(&self.include[glob])) => {
                Choice::LeftOut(beside)
            }
            _ => Choice::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(include: &[&str], exclude: &[&str], path: &str) -> Choice {
        let source = Source {
            uri: "file:x".to_owned(),
            format: bedplate_crds::dataset::SourceFormat::Text,
            include: include.iter().map(|&glob| glob.to_owned()).collect(),
            exclude: exclude.iter().map(|&glob| glob.to_owned()).collect(),
            text_field: "text".to_owned(),
            on_error: bedplate_crds::dataset::OnError::Fail,
            max_errors: None,
        };
        Selection::new(0, &source).unwrap().choose(path)
    }

    #[test]
    fn stars_stay_in_a_folder_and_double_stars_cross() {
        assert_eq!(choose(&[], &[], "a/b.rs"), Choice::Keep);
        assert_eq!(choose(&["*.rs"], &[], "a/b.rs"), Choice::Other);
        assert_eq!(choose(&["**/*.rs"], &[], "b.rs"), Choice::Keep);
        assert_eq!(choose(&["**/*.{rs,md}"], &["**/tests/**"], "a/b/c.md"), Choice::Keep);
        assert_eq!(choose(&["**/*.{rs,md}"], &["**/tests/**"], "a/tests/c.md"), Choice::Other);
    }

    #[test]
    fn what_is_no_data_is_left_out_unless_a_glob_names_it() {
        let hidden = Choice::LeftOut(Beside::Hidden);
        assert_eq!(choose(&[], &[], ".github/ci.yml"), hidden);
        assert_eq!(choose(&["**/*.yml"], &[], ".github/ci.yml"), hidden);
        assert_eq!(choose(&["**/*.rs", ".github/**"], &[], ".github/ci.yml"), Choice::Keep);
        assert_eq!(choose(&["**/*.rs"], &[], ".github/ci.yml"), Choice::Other, "what nobody wants is not counted");
        assert_eq!(choose(&["**"], &["**/.*"], ".env"), Choice::Other);
        assert_eq!(choose(&[".git/**"], &[], ".git/config"), Choice::LeftOut(Beside::Git));
    }
}
