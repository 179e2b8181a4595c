//! The include and exclude globs of one source.

use bedplate_crds::dataset::Source;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::SourceError;

/// Decides by the path inside the source. `*` stays inside one folder, `**` crosses them.
pub(super) struct Selection {
    include: Option<GlobSet>,
    exclude: GlobSet,
}

impl Selection {
    pub(super) fn new(index: usize, source: &Source) -> Result<Self, SourceError> {
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
        let include = if source.include.is_empty() { None } else { Some(set("include", &source.include)?) };
        Ok(Self { include, exclude: set("exclude", &source.exclude)? })
    }

    pub(super) fn keeps(&self, path: &str) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(path)) && !self.exclude.is_match(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(include: &[&str], exclude: &[&str]) -> Selection {
        let source = Source {
            uri: "file:x".to_owned(),
            format: bedplate_crds::dataset::SourceFormat::Text,
            include: include.iter().map(|&glob| glob.to_owned()).collect(),
            exclude: exclude.iter().map(|&glob| glob.to_owned()).collect(),
            text_field: "text".to_owned(),
        };
        Selection::new(0, &source).unwrap()
    }

    #[test]
    fn stars_stay_in_a_folder_and_double_stars_cross() {
        assert!(selection(&[], &[]).keeps("a/b.rs"));
        assert!(!selection(&["*.rs"], &[]).keeps("a/b.rs"));
        assert!(selection(&["**/*.rs"], &[]).keeps("b.rs"));
        assert!(selection(&["**/*.{rs,md}"], &["**/tests/**"]).keeps("a/b/c.md"));
        assert!(!selection(&["**/*.{rs,md}"], &["**/tests/**"]).keeps("a/tests/c.md"));
    }
}
