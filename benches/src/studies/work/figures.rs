//! From how much work on it no longer matters which server it is.
//!
//! The model: a request costs one server `a + w` and the other `a + d + w`, where `w` is
//! its work and `d` the overhead of the other, whatever the work. So the other costs more
//! by `d / (a + w)`, and by less than a share `s` if `w > d / s − a`. `a` is the cost
//! without work. `d` is fitted to the ratios of all amounts of work by least squares,
//! which gives each its weight: with much work a ratio says little about `d`.
//!
//! The fit only draws the line. A sentence claims no more than the intervals of the
//! measured points do.

use crate::report::costs;
use crate::report::units::{interval, microseconds, thousands};
use crate::stats::starts::Costs;
use crate::stats::{Estimate, Interval};

use super::record::{Work, WorkPoint};

/// Shares of a request's cost from where on a difference no longer matters.
pub const SHARES: [f64; 2] = [0.05, 0.01];

/// Result of the study.
#[derive(Clone, Debug)]
pub struct Curve {
    /// By work, ascending.
    pub points: Vec<Point>,
    /// Overhead of the other server for one request, in ns.
    pub overhead_ns: Estimate,
    /// For each of [`SHARES`], the work in ns from where on the other costs less
    /// than that; 0 where it does without any.
    pub break_even_ns: [Estimate; 2],
}

/// One amount of work.
#[derive(Clone, Debug)]
pub struct Point {
    /// Rounds of the work function.
    pub rounds: u32,
    /// Cost of a request in the first server, in ns.
    pub base_ns: f64,
    /// Part of that cost that is work, in ns.
    pub work_ns: f64,
    /// The other's cost in ratio to the one's.
    pub ratio: Estimate,
    /// A second process of the one in ratio to it: the noise.
    pub again: Option<Estimate>,
    /// The ratio by the model.
    pub fitted: f64,
}

/// Returns none without starts at no work.
pub fn curve(work: &Work) -> Option<Curve> {
    let keys = [work.base.as_str(), work.over.as_str(), work.again.as_str()];
    let measured = work.points.iter().filter_map(|point| {
        let cpu_ns = |sample: &_| Some(costs::cpu_ns(sample));
        let costs = costs::of(&keys, &work.base, &point.regime, &cpu_ns);
        Measured::of(point.rounds, &costs, work)
    });
    let measured: Vec<Measured> = measured.collect();
    let without = measured.first().filter(|point| point.rounds == 0)?.base;
    let overhead_ns = overhead(&measured);
    let points = measured.into_iter().map(|point| Point {
        rounds: point.rounds,
        base_ns: point.base.value,
        work_ns: (point.base.value - without.value).max(0.0),
        ratio: point.ratio,
        again: point.again,
        fitted: 1.0 + overhead_ns.value / point.base.value,
    });
    let break_even = |share: f64| Estimate {
        value: (overhead_ns.value / share - without.value).max(0.0),
        interval: half_width(overhead_ns).zip(half_width(without)).map(|(overhead, base)| {
            around(overhead_ns.value / share - without.value, (overhead / share).hypot(base))
        }),
    };
    Some(Curve { points: points.collect(), overhead_ns, break_even_ns: SHARES.map(break_even) })
}

/// One amount of work.
struct Measured {
    rounds: u32,
    starts: f64,
    base: Estimate,
    ratio: Estimate,
    again: Option<Estimate>,
}

impl Measured {
    /// None without a figure of both servers.
    fn of(rounds: u32, costs: &Costs, work: &Work) -> Option<Self> {
        Some(Self {
            rounds,
            starts: costs.starts() as f64,
            base: costs.cost(&work.base)?,
            ratio: costs.ratio(&work.over, &work.base)?,
            again: costs.ratio(&work.again, &work.base),
        })
    }
}

/// `d` by least squares over all amounts of work.
fn overhead(measured: &[Measured]) -> Estimate {
    let weight = |point: &Measured| point.starts / point.base.value;
    let all: f64 = measured.iter().map(|point| weight(point) / point.base.value).sum();
    let terms = measured.iter().map(|point| weight(point) * (point.ratio.value - 1.0));
    let value = terms.sum::<f64>() / all;
    // The starts of each amount of work are independent of the others'.
    let half = |point: &Measured| Some(weight(point) / all * half_width(point.ratio)?);
    let halves: Option<Vec<f64>> = measured.iter().map(half).collect();
    let half = halves.map(|halves| halves.iter().map(|half| half * half).sum::<f64>().sqrt());
    Estimate { value, interval: half.map(|half| around(value, half)) }
}

