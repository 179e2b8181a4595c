//! Finds the workers' programs.
//!
//! Owns where they are looked for. Never builds and never downloads one.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use bedplate_operator::resource::Kind;

/// A program is nowhere to be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name} is not {places}; build it with `cargo build --release --workspace`, or name its folder in BEDPLATE_BIN_DIR"
)]
pub struct NotFound {
    name: &'static str,
    places: String,
}

/// Where programs are looked for, in order.
#[derive(Clone, Debug)]
pub struct Binaries {
    folders: Vec<PathBuf>,
    places: String,
}

impl Binaries {
    /// In `bin_dir` alone if it is given; otherwise beside `own_program`, then along `path`.
    pub fn new(bin_dir: Option<&Path>, own_program: Option<&Path>, path: Option<&std::ffi::OsStr>) -> Self {
        if let Some(folder) = bin_dir {
            let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
            return Self { places: format!("in {}", folder.display()), folders: vec![folder] };
        }
        let beside = own_program.and_then(Path::parent).map(Path::to_path_buf);
        let places = match &beside {
            Some(folder) => format!("beside this program ({}) nor on PATH", folder.display()),
            None => "on PATH".to_owned(),
        };
        let folders = beside.into_iter().chain(path.into_iter().flat_map(std::env::split_paths)).collect();
        Self { folders, places }
    }

    /// The program that carries out resources of that kind.
    ///
    /// # Errors
    /// When no folder holds it.
    pub fn find(&self, kind: Kind) -> Result<PathBuf, NotFound> {
        let name = name(kind);
        let found = self.folders.iter().map(|folder| folder.join(name)).find(|path| is_executable(path));
        found.ok_or_else(|| NotFound { name, places: self.places.clone() })
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Dataset => "bedplate-dataset",
        Kind::TrainingJob => "bedplate-trainer",
        Kind::ModelDeployment => "bedplate-inference",
    }
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
