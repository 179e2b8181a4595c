//! The report of a run: one file, whole, and proof against what documents hold.

use crate::scratch::{Scratch, TRAINER};

const HOSTILE: &str = "<script>alert('x')</script>\u{1b}[31m & \\\"quoted\\\"";

fn report_of_a_hostile_run() -> String {
    let scratch = Scratch::new();
    let sample = format!(
        "say '\"sample\",\"step\":4,\"prompt\":\"pub\",\"completion\":\"{}\"'",
        HOSTILE.replace('\'', "’").replace('\u{1b}', "\\u001b")
    );
    scratch
        .worker("bedplate-trainer", &TRAINER.replace("say '\"evaluation\"", &format!("{sample}\nsay '\"evaluation\"")));
    let told = scratch.run(&["--once", "--exec", "echo '</pre><img src=http://example.com/x>'"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    std::fs::read_to_string(scratch.state("report.html")).expect("a report")
}

#[test]
fn nothing_from_a_document_becomes_markup_and_nothing_is_fetched() {
    let page = report_of_a_hostile_run();
    assert!(page.contains("&lt;script&gt;alert(") && page.contains("&lt;img src="), "{page}");
    assert!(!page.contains("<script>alert(") && !page.contains("<img"), "{page}");
    for outside in [" src=", "<link", "@import", "url(h", "fetch("] {
        let found = page.find(outside).map(|at| &page[at.saturating_sub(60)..(at + 60).min(page.len())]);
        assert!(found.is_none_or(|text| text.contains("&lt;")), "{found:?}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn curves_lineage_and_figures_are_there() {
    let page = report_of_a_hostile_run();
    for wanted in [
        "<svg class=\"chart\"",
        "<svg class=\"lineage\"",
        "exactDedup",
        "1.250",
        "Asked and answered",
        "dddd0123456789ab",
    ] {
        assert!(page.contains(wanted), "{wanted}");
    }
    assert!(!page.contains("http-equiv=\"refresh\""), "a run that is over does not change any more");
    assert!(!page.contains("NaN"));
}
