//! Arriving clients over time: a panel for each server, all with the same axes.

use plotters::chart::ChartBuilder;
use plotters::coord::combinators::BindKeyPoints;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::element::{Circle, Text};
use plotters::prelude::IntoLogRange;
use plotters::series::LineSeries;
use plotters::style::text_anchor::HPos;
use plotters::style::{BLACK, Color, ShapeStyle};

use crate::report::colors;
use crate::report::plots::percentiles::round;
use crate::report::plots::{
    Area, GREY, GRID, Picture, PlotError, SMALL, TEXT, is_narrow, picture, rgb, text,
};
use crate::report::units::{latency_in_short, thousands};
use crate::results::{Second, Tour};

/// Heights of a panel's name and of its three strips.
const NAME: u32 = 26;
const STRIP: u32 = 120;
const STRIPS: usize = 3;

/// For the axis below them, in pixels.
const AXIS: u32 = 34;

/// Color of an interval with an error.
const WRONG: &str = "#d55e00";

/// Ranges of the axes of all panels.
struct Frame {
    seconds: f64,
    clients: f64,
    requests_per_s: f64,
    low_ns: f64,
    high_ns: f64,
}

/// Draws tours, each with the place of its contender on the ladder. None where there is
/// nothing to draw.
pub fn arrivals(tours: &[(&str, &Tour)]) -> Result<Option<Picture>, PlotError> {
    let seconds = || tours.iter().flat_map(|(_, tour)| &tour.seconds);
    let most = |of: &dyn Fn(&Second) -> f64| seconds().map(of).fold(0.0, f64::max);
    let answered = seconds().filter(|second| second.requests > 0);
    let frame = Frame {
        seconds: most(&|second| second.at_s),
        clients: most(&|second| second.clients as f64) * 1.08,
        requests_per_s: most(&requests_per_s) * 1.08,
        low_ns: answered.map(|second| second.p50_ns as f64).fold(f64::INFINITY, f64::min) / 1.3,
        high_ns: most(&|second| second.p99_ns as f64) * 1.3,
    };
    if frame.seconds == 0.0 || frame.low_ns >= frame.high_ns {
        return Ok(None);
    }
    let columns = |width| if is_narrow(width) { 1 } else { tours.len().clamp(1, 2) };
    let rows = |width| tours.len().div_ceil(columns(width));
    let panel = NAME + STRIP * STRIPS as u32 + AXIS;
    let drawn = picture(
        "Clients, requests per second and latency over time",
        |width| rows(width) as u32 * panel,
        |area| {
            let (width, _) = area.dim_in_pixel();
            let panels = area.split_evenly((rows(width), columns(width)));
            for (panel, (name, tour)) in panels.iter().zip(tours) {
                draw(panel, &frame, name, tour)?;
            }
            Ok(())
        },
    )?;
    Ok(Some(drawn))
}

fn draw(area: &Area<'_>, frame: &Frame, name: &str, tour: &Tour) -> Result<(), PlotError> {
    let (title, strips) = area.split_vertically(NAME);
    title.draw(&Text::new(tour.contender.clone(), (66, 14), text(TEXT, BLACK, HPos::Left)))?;
    let (clients, strips) = strips.split_vertically(STRIP);
    let (rates, latencies) = strips.split_vertically(STRIP);
    let line = rgb(colors::of(name));
    let over_time = |of: &dyn Fn(&Second) -> f64| -> Vec<(f64, f64)> {
        tour.seconds.iter().map(|second| (second.at_s, of(second))).collect()
    };

    let curve = [(over_time(&|second| second.clients as f64), line.stroke_width(2))];
    let count = &|value: &f64| thousands(*value);
    strip(&clients, frame, 0.0..frame.clients, "clients", count, &curve, &[])?;

    let curve = [(over_time(&requests_per_s), line.stroke_width(2))];
    let wrong: Vec<(f64, f64)> = tour
        .seconds
        .iter()
        .filter(|second| !second.errors.is_empty())
        .map(|second| (second.at_s, requests_per_s(second)))
        .collect();
    strip(&rates, frame, 0.0..frame.requests_per_s, "requests per second", count, &curve, &wrong)?;

    let curves = [
        (over_time(&|second| second.p99_ns as f64), line.stroke_width(2)),
        (over_time(&|second| second.p50_ns as f64), line.mix(0.55).stroke_width(1)),
    ];
    let range = (frame.low_ns..frame.high_ns)
        .log_scale()
        .with_key_points(round(frame.low_ns, frame.high_ns));
    strip(&latencies, frame, range, "latency: p99, p50", &|ns| latency_in_short(*ns), &curves, &[])
}

/// One quantity over time. `wrong` are points to be marked.
fn strip<Y>(
    area: &Area<'_>,
    frame: &Frame,
    range: Y,
    name: &str,
    label: &dyn Fn(&f64) -> String,
    curves: &[(Vec<(f64, f64)>, ShapeStyle)],
    wrong: &[(f64, f64)],
) -> Result<(), PlotError>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let (_, height) = area.dim_in_pixel();
    let axis = height - STRIP;
    let mut chart = ChartBuilder::on(area)
        .margin_top(18)
        .margin_right(14)
        .x_label_area_size(axis)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..frame.seconds, range)?;
    let mut mesh = chart.configure_mesh();
    mesh.bold_line_style(GRID)
        .light_line_style(GRID.mix(0.0))
        .axis_style(GREY)
        .x_labels(6)
        .y_labels(4)
        .x_label_formatter(&|seconds| format!("{seconds:.0} s"))
        .y_label_formatter(&label)
        .label_style(text(SMALL, GREY, HPos::Center));
    mesh.draw()?;
    area.draw(&Text::new(name.to_string(), (66, 10), text(SMALL, GREY, HPos::Left)))?;
    for (points, style) in curves {
        let points = points.iter().copied().filter(|&(_, value)| value > 0.0);
        chart.draw_series(LineSeries::new(points, *style))?;
    }
    chart.draw_series(wrong.iter().map(|&at| Circle::new(at, 3, rgb(WRONG).filled())))?;
    Ok(())
}

fn requests_per_s(second: &Second) -> f64 {
    second.requests as f64 / second.lasts_s.max(f64::MIN_POSITIVE)
}
