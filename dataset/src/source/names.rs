//! What lies beside the data in folders, told by its path.
//!
//! A closed list: what version control, desktops and data tools write for themselves. Never looks into a file.

/// What a file beside the data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Beside {
    /// Inside a `.git` folder.
    Git,
    /// What macOS keeps about other files.
    MacOs,
    /// What Spark, Databricks and Hadoop write about their own jobs.
    JobMarker,
    /// The checksum of another file, as Hadoop writes it.
    Checksum,
    /// A name that begins with a dot, or a folder of such a name.
    Hidden,
}

/// Files that tell of a job, not of its data.
const MARKERS: [&str; 3] = ["_SUCCESS", "_metadata", "_common_metadata"];
/// The same, where a number follows.
const MARKER_PREFIXES: [&str; 2] = ["_committed_", "_started_"];
/// Folders of such files.
const MARKER_FOLDERS: [&str; 3] = ["_temporary", "_delta_log", "_spark_metadata"];

impl Beside {
    /// What the file at `path`, inside its source, is beside the data; none for data.
    pub(super) fn of(path: &str) -> Option<Self> {
        let parts = || path.split('/');
        let name = parts().next_back().unwrap_or(path);
        let is_in = |folders: &[&str]| parts().any(|part| folders.contains(&part));
        if is_in(&[".git"]) {
            return Some(Self::Git);
        }
        if is_in(&["__MACOSX"]) || name.starts_with("._") || name == ".DS_Store" {
            return Some(Self::MacOs);
        }
        let begins_so = |prefix: &&str| name.starts_with(*prefix);
        if MARKERS.contains(&name) || MARKER_PREFIXES.iter().any(begins_so) || is_in(&MARKER_FOLDERS) {
            return Some(Self::JobMarker);
        }
        if name.ends_with(".crc") {
            return Some(Self::Checksum);
        }
        parts().any(|part| part.starts_with('.') && !matches!(part, "." | "..")).then_some(Self::Hidden)
    }

    /// Whether a glob that matches such a file was written for it.
    pub(super) fn is_named_by(self, glob: &str) -> bool {
        match self {
            Self::Git | Self::MacOs => false,
            Self::JobMarker => begins_a_part(glob, '_'),
            Self::Checksum => glob.contains("crc"),
            Self::Hidden => begins_a_part(glob, '.'),
        }
    }

    /// What is said of it behind "it is".
    pub(super) fn phrase(self) -> &'static str {
        match self {
            Self::Git => "a file of a .git folder",
            Self::MacOs => "a macOS resource file",
            Self::JobMarker => "a job marker",
            Self::Checksum => "a checksum file",
            Self::Hidden => "a hidden file",
        }
    }
}

/// Whether a part of the path that `glob` describes, or an alternative in braces, begins with `first`.
fn begins_a_part(glob: &str, first: char) -> bool {
    let mut before = '/';
    glob.chars()
        .any(|char| matches!((std::mem::replace(&mut before, char), char), ('/' | '{' | ',', it) if it == first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_leave_beside_the_data_is_known_by_name() {
        let beside = [
            ("repo/.git/objects/ab/cd", Beside::Git),
            ("__MACOSX/a.txt", Beside::MacOs),
            ("a/._b.txt", Beside::MacOs),
            (".DS_Store", Beside::MacOs),
            ("out/_SUCCESS", Beside::JobMarker),
            ("_committed_123", Beside::JobMarker),
            ("t/_delta_log/0000.json", Beside::JobMarker),
            ("part-0.parquet.crc", Beside::Checksum),
            (".gitattributes", Beside::Hidden),
            (".github/workflows/ci.yml", Beside::Hidden),
        ];
        for (path, expected) in beside {
            assert_eq!(Beside::of(path), Some(expected), "{path}");
        }
        for path in ["a.txt", "a/b.c/d", "_posts/2020.md", "pkg/__init__.py", "_metadata.txt", "crc.rs"] {
            assert_eq!(Beside::of(path), None, "{path}");
        }
    }

    #[test]
    fn a_glob_names_a_hidden_file_by_its_dot() {
        for glob in [".github/**", "**/.env", "{docs,.github}/*.yml", "**/{.a,.b}"] {
            assert!(Beside::Hidden.is_named_by(glob), "{glob}");
        }
        for glob in ["**", "**/*.yml", "a.b/*", "*.{rs,md}"] {
            assert!(!Beside::Hidden.is_named_by(glob), "{glob}");
        }
        assert!(!Beside::Git.is_named_by(".git/**"));
    }
}
