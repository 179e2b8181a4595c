//! Each rule sees what it is for, and the tree of this checkout has none of it.

use std::{fs, path::Path};

use serde_json::json;

use super::{File, Finding, Tree, code::Code, crate_graph, documents, licences, modules, sources, unsafe_code};
use crate::workspace::{self, Dependency, Package, Target};

/// A tree in memory; each file is `(path, text)`.
fn tree(files: &[(&str, &str)], members: Vec<Package>) -> Tree {
    let files = files.iter().map(|(path, text)| File::new((*path).into(), (*text).to_owned())).collect();
    Tree { root: "/root".into(), files, members }
}

/// A member at `/root/FOLDER` with one library and these dependencies, each `(name, kind)`.
fn member(name: &str, folder: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
    let dependency =
        |(name, kind): &(&str, Option<&str>)| Dependency { name: (*name).into(), kind: kind.map(Into::into) };
    Package {
        name: name.to_owned(),
        manifest_path: format!("/root/{folder}/Cargo.toml").into(),
        dependencies: dependencies.iter().map(dependency).collect(),
        targets: vec![Target {
            name: name.to_owned(),
            kind: vec!["lib".to_owned()],
            src_path: format!("/root/{folder}/src/lib.rs").into(),
        }],
    }
}

/// The problems in one file, each with its line.
fn problems(path: &str, text: &str) -> Vec<(usize, String)> {
    let found = sources::check(&tree(&[(path, text)], Vec::new()));
    found.into_iter().map(|finding| (finding.line, finding.problem)).collect()
}

/// Asserts that a file breaks one rule, on that line, in those words; and that `mended` breaks none.
#[track_caller]
fn check(path: &str, broken: &str, line: usize, words: &str, mended: &str) {
    let found = problems(path, broken);
    assert!(matches!(&found[..], [(at, problem)] if *at == line && problem.contains(words)), "{found:?}");
    assert_eq!(problems(path, mended), Vec::new());
}

#[test]
fn this_checkout_is_tidy() {
    let found = super::findings(&workspace::root()).expect("cargo and git answer");
    let lines: Vec<String> = found.iter().map(Finding::to_string).collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
}

#[test]
fn a_module_opens_with_its_doc() {
    check("a/src/x.rs", "use std::fmt;\n", 1, "says nothing", "//! X.\nuse std::fmt;\n");
}

#[test]
fn a_file_ends_where_a_reader_gives_up() {
    let lines = |count: usize| format!("//! X.\n{}", "const A: u8 = 0;\n".repeat(count - 1));
    check("a/src/x.rs", &lines(601), 601, "601 lines", &lines(600));
}

#[test]
fn a_module_is_named_after_what_it_owns() {
    assert_eq!(problems("a/src/utils.rs", "//! X.\n").len(), 1);
    assert_eq!(problems("a/src/plan_v2.rs", "//! X.\n").len(), 1);
    assert_eq!(problems("a/src/q4_0.rs", "//! X.\n"), Vec::new());
}

#[test]
fn work_is_not_put_off_without_an_issue() {
    let put_off = concat!("//! X.\n// TO", "DO: later\n");
    check("a/src/x.rs", put_off, 2, "put off", &put_off.replace("later", "issue 12"));
}

#[test]
fn no_file_names_a_registry_host() {
    check("a/setup.sh", concat!("curl https://crates", ".io\n"), 1, "host", "cargo fetch\n");
    assert_eq!(problems("Cargo.lock", concat!("index = \"crates", ".io\"\n")), Vec::new());
}

#[test]
fn a_guarded_lint_stays_on_outside_tests() {
    let off = "//! X.\n#[allow(clippy::too_many_lines)]\nfn f() {}\n";
    check("a/src/x.rs", off, 2, "switched off", "//! X.\n#[allow(clippy::manual_map)]\nfn f() {}\n");
    assert_eq!(problems("a/tests/it/main.rs", off), Vec::new());
}

#[test]
fn a_test_is_not_ignored() {
    check("a/src/tests.rs", "//! X.\n#[ignore]\nfn f() {}\n", 2, "ignored", "//! X.\n#[test]\nfn f() {}\n");
}

