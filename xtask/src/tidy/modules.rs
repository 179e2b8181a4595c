//! Every `.rs` file is compiled: a test file that no `mod` line names passes for ever.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{File, Finding, Tree};

/// Files of members that no target reaches.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut reached = BTreeSet::new();
    for target in tree.members.iter().flat_map(|member| &member.targets) {
        let path = target.src_path.strip_prefix(&tree.root).unwrap_or(&target.src_path).to_path_buf();
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        reach(tree, &path, &folder, &mut reached);
    }
    let is_member = |file: &&File| tree.members.iter().any(|member| file.path.starts_with(tree.folder(member)));
    let orphans = tree.rust().filter(is_member).filter(|file| !reached.contains(&file.path));
    orphans.map(|file| file.finding(1, "no module declares this file", "add its `mod` line, or remove it")).collect()
}

/// Follows the `mod` lines of a file whose children lie in `folder`.
fn reach(tree: &Tree, path: &Path, folder: &Path, reached: &mut BTreeSet<PathBuf>) {
    let Some(file) = tree.files.iter().find(|file| file.path == path) else { return };
    if !reached.insert(path.to_path_buf()) {
        return;
    }
    for name in declared(file) {
        let [beside, within] = [folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")];
        reach(tree, &beside, &folder.join(&name), reached);
        reach(tree, &within, &folder.join(&name), reached);
    }
}

fn declared(file: &File) -> Vec<String> {
    let name = |line: &str| {
        let rest = line.trim().strip_suffix(';')?;
        let (before, name) = rest.rsplit_once("mod ")?;
        let is_visibility = before.is_empty() || before.ends_with(' ');
        is_visibility.then(|| name.trim().trim_start_matches("r#").to_owned())
    };
    file.code.lines().filter_map(|(_, line)| name(line)).collect()
}
