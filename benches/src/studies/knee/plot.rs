//! Latency against offered load: one panel a percentile, all servers in each.

use plotters::chart::ChartBuilder;
use plotters::coord::combinators::BindKeyPoints;
use plotters::element::{Circle, PathElement, Text};
use plotters::prelude::IntoLogRange;
use plotters::series::LineSeries;
use plotters::style::Color;
use plotters::style::text_anchor::HPos;

use crate::report::colors;
use crate::report::plots::percentiles::round;
use crate::report::plots::{
    Area, GREY, GRID, Picture, PlotError, SMALL, TEXT, is_narrow, picture, rgb, text,
};
use crate::report::units::{latency_in_short, thousands};
use crate::studies::knee::figures::Figures;

/// From the top; the axis is below the last.
const PANELS: [&str; 3] = ["p50", "p99", "p99.9"];

/// Which of them is held against the bound.
const BOUND_PANEL: usize = 1;

/// Ranges of the axes of all panels.
struct Frame {
    rate_max: f64,
    low_ns: f64,
    high_ns: f64,
    bound_ns: f64,
}

/// Draws the curves of contenders, each with its place on the ladder. The bound on p99
/// is given in ns. None where there is nothing to draw.
pub fn knee(bound_ns: u64, curves: &[(&str, &Figures)]) -> Result<Option<Picture>, PlotError> {
    let offered = || curves.iter().flat_map(|(_, figures)| &figures.curve);
    let latencies = || offered().flat_map(|at| at.latency_ns).filter(|&ns| ns > 0.0);
    let frame = Frame {
        rate_max: offered().map(|at| at.rate).fold(0.0, f64::max),
        low_ns: latencies().fold(f64::INFINITY, f64::min) / 1.3,
        high_ns: latencies().fold(bound_ns as f64, f64::max) * 1.3,
        bound_ns: bound_ns as f64,
    };
    if frame.rate_max == 0.0 || frame.low_ns >= frame.high_ns {
        return Ok(None);
    }
    let drawn = picture(
        "Latency by offered requests per second",
        |width| if is_narrow(width) { 560 } else { 640 },
        |area| {
            for (nth, panel) in area.split_evenly((PANELS.len(), 1)).iter().enumerate() {
                draw(panel, nth, &frame, curves)?;
            }
            Ok(())
        },
    )?;
    Ok(Some(drawn))
}

fn draw(
    area: &Area<'_>,
    nth: usize,
    frame: &Frame,
    curves: &[(&str, &Figures)],
) -> Result<(), PlotError> {
    let Frame { rate_max, low_ns, high_ns, bound_ns } = *frame;
    let (width, _) = area.dim_in_pixel();
    let is_last = nth + 1 == PANELS.len();
    let mut chart = ChartBuilder::on(area)
        .margin_top(24)
        .margin_right(24)
        .x_label_area_size(if is_last { 42 } else { 22 })
        .y_label_area_size(64)
        .build_cartesian_2d(
            0.0..rate_max * 1.02,
            (low_ns..high_ns).log_scale().with_key_points(round(low_ns, high_ns)),
        )?;
    let mut mesh = chart.configure_mesh();
    mesh.bold_line_style(GRID)
        .light_line_style(GRID.mix(0.0))
        .axis_style(GREY)
        .x_labels(if is_narrow(width) { 4 } else { 8 })
        .y_labels(4)
        .x_label_formatter(&|rate| thousands(*rate))
        .y_label_formatter(&|ns| latency_in_short(*ns))
        .label_style(text(SMALL, GREY, HPos::Center));
    if is_last {
        mesh.x_desc("offered requests per second");
    }
    mesh.draw()?;
    area.draw(&Text::new(PANELS[nth], (66, 12), text(TEXT, GREY, HPos::Left)))?;
    if nth == BOUND_PANEL {
        let line = vec![(0.0, bound_ns), (rate_max * 1.02, bound_ns)];
        chart.draw_series([PathElement::new(line, GREY.stroke_width(1))])?;
    }
    for (name, figures) in curves {
        let line = rgb(colors::of(name));
        let points: Vec<(f64, f64)> = figures
            .curve
            .iter()
            .map(|at| (at.rate, at.latency_ns[nth]))
            .filter(|&(_, ns)| ns > 0.0)
            .collect();
        chart.draw_series(LineSeries::new(points.iter().copied(), line.stroke_width(2)))?;
        chart.draw_series(points.iter().map(|&at| Circle::new(at, 2, line.filled())))?;
        let knee = figures.sustained.value;
        let mark = vec![(knee, low_ns), (knee, high_ns)];
        chart.draw_series([PathElement::new(mark, line.mix(0.5).stroke_width(1))])?;
    }
    Ok(())
}
