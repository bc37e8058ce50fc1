//! Messages to systemd (sd_notify(3)). Without systemd they go nowhere.

use std::thread;

use log::{debug, error};
use pinloop::Stopper;
use sd_notify::NotifyState;

/// Says that this process serves, and is the main process of its service.
pub(crate) fn ready() {
    send(&[NotifyState::Ready, NotifyState::MainPid(std::process::id())]);
}

/// Says that this process stops.
pub(crate) fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Says that this process reads its configuration again. [`ready`] ends it.
pub(crate) fn reloading() {
    let now = NotifyState::monotonic_usec_now().ok();
    let states: Vec<NotifyState<'_>> = [NotifyState::Reloading].into_iter().chain(now).collect();
    send(&states);
}

/// Starts a thread that tells systemd that all event loops are alive, if systemd asks for it. Each
/// message means that every loop has woken since the message before.
pub(crate) fn watch(stopper: Stopper) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let interval = limit / 3;
    debug!("chosen: a message to the watchdog every {interval:?}");
    let run = move || {
        loop {
            thread::sleep(interval);
            match stopper.pulse() {
                true => send(&[NotifyState::Watchdog]),
                false => error!("an event loop has not woken for {interval:?}"),
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("pinloop-watchdog".into()).spawn(run) {
        error!("no thread for the watchdog: {error}");
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!("systemd did not take a message: {error}");
    }
}
