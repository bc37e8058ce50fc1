//! Pictures as SVG: each drawn twice, for a wide page and for a phone, because
//! one that is scaled down has text that nobody can read.

mod bars;
pub(crate) mod percentiles;

use std::fmt;

use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, IntoDrawingArea, RGBColor, SVGBackend, WHITE};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, TextStyle};

pub use bars::{Bar, bars};
pub use percentiles::percentiles;

/// Widths of a picture for a screen and for a phone, in CSS pixels.
pub(crate) const WIDTHS: [u32; 2] = [900, 358];

/// Size of names and figures, in CSS pixels.
pub(crate) const TEXT: f64 = 13.5;

/// Size of the text below a picture, in CSS pixels.
pub(crate) const SMALL: f64 = 12.0;

/// plotters takes a font's line for its size, and so writes it this much smaller.
pub(crate) const LINE: f64 = 1.24;

pub(crate) const GREY: RGBColor = RGBColor(0x66, 0x66, 0x66);
pub(crate) const GRID: RGBColor = RGBColor(0xe3, 0xe3, 0xe3);

/// One picture in two sizes, each a whole `<svg>`.
#[derive(Clone, Debug)]
pub struct Picture {
    /// For screens and paper.
    pub wide: String,
    /// For phones.
    pub narrow: String,
}

/// Both; the page's style sheet shows the one that fits.
impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wide, narrow } = self;
        write!(f, "<div class=\"wide\">{wide}</div><div class=\"narrow\">{narrow}</div>")
    }
}

/// Text from outside is escaped when it is drawn.
impl askama::filters::HtmlSafe for Picture {}

/// Why a picture could not be drawn.
#[derive(Debug)]
pub struct PlotError(String);

/// Area of a picture.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws in both sizes. `label` says in words what there is to see.
pub(crate) fn picture(
    label: &str,
    height: impl Fn(u32) -> u32,
    draw: impl Fn(&Area<'_>) -> Result<(), PlotError>,
) -> Result<Picture, PlotError> {
    let drawn = |width| -> Result<String, PlotError> {
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, (width, height(width))).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present()?;
        drop(area);
        let label = label.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        Ok(svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{label}\" "), 1))
    };
    let [wide, narrow] = WIDTHS;
    Ok(Picture { wide: drawn(wide)?, narrow: drawn(narrow)? })
}

pub(crate) fn is_narrow(width: u32) -> bool {
    width < 600
}

/// A text's style: its size, colour and which of its points is given.
pub(crate) fn text<'a>(size: f64, colour: RGBColor, horizontal: HPos) -> TextStyle<'a> {
    TextStyle {
        font: ("sans-serif", size * LINE).into_font(),
        color: colour.to_backend_color(),
        pos: Pos::new(horizontal, VPos::Center),
    }
}

pub(crate) fn rgb(hex: &str) -> RGBColor {
    let part = |at: usize| u8::from_str_radix(hex.get(at..at + 2).unwrap_or(""), 16).unwrap_or(0);
    RGBColor(part(1), part(3), part(5))
}

impl<E: std::error::Error + Send + Sync> From<plotters::drawing::DrawingAreaErrorKind<E>>
    for PlotError
{
    fn from(error: plotters::drawing::DrawingAreaErrorKind<E>) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for PlotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a picture cannot be drawn: {}", self.0)
    }
}

impl std::error::Error for PlotError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_are_read_from_hex() {
        let RGBColor(red, green, blue) = rgb("#e69f00");
        assert_eq!((red, green, blue), (0xe6, 0x9f, 0x00));
    }

    #[test]
    fn a_picture_says_what_it_shows() {
        let picture = picture("a < b", |_| 100, |_| Ok(())).unwrap();
        assert!(picture.wide.contains("aria-label=\"a &lt; b\""), "{}", picture.wide);
        assert!(picture.narrow.contains("width=\"358\""), "{}", picture.narrow);
    }
}
