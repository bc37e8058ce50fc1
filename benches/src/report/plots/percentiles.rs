//! Latencies from the median to the last nines, all contenders on one plot.

use plotters::chart::ChartBuilder;
use plotters::coord::combinators::BindKeyPoints;
use plotters::prelude::IntoLogRange;
use plotters::series::LineSeries;
use plotters::style::Color;
use plotters::style::text_anchor::HPos;

use crate::report::colors;
use crate::report::plots::{GREY, GRID, Picture, PlotError, SMALL, is_narrow, picture, rgb, text};
use crate::report::units::latency_in_short;

/// A percentile is drawn if this number of requests were slower: fewer are chance.
const SLOWER_MIN: f64 = 10.0;

/// The fastest tenth of requests is not in the picture: a few requests that found the
/// server idle would take half of its height.
const NINES_MIN: f64 = 0.046;

/// Latencies that span less have more lines than one for every power of ten.
const DENSE: f64 = 300.0;

/// Draws latencies; `curves` are the place on the ladder and the histogram, upper
/// bounds in ns with their counts, of each contender.
pub fn percentiles(
    title: &str,
    curves: &[(&str, &[(u64, u64)])],
) -> Result<Option<Picture>, PlotError> {
    let curves: Vec<_> = curves.iter().map(|(name, buckets)| (name, curve(buckets))).collect();
    let points = || curves.iter().flat_map(|(_, points)| points);
    let nines = points().map(|point| point.0).fold(0.0, f64::max);
    let most = points().filter(|point| point.0 >= NINES_MIN);
    let low = most.map(|point| point.1).fold(f64::INFINITY, f64::min);
    let high = points().map(|point| point.1).fold(0.0, f64::max);
    if nines == 0.0 || low >= high {
        return Ok(None);
    }
    let label = format!("Latency by percentile: {title}");
    let picture = picture(
        &label,
        |width| if is_narrow(width) { 320 } else { 400 },
        |area| {
            let mut chart = ChartBuilder::on(area)
                .margin_top(8)
                .margin_right(14)
                .x_label_area_size(42)
                .y_label_area_size(64)
                .build_cartesian_2d(
                    0.0..nines,
                    (low * 0.95..high * 1.05).log_scale().with_key_points(round(low, high)),
                )?;
            chart
                .configure_mesh()
                .bold_line_style(GRID)
                .light_line_style(GRID.mix(0.5))
                .axis_style(GREY)
                .x_labels(nines as usize + 1)
                .x_label_formatter(&|nines| percentile(*nines))
                .y_label_formatter(&|ns| latency_in_short(*ns))
                .label_style(text(SMALL, GREY, HPos::Center))
                .x_desc("share of requests that were faster")
                .draw()?;
            for (name, points) in &curves {
                let line = rgb(colors::of(name)).stroke_width(2);
                let points = points.iter().copied().filter(|point| point.0 >= NINES_MIN);
                chart.draw_series(LineSeries::new(points, line))?;
            }
            Ok(())
        },
    )?;
    Ok(Some(picture))
}

/// Returns the points of a curve: nines, and the largest latency in ns of that share of
/// the requests.
fn curve(buckets: &[(u64, u64)]) -> Vec<(f64, f64)> {
    let total: f64 = buckets.iter().map(|&(_, count)| count as f64).sum();
    let mut seen = 0.0;
    let mut points = Vec::new();
    for &(upper, count) in buckets {
        let slower = total - seen;
        if slower < SLOWER_MIN {
            break;
        }
        points.push(((total / slower).log10(), upper as f64));
        seen += count as f64;
    }
    points
}

/// The latencies that have a line: the powers of ten between the two, and where
/// these are few, also twice and five times of them.
pub(crate) fn round(low: f64, high: f64) -> Vec<f64> {
    let factors: &[f64] = if high / low < DENSE { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let points = powers.flat_map(|power| factors.iter().map(move |f| f * 10f64.powi(power)));
    points.filter(|point| (low..=high).contains(point)).collect()
}

/// `0`, `90 %`, `99 %`, `99.9 %`; nothing between.
fn percentile(nines: f64) -> String {
    match nines.round() as usize {
        _ if (nines - nines.round()).abs() > 0.01 => String::new(),
        0 => "0 %".to_string(),
        1 => "90 %".to_string(),
        2 => "99 %".to_string(),
        more => format!("99.{} %", "9".repeat(more - 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nines_are_percentiles() {
        let names: Vec<_> = [0.0, 0.5, 1.0, 2.0, 3.0, 4.0].map(percentile).into();
        assert_eq!(names, ["0 %", "", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }

    #[test]
    fn lines_are_at_round_latencies() {
        assert_eq!(round(300e3, 9e6), [500e3, 1e6, 2e6, 5e6]);
        assert_eq!(round(3e3, 9e6), [1e4, 1e5, 1e6]);
    }

    #[test]
    fn a_curve_ends_where_chance_begins() {
        let points = curve(&[(10, 900), (20, 90), (30, 9), (40, 1)]);
        assert_eq!(points, [(0.0, 10.0), (1.0, 20.0), (2.0, 30.0)]);
    }
}
