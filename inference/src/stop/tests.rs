//! The cut by hand, and its independence of the pieces.

use proptest::prelude::*;

use super::*;

fn feed(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
    let mut matcher = StopMatcher::new(stops.iter().map(|stop| (*stop).to_owned()).collect(), false);
    let mut out = Vec::new();
    for piece in pieces {
        let matched = matcher.push(piece);
        out.push(matched.text);
        if matched.stopped {
            return (out, true);
        }
    }
    out.push(matcher.finish());
    (out, false)
}

#[test]
fn a_stop_string_over_two_pieces_is_cut_and_never_shown() {
    assert_eq!(feed(&["END"], &["abE", "ND", "c"]), (vec!["ab".into(), String::new()], true));
    assert_eq!(feed(&["END"], &["abE", "Nx"]), (vec!["ab".into(), "ENx".into(), String::new()], false));
}

#[test]
fn what_was_held_back_is_given_at_the_end() {
    assert_eq!(feed(&["\n\n"], &["a\n"]), (vec!["a".into(), "\n".into()], false));
}

#[test]
fn the_first_to_be_complete_wins() {
    assert_eq!(feed(&["abcd", "bc"], &["xabcd"]), (vec!["xa".into()], true));
    assert_eq!(feed(&["bc", "abc"], &["xabc"]), (vec!["x".into()], true));
}

#[test]
fn characters_of_several_bytes_are_not_split() {
    assert_eq!(
        feed(&["é!"], &["caf", "é", "."]),
        (vec!["caf".into(), String::new(), "é.".into(), String::new()], false)
    );
}

#[test]
fn a_stop_string_that_is_kept_is_the_end_of_the_text() {
    let mut matcher = StopMatcher::new(vec!["END".into(), "abc".into()], true);
    assert_eq!(matcher.push("xyE"), Matched { text: "xy".into(), stopped: false });
    assert_eq!(matcher.push("NDz"), Matched { text: "END".into(), stopped: true });
}

#[test]
fn a_long_stop_string_that_nearly_comes_costs_no_more_than_its_text() {
    let begun = "a".repeat(200_000);
    let mut matcher = StopMatcher::new(vec![format!("{begun}b")], false);
    // Compared from each place anew, this would be 20 billion comparisons.
    for _ in 0..400_000 {
        assert!(!matcher.push("a").stopped);
    }
    assert_eq!(matcher.push("b"), Matched { text: String::new(), stopped: true });
}

proptest! {
    #[test]
    fn the_cut_does_not_depend_on_the_pieces(
        text in "[abé]{0,24}",
        stops in prop::collection::vec("[abé]{1,4}", 0..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let places: Vec<usize> = text.char_indices().map(|(place, _)| place).chain([text.len()]).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| places[cut.index(places.len())]).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&str> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
        let (whole, pieced) = (feed(&stops, &[&text]), feed(&stops, &pieces));
        prop_assert_eq!((whole.0.concat(), whole.1), (pieced.0.concat(), pieced.1));
        prop_assert!(stops.iter().all(|stop| !pieced.0.concat().contains(stop)));
    }
}
