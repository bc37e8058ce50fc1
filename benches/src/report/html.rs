//! Renders a report as one HTML page, with everything it needs in it.

use askama::Template;

use super::section::{Report, Tone};

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
}

/// Returns the page.
pub fn render(report: &Report) -> Result<String, askama::Error> {
    Page { report }.render()
}

impl Tone {
    /// Class of the style sheet.
    fn class(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Less => "less",
            Self::More => "more",
            Self::Same => "same",
        }
    }
}
