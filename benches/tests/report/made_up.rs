//! Made-up results with known figures.

use pinloop_bench::results::{
    Block, Contender, Latency, Regime, Results, SCHEMA, Sample, Settings,
};
use pinloop_bench::studies::ladder::figures::{self, RegimeFigures};

/// Adds a server that takes `cpu_ns` for each request, with some noise.
pub(super) fn add_server(results: &mut Results, key: &str, cpu_ns: f64) {
    let mut rng = fastrand::Rng::with_seed(key.len() as u64);
    for block in &mut results.regimes[0].blocks {
        block.samples.push(Sample {
            contender: key.to_string(),
            requests: 1000,
            elapsed_ns: 100_000_000,
            cpu_ns: (1000.0 * cpu_ns * (1.0 + 0.01 * (rng.f64() - 0.5))) as u64,
            ..Sample::default()
        });
    }
    let mut contender = results.contenders[0].clone();
    (contender.key, contender.variant) = (key.to_string(), key.to_string());
    results.contenders.push(contender);
}

/// pinloop twice at about 6 µs and hyper at 1.25 times that, with some noise.
pub(super) fn results() -> Results {
    let contender = |key: &str, variant: &str| Contender {
        key: key.to_string(),
        variant: variant.to_string(),
        about: String::new(),
        base: None,
        adds: String::new(),
        command: None,
    };
    let mut rng = fastrand::Rng::with_seed(3);
    let blocks = (0..20)
        .map(|at| {
            let mut sample = |key: &str, cpu_ns: f64| Sample {
                contender: key.to_string(),
                requests: 1000,
                elapsed_ns: 100_000_000,
                cpu_ns: (1000.0 * cpu_ns * (1.0 + 0.01 * (rng.f64() - 0.5))) as u64,
                user_ticks: 10,
                system_ticks: 30,
                latency: Latency::of([(700_000, 900), (1_100_000, 95), (9_000_000, 5)]),
                ..Sample::default()
            };
            let samples = vec![
                sample("hyper", 7500.0),
                sample("pinloop", 6000.0),
                sample("pinloop_again", 6000.0),
            ];
            Block { start: at, samples }
        })
        .collect();
    Results {
        schema: SCHEMA,
        complete: true,
        optimized: true,
        settings: Settings {
            server_cores: vec![0],
            generator_cores: vec![1],
            ..Settings::default()
        },
        contenders: vec![
            contender("pinloop", "pinloop"),
            contender("pinloop_again", "pinloop"),
            contender("hyper", "hyper"),
        ],
        reference: "pinloop".to_string(),
        regimes: vec![Regime {
            key: "closed".to_string(),
            brief: "for one GET".to_string(),
            blocks,
            ..Regime::default()
        }],
        ..Results::default()
    }
}

pub(super) fn closed(results: &Results) -> RegimeFigures {
    figures::of(results).swap_remove(0)
}