#[test]
fn a_queue_has_a_bound() {
    check("a/src/x.rs", "//! X.\nlet q = mpsc::channel();\n", 2, "bound", "//! X.\nlet q = mpsc::sync_channel(8);\n");
    check("a/src/x.rs", "//! X.\nlet q = flume::unbounded();\n", 2, "bound", "//! X.\nlet q = flume::bounded(8);\n");
}

#[test]
fn the_backend_is_no_feature() {
    let flag = concat!("//! X.\n#[cfg(feature = ", "\"cuda\")]\nmod cuda;\n");
    check("a/src/x.rs", flag, 2, "feature", "//! X.\nmod cuda;\n");
}

#[test]
fn the_engine_reads_neither_environment_nor_clock() {
    let clock = "//! X.\nlet now = Instant::now();\n";
    check("engine/src/x.rs", clock, 2, "clock", "//! X.\n// An Instant would be wrong here.\n");
    check("engine/src/x.rs", "//! X.\nlet a = std::env::var(\"A\");\n", 2, "environment", "//! X.\n");
    assert_eq!(problems("trainer/src/x.rs", clock), Vec::new());
}

#[test]
fn unsafe_code_stays_where_it_is_allowed() {
    let code = "//! X.\nfn f() { unsafe { g() } }\n";
    let found = |path: &str| unsafe_code::check(&tree(&[(path, code)], Vec::new())).len();
    assert_eq!([found("cli/src/x.rs"), found("engine/src/x.rs"), found("engine/src/cpu/x.rs")], [1, 1, 0]);
    let crates = |text: &str| {
        unsafe_code::check(&tree(&[("hub/src/lib.rs", text)], vec![member("bedplate-hub", "hub", &[])])).len()
    };
    assert_eq!([crates("//! X.\n"), crates("//! X.\n#![forbid(unsafe_code)]\n")], [1, 0]);
}

#[test]
fn a_file_that_no_module_declares_is_found() {
    let files = [
        ("hub/src/lib.rs", "//! X.\npub(crate) mod uri;\n#[cfg(test)]\nmod tests;\n"),
        ("hub/src/uri.rs", "//! X.\nmod scheme;\n// mod lost;\n"),
        ("hub/src/uri/scheme.rs", "//! X.\n"),
        ("hub/src/uri/lost.rs", "//! X.\n"),
        ("hub/src/tests/mod.rs", "//! X.\n"),
    ];
    let found = modules::check(&tree(&files, vec![member("bedplate-hub", "hub", &[])]));
    assert!(matches!(&found[..], [finding] if finding.path == Path::new("hub/src/uri/lost.rs")), "{found:?}");
}

#[test]
fn the_code_map_names_every_folder() {
    let files =
        |map: &'static str| [("ARCHITECTURE.md", map), ("hub/Cargo.toml", ""), ("README.md", ""), (".ci/run", "")];
    let found = |map| {
        let problems = documents::check(&tree(&files(map), Vec::new())).into_iter().map(|finding| finding.problem);
        problems.filter(|problem| problem.contains("code map")).count()
    };
    assert_eq!([found("nothing"), found("| `hub/` | models |")], [1, 0]);
}

#[test]
fn every_operation_has_a_body_of_proof() {
    let op = ("engine/src/cpu/rope.rs", "//! X.\n");
    let unproved = |files: &[(&str, &str)]| {
        let problems = documents::check(&tree(files, Vec::new())).into_iter().map(|finding| finding.problem);
        problems.filter(|problem| problem.contains("rope is not proved")).count()
    };
    assert_eq!([unproved(&[op]), unproved(&[op, ("engine/src/conformance/rope.rs", "//! X.\n")])], [1, 0]);
}

#[test]
fn a_field_without_a_description_is_found() {
    let mut found = Vec::new();
    let schema = json!({ "properties": { "spec": { "description": "X.", "properties": {
        "list": { "description": "X.", "items": { "properties": { "bare": {} } } } } } } });
    documents::undocumented("Kind", &schema, &mut found);
    assert!(
        matches!(&found[..], [finding] if finding.problem == "Kind.spec.list[].bare has no description"),
        "{found:?}"
    );
}

