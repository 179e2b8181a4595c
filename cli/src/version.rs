//! What was built: the version and, from a checkout, the commit.

/// Version of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `bedplate 0.1.0 (commit 0123456789ab)`, or without the commit where the source was no checkout.
pub fn line() -> String {
    match option_env!("BEDPLATE_COMMIT") {
        Some(commit) => format!("bedplate {VERSION} (commit {commit})"),
        None => format!("bedplate {VERSION}"),
    }
}