fn half_width(estimate: Estimate) -> Option<f64> {
    estimate.interval.map(|Interval { low, high }| (high - low) / 2.0)
}

fn around(value: f64, half: f64) -> Interval {
    Interval { low: (value - half).max(0.0), high: (value + half).max(0.0) }
}

/// The answer in sentences.
pub fn sentences(work: &Work, curve: &Curve) -> Vec<String> {
    let (base, over) = (&work.base, &work.over);
    let spread = |estimate: Estimate| match estimate.interval {
        Some(Interval { low, high }) => {
            format!(" [{} to {}]", microseconds(low), microseconds(high))
        }
        None => " (no interval: too few starts)".to_string(),
    };
    let costs_more = curve.overhead_ns.interval.is_none_or(|interval| interval.low > 0.0);
    if !costs_more || curve.overhead_ns.value <= 0.0 {
        return vec![format!("{over} costs no more than {base} here, whatever the work.")];
    }
    let mut sentences: Vec<String> = SHARES
        .iter()
        .zip(curve.break_even_ns)
        .map(|(&share, fitted)| {
            let percent = share * 100.0;
            match measured_from(&curve.points, share) {
                Some(0) => {
                    format!("{over} costs under {percent:.0} % more than {base} even without work.")
                }
                Some(at) => format!(
                    "From {} of work for a request on, {over} costs under {percent:.0} % more than \
                     {base}, by the upper bound of each point that was measured.",
                    microseconds(curve.points[at].work_ns)
                ),
                None => format!(
                    "No amount of work that was measured shows {over} under {percent:.0} % more \
                     than {base} beyond doubt; by the fit it is from {}{} on.",
                    microseconds(fitted.value),
                    spread(fitted)
                ),
            }
        })
        .collect();
    sentences.push(format!(
        "It costs {}{} more for each request, taken as the same whatever the work.",
        microseconds(curve.overhead_ns.value),
        spread(curve.overhead_ns)
    ));
    sentences
}

/// Returns the first point after which all intervals lie below the share.
fn measured_from(points: &[Point], share: f64) -> Option<usize> {
    let is_below =
        |point: &Point| point.ratio.interval.is_some_and(|bounds| bounds.high < 1.0 + share);
    let from = points.iter().rposition(|point| !is_below(point)).map_or(0, |last| last + 1);
    (from < points.len()).then_some(from)
}

/// Returns the servers without a figure, with the reasons.
pub fn failures(work: &Work) -> Vec<String> {
    let failed = |point: &WorkPoint| {
        let title = point.regime.title.clone();
        let failures = point.regime.failures.clone().into_iter();
        failures.map(move |f| format!("{title}: {} has no figures: {}.", f.contender, f.reason))
    };
    work.points.iter().flat_map(failed).collect()
}

/// Columns of [`words`].
pub fn head(work: &Work) -> [String; 6] {
    [
        "rounds".to_string(),
        "work".to_string(),
        format!("CPU/request of {}", work.base),
        format!("{} in ratio", work.over),
        "by the fit".to_string(),
        "A/A".to_string(),
    ]
}