#[test]
fn an_arrow_points_only_where_it_may() {
    let found = |dependencies: &[(&str, Option<&str>)]| {
        let members = vec![
            member("bedplate-hub", "hub", dependencies),
            member("bedplate-crds", "crds", &[]),
            member("bedplate-trainer", "trainer", &[]),
        ];
        crate_graph::arrows_of(&tree(&[], members))
    };
    assert_eq!(found(&[("serde", None)]).len(), 0);
    assert_eq!(found(&[("bedplate-crds", Some("dev"))]).len(), 0);
    assert_eq!(found(&[("bedplate-crds", None)]).len(), 1);
    assert_eq!(found(&[("bedplate-trainer", Some("dev"))]).len(), 1);
    let unknown = crate_graph::arrows_of(&tree(&[], vec![member("bedplate-new", "new", &[])]));
    assert!(unknown[0].problem.contains("not among the known crates"), "{unknown:?}");
}

#[test]
fn a_forbidden_package_is_found_however_deep() {
    let own = member("bedplate-engine", "engine", &[]);
    let linked = ["gemm", "kube-core", "kubelike", "tokio"].map(str::to_owned);
    let found = crate_graph::links(&tree(&[], Vec::new()), &own, &linked, &["tokio", "kube-"]);
    let problems: Vec<&str> = found.iter().map(|finding| finding.problem.as_str()).collect();
    assert_eq!(problems, ["bedplate-engine links kube-core", "bedplate-engine links tokio"]);
}

#[test]
fn what_comes_from_outside_has_an_allowed_licence_and_a_registry() {
    let deny = "[licenses]\nallow = [\"MIT\"]\nexceptions = [{ crate = \"odd\", allow = [\"MPL-2.0\"] }]\n[bans]\ndeny = [{ name = \"openssl\" }]\n";
    let package = |name: &str, license: Option<&str>, source: &str| licences::External {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        source: Some(source.to_owned()),
        license: license.map(str::to_owned),
    };
    let found =
        |name, license, source| licences::judge(deny, &[package(name, license, source)]).expect("a deny.toml").len();
    assert_eq!(found("a", Some("Apache-2.0 OR MIT"), "registry+x"), 0);
    assert_eq!(found("a", Some("MIT/Apache-2.0"), "registry+x"), 0);
    assert_eq!(found("a", Some("Apache-2.0 AND MIT"), "registry+x"), 1);
    assert_eq!(found("a", None, "registry+x"), 1);
    assert_eq!(found("a", Some("MIT"), "git+x"), 1);
    assert_eq!(found("openssl", Some("MIT"), "registry+x"), 1);
    assert_eq!([found("odd", Some("MPL-2.0"), "registry+x"), found("a", Some("MPL-2.0"), "registry+x")], [0, 1]);
}

#[test]
fn comments_strings_and_characters_are_no_code() {
    let source = "let a = 'x'; // unsafe\nlet b = \"unsafe\\\" unsafe\"; /* unsafe /* */ unsafe */\nlet c = r#\"unsafe \" unsafe\"#;\n\
                  fn f<'unsafe_>(c: char) -> bool { c == '\\'' } // unsafe\nlet bar = br\"unsafe\"; unsafe {}\n";
    let code = Code::of(source);
    assert_eq!(code.lines().count(), source.lines().count());
    assert_eq!(code.lines_with_word("unsafe").map(|(at, _)| at).collect::<Vec<_>>(), [5]);
    assert!(code.contains("let bar ="));
}

#[test]
fn a_breach_in_a_checkout_is_reported_with_file_line_and_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    fs::create_dir_all(root.join("hub/src")).expect("folders");
    let manifest = "[package]\nname = \"bedplate-hub\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    for (path, text) in [
        ("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"hub\"]\n"),
        ("hub/Cargo.toml", manifest),
        ("hub/src/lib.rs", "//! X.\n#![forbid(unsafe_code)]\n"),
        ("hub/src/lost.rs", "//! X.\n"),
        ("ARCHITECTURE.md", "| `hub/` | models |\n"),
        ("deny.toml", "[licenses]\nallow = []\n[bans]\ndeny = []\n"),
    ] {
        fs::write(root.join(path), text).expect("a file");
    }
    workspace::output(root, "git", &["init", "--quiet"]).expect("git");
    let root = root.canonicalize().expect("a real path");
    let found: Vec<String> =
        super::findings(&root).expect("cargo and git answer").iter().map(Finding::to_string).collect();
    assert_eq!(found, ["hub/src/lost.rs:1: no module declares this file; add its `mod` line, or remove it"]);
}
