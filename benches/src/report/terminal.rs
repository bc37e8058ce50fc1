//! Renders a report for a terminal.

use super::section::{Quote, Report, Section, Table};

/// Returns the whole report as text.
pub fn render(report: &Report) -> String {
    let mut parts = vec![report.answer.join("\n")];
    parts.extend(report.sections.iter().map(section));
    parts.push(report.machine.clone());
    parts.extend(report.warnings.iter().map(|warning| format!("Note: {warning}")));
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n") + "\n"
}

/// Returns one section as text. A quote that matters less is a headline alone.
pub fn section(section: &Section) -> String {
    let mut lines = vec![section.heading.clone()];
    lines.extend(section.answer.iter().cloned());
    for table in &section.tables {
        lines.extend(Some(table.title.clone()).filter(|title| !title.is_empty()));
        lines.extend(align(table));
    }
    lines.extend(section.warnings.iter().map(|warning| format!("Note: {warning}")));
    lines.extend(section.definitions.iter().map(|(name, meaning)| format!("{name}: {meaning}")));
    lines.extend(section.quotes.iter().map(|of| match of.is_open {
        true => quote(of),
        false => of.headline.clone(),
    }));
    lines.extend(section.notes.iter().cloned());
    lines.join("\n")
}

/// Returns the texts that a section quotes, all of them.
pub fn quotes(section: &Section) -> String {
    section.quotes.iter().map(quote).collect::<Vec<_>>().join("\n")
}

fn quote(quote: &Quote) -> String {
    let text = |(label, text): &(String, String)| {
        format!("  {label}:\n    | {}", text.replace('\n', "\n    | "))
    };
    let texts: Vec<String> = quote.texts.iter().map(text).collect();
    format!("{}\n{}", quote.headline, texts.join("\n"))
}

/// Aligns the first column to the left, the others to the right.
fn align(table: &Table) -> Vec<String> {
    let rows = table.rows.iter().map(|row| row.cells.iter().map(super::section::Cell::line));
    let mut cells = vec![table.columns.clone()];
    cells.extend(rows.map(Iterator::collect::<Vec<_>>));
    let length =
        |row: &Vec<String>, column: usize| row.get(column).map_or(0, |c| c.chars().count());
    let width = |column| cells.iter().map(|row| length(row, column)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..table.columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            match column {
                0 => line.push_str(&format!("{cell:<width$}")),
                _ => line.push_str(&format!("  {cell:>width$}")),
            }
        }
        line.trim_end().to_string()
    };
    cells.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::section::Cell;

    #[test]
    fn columns_are_aligned_and_intervals_stand_beside_their_values() {
        let mut table = Table::new("", &["", "cost"]);
        table.cells([Cell::plain("pinloop"), Cell::with("1.21", "1.18–1.24")]);
        table.row(["µ", "9"]);
        let lines =
            ["                    cost", "pinloop  1.21 [1.18–1.24]", "µ                       9"];
        let aligned = align(&table);
        assert_eq!(aligned[1..], lines[1..]);
        assert_eq!(aligned[0].chars().count(), aligned[1].chars().count());
    }
}
