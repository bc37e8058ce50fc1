//! Balls in bins: how full is the fullest bin, if each ball picks a bin at random?
//!
//! The kernel hands each new connection to one of the listeners by a hash, and a load balancer
//! hands it to one of the hosts. Neither looks at how many connections are there already, so the
//! busiest core or host has more than its share.

/// Largest number of steps to compute one probability exactly; an expected value takes some thirty
/// of them, and so some tenths of a second.
const STEPS_MAX: usize = 500_000;

/// Probability that is left out of an expected value.
const NEGLIGIBLE: f64 = 1e-12;

/// Spread of a Poisson distribution that is looked at, in standard deviations to both sides.
const DEVIATIONS: f64 = 12.0;

/// Returns the expected number of balls in the fullest of `bins` bins, if each of `balls` balls
/// picks a bin at random.
///
/// It is exact, as long as that takes less than a second. For more balls the bins are taken as
/// independent Poisson variables, which is within 1 % then.
pub fn fullest(balls: usize, bins: usize) -> f64 {
    if balls == 0 || bins == 0 {
        return 0.0;
    }
    if bins == 1 {
        return balls as f64;
    }
    let most = balls as f64 / bins as f64;
    let usual = (most + DEVIATIONS * most.sqrt()) as usize + 1;
    match bins.saturating_mul(balls).saturating_mul(usual) < STEPS_MAX {
        true => exact(balls, bins),
        false => of_independent(most, bins),
    }
}

/// Returns the share of all balls that is expected in the fullest bin, 0 to 1.
pub fn fullest_share(balls: usize, bins: usize) -> f64 {
    fullest(balls, bins) / balls.max(1) as f64
}

/// Returns the expected load of the fullest bin in ratio to the mean: 1 is an even spread.
pub fn imbalance(balls: usize, bins: usize) -> f64 {
    // Rounding must not put the fullest bin below the mean.
    (fullest_share(balls, bins) * bins as f64).max(1.0)
}

/// Adds up P(fullest > k) over all k.
fn exact(balls: usize, bins: usize) -> f64 {
    // No spread of the balls has less than this in its fullest bin.
    let least = balls.div_ceil(bins);
    let over = |k: usize| 1.0 - at_most(k, balls, bins);
    let tail = (least..balls).map(over).take_while(|&over| over > NEGLIGIBLE);
    least as f64 + tail.sum::<f64>()
}

/// Returns the probability that no bin has more than `k` balls.
///
/// `fits[left]` is the probability that `left` balls in the bins looked at so far fit. Each further
/// bin takes a binomial number of the balls. All terms are positive, so that nothing cancels out.
fn at_most(k: usize, balls: usize, bins: usize) -> f64 {
    let mut fits: Vec<f64> = (0..=balls).map(|left| f64::from(left <= k)).collect();
    for so_far in 2..=bins {
        let share = 1.0 / so_far as f64;
        // Only the last bin's result for all balls is of use.
        let from = if so_far == bins { balls } else { 0 };
        let next = |left: usize| {
            let taken = binomial(left, share, k.min(left));
            taken.iter().enumerate().map(|(taken, chance)| chance * fits[left - taken]).sum()
        };
        let filled: Vec<f64> = (from..=balls).map(next).collect();
        fits.splice(from.., filled);
    }
    fits[balls]
}

/// Returns the probabilities of 0 to `most` successes in `count` tries.
fn binomial(count: usize, chance: f64, most: usize) -> Vec<f64> {
    let odds = chance / (1.0 - chance);
    let mut log = count as f64 * (-chance).ln_1p();
    let mut chances = Vec::with_capacity(most + 1);
    for successes in 0..=most {
        chances.push(log.exp());
        log += ((count - successes) as f64 / (successes + 1) as f64 * odds).ln();
    }
    chances
}

/// Returns the expected maximum of `bins` independent Poisson variables with this mean. With the
/// mean as its variance, each stands for a bin and for how the total varies; their difference has
/// the spread of bins that share a fixed number of balls.
fn of_independent(mean: f64, bins: usize) -> f64 {
    let reach = DEVIATIONS * mean.sqrt() + DEVIATIONS;
    let (first, last) = ((mean - reach).max(0.0) as usize, (mean + reach) as usize);
    let mut log = 0.0;
    let mut weights = Vec::new();
    for k in first..=last {
        weights.push(log);
        log += (mean / (k + 1) as f64).ln();
    }
    let top = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = weights.iter().map(|weight| (weight - top).exp()).collect();
    let all: f64 = weights.iter().sum();
    let mut below = 0.0;
    let over = weights.iter().map(|weight| {
        below += weight / all;
        1.0 - below.min(1.0).powf(bins as f64)
    });
    first as f64 + over.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    fn is_near(found: f64, truth: f64) {
        assert!((found - truth).abs() < 1e-9, "{found}, not {truth}");
    }

    #[test]
    fn few_balls_can_be_counted_by_hand() {
        // Two balls in two bins: together in half of the cases.
        is_near(fullest(2, 2), 1.5);
        // 2 of 16 cases have all four in one bin, 8 have three, 6 have two.
        is_near(fullest(4, 2), 44.0 / 16.0);
        // 6 of 27 cases have one in each, 18 have two in one, 3 have all.
        is_near(fullest(3, 3), 51.0 / 27.0);
        is_near(fullest(7, 1), 7.0);
        is_near(fullest(1, 9), 1.0);
        is_near(fullest(0, 3), 0.0);
        is_near(imbalance(4, 2), 1.375);
        is_near(fullest_share(4, 2), 0.6875);
    }

    #[test]
    fn two_bins_differ_as_a_random_walk_does() {
        // E|X - n/2| of a fair coin is n/2^n * C(n-1, n/2).
        for (balls, chance) in [(8_usize, 70.0 / 256.0), (16, 12_870.0 / 65_536.0)] {
            let excess = balls as f64 / 2.0 * chance;
            is_near(fullest(balls, 2), balls as f64 / 2.0 + excess);
        }
    }

    #[test]
    fn throwing_balls_gives_what_was_computed() {
        let mut rng = Rng::with_seed(1);
        for (balls, bins) in [(16, 8), (64, 8), (100, 40)] {
            let throws = 20_000;
            let thrown: usize = (0..throws)
                .map(|_| {
                    let mut loads = vec![0; bins];
                    (0..balls).for_each(|_| loads[rng.usize(..bins)] += 1);
                    loads.into_iter().max().unwrap_or(0)
                })
                .sum();
            let (mean, computed) = (thrown as f64 / f64::from(throws), fullest(balls, bins));
            assert!((mean / computed - 1.0).abs() < 0.01, "{balls} in {bins}: {mean}, {computed}");
        }
    }

    #[test]
    fn many_balls_are_computed_within_one_percent() {
        for (balls, bins) in [(256, 2), (64, 8), (200, 4)] {
            let independent = of_independent(balls as f64 / bins as f64, bins);
            let ratio = independent / exact(balls, bins);
            assert!((ratio - 1.0).abs() < 0.01, "{balls} in {bins}: {ratio}");
        }
        // A million connections on a thousand hosts: the mean and about 3.2 deviations.
        let fullest = fullest(1_000_000, 1_000);
        assert!((1_100.0..1_106.0).contains(&fullest), "{fullest}");
    }
}
