//! Bounds what the loops of a full server do to find an idle connection on another loop.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time for which no loop looks for room on the others after all of them had none, so that each
/// connection of a flood does not wake every loop.
const FUTILE: Duration = Duration::from_millis(100);

/// The last times at which the loops have looked for room.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Time at which a connection had been at all loops in vain.
    not_found: Mutex<Option<Instant>>,
    /// Time of the last question for room that no loop has granted.
    asked: Mutex<Option<Instant>>,
}

impl Room {
    /// Reports whether a connection may go from loop to loop.
    pub(super) fn may_be_found(&self, now: Instant) -> bool {
        is_over(*lock(&self.not_found), now)
    }

    /// Notes that a connection has been at all loops in vain.
    pub(super) fn is_not_found(&self, now: Instant) {
        *lock(&self.not_found) = Some(now);
    }

    /// Reports whether a loop may ask the others for room, and notes that it does.
    pub(super) fn may_ask(&self, now: Instant) -> bool {
        let mut asked = lock(&self.asked);
        let may_ask = is_over(*asked, now);
        if may_ask {
            *asked = Some(now);
        }
        may_ask
    }

    /// Grants room for a question; reports whether there was one. Others may be asked at once.
    pub(super) fn grant(&self) -> bool {
        lock(&self.asked).take().is_some()
    }
}

fn is_over(since: Option<Instant>, now: Instant) -> bool {
    since.is_none_or(|since| now.saturating_duration_since(since) >= FUTILE)
}

fn lock(time: &Mutex<Option<Instant>>) -> std::sync::MutexGuard<'_, Option<Instant>> {
    time.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_futile_search_the_loops_are_left_alone_for_a_while() {
        let (room, now) = (Room::default(), Instant::now());
        assert!(room.may_be_found(now));
        room.is_not_found(now);
        assert!(!room.may_be_found(now + FUTILE / 2));
        assert!(room.may_be_found(now + FUTILE));
    }

    #[test]
    fn one_loop_grants_room_for_each_question() {
        let (room, now) = (Room::default(), Instant::now());
        assert!(!room.grant());
        assert!(room.may_ask(now) && !room.may_ask(now));
        assert!(room.grant() && !room.grant());
        assert!(room.may_ask(now) && !room.may_ask(now + FUTILE / 2));
        assert!(room.may_ask(now + FUTILE), "no loop had room");
    }
}
