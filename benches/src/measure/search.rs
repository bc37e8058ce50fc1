//! Which rate to try next, to find the highest that a server sustains.
//!
//! No server and no clock: whoever calls says whether a rate was sustained, so that
//! the search is tested on made-up servers. On a machine with neighbours one look at
//! a rate may go wrong, either way; so the steps look twice before they end, and a
//! bisection trusts no bound that it has not seen for itself.

/// Bisection ends where it knows the rate to 2 %: a shared machine does not repeat
/// itself better than that.
pub const TOLERANCE: f64 = 0.02;

/// Steps end here even if every rate is sustained, which none of that many can be.
const STEPS_MAX: u32 = 64;

/// A bisection of a machine that changes its mind all the time ends here.
const LOOKS_MAX: u32 = 24;

/// The knee lies between a rate that was sustained and one that was not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bracket {
    /// Sustained; 0 if no rate was.
    pub low: f64,
    /// Not sustained.
    pub high: f64,
}

/// Raises the rate in steps, until one of them is not sustained twice in a row.
pub fn climb<E>(
    step: f64,
    sustained: &mut impl FnMut(f64) -> Result<bool, E>,
) -> Result<Bracket, E> {
    let mut nth = 1;
    while nth < STEPS_MAX {
        let rate = f64::from(nth) * step;
        if !sustained(rate)? && !sustained(rate)? {
            break;
        }
        nth += 1;
    }
    Ok(Bracket { low: f64::from(nth - 1) * step, high: f64::from(nth) * step })
}

/// Halves `bracket` until it is as narrow as [`TOLERANCE`], and moves it where it
/// turns out to be in the wrong place. The highest rate sustained in these looks;
/// none if there was none.
pub fn bisect<E>(
    bracket: Bracket,
    sustained: &mut impl FnMut(f64) -> Result<bool, E>,
) -> Result<Option<f64>, E> {
    let width = bracket.high - bracket.low;
    let Bracket { mut low, mut high } = bracket;
    let (mut low_seen, mut high_seen) = (false, false);
    for _ in 0..LOOKS_MAX {
        let is_wide = high - low > TOLERANCE * high.max(width);
        let rate = match (low_seen, high_seen) {
            _ if is_wide => f64::midpoint(low, high),
            (false, _) if low > 0.0 => low,
            (_, false) => high,
            _ => break,
        };
        if sustained(rate)? {
            (low, low_seen) = (rate, true);
            if rate >= high {
                (high, high_seen) = (rate + width, false);
            }
        } else {
            (high, high_seen) = (rate, true);
            if rate <= low {
                (low, low_seen) = ((rate - width).max(0.0), false);
            }
        }
    }
    Ok(low_seen.then_some(low))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use fastrand::Rng;

    use super::*;

    /// A server that sustains `knee` and no more; with the rates it was asked for.
    fn found(knee: f64, bracket: Bracket) -> (Option<f64>, Vec<f64>) {
        let mut asked = Vec::new();
        let mut sustained = |rate| {
            asked.push(rate);
            Ok::<_, Infallible>(rate <= knee)
        };
        let Ok(found) = bisect(bracket, &mut sustained);
        (found, asked)
    }

    #[test]
    fn steps_end_below_the_first_rate_that_is_too_much() {
        let mut asked = Vec::new();
        let Ok(bracket) = climb(1_000.0, &mut |rate| {
            asked.push(rate);
            Ok::<_, Infallible>(rate <= 3_500.0)
        });
        assert_eq!(bracket, Bracket { low: 3_000.0, high: 4_000.0 });
        assert_eq!(asked, [1_000.0, 2_000.0, 3_000.0, 4_000.0, 4_000.0]);
    }

    #[test]
    fn one_bad_look_ends_no_steps() {
        let mut looks = 0;
        let Ok(bracket) = climb(10.0, &mut |rate| {
            looks += 1;
            Ok::<_, Infallible>(looks != 2 && rate <= 40.0)
        });
        assert_eq!(bracket, Bracket { low: 40.0, high: 50.0 });
    }

    #[test]
    fn steps_come_to_an_end_and_failures_end_them() {
        let Ok(bracket) = climb(1.0, &mut |_| Ok::<_, Infallible>(true));
        assert_eq!(bracket.high, f64::from(STEPS_MAX));
        assert_eq!(climb(1.0, &mut |_| Err("gone")), Err("gone"));
    }

    #[test]
    fn bisection_ends_within_its_tolerance_below_the_knee() {
        for knee in [3_001.0, 3_333.0, 3_700.0, 3_999.0] {
            let (found, asked) = found(knee, Bracket { low: 3_000.0, high: 4_000.0 });
            let found = found.unwrap();
            assert!(found <= knee && found > knee * (1.0 - 2.0 * TOLERANCE), "{knee}: {found}");
            assert!(asked.len() <= 6, "{knee}: {asked:?}");
        }
    }

    #[test]
    fn bisection_leaves_a_bracket_that_is_in_the_wrong_place() {
        for knee in [1_200.0, 2_950.0, 4_100.0, 6_000.0] {
            let (found, asked) = found(knee, Bracket { low: 3_000.0, high: 4_000.0 });
            let found = found.unwrap();
            assert!(found <= knee && found > knee * 0.95, "{knee}: {found} after {asked:?}");
        }
    }

    #[test]
    fn who_sustains_nothing_has_no_knee() {
        let (found, asked) = found(0.0, Bracket { low: 0.0, high: 1_000.0 });
        assert_eq!(found, None);
        assert!(asked.len() < 10, "{asked:?}");
    }

    /// One look in ten goes wrong: the median of nine bisections does not.
    #[test]
    fn the_middle_of_several_bisections_is_near_the_knee() {
        const KNEE: f64 = 20_000.0;
        let mut rng = Rng::with_seed(11);
        for _ in 0..50 {
            let mut knees: Vec<f64> = (0..9)
                .filter_map(|_| {
                    let mut sustained =
                        |rate| Ok::<_, Infallible>((rate <= KNEE) != (rng.f64() < 0.1));
                    let Ok(found) =
                        bisect(Bracket { low: 17_500.0, high: 21_000.0 }, &mut sustained);
                    found
                })
                .collect();
            knees.sort_by(f64::total_cmp);
            let middle = knees[knees.len() / 2];
            assert!((middle / KNEE - 1.0).abs() < 0.06, "{middle} of {knees:?}");
        }
    }
}