/// A point in words.
pub fn words(point: &Point) -> [String; 6] {
    let bounds = |estimate: Estimate| match estimate.interval {
        Some(spread) => format!("{:.3} [{}]", estimate.value, interval(spread)),
        None => format!("{:.3}", estimate.value),
    };
    [
        thousands(f64::from(point.rounds)),
        microseconds(point.work_ns),
        microseconds(point.base_ns),
        bounds(point.ratio),
        format!("{:.3}", point.fitted),
        point.again.map_or("–".to_string(), bounds),
    ]
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::results::{Block, Regime, Sample};

    const BASE_NS: f64 = 8_000.0;
    const OVERHEAD_NS: f64 = 2_000.0;
    const ROUND_NS: f64 = 100.0;

    /// Blocks with noise of some percent, that of a whole block and that of a slice.
    fn work(noise: f64, overhead_ns: f64) -> Work {
        let mut rng = Rng::with_seed(7);
        let mut slice = |contender: &str, cpu_ns: f64, block: f64| {
            let cpu_ns = cpu_ns * block * (1.0 + noise * (rng.f64() - 0.5));
            Sample {
                contender: contender.to_string(),
                requests: 1_000,
                cpu_ns: (cpu_ns * 1_000.0) as u64,
                ..Sample::default()
            }
        };
        let point = |rounds: u32| {
            let cost = BASE_NS + ROUND_NS * f64::from(rounds);
            let block = |at: u32| {
                let storm = 1.0 + noise * (f64::from(at % 3) - 1.0);
                let samples = vec![
                    slice("pinloop", cost, storm),
                    slice("hyper", cost + overhead_ns, storm),
                    slice("pinloop_again", cost, storm),
                ];
                Block { start: at, samples }
            };
            let blocks = (0..30).map(block).collect();
            WorkPoint { rounds, regime: Regime { blocks, ..Regime::default() } }
        };
        Work {
            base: "pinloop".to_string(),
            over: "hyper".to_string(),
            again: "pinloop_again".to_string(),
            points: [0, 10, 100, 1_000, 10_000].map(point).to_vec(),
            ..Work::default()
        }
    }

    #[test]
    fn the_break_even_is_where_the_overhead_is_that_share() {
        let curve = curve(&work(0.0, OVERHEAD_NS)).unwrap();
        assert!((curve.overhead_ns.value - OVERHEAD_NS).abs() < 1.0, "{:?}", curve.overhead_ns);
        // 2 µs are 5 % of 40 µs, of which 8 are no work, and 1 % of 200 µs.
        let [five, one] = curve.break_even_ns;
        assert!((five.value - 32_000.0).abs() < 50.0, "{five:?}");
        assert!((one.value - 192_000.0).abs() < 250.0, "{one:?}");
        assert!((curve.points[2].work_ns - 10_000.0).abs() < 1.0);
        assert!((curve.points[2].fitted - 10.0 / 9.0).abs() < 0.01);
    }

    #[test]
    fn intervals_hold_the_truth_where_slices_are_noisy() {
        let curve = curve(&work(0.1, OVERHEAD_NS)).unwrap();
        for (estimate, truth) in curve.break_even_ns.iter().zip([32_000.0, 192_000.0]) {
            let Interval { low, high } = estimate.interval.unwrap();
            assert!(low < truth && truth < high, "{estimate:?}");
            assert!(high - low < truth, "{estimate:?}");
        }
    }

    #[test]
    fn a_sentence_claims_no_more_than_the_points_show() {
        let calm = work(0.0, OVERHEAD_NS);
        let said = sentences(&calm, &curve(&calm).unwrap());
        assert!(said[0].starts_with("From 100.00 µs of work"), "{said:?}");
        assert!(said[1].starts_with("From 1000.00 µs of work"), "{said:?}");
        let noisy = work(0.1, OVERHEAD_NS);
        let said = sentences(&noisy, &curve(&noisy).unwrap());
        assert!(said[1].starts_with("No amount of work that was measured"), "{said:?}");
    }

    #[test]
    fn no_overhead_is_said_to_be_none() {
        let work = work(0.1, 0.0);
        let said = sentences(&work, &curve(&work).unwrap());
        assert_eq!(said, ["hyper costs no more than pinloop here, whatever the work."]);
    }

    #[test]
    fn an_overhead_below_the_share_needs_no_work() {
        let curve = curve(&work(0.0, 200.0)).unwrap();
        assert_eq!(curve.break_even_ns[0].value, 0.0);
        assert!(curve.break_even_ns[1].value > 0.0);
        assert!(sentences(&work(0.0, 200.0), &curve)[0].contains("even without work"));
    }

    #[test]
    fn without_its_first_point_there_is_no_curve() {
        let mut work = work(0.0, OVERHEAD_NS);
        work.points.remove(0);
        assert!(curve(&work).is_none());
        assert!(curve(&Work::default()).is_none());
    }
}
