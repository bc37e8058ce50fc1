//! The number of connections of each event loop. [`Balance::Connections`] places new connections
//! by these numbers.
//!
//! [`Balance::Connections`]: crate::Balance::Connections

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::Balance;

/// Numbers of connections by event loop, those included that are on their way to a loop. Empty
/// if connections stay where the kernel puts them, so that nothing is counted then.
#[derive(Debug)]
pub(super) struct Loads(Box<[Load]>);

/// Aligned to two cache lines, because processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Load(AtomicUsize);

impl Loads {
    pub(super) fn new(balance: Balance, loops: usize) -> Loads {
        let counted = if balance == Balance::Connections { loops } else { 0 };
        Loads((0..counted).map(|_| Load::default()).collect())
    }

    /// Counts a connection of loop `index`.
    pub(super) fn add(&self, index: usize) {
        if let Some(load) = self.0.get(index) {
            load.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Counts a connection of loop `index` that has closed or gone to another loop.
    pub(super) fn remove(&self, index: usize) {
        if let Some(load) = self.0.get(index) {
            load.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Chooses the loop with the fewest connections of those that `may_take` one, and counts a
    /// connection for it. Returns `own` unless another loop has fewer.
    pub(super) fn place(&self, own: usize, may_take: impl Fn(usize) -> bool) -> usize {
        if self.0.is_empty() {
            return own;
        }
        loop {
            let (index, load) = self.least(own, &may_take);
            // If the number has changed, another loop has chosen the same one.
            let counted = self.0[index].0.compare_exchange(
                load,
                load + 1,
                Ordering::SeqCst,
                Ordering::SeqCst,
            );
            if counted.is_ok() {
                return index;
            }
        }
    }

    /// Returns the loop with the fewest connections, and their number.
    fn least(&self, own: usize, may_take: &impl Fn(usize) -> bool) -> (usize, usize) {
        let load = |index: usize| self.0[index].0.load(Ordering::SeqCst);
        let count = self.0.len();
        let mut least = (own, load(own));
        // Begins behind `own`, so that the loops do not all choose the first of equals.
        for index in (1..count).map(|step| (own + step) % count) {
            let other = load(index);
            if other < least.1 && may_take(index) {
                least = (index, other);
            }
        }
        least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(loads: &Loads) -> Vec<usize> {
        loads.0.iter().map(|load| load.0.load(Ordering::SeqCst)).collect()
    }

    #[test]
    fn connections_go_to_the_loop_with_the_fewest() {
        let loads = Loads::new(Balance::Connections, 3);
        let places: Vec<usize> = (0..6).map(|_| loads.place(0, |_| true)).collect();
        assert_eq!(places, [0, 1, 2, 0, 1, 2]);
        loads.remove(1);
        assert_eq!(loads.place(2, |_| true), 1);
        loads.remove(1);
        assert_eq!(loads.place(2, |index| index != 1), 2, "loop 1 takes none");
        assert_eq!(counts(&loads), [2, 1, 3]);
    }

    #[test]
    fn loops_that_place_at_the_same_time_keep_the_numbers_equal() {
        let loads = Loads::new(Balance::Connections, 4);
        std::thread::scope(|scope| {
            for own in 0..4 {
                let loads = &loads;
                scope.spawn(move || {
                    for _ in 0..10 * own {
                        loads.place(own, |_| true);
                    }
                });
            }
        });
        assert_eq!(counts(&loads), [15; 4]);
    }

    #[test]
    fn nothing_is_counted_if_the_kernel_places_the_connections() {
        let loads = Loads::new(Balance::Kernel, 4);
        loads.add(1);
        loads.remove(1);
        assert_eq!((loads.place(2, |_| true), loads.0.len()), (2, 0));
    }
}
