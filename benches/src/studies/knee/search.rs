//! Which rate to try next, to find the highest that a server sustains.
//!
//! No server and no clock: whoever calls says whether a rate was sustained, so that
//! the search is tested on made-up servers. A neighbour on the machine can spoil a
//! look at a rate, and hardly better one; so a rate is too much only if it was so
//! twice in a row, and a bisection trusts no bound that it has not seen for itself.

/// Bisection ends where it knows the rate to 2 %: a shared machine does not repeat
/// itself better than that.
pub const TOLERANCE: f64 = 0.02;

/// Steps end here even if every rate is sustained, which none of that many can be.
const STEPS_MAX: u32 = 64;

/// Share of a bracket within which a bound is near.
const NEAR: f64 = 0.25;

/// A bisection of a machine that changes its mind all the time ends here.
const RATES_MAX: u32 = 12;

/// The knee lies between a rate that was sustained and one that was not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bracket {
    /// Sustained; 0 if no rate was.
    pub low: f64,
    /// Not sustained.
    pub high: f64,
}

/// Raises the rate in steps, until one of them is not sustained. `look` says whether a
/// rate was.
pub fn climb<E>(step: f64, look: &mut impl FnMut(f64) -> Result<bool, E>) -> Result<Bracket, E> {
    let mut nth = 1;
    while nth < STEPS_MAX {
        if !is_sustained(f64::from(nth) * step, look)? {
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
    look: &mut impl FnMut(f64) -> Result<bool, E>,
) -> Result<Option<f64>, E> {
    let Bracket { mut low, mut high } = bracket;
    // Doubled each time that it is moved by it.
    let mut width = high - low;
    let (mut low_seen, mut high_seen) = (false, false);
    for _ in 0..RATES_MAX {
        let is_wide = high - low > TOLERANCE * high.max(bracket.high);
        let rate = match (low_seen, high_seen) {
            // A bound is looked at once it is near: all below it would be in vain otherwise.
            (false, true) if low > 0.0 && high - low <= width * NEAR => low,
            (true, false) if high - low <= width * NEAR => high,
            _ if is_wide => f64::midpoint(low, high),
            (false, _) if low > 0.0 => low,
            (_, false) => high,
            _ => break,
        };
        let moves = rate <= low || rate >= high;
        if is_sustained(rate, look)? {
            if rate >= high {
                (high, high_seen) = (rate + width, false);
            }
            (low, low_seen) = (rate, true);
        } else {
            if rate <= low {
                (low, low_seen) = ((rate - width).max(0.0), false);
            }
            (high, high_seen) = (rate, true);
        }
        if moves {
            width *= 2.0;
        }
    }
    Ok(low_seen.then_some(low))
}

fn is_sustained<E>(rate: f64, look: &mut impl FnMut(f64) -> Result<bool, E>) -> Result<bool, E> {
    Ok(look(rate)? || look(rate)?)
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
            // Four rates, some of them twice, and a bound.
            assert!(asked.len() <= 9, "{knee}: {asked:?}");
        }
    }

    #[test]
    fn bisection_leaves_a_bracket_that_is_in_the_wrong_place() {
        for knee in [2_000.0, 2_950.0, 4_100.0, 6_000.0] {
            let (found, asked) = found(knee, Bracket { low: 3_000.0, high: 4_000.0 });
            let found = found.unwrap();
            assert!(found <= knee && found > knee * 0.95, "{knee}: {found} after {asked:?}");
        }
    }

    #[test]
    fn who_sustains_nothing_has_no_knee() {
        let (found, asked) = found(0.0, Bracket { low: 0.0, high: 1_000.0 });
        assert_eq!(found, None);
        assert!(asked.len() <= 24, "{asked:?}");
    }

    /// One look in ten goes wrong: the median of seven bisections does not.
    #[test]
    fn the_middle_of_several_bisections_is_near_the_knee() {
        const KNEE: f64 = 20_000.0;
        let mut rng = Rng::with_seed(11);
        for _ in 0..50 {
            let mut knees: Vec<f64> = (0..7)
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
