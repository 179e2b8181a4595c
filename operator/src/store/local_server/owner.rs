//! As whom the server runs: Postgres refuses root, so root steps down. Never raises a right.

use std::{os::unix::fs::MetadataExt, path::Path};

use tokio::process::Command;

use super::LocalServerError;

/// Users that root steps down to, the best first.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// As whom the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// As whoever runs this program.
    Ourselves {
        /// Our user.
        uid: u32,
    },
    /// As a user that root steps down to.
    Other {
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
    },
}

impl Owner {
    /// Ourselves; as root, whoever owns the data already, else the best of the unprivileged users.
    pub(super) fn for_folder(folder: &Path) -> Result<Self, LocalServerError> {
        let uid = rustix::process::geteuid().as_raw();
        if uid != 0 {
            return Ok(Self::Ourselves { uid });
        }
        if let Some(data) = std::fs::metadata(folder.join("data")).ok().filter(|data| data.uid() != 0) {
            return Ok(Self::Other { uid: data.uid(), gid: data.gid() });
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        unprivileged(&passwd).ok_or(LocalServerError::NoUser)
    }

    pub(super) fn uid(self) -> u32 {
        match self {
            Self::Ourselves { uid } | Self::Other { uid, .. } => uid,
        }
    }

    /// Makes a program run as this user.
    pub(super) fn apply(self, command: &mut Command) {
        if let Self::Other { uid, gid } = self {
            command.gid(gid).uid(uid);
        }
    }

    /// Hands a file or folder over to this user.
    pub(super) fn take(self, path: &Path) -> std::io::Result<()> {
        match self {
            Self::Ourselves { .. } => Ok(()),
            Self::Other { uid, gid } => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
        }
    }

    /// Whether this user can walk down to a folder.
    pub(super) fn can_reach(self, folder: &Path) -> bool {
        let Self::Other { uid, gid } = self else { return true };
        folder.ancestors().filter_map(|folder| std::fs::metadata(folder).ok()).all(|folder| {
            let search = if folder.uid() == uid {
                0o100
            } else if folder.gid() == gid {
                0o010
            } else {
                0o001
            };
            folder.mode() & search != 0
        })
    }
}

fn unprivileged(passwd: &str) -> Option<Owner> {
    UNPRIVILEGED.iter().find_map(|name| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(str::parse);
        let (uid, gid) = (ids.next()?.ok()?, ids.next()?.ok()?);
        (uid != 0).then_some(Owner::Other { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/bin/false\npostgres:x:101:104::/:/bin/bash\n";

    #[test]
    fn root_steps_down_to_postgres_else_to_nobody() {
        assert_eq!(unprivileged(PASSWD), Some(Owner::Other { uid: 101, gid: 104 }));
        let without = PASSWD.replace("postgres:", "postgrest:");
        assert_eq!(unprivileged(&without), Some(Owner::Other { uid: 65534, gid: 65534 }));
        assert_eq!(unprivileged("root:x:0:0:root:/root:/bin/bash\npostgres:x:0:0::/:/bin/sh\n"), None);
    }

    #[test]
    fn a_folder_below_a_closed_one_is_out_of_reach() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let stranger = Owner::Other { uid: 4_000_000, gid: 4_000_000 };
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(stranger.can_reach(&inner));
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!stranger.can_reach(&inner));
        assert!(Owner::Ourselves { uid: 1 }.can_reach(&inner));
    }
}
