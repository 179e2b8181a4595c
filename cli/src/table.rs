//! Aligned columns of text. Knows nothing of what they hold.

/// Between two columns, as `kubectl` prints them.
const GAP: &str = "   ";

/// Rows under a header; the last column is not padded.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &[&str]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let mut line = padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned();
        line.push('\n');
        line
    };
    let rows = rows.iter().map(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
    std::iter::once(line(header)).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "ä".to_owned()], vec!["longer".to_owned(), String::new()]];
        assert_eq!(super::table(&["K", "PHASE"], &rows), "K        PHASE\na        ä\nlonger\n");
    }
}
