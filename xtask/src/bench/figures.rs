//! Medians, ratios and the Markdown table that docs/benchmarks.md keeps.

use std::fmt::Write as _;

use super::pair::{Pair, Round};

/// The table of every figure that both sides measured.
pub fn table(pair: &Pair, rounds: &[Round], machine: &str) -> String {
    let mut text = format!("### {}\n\n{machine}; {} rounds, interleaved.\n\n", pair.name, rounds.len());
    let _ = writeln!(
        text,
        "| figure | {} | {} | ratio (median; least to most) |\n|---|---|---|---|",
        pair.ours.name, pair.peer.name
    );
    let names = rounds[0].ours.keys().filter(|name| rounds.iter().all(|round| round.peer.contains_key(*name)));
    for name in names {
        let column =
            |figure: fn(&Round, &str) -> f64| rounds.iter().map(|round| figure(round, name)).collect::<Vec<_>>();
        let ours = column(|round, name| round.ours[name]);
        let peer = column(|round, name| round.peer[name]);
        let mut ratios = column(|round, name| round.ours[name] / round.peer[name]);
        ratios.sort_by(f64::total_cmp);
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        let (ours, peer, ratio) = (median(ours), median(peer), median(ratios));
        let _ = writeln!(text, "| {name} | {ours:.1} | {peer:.1} | **{ratio:.2}** ({least:.2} to {most:.2}) |");
    }
    text
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::pair::command;
    use super::*;

    fn round(ours: f64, peer: f64) -> Round {
        let figures = |value| BTreeMap::from([("decode".to_owned(), value)]);
        let mut ours = figures(ours);
        ours.insert("only ours".to_owned(), 1.0);
        Round { ours, peer: figures(peer) }
    }

    #[test]
    fn the_ratio_is_the_median_of_the_rounds_own_ratios() {
        let pair = Pair { name: "pair", ours: command("a", "a", &[]), peer: command("b", "b", &[]) };
        let rounds = [round(10.0, 10.0), round(30.0, 10.0), round(8.0, 4.0)];
        let text = table(&pair, &rounds, "a machine");
        assert!(text.contains("| decode | 10.0 | 10.0 | **2.00** (1.00 to 3.00) |"), "{text}");
        assert!(!text.contains("only ours"), "{text}");
    }

    #[test]
    fn an_even_number_of_values_has_a_median_too() {
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
