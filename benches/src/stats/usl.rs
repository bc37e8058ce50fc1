//! The universal scalability law (N. J. Gunther, "Guerrilla Capacity Planning", 2007),
//! which says what n cores do of what one does:
//!
//! ```text
//! X(n) = λ n / (1 + σ (n − 1) + κ n (n − 1))
//! ```
//!
//! σ is contention, the part of the work that only one core at a time can do; κ is
//! coherence, what cores spend on agreeing with each other. With κ = 0 it is Amdahl's
//! law, and with both 0 a straight line.

/// The law with its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Law {
    /// λ: of one core, per second.
    pub rate: f64,
    /// σ, 0 or more.
    pub contention: f64,
    /// κ, 0 or more.
    pub coherence: f64,
}

impl Law {
    /// X(n), per second.
    pub fn at(&self, cores: f64) -> f64 {
        let others = cores - 1.0;
        self.rate * cores / (1.0 + self.contention * others + self.coherence * cores * others)
    }

    /// Returns the number of cores at the peak of the rate; none without a peak.
    pub fn peak(&self) -> Option<f64> {
        let peak = ((1.0 - self.contention).max(0.0) / self.coherence).sqrt();
        peak.is_finite().then_some(peak.max(1.0))
    }
}

/// Returns the number of parameters that `sizes` numbers of cores can tell: λ, then σ,
/// then κ.
pub fn parameters(sizes: usize) -> usize {
    sizes.min(3)
}

/// Fits the law to rates per second on numbers of cores, all different. What the points
/// are too few to tell is 0, and so is what would have to be below 0 to fit better.
///
/// n / X(n) is linear in 1/λ, σ/λ and κ/λ, so it is a linear least-squares fit, of
/// relative errors. None without points.
pub fn fit(points: &[(f64, f64)]) -> Option<Law> {
    let known = parameters(points.len());
    // With or without σ and κ: the best of those in which neither is below 0.
    let terms: &[&[usize]] = &[&[0], &[0, 1], &[0, 2], &[0, 1, 2]];
    let tried =
        terms.iter().filter(|terms| terms.len() <= known && terms.iter().all(|&t| t < known));
    let fits = tried.filter_map(|terms| {
        let factors = least_squares(points, terms)?;
        let is_law = factors[0] > 0.0 && factors.iter().all(|&factor| factor >= 0.0);
        is_law.then(|| (error(points, &factors), factors))
    });
    let (_, [inverse, contention, coherence]) =
        fits.min_by(|(one, _), (other, _)| one.total_cmp(other))?;
    Some(Law {
        rate: 1.0 / inverse,
        contention: contention / inverse,
        coherence: coherence / inverse,
    })
}

/// Factors of 1/λ, σ/λ and κ/λ in n / X(n).
fn basis(cores: f64) -> [f64; 3] {
    [1.0, cores - 1.0, cores * (cores - 1.0)]
}

/// Sum of the squared relative errors.
fn error(points: &[(f64, f64)], factors: &[f64; 3]) -> f64 {
    let of = |&(cores, rate): &(f64, f64)| {
        let fitted: f64 =
            basis(cores).iter().zip(factors).map(|(base, factor)| base * factor).sum();
        (fitted * rate / cores - 1.0).powi(2)
    };
    points.iter().map(of).sum()
}

/// The factors of these terms of the basis; the others are 0. None where the points do
/// not tell them apart.
fn least_squares(points: &[(f64, f64)], terms: &[usize]) -> Option<[f64; 3]> {
    let mut normal = vec![vec![0.0; terms.len() + 1]; terms.len()];
    for &(cores, rate) in points {
        // Divided by n / X(n), so that errors are relative ones.
        let row = basis(cores).map(|base| base * rate / cores);
        for (equation, &term) in normal.iter_mut().zip(terms) {
            for (sum, &other) in equation.iter_mut().zip(terms) {
                *sum += row[term] * row[other];
            }
            equation[terms.len()] += row[term];
        }
    }
    let solution = solve(normal)?;
    let mut factors = [0.0; 3];
    for (&term, factor) in terms.iter().zip(solution) {
        factors[term] = factor;
    }
    Some(factors)
}

