//! A bar for each of a few amounts.

use plotters::element::{Rectangle, Text};
use plotters::style::text_anchor::HPos;
use plotters::style::{BLACK, Color};

use crate::report::plots::{Area, Picture, PlotError, TEXT, is_narrow, picture, rgb, text};

/// One amount.
#[derive(Clone, Debug)]
pub struct Bar {
    /// Name beside the bar.
    pub name: String,
    /// Its length, in whatever unit all have.
    pub amount: f64,
    /// The amount in words, with its unit.
    pub words: String,
    /// Color in hexadecimal, such as `#0072b2`.
    pub color: &'static str,
}

/// Draws the bars below each other, if there are any. `label` says in words what
/// there is to see.
pub fn bars(label: &str, bars: &[Bar]) -> Result<Option<Picture>, PlotError> {
    if bars.is_empty() {
        return Ok(None);
    }
    let most = bars.iter().map(|bar| bar.amount).fold(0.0, f64::max);
    let height = |width| (bars.len() as i32 * Layout::of(width).row + 4) as u32;
    let drawn = picture(label, height, |area| {
        let layout = Layout::of(area.dim_in_pixel().0);
        for (at, bar) in bars.iter().enumerate() {
            draw(area, &layout, at as i32 * layout.row, most, bar)?;
        }
        Ok(())
    })?;
    Ok(Some(drawn))
}

/// Positions and sizes in pixels.
struct Layout {
    row: i32,
    bar: i32,
    /// From the top of a row to that of its bar.
    above: i32,
    left: i32,
    right: i32,
}

impl Layout {
    fn of(width: u32) -> Self {
        match is_narrow(width) {
            true => Self { row: 42, bar: 14, above: 22, left: 6, right: width as i32 - 8 },
            false => Self { row: 28, bar: 18, above: 4, left: 240, right: width as i32 - 150 },
        }
    }
}

fn draw(area: &Area<'_>, layout: &Layout, top: i32, most: f64, bar: &Bar) -> Result<(), PlotError> {
    let share = if most > 0.0 { (bar.amount / most).max(0.0) } else { 0.0 };
    let end = layout.left + (f64::from(layout.right - layout.left) * share).round() as i32;
    let (bar_top, bar_end) = (top + layout.above, top + layout.above + layout.bar);
    let corners = [(layout.left, bar_top), (end.max(layout.left + 1), bar_end)];
    area.draw(&Rectangle::new(corners, rgb(bar.color).filled()))?;
    let (name_at, name_to, words_at, words_to) = match is_narrow(area.dim_in_pixel().0) {
        true => ((layout.left, top + 11), HPos::Left, (layout.right, top + 11), HPos::Right),
        false => {
            let middle = bar_top + layout.bar / 2;
            ((layout.left - 10, middle), HPos::Right, (end + 8, middle), HPos::Left)
        }
    };
    area.draw(&Text::new(bar.name.to_string(), name_at, text(TEXT, BLACK, name_to)))?;
    area.draw(&Text::new(bar.words.clone(), words_at, text(TEXT, BLACK, words_to)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_has_its_name_and_words() {
        let bar = |name, amount: f64| Bar {
            name,
            amount,
            words: format!("{amount} bytes"),
            color: "#0072b2",
        };
        let drawn = bars("bytes", &[bar("one".to_string(), 3.0), bar("nought".to_string(), 0.0)])
            .unwrap()
            .unwrap();
        for svg in [drawn.wide, drawn.narrow] {
            for words in ["one", "nought", "3 bytes", "0 bytes"] {
                assert!(svg.contains(words), "{words}: {svg}");
            }
        }
        assert!(bars("bytes", &[]).unwrap().is_none());
    }
}
