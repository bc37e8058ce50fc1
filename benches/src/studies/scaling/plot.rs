//! Capacity by number of cores, with the law that was fitted to it.

use plotters::chart::ChartBuilder;
use plotters::element::{Circle, PathElement, Text};
use plotters::series::LineSeries;
use plotters::style::Color;
use plotters::style::text_anchor::HPos;

use crate::report::colors;
use crate::report::plots::{GREY, GRID, Picture, PlotError, SMALL, is_narrow, picture, rgb, text};
use crate::report::units::thousands;
use crate::studies::scaling::figures::{Figures, OF_2017};

/// Points of a curve.
const STEPS: u32 = 100;

/// Draws contenders, each with its place on the ladder. The law ends where the points
/// do, or those of 2017: further out it would be a line to nowhere, and these a blot.
/// None where there is nothing to draw.
pub fn scaling(rows: &[(&str, &Figures)]) -> Result<Option<Picture>, PlotError> {
    let sizes = || rows.iter().flat_map(|(_, figures)| &figures.sizes);
    let measured = sizes().map(|size| size.cores).max().unwrap_or(0);
    let seen_2017 = OF_2017.iter().map(|&(cores, _)| cores).fold(0.0, f64::max);
    let most = (measured as f64).max(seen_2017);
    let seen = sizes().map(|size| size.capacity.value).fold(0.0, f64::max);
    let fitted = rows.iter().map(|(_, figures)| figures.law.at(most)).fold(seen, f64::max);
    if measured == 0 || fitted <= 0.0 {
        return Ok(None);
    }
    let drawn = picture(
        "Capacity by number of cores",
        |width| if is_narrow(width) { 320 } else { 400 },
        |area| {
            let (width, _) = area.dim_in_pixel();
            let mut chart = ChartBuilder::on(area)
                .margin_top(12)
                .margin_right(20)
                .x_label_area_size(42)
                .y_label_area_size(78)
                .build_cartesian_2d(0.0..most * 1.03, 0.0..fitted * 1.08)?;
            chart
                .configure_mesh()
                .bold_line_style(GRID)
                .light_line_style(GRID.mix(0.0))
                .axis_style(GREY)
                .x_labels((most as usize + 1).min(if is_narrow(width) { 5 } else { 9 }))
                .x_label_formatter(&|cores| format!("{cores}"))
                .y_label_formatter(&|rate| thousands(*rate))
                .label_style(text(SMALL, GREY, HPos::Center))
                .x_desc("cores of the server")
                .draw()?;
            for (name, figures) in rows {
                let line = rgb(colors::of(name));
                let at = |step| f64::from(step) / f64::from(STEPS) * (most - 1.0) + 1.0;
                let law = (0..=STEPS).map(|step| (at(step), figures.law.at(at(step))));
                chart.draw_series(LineSeries::new(law, line.mix(0.6).stroke_width(1)))?;
                for size in &figures.sizes {
                    let cores = size.cores as f64;
                    if let Some(bounds) = size.capacity.interval {
                        let bar = vec![(cores, bounds.low), (cores, bounds.high)];
                        chart.draw_series([PathElement::new(bar, line.stroke_width(2))])?;
                    }
                    // Empty where the generator shared the server's CPUs.
                    let fill = if size.is_shared { line.stroke_width(2) } else { line.filled() };
                    chart.draw_series([Circle::new((cores, size.capacity.value), 4, fill)])?;
                }
            }
            chart.draw_series(OF_2017.map(|at| Circle::new(at, 3, GREY.filled())))?;
            let (last, rate) = OF_2017[OF_2017.len() - 1];
            let (x, y) = chart.backend_coord(&(last, rate));
            let words = text(SMALL, GREY, HPos::Right);
            area.draw(&Text::new("2017", (x - 8, y - 10), words))?;
            Ok(())
        },
    )?;
    Ok(Some(drawn))
}
