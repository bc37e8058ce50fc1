//! The ladder: a bar for each rung, and what it adds to the one below it.

use plotters::element::{PathElement, Rectangle, Text};
use plotters::style::text_anchor::HPos;
use plotters::style::{BLACK, Color};

use crate::report::colors;
use crate::report::plots::{
    Area, GREY, GRID, Picture, PlotError, SMALL, TEXT, is_narrow, picture, rgb, text,
};
use crate::report::units::{microseconds, signed_microseconds};
use crate::stats::Verdict;
use crate::studies::ladder::figures::{Figures, RegimeFigures, Row};

/// Lines along the axis, at most: more would be noise.
const TICKS_MAX: u32 = 6;

/// Height of the axis with its numbers, in pixels.
const AXIS: i32 = 36;

/// Positions and sizes in pixels.
struct Layout {
    row: i32,
    bar: i32,
    /// From the top of a row to that of its bar.
    above: i32,
    left: i32,
    right: i32,
}

/// Draws the CPU time per request of all rungs of a regime, if there are any.
/// `beside` is written next to a rung's time.
pub fn ladder(
    regime: &RegimeFigures,
    beside: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Picture>, PlotError> {
    let rows: Vec<(&Row, &Figures)> = regime
        .rows
        .iter()
        .filter(|row| !row.again)
        .filter_map(|row| Some((row, row.figures.as_ref().ok()?)))
        .collect();
    let most = rows.iter().map(|(_, figures)| figures.cpu_ns).fold(0.0, f64::max);
    if rows.is_empty() {
        return Ok(None);
    }
    let label = format!("CPU time per request: {}", regime.title);
    let picture = picture(
        &label,
        |width| (rows.len() as i32 * layout(width).row + AXIS) as u32,
        |area| {
            let (width, height) = area.dim_in_pixel();
            let layout = layout(width);
            axis(area, &layout, most, height as i32)?;
            for (at, (row, figures)) in rows.iter().enumerate() {
                let top = at as i32 * layout.row;
                rung(area, &layout, top, most, &Rung { row, figures, beside })?;
            }
            Ok(())
        },
    )?;
    Ok(Some(picture))
}

fn layout(width: u32) -> Layout {
    let width = width as i32;
    match is_narrow(width as u32) {
        true => Layout { row: 62, bar: 16, above: 24, left: 6, right: width - 8 },
        false => Layout { row: 46, bar: 22, above: 4, left: 170, right: width - 190 },
    }
}

struct Rung<'a> {
    row: &'a Row,
    figures: &'a Figures,
    beside: &'a dyn Fn(&str) -> Option<String>,
}

fn rung(
    area: &Area<'_>,
    layout: &Layout,
    top: i32,
    most: f64,
    rung: &Rung<'_>,
) -> Result<(), PlotError> {
    let (bar_top, bar_end) = (top + layout.above, top + layout.above + layout.bar);
    let x = |ns: f64| layout.x(ns, most);
    let mut from = 0.0;
    let mut segment = |ns: f64, color: &str| {
        let corners = [(x(from), bar_top), (x(from + ns), bar_end)];
        from += ns;
        area.draw(&Rectangle::new(corners, rgb(color).filled()))
    };
    let cpu_ns = rung.figures.cpu_ns;
    match rung.figures.user_share {
        Some(user) => {
            segment(cpu_ns * (1.0 - user), colors::KERNEL)?;
            segment(cpu_ns * user, colors::USER)?;
        }
        None => segment(cpu_ns, colors::UNSPLIT)?,
    }
    let mut right = x(cpu_ns);
    if let Some(step) = rung.figures.step {
        let base = x(cpu_ns - step.added_ns.value);
        let path = vec![(base, bar_top - 3), (base, bar_end + 3)];
        area.draw(&PathElement::new(path, BLACK.stroke_width(2)))?;
        right = right.max(base);
    }
    labels(area, layout, top, right, rung)
}

fn labels(
    area: &Area<'_>,
    layout: &Layout,
    top: i32,
    right: i32,
    rung: &Rung<'_>,
) -> Result<(), PlotError> {
    let (width, _) = area.dim_in_pixel();
    let write = |words: String, at: (i32, i32), size: f64, color, to: HPos| {
        area.draw(&Text::new(words, at, text(size, color, to)))
    };
    let name = rung.row.contender.clone();
    let mut figure = microseconds(rung.figures.cpu_ns);
    if let Some(beside) = (rung.beside)(&rung.row.contender) {
        figure = format!("{figure} · {beside}");
    }
    let step = step_in_words(rung);
    let below = top + layout.above + layout.bar + 12;
    if is_narrow(width) {
        write(name, (layout.left, top + 12), TEXT, BLACK, HPos::Left)?;
        write(figure, (layout.right, top + 12), TEXT, BLACK, HPos::Right)?;
        write(step, (layout.left, below), SMALL, GREY, HPos::Left)?;
    } else {
        let middle = top + layout.above + layout.bar / 2;
        write(name, (layout.left - 10, middle), TEXT, BLACK, HPos::Right)?;
        write(figure, (right + 8, middle), TEXT, BLACK, HPos::Left)?;
        write(step, (layout.left + 1, below), SMALL, GREY, HPos::Left)?;
    }
    Ok(())
}

fn step_in_words(Rung { row, figures, .. }: &Rung<'_>) -> String {
    let Some(step) = figures.step else { return row.adds.clone() };
    let remark = match step.verdict {
        Verdict::NotApart | Verdict::Equal => " (not told apart)",
        _ => "",
    };
    format!("{}  {}{remark}", signed_microseconds(step.added_ns.value), row.adds)
}

fn axis(area: &Area<'_>, layout: &Layout, most: f64, height: i32) -> Result<(), PlotError> {
    let bottom = height - AXIS + 4;
    let step = step(most);
    let ticks = (0..=TICKS_MAX).map(|tick| f64::from(tick) * step);
    for at in ticks.take_while(|&at| at <= most) {
        let x = layout.x(at, most);
        area.draw(&PathElement::new(vec![(x, 0), (x, bottom)], GRID.stroke_width(1)))?;
        let number = format!("{}", at / 1e3);
        area.draw(&Text::new(number, (x, bottom + 9), text(SMALL, GREY, HPos::Center)))?;
    }
    let middle = i32::midpoint(layout.left, layout.right);
    let what = "server's CPU time per request, in µs";
    area.draw(&Text::new(what, (middle, bottom + 25), text(SMALL, GREY, HPos::Center)))?;
    Ok(())
}

/// A round number of ns that divides the axis in a few parts.
fn step(most: f64) -> f64 {
    let least = most / f64::from(TICKS_MAX);
    let magnitude = 10f64.powf(least.log10().floor());
    let round = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * magnitude);
    round.into_iter().find(|&step| step >= least).unwrap_or(most.max(1.0))
}

impl Layout {
    fn x(&self, ns: f64, most: f64) -> i32 {
        self.left + (f64::from(self.right - self.left) * ns / most.max(1.0)).round() as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_a_few_round_steps() {
        assert_eq!(step(9_940.0), 2_000.0);
        assert_eq!(step(1_900.0), 500.0);
        assert_eq!(step(600.0), 100.0);
    }
}
