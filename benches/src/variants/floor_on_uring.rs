//! Adds io_uring, in place of epoll and a system call for each read and write; otherwise as
//! `floor`.

use std::io;
use std::net::TcpListener;

use super::Ready;
use super::common::{self, Settings};
use super::floor::{ANSWER, ANSWERS_A_WRITE, Requests};
use super::uring::{self, Event, Output, Uring};

pub(super) fn serve(settings: &Settings, ready: Ready<'_>) -> io::Result<()> {
    uring::check()?;
    common::per_core(settings, ready, run)
}

fn run(listener: TcpListener) -> io::Result<()> {
    let mut uring = Uring::new(listener)?;
    let answers = ANSWER.repeat(ANSWERS_A_WRITE).leak();
    loop {
        uring.wait(None)?;
        while let Some(event) = uring.next()? {
            match event {
                Event::Accepted(stream) => {
                    uring.open(stream, Client::default())?;
                }
                Event::Received { key, client, bytes } => {
                    client.owed += client.requests.ended_by(bytes);
                    let pauses = client.is_sending && client.owed > ANSWERS_A_WRITE;
                    if pauses && !client.is_paused {
                        client.is_paused = true;
                        uring.pause(key)?;
                    }
                    go_on(&mut uring, key, answers)?;
                }
                Event::Sent { key, client, left, .. } => {
                    client.is_sending = left > 0;
                    go_on(&mut uring, key, answers)?;
                }
                Event::Ended { key, client, has_failed } => {
                    client.has_ended = true;
                    if has_failed || !client.is_sending {
                        uring.close(key)?;
                    }
                }
            }
        }
    }
}

#[derive(Default)]
struct Client {
    requests: Requests,
    /// Number of answers that no send carries yet.
    owed: usize,
    is_sending: bool,
    /// Set while nothing is received, because the client does not read.
    is_paused: bool,
    /// Set if the client has shut down its side.
    has_ended: bool,
}

/// Sends what is owed, unless a send is under way. After the last answer receives again, or closes
/// if the client has shut down its side.
fn go_on(uring: &mut Uring<Client>, key: usize, answers: &'static [u8]) -> io::Result<()> {
    let Some(client) = uring.client(key) else { return Ok(()) };
    if client.is_sending {
        return Ok(());
    }
    let count = client.owed.min(ANSWERS_A_WRITE);
    if count > 0 {
        client.owed -= count;
        client.is_sending = true;
        return uring.send(key, Output::Constant(&answers[..count * ANSWER.len()]));
    }
    if client.has_ended {
        return uring.close(key);
    }
    if std::mem::take(&mut client.is_paused) { uring.resume(key) } else { Ok(()) }
}
