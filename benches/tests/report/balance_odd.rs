//! The study `balance` with servers that failed, with ties, and with hardly any starts.

use pinloop_bench::results::{BalanceLoad, Failure, Latency, Results};
use pinloop_bench::studies::balance::verdicts;

use crate::balance::{balance, results};
use crate::rendered;

const STEALING: &str = "hyper_work_stealing";

fn loads(results: &mut Results) -> &mut Vec<BalanceLoad> {
    &mut results.studies.balance.as_mut().unwrap().loads
}

/// Its slices from before are in the file. No sentence, ratio or mean may be made of them.
#[test]
fn a_server_that_failed_in_the_middle_is_compared_with_none() {
    let mut results = results();
    let failure = Failure { contender: STEALING.to_string(), reason: "it hung".to_string() };
    results.studies.balance.as_mut().unwrap().failures.push(failure);
    let said = verdicts::sentences(&results, balance(&results));
    assert!(said.iter().all(|sentence| !sentence.contains(STEALING)), "{said:?}");
    let text = rendered::text(&results);
    assert_eq!(text.matches(STEALING).count(), 2, "its failure, and the list of servers: {text}");
}

#[test]
fn one_start_tells_nothing_apart() {
    let mut results = results();
    loads(&mut results).iter_mut().for_each(|load| load.starts.truncate(1));
    let said = verdicts::sentences(&results, balance(&results));
    let nothing = "Work stealing is not seen to pay: hyper_work_stealing and hyper_per_core are not \
                   told apart in p99 or throughput.";
    assert_eq!(said[0], nothing);
    assert!(!said.concat().contains("more requests per second with"), "{said:?}");
}

#[test]
fn servers_with_the_same_figures_all_have_the_lowest_p99() {
    let mut results = results();
    for load in loads(&mut results) {
        for start in &mut load.starts {
            let model = start[0].clone();
            for sample in start {
                (sample.latency, sample.light) = (model.latency.clone(), model.light.clone());
            }
        }
    }
    let said = verdicts::sentences(&results, balance(&results));
    let all = ": pinloop 2, pinloop_balanced 2, hyper_per_core 2, hyper_work_stealing 2.";
    assert!(said[1].ends_with(all), "{said:?}");
}

/// A broken file may have such slices. The report must neither panic nor show NaN.
#[test]
fn slices_without_requests_or_time_make_no_figure() {
    for change in [
        (|of| (of.saturated.requests, of.paced.cpu_ns, of.paced.cpu_ns_max) = (0, 0, 0))
            as fn(&mut pinloop_bench::results::BalanceSample),
        |of| (of.saturated.elapsed_ns, of.paced.elapsed_ns) = (0, 0),
        |of| (of.latency, of.light) = (Latency::default(), Latency::default()),
        |of| of.paced.unsent = u64::MAX / 1_000_000,
    ] {
        let mut results = results();
        loads(&mut results).iter_mut().flat_map(|load| &mut load.starts).flatten().for_each(change);
        let text = rendered::text(&results);
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        let page = rendered::page(&results);
        assert!(!page.contains("NaN"), "{page}");
    }
}
