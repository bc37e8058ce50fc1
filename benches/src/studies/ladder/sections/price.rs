//! What five cents buy.

use askama::Template;

use crate::report::page::{Context, Section};
use crate::report::units::thousands;
use crate::studies::ladder::figures::Figures;

/// In dollars: what the post of 2017 reckoned with.
const BUDGET: f64 = 0.05;

#[derive(Template)]
#[template(path = "sections/price.html")]
struct Price<'a> {
    per_core_hour: String,
    regime: &'a str,
    rows: Vec<(&'a str, String)>,
}

/// In the regime with work if there is one, as in 2017.
pub(crate) fn render(context: &Context<'_>) -> Section {
    let regimes = context.regimes;
    let with_work = regimes.iter().find(|regime| regime.key == "data");
    let Some(regime) = with_work.or(regimes.first()) else { return Ok(None) };
    let price = context.options.price_per_core_hour;
    let rows = regime.rows.iter().filter(|row| !row.again).filter_map(|row| {
        let requests = requests(row.figures.as_ref().ok()?, price);
        Some((row.contender.as_str(), format!("{} million", thousands(requests / 1e6))))
    });
    let section =
        Price { per_core_hour: format!("${price}"), regime: &regime.title, rows: rows.collect() };
    Ok(Some(section.render()?))
}

/// For [`BUDGET`], with the cores kept busy.
fn requests(figures: &Figures, price_per_core_hour: f64) -> f64 {
    let core_ns = BUDGET / price_per_core_hour * 3600.0 * 1e9;
    core_ns / figures.cpu_ns
}
