//! Finding the server programs: on PATH and where distributions put them. Never installs any.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::LocalServerError;

/// Folders of versions, each with a `bin`: Debian, Red Hat, Homebrew.
const VERSION_FOLDERS: [&str; 4] = ["/usr/lib/postgresql", "/usr/pgsql", "/opt/homebrew/opt", "/usr/local/opt"];
/// What a server needs.
const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// The programs of one Postgres.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    dir: PathBuf,
    major: u32,
}

impl Binaries {
    pub(super) fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    pub(super) fn pg_ctl(&self) -> PathBuf {
        self.dir.join("pg_ctl")
    }
}

/// Every complete set of programs on this machine.
pub(super) fn find() -> Vec<Binaries> {
    let versions = VERSION_FOLDERS.iter().flat_map(|folder| subfolders(Path::new(folder)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.canonicalize().unwrap_or(dir));
    let mut found: Vec<Binaries> = Vec::new();
    for dir in on_path.chain(versions.map(|version| version.join("bin"))) {
        let complete = PROGRAMS.iter().all(|program| dir.join(program).is_file());
        if complete
            && !found.iter().any(|known| known.dir == dir)
            && let Some(major) = major_version(&dir)
        {
            found.push(Binaries { dir, major });
        }
    }
    found
}

/// The set that made the data, or the newest where there is none yet.
pub(super) fn choose(found: &[Binaries], data: &Path) -> Result<Binaries, LocalServerError> {
    let newest = found.iter().max_by_key(|set| set.major).ok_or(LocalServerError::NoBinaries)?;
    let Some(wanted) = std::fs::read_to_string(data.join("PG_VERSION")).ok().and_then(|text| text.trim().parse().ok())
    else {
        return Ok(newest.clone());
    };
    let known = || found.iter().map(|set| set.major.to_string()).collect::<Vec<_>>().join(", ");
    found.iter().find(|set| set.major == wanted).cloned().ok_or_else(|| LocalServerError::OtherVersion {
        data: data.to_path_buf(),
        wanted,
        found: known(),
    })
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn major_version(dir: &Path) -> Option<u32> {
    let output = Command::new(dir.join("postgres")).arg("--version").output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` is 15.
fn parse_version(text: &str) -> Option<u32> {
    let version = text.split_whitespace().nth(2)?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(majors: &[u32]) -> Vec<Binaries> {
        majors.iter().map(|major| Binaries { dir: PathBuf::from(format!("/pg/{major}")), major: *major }).collect()
    }

    #[test]
    fn reads_the_versions_that_distributions_print() {
        assert_eq!(parse_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_version("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(parse_version("command not found"), None);
    }

    #[test]
    fn a_new_cluster_takes_the_newest_and_an_old_one_its_own() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(choose(&sets(&[14, 17, 15]), dir.path()).unwrap().major, 17);
        std::fs::write(dir.path().join("PG_VERSION"), "15\n").unwrap();
        assert_eq!(choose(&sets(&[14, 17, 15]), dir.path()).unwrap().major, 15);
    }

    #[test]
    fn a_missing_version_is_named_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("PG_VERSION"), "13\n").unwrap();
        let error = choose(&sets(&[15, 17]), dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("Postgres 13") && error.contains("15, 17") && error.contains("postgresql-13"),
            "{error}"
        );
        let error = choose(&[], dir.path()).unwrap_err().to_string();
        assert!(error.contains("apt-get install postgresql"), "{error}");
    }
}
