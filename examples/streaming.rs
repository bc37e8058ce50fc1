//! Server-sent events: one a second. Between two events the response is paused,
//! so that a waiting client costs no CPU time.
//!
//! ```sh
//! cargo run --example streaming
//! curl -N http://127.0.0.1:8080/events
//! ```

use std::error::Error;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use pinloop::http::{Flow, StreamWaker};
use pinloop::{Config, Request, Response};

const INTERVAL: Duration = Duration::from_secs(1);

/// When to wake which response.
type Alarm = (Instant, StreamWaker);

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    if let Some(addr) = std::env::args().nth(1) {
        config.addr = addr.parse()?;
    }
    // All alarms are one interval ahead, so they arrive in the order of their times.
    let (timer, alarms) = mpsc::channel::<Alarm>();
    thread::spawn(move || {
        for (at, waker) in alarms {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            waker.wake();
        }
    });
    let server = pinloop::start(&config, move |_core| {
        let timer = timer.clone();
        move |request: &Request<'_>, response: &mut Response<'_>| match &*request.path() {
            "/events" => events(response, timer.clone()),
            _ => response.status(404).body(b""),
        }
    })?;
    println!("listening on http://{}", server.addr());
    server.join()?;
    Ok(())
}

fn events(response: &mut Response<'_>, timer: Sender<Alarm>) {
    let waker = response.waker();
    let (mut number, mut due) = (0u64, Instant::now());
    response.header("content-type", "text/event-stream").stream(None, move |body| {
        if Instant::now() >= due {
            number += 1;
            body.write(format!("data: event {number}\n\n").as_bytes());
            due = Instant::now() + INTERVAL;
            let _ = timer.send((due, waker.clone()));
        }
        Flow::Pause
    });
}
