//! Renders a report as Markdown, for a pull request or a README.

use super::section::{Cell, Report, Section, Table};

/// Stand around what [`into_readme`] replaces.
const MARKS: [&str; 2] = ["<!-- the run -->\n", "<!-- the end of the run -->"];

/// Returns the whole report.
pub fn render(report: &Report) -> String {
    let mut parts = report.answer.clone();
    if let Some(first) = parts.first_mut() {
        *first = format!("**{first}**");
    }
    parts.extend(report.sections.iter().map(section));
    parts.push(report.machine.clone());
    parts.extend(report.warnings.iter().map(|warning| format!("> {warning}")));
    parts.join("\n\n") + "\n"
}

/// Returns `readme` with the answer, the first table and the machine of this report
/// between its marks. Returns none if it has no marks.
pub fn into_readme(report: &Report, readme: &str) -> Option<String> {
    let [begin, end] = MARKS;
    let (before, rest) = readme.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    let answer = report.answer.join("\n\n");
    let first = report.sections.iter().flat_map(|section| &section.tables).next();
    let table = first.map(table).unwrap_or_default();
    let run = format!("\n{answer}\n\n{table}\n\nThe machine: {}.\n\n", report.machine);
    Some(format!("{before}{begin}{run}{end}{after}"))
}

fn section(section: &Section) -> String {
    let mut parts = vec![format!("### {}", section.heading)];
    parts.extend(section.answer.iter().cloned());
    parts.extend(section.warnings.iter().map(|warning| format!("> {warning}")));
    parts.extend(section.tables.iter().map(table));
    parts.extend(section.definitions.iter().map(|(name, text)| format!("- {name}: {text}")));
    parts.extend(section.quotes.iter().map(|quote| quote.headline.clone()));
    parts.extend(section.notes.iter().cloned());
    parts.join("\n\n")
}

fn table(table: &Table) -> String {
    let rules =
        table.columns.iter().enumerate().map(|(at, _)| if at == 0 { "---" } else { "---:" });
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let mut lines = Vec::new();
    if !table.title.is_empty() {
        lines.extend([format!("#### {}", table.title), String::new()]);
    }
    lines.push(line(table.columns.clone()));
    lines.push(line(rules.map(String::from).collect()));
    let cell = |cell: &Cell| cell.line().replace('|', "\\|");
    lines.extend(table.rows.iter().map(|row| line(row.cells.iter().map(cell).collect())));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_readme_gets_the_answer_and_the_table_between_its_marks() {
        let mut section = Section::new("At a glance");
        let mut cells = Table::new("", &["", "cost"]);
        cells.row(["pinloop", "1 | 2"]);
        section.tables.push(cells);
        let answer = vec!["hyper adds 1 µs.".to_string()];
        let report = Report { answer, sections: vec![section], ..Report::default() };
        let readme = format!("above\n{}old{}\nbelow\n", MARKS[0], MARKS[1]);
        let renewed = into_readme(&report, &readme).unwrap();
        assert!(renewed.starts_with("above\n") && renewed.ends_with("\nbelow\n"));
        assert!(renewed.contains("hyper adds 1 µs.\n\n|  | cost |"), "{renewed}");
        assert!(renewed.contains("| pinloop | 1 \\| 2 |") && !renewed.contains("old"));
        assert_eq!(into_readme(&report, "no marks"), None);
    }
}
