//! Latencies of the loads side by side, and the busiest core's share by connections.

use plotters::chart::ChartBuilder;
use plotters::element::{Circle, PathElement, Text};
use plotters::prelude::IntoLogRange;
use plotters::series::LineSeries;
use plotters::style::Color;
use plotters::style::text_anchor::HPos;

use super::figures::{Metric, P99, busiest_cpu, expected_share, value};
use super::record::{Balance, BalanceLoad};
use crate::report::colors;
use crate::report::plots::{GREY, GRID, Picture, PlotError, SMALL, is_narrow, picture, rgb, text};
use crate::report::units::latency_in_short;
use crate::stats::{Estimate, Interval};

/// Part of a load's width that its servers share.
const SPREAD: f64 = 0.64;

/// Draws the p99 of each server under each load; returns none without such a figure.
pub fn latencies(balance: &Balance, keys: &[&str]) -> Result<Option<Picture>, PlotError> {
    let metric = Metric::Latency(P99);
    let loads: Vec<&BalanceLoad> =
        balance.loads.iter().filter(|load| !load.starts.is_empty()).collect();
    let mut points = Vec::new();
    for (at, load) in loads.iter().enumerate() {
        for (nth, key) in keys.iter().enumerate() {
            let aside = (nth as f64 + 0.5) / keys.len() as f64 - 0.5;
            let x = at as f64 + 0.5 + aside * SPREAD;
            points.extend(value(load, key, metric).map(|found| (x, *key, found)));
        }
    }
    let low = points.iter().map(|(_, _, of)| bounds(*of).low).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|(_, _, of)| bounds(*of).high).fold(0.0, f64::max);
    if points.is_empty() || low <= 0.0 {
        return Ok(None);
    }
    let drawn = picture(
        "p99 of the light requests, by load",
        |width| if is_narrow(width) { 340 } else { 400 },
        |area| {
            let (width, _) = area.dim_in_pixel();
            let mut chart = ChartBuilder::on(area)
                .margin_top(10)
                .margin_right(14)
                .x_label_area_size(48)
                .y_label_area_size(56)
                .build_cartesian_2d(0.0..loads.len() as f64, (low * 0.7..high * 1.4).log_scale())?;
            chart
                .configure_mesh()
                .disable_x_mesh()
                .bold_line_style(GRID)
                .light_line_style(GRID.mix(0.4))
                .axis_style(GREY)
                .x_labels(0)
                .y_label_formatter(&|ns| latency_in_short(*ns))
                .label_style(text(SMALL, GREY, HPos::Center))
                .draw()?;
            for (x, key, found) in &points {
                let color = rgb(colors::of(key));
                let Interval { low, high } = bounds(*found);
                let bar = vec![(*x, low), (*x, high)];
                chart.draw_series([PathElement::new(bar, color.stroke_width(2))])?;
                let size = if is_narrow(width) { 2 } else { 4 };
                chart.draw_series([Circle::new((*x, found.value), size, color.filled())])?;
            }
            let (left, right) = (chart.plotting_area().get_x_axis_pixel_range(), width as i32);
            let step = f64::from(left.end - left.start) / loads.len() as f64;
            let bottom = chart.plotting_area().get_y_axis_pixel_range().end.max(0);
            debug_assert!(left.end <= right);
            for (at, load) in loads.iter().enumerate() {
                let x = left.start + ((at as f64 + 0.5) * step) as i32;
                let [first, second] = short(balance, load, is_narrow(width));
                for (line, words) in [(14, first), (32, second)] {
                    let style = text(SMALL, GREY, HPos::Center);
                    area.draw(&Text::new(words, (x, bottom + line), style))?;
                }
            }
            Ok(())
        },
    )?;
    Ok(Some(drawn))
}

/// A load in two short lines, and in shorter ones for a narrow picture.
fn short(balance: &Balance, load: &BalanceLoad, is_narrow: bool) -> [String; 2] {
    let per_core = load.connections / balance.occasion.server_cores.len().max(1);
    let work = load.heavy_ns.map_or("light".to_string(), |ns| latency_in_short(ns as f64));
    let per_core = if is_narrow { format!("{per_core}/core") } else { format!("{per_core} a core") };
    [per_core, work]
}

/// Draws the share of the busiest core over the connections for each core, of the loads with light
/// requests; none with fewer than two of these.
pub fn shares(balance: &Balance, keys: &[&str]) -> Result<Option<Picture>, PlotError> {
    let cores = balance.occasion.server_cores.len();
    let loads: Vec<&BalanceLoad> = balance
        .loads
        .iter()
        .filter(|load| load.heavy_ns.is_none() && !load.starts.is_empty())
        .collect();
    if loads.len() < 2 || cores == 0 {
        return Ok(None);
    }
    let per_core = |load: &BalanceLoad| load.connections as f64 / cores as f64;
    let line = |share: &dyn Fn(&BalanceLoad) -> Option<f64>| {
        let points = loads.iter().filter_map(|load| Some((per_core(load), share(load)? * 100.0)));
        points.collect::<Vec<(f64, f64)>>()
    };
    let expected = line(&|load| Some(expected_share(balance, load)));
    let lines: Vec<(&str, Vec<(f64, f64)>)> = keys
        .iter()
        .map(|key| (*key, line(&|load| Some(busiest_cpu(load, key)?.value))))
        .collect();
    let all = || expected.iter().chain(lines.iter().flat_map(|(_, line)| line));
    let even = 100.0 / cores as f64;
    let top = all().map(|(_, share)| *share).fold(even, f64::max) * 1.05;
    let (first, last) = (per_core(loads[0]), per_core(loads[loads.len() - 1]));
    let drawn = picture(
        "Share of the busiest core by connections for each core",
        |width| if is_narrow(width) { 280 } else { 320 },
        |area| {
            let mut chart = ChartBuilder::on(area)
                .margin_top(10)
                .margin_right(20)
                .x_label_area_size(42)
                .y_label_area_size(56)
                .build_cartesian_2d((first * 0.9..last * 1.1).log_scale(), even * 0.98..top)?;
            chart
                .configure_mesh()
                .bold_line_style(GRID)
                .light_line_style(GRID.mix(0.0))
                .axis_style(GREY)
                .x_label_formatter(&|count| format!("{count:.0}"))
                .y_label_formatter(&|share| format!("{share:.0} %"))
                .label_style(text(SMALL, GREY, HPos::Center))
                .x_desc("connections for each core")
                .draw()?;
            let black = rgb("#000000");
            chart.draw_series(LineSeries::new(expected.clone(), black.stroke_width(2)))?;
            for (key, line) in &lines {
                let color = rgb(colors::of(key));
                let style = color.mix(0.7).stroke_width(1);
                chart.draw_series(LineSeries::new(line.clone(), style))?;
                let points = line.iter().map(|at| Circle::new(*at, 4, color.filled()));
                chart.draw_series(points)?;
            }
            Ok(())
        },
    )?;
    Ok(Some(drawn))
}

fn bounds(of: Estimate) -> Interval {
    of.interval.unwrap_or(Interval { low: of.value, high: of.value })
}
