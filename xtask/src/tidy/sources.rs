//! Rules on single files.

use super::{File, Finding, Tree, code::has_word};

/// Longest file: what a reader can still hold in mind.
const MAX_FILE_LINES: usize = 600;
/// Names that say nothing about what a module owns, so that anything ends up there.
const FORBIDDEN_STEMS: [&str; 9] =
    ["utils", "util", "common", "manager", "helper", "helpers", "misc", "shared_types", "stuff"];
/// Words that put work off; spelt in two halves so that this file does not hold them.
const PUT_OFF: [&str; 4] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
/// Package registries; a machine's own settings say where packages come from. Spelt in halves for the same reason.
const REGISTRY_HOSTS: [&str; 9] = [
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("registry.npmjs", ".org"),
    concat!("proxy.golang", ".org"),
    concat!("sum.golang", ".org"),
    concat!("repo.maven", ".apache.org"),
    concat!("deb.debian", ".org"),
    concat!("static.rust-lang", ".org"),
];
/// Lints that may not be switched off outside tests: what they find is to be mended.
const GUARDED_LINTS: [&str; 7] = [
    "clippy::unwrap_used",
    "clippy::too_many_lines",
    "clippy::too_many_arguments",
    "clippy::await_holding_lock",
    "clippy::undocumented_unsafe_blocks",
    "dead_code",
    "unused",
];

/// Every rule on every file.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let rules = [
        module_doc,
        length,
        name,
        put_off,
        registry_host,
        guarded_lint,
        ignored_test,
        unbounded_queue,
        backend_flag,
        engine_is_pure,
    ];
    tree.files.iter().flat_map(|file| rules.iter().flat_map(|rule| rule(file))).collect()
}

fn module_doc(file: &File) -> Vec<Finding> {
    let opens = file.text.lines().find(|line| !line.trim().is_empty()).is_some_and(|line| line.starts_with("//!"));
    if !file.is_rust() || opens {
        return Vec::new();
    }
    vec![file.finding(
        1,
        "the module says nothing about itself",
        "open it with `//!`: what it owns and what it never does",
    )]
}

fn length(file: &File) -> Vec<Finding> {
    let lines = file.text.lines().count();
    if !file.is_rust() || lines <= MAX_FILE_LINES {
        return Vec::new();
    }
    vec![file.finding(lines, format!("{lines} lines, {MAX_FILE_LINES} allowed"), "cut it where its subject changes")]
}

fn name(file: &File) -> Vec<Finding> {
    let stem = file.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let is_numbered =
        stem.rsplit_once("_v").is_some_and(|(_, tail)| !tail.is_empty() && tail.bytes().all(|b| b.is_ascii_digit()));
    if !file.is_rust() || !(FORBIDDEN_STEMS.contains(&stem) || is_numbered) {
        return Vec::new();
    }
    vec![file.finding(1, format!("a module called {stem}"), "name it after what it owns")]
}

fn put_off(file: &File) -> Vec<Finding> {
    let lines = file.text.lines().enumerate();
    let found = lines.filter(|(_, line)| PUT_OFF.iter().any(|word| has_word(line, word)) && !names_issue(line));
    found
        .map(|(at, _)| file.finding(at + 1, "work put off without an issue", "do it, or name the issue: `issue 12`"))
        .collect()
}

fn names_issue(line: &str) -> bool {
    line.match_indices("issue ").any(|(at, word)| line[at + word.len()..].starts_with(|c: char| c.is_ascii_digit()))
}

/// The lock files of cargo and Go name their registry by themselves.
fn registry_host(file: &File) -> Vec<Finding> {
    if file.path.ends_with("Cargo.lock") || file.path.ends_with("go.sum") {
        return Vec::new();
    }
    let names = |line: &str| REGISTRY_HOSTS.iter().any(|host| line.contains(host));
    let lines = file.text.lines().enumerate().filter(|(_, line)| names(line));
    lines
        .map(|(at, _)| {
            file.finding(at + 1, "a package registry's host", "name the package; the machine knows where it is")
        })
        .collect()
}

fn guarded_lint(file: &File) -> Vec<Finding> {
    if file.is_test() {
        return Vec::new();
    }
    let switches = |line: &str| line.contains("allow(") || line.contains("expect(");
    let is_attribute = |line: &str| line.trim_start().starts_with("#") && switches(line);
    let lines = file.code.lines().filter(|(_, line)| is_attribute(line));
    let found = lines.filter(|(_, line)| GUARDED_LINTS.iter().any(|lint| has_word(line, lint)));
    found.map(|(at, _)| file.finding(at, "a guarded lint switched off", "mend what the lint finds")).collect()
}

fn ignored_test(file: &File) -> Vec<Finding> {
    let lines = file.code.lines().filter(|(_, line)| line.trim_start().starts_with("#[ignore"));
    lines.map(|(at, _)| file.finding(at, "an ignored test", "let it run, or say at run time what it lacks")).collect()
}

fn unbounded_queue(file: &File) -> Vec<Finding> {
    let is_unbounded = |line: &str| {
        has_word(line, "unbounded")
            || line.contains("unbounded_channel")
            || line.replace(' ', "").contains("mpsc::channel()")
    };
    let lines = file.code.lines().filter(|(_, line)| is_unbounded(line));
    lines
        .map(|(at, _)| file.finding(at, "a queue without a bound", "give it one, a named constant with its reason"))
        .collect()
}

/// The backend is chosen once, in `main`, at run time.
fn backend_flag(file: &File) -> Vec<Finding> {
    let flag = concat!("feature = ", "\"cuda\"");
    let lines = file.text.lines().enumerate().filter(|(_, line)| file.is_rust() && line.contains(flag));
    lines
        .map(|(at, _)| file.finding(at + 1, "the backend behind a feature", "compile both and choose in main"))
        .collect()
}

/// The engine reads neither environment nor clock; its tests and benchmarks may.
fn engine_is_pure(file: &File) -> Vec<Finding> {
    if !file.path.starts_with("engine/src") || file.is_test() {
        return Vec::new();
    }
    let reads = |line: &str| {
        ["env::var", "env::args", "std::env"].iter().any(|text| line.contains(text))
            || ["Instant", "SystemTime"].iter().any(|word| has_word(line, word))
    };
    let lines = file.code.lines().filter(|(_, line)| reads(line));
    lines
        .map(|(at, _)| {
            file.finding(at, "the engine reads the environment or the clock", "let the caller pass the value in")
        })
        .collect()
}