/// By Gaussian elimination with pivots; each equation has its right side last.
fn solve(mut equations: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let size = equations.len();
    for at in 0..size {
        let pivot = (at..size).max_by(|&one, &other| {
            equations[one][at].abs().total_cmp(&equations[other][at].abs())
        })?;
        equations.swap(at, pivot);
        let row = equations[at].clone();
        if row[at].abs() < f64::EPSILON * row.iter().fold(0.0, |most, x| x.abs().max(most)) {
            return None;
        }
        for (_, equation) in equations.iter_mut().enumerate().filter(|(nth, _)| *nth != at) {
            let factor = equation[at] / row[at];
            equation.iter_mut().zip(&row).for_each(|(x, y)| *x -= factor * y);
        }
    }
    Some(equations.iter().enumerate().map(|(at, row)| row[size] / row[at]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(law: &Law, sizes: &[f64]) -> Vec<(f64, f64)> {
        sizes.iter().map(|&cores| (cores, law.at(cores))).collect()
    }

    fn assert_near(found: Law, law: &Law) {
        let near = |one: f64, other: f64| (one - other).abs() <= 1e-6 * other.abs().max(1e-3);
        assert!(
            near(found.rate, law.rate)
                && near(found.contention, law.contention)
                && near(found.coherence, law.coherence),
            "{found:?} for {law:?}"
        );
    }

    #[test]
    fn finds_the_law_that_points_were_made_of() {
        for law in [
            Law { rate: 6_000.0, contention: 0.05, coherence: 0.001 },
            Law { rate: 1e6, contention: 0.0, coherence: 0.02 },
            Law { rate: 20.0, contention: 0.3, coherence: 0.0 },
            Law { rate: 995.6, contention: 0.02671, coherence: 0.000_769 },
        ] {
            assert_near(fit(&points(&law, &[1.0, 2.0, 3.0, 4.0, 8.0, 16.0, 32.0])).unwrap(), &law);
            assert_near(fit(&points(&law, &[1.0, 2.0, 4.0])).unwrap(), &law);
        }
    }

    #[test]
    fn two_points_tell_contention_only_and_one_none() {
        let amdahl = Law { rate: 10_000.0, contention: 0.1, coherence: 0.0 };
        assert_near(fit(&points(&amdahl, &[1.0, 2.0])).unwrap(), &amdahl);
        let one = fit(&[(1.0, 10_000.0)]).unwrap();
        assert_eq!((one.contention, one.coherence), (0.0, 0.0));
        assert!((one.rate - 10_000.0).abs() < 1e-6);
        assert_eq!(fit(&[]), None);
    }

    #[test]
    fn more_than_linear_is_linear() {
        let law = fit(&[(1.0, 1_000.0), (2.0, 2_040.0), (4.0, 4_200.0)]).unwrap();
        assert_eq!((law.contention, law.coherence), (0.0, 0.0));
        assert!(law.rate > 1_000.0 && law.rate < 1_050.0, "{law:?}");
    }

    #[test]
    fn errors_of_a_few_percent_move_the_law_little() {
        let law = Law { rate: 6_000.0, contention: 0.05, coherence: 0.001 };
        let mut noisy = points(&law, &[1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0]);
        for (at, (_, rate)) in noisy.iter_mut().enumerate() {
            *rate *= if at % 2 == 0 { 1.02 } else { 0.98 };
        }
        let found = fit(&noisy).unwrap();
        assert!((found.at(16.0) / law.at(16.0) - 1.0).abs() < 0.03, "{found:?}");
        assert!((found.rate / law.rate - 1.0).abs() < 0.04, "{found:?}");
    }

    #[test]
    fn the_peak_is_where_more_cores_begin_to_do_less() {
        let law = Law { rate: 1.0, contention: 0.0, coherence: 0.01 };
        let peak = law.peak().unwrap();
        assert!((peak - 10.0).abs() < 1e-9);
        assert!(law.at(10.0) > law.at(9.0) && law.at(10.0) > law.at(11.0));
        assert_eq!(Law { coherence: 0.0, ..law }.peak(), None);
    }

    /// The post of 2017: not far from a line, and the fit goes through all three.
    #[test]
    fn fits_the_rates_of_2017() {
        let seed = [(1.0, 6_000.0), (2.0, 11_000.0), (4.0, 20_000.0)];
        let law = fit(&seed).unwrap();
        for (cores, rate) in seed {
            assert!((law.at(cores) / rate - 1.0).abs() < 0.02, "{law:?}");
        }
    }
}
