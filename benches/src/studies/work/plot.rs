//! The difference that remains when requests take work.

use plotters::chart::ChartBuilder;
use plotters::element::{Circle, PathElement, Text};
use plotters::prelude::IntoLogRange;
use plotters::series::LineSeries;
use plotters::style::Color;
use plotters::style::text_anchor::HPos;

use crate::report::plots::{GREY, GRID, Picture, PlotError, SMALL, is_narrow, picture, rgb, text};
use crate::studies::work::figures::{Curve, Point, SHARES};

/// Points of the fitted curve: enough that it looks smooth.
const STEPS: u32 = 100;

/// Draws what the other server costs more, in percent, over the work; none if no
/// point has work. The one without has no place on a logarithmic axis.
pub fn work(label: &str, curve: &Curve, color: &str) -> Result<Option<Picture>, PlotError> {
    let points: Vec<&Point> = curve.points.iter().filter(|point| point.work_ns > 0.0).collect();
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Ok(None) };
    let (low_ns, high_ns) = (first.work_ns * 0.7, last.work_ns * 1.4);
    let base_ns = first.base_ns - first.work_ns;
    let fitted = |work_ns: f64| curve.overhead_ns.value / (base_ns + work_ns) * 100.0;
    let percent = |ratio: f64| (ratio - 1.0) * 100.0;
    let highs = points.iter().map(|p| p.ratio.interval.map_or(p.ratio.value, |i| i.high));
    let lows = points.iter().map(|p| p.ratio.interval.map_or(p.ratio.value, |i| i.low));
    let top = highs.map(percent).fold(fitted(low_ns), f64::max).max(6.0) * 1.1;
    let bottom = lows.map(percent).fold(0.0, f64::min) * 1.1;
    let drawn = picture(
        label,
        |width| if is_narrow(width) { 300 } else { 380 },
        |area| {
            let mut chart = ChartBuilder::on(area)
                .margin_top(8)
                .margin_right(14)
                .x_label_area_size(42)
                .y_label_area_size(48)
                .build_cartesian_2d((low_ns..high_ns).log_scale(), bottom..top)?;
            chart
                .configure_mesh()
                .bold_line_style(GRID)
                .light_line_style(GRID.mix(0.5))
                .axis_style(GREY)
                .x_label_formatter(&|ns| format!("{} µs", ns / 1e3))
                .y_label_formatter(&|percent| format!("{percent:.0} %"))
                .label_style(text(SMALL, GREY, HPos::Center))
                .x_desc("work for one request, in CPU time")
                .draw()?;
            for share in SHARES.map(|share| share * 100.0) {
                let line = vec![(low_ns, share), (high_ns, share)];
                chart.draw_series([PathElement::new(line, GREY.stroke_width(1))])?;
                let words = format!("{share:.0} %");
                let style = text(SMALL, GREY, HPos::Right);
                let above = share + (top - bottom) * 0.03;
                chart.draw_series([Text::new(words, (high_ns * 0.97, above), style)])?;
            }
            let step = (high_ns / low_ns).powf(1.0 / f64::from(STEPS));
            let along = (0..=STEPS).map(|at| low_ns * step.powi(at as i32));
            let line = rgb(color).stroke_width(2);
            chart.draw_series(LineSeries::new(along.map(|ns| (ns, fitted(ns))), line))?;
            for point in &points {
                let at = (point.work_ns, percent(point.ratio.value));
                if let Some(spread) = point.ratio.interval {
                    let bar =
                        [spread.low, spread.high].map(|ratio| (point.work_ns, percent(ratio)));
                    chart.draw_series([PathElement::new(bar.to_vec(), line)])?;
                }
                chart.draw_series([Circle::new(at, 4, rgb(color).filled())])?;
            }
            Ok(())
        },
    )?;
    Ok(Some(drawn))
}
