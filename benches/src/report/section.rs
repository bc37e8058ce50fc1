//! The data of a report.

use crate::report::colors;
use crate::report::plots::{Picture, PlotError};
use crate::results::Results;

/// Input of a study's sections.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The counts.
    pub results: &'a Results,
    /// Options of the report.
    pub options: &'a Options<'a>,
    /// Instructions of a request, by key of the regime and of the server, if they were
    /// counted.
    pub instructions: &'a dyn Fn(&str, &str) -> Option<f64>,
}

/// Options of a report.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Price of one core for an hour, in dollars.
    pub price_per_core_hour: f64,
    /// An older run, to say what changed since.
    pub baseline: Option<&'a Results>,
    /// Name of the study that comes first; the ladder if empty.
    pub first: &'a str,
}

/// Sections of a study; none if the results have nothing of it.
pub type Sections = Result<Vec<Section>, PlotError>;

impl Default for Options<'_> {
    /// The machine of 2017: four cores for 0.05 dollars an hour. No older run.
    fn default() -> Self {
        Self { price_per_core_hour: 0.0125, baseline: None, first: "" }
    }
}

/// A whole report.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Sentences, the most important first.
    pub answer: Vec<String>,
    /// Caveats that come before the first figure.
    pub warnings: Vec<String>,
    /// The machine in one line.
    pub machine: String,
    /// In their order.
    pub sections: Vec<Section>,
    /// Version of the program that measured.
    pub version: String,
}

/// A part of the report with a heading of its own.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// A few words.
    pub heading: String,
    /// Sentences.
    pub answer: Vec<String>,
    /// Sentences on what is wrong or missing.
    pub warnings: Vec<String>,
    /// Pictures.
    pub plots: Vec<Plot>,
    /// Tables.
    pub tables: Vec<Table>,
    /// Names with their meanings.
    pub definitions: Vec<(String, String)>,
    /// Texts that are shown as they are.
    pub quotes: Vec<Quote>,
    /// Sentences on how to read it.
    pub notes: Vec<String>,
}

/// A picture with what explains it.
#[derive(Clone, Debug)]
pub struct Plot {
    /// The picture.
    pub picture: Picture,
    /// Sentences below it.
    pub caption: String,
    /// Legend.
    pub keys: Vec<Key>,
}

/// A color and what it stands for.
#[derive(Clone, Debug)]
pub struct Key {
    /// Name as people read it.
    pub name: String,
    /// Color in hexadecimal, such as `#0072b2`.
    pub color: &'static str,
}

/// Rows below columns. The first cell of a row is its name.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Words above it; may be empty.
    pub title: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows, each with a cell for each column.
    pub rows: Vec<Row>,
}

/// A row of a table.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// One for each column.
    pub cells: Vec<Cell>,
    /// True if it matters less than the others.
    pub is_faint: bool,
}

/// A cell of a table.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// The value.
    pub text: String,
    /// Addition to the value, such as its interval; may be empty.
    pub below: String,
    /// Meaning for the reader.
    pub tone: Tone,
}

/// Meaning of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// It costs less.
    Less,
    /// It costs more.
    More,
    /// No difference is known.
    Same,
}

/// Texts below a headline.
#[derive(Clone, Debug)]
pub struct Quote {
    /// Subject of the texts.
    pub headline: String,
    /// True if they are shown at first sight.
    pub is_open: bool,
    /// Each with its label.
    pub texts: Vec<(String, String)>,
}

impl Section {
    /// A section with nothing below its heading.
    pub fn new(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), ..Self::default() }
    }

    /// Adds a picture if there is one.
    pub fn plot(&mut self, picture: Option<Picture>, caption: &str, keys: Vec<Key>) {
        let caption = caption.to_string();
        self.plots.extend(picture.map(|picture| Plot { picture, caption, keys }));
    }
}

impl Key {
    /// The key of a server, which has the same color everywhere.
    pub fn of_server(name: &str) -> Self {
        Self { name: name.to_string(), color: colors::of(name) }
    }
}

impl Table {
    /// A table without rows.
    pub fn new<T: AsRef<str>>(title: impl Into<String>, columns: &[T]) -> Self {
        let columns = columns.iter().map(|name| name.as_ref().to_string()).collect();
        Self { title: title.into(), columns, rows: Vec::new() }
    }

    /// Adds a row of plain cells.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cells = cells.into_iter().map(Cell::plain).collect();
        self.rows.push(Row { cells, is_faint: false });
    }

    /// Adds a row of any cells.
    pub fn cells(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(Row { cells: cells.into_iter().collect(), is_faint: false });
    }
}

impl Cell {
    /// A value alone.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A value with what belongs to it.
    pub fn with(text: impl Into<String>, below: impl Into<String>) -> Self {
        Self { text: text.into(), below: below.into(), tone: Tone::Plain }
    }

    /// Both in one line: `1.21 [1.18–1.24]`.
    pub fn line(&self) -> String {
        match self.below.as_str() {
            "" => self.text.clone(),
            below => format!("{} [{below}]", self.text),
        }
    }
}
