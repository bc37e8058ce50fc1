//! Adds io_uring, in place of mio's epoll and of a system call for each read and write; otherwise
//! as `pinloop`: the same protocol core, limits and timeouts.
//!
//! The responses of a wake-up are sent together. A client that does not read is not received from
//! once 64 KiB of its requests are held.

mod client;
#[cfg(test)]
mod tests;
mod timer;

use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pinloop::Config;
use pinloop::app::App;
use pinloop::http::{Close, Connection, Context, Date, Next, Rejection};

use super::Ready;
use super::common::{self, Settings};
use super::pinloop::config;
use super::uring::{self, Event, Output, Uring};
use client::Client;
use timer::{Clock, Kind};

/// Requests that one call of the protocol core answers, as the server answers in a turn.
const CALL_REQUESTS: u32 = 32;

/// Maximum number of sent bytes that are taken to have arrived when a connection closes, as the
/// server has it.
const SENT_BYTES_SMALL: usize = 12 * 1024;

/// Number of output buffers that are kept: enough for the responses of a large wake-up.
const SPARES: usize = 256;

/// Capacity of the largest output buffer that is kept.
const SPARE_BYTES: usize = 128 * 1024;

pub(super) fn serve(settings: &Settings, ready: Ready<'_>) -> io::Result<()> {
    uring::check()?;
    serve_with(&config(settings), settings, ready)
}

/// Serves with the limits and timeouts of `config`.
fn serve_with(config: &Config, settings: &Settings, ready: Ready<'_>) -> io::Result<()> {
    let (rounds, threads) = (settings.rounds, settings.cores.len());
    let (config, open) = (config.clone(), Arc::default());
    common::per_core(settings, ready, move |listener| {
        Server::new(config.clone(), threads, rounds, Arc::clone(&open)).run(listener)
    })
}

/// State shared by the connections of a core.
struct Server {
    app: App,
    config: Config,
    date: Date,
    date_until: Instant,
    clock: Clock,
    /// Output buffers, the one that was used last on top, because it is in the cache.
    spares: Vec<Vec<u8>>,
    /// Keys of connections with output to send.
    ready: Vec<usize>,
    /// Keys of connections with a send that was queued before the last wait.
    submitted: Vec<usize>,
    /// Memory that connections hold, and its limit, in bytes.
    buffered_bytes: usize,
    buffered_bytes_max: usize,
    /// Number of connections of all threads.
    open: Arc<AtomicUsize>,
}

impl Server {
    fn new(config: Config, threads: usize, rounds: u32, open: Arc<AtomicUsize>) -> Server {
        let clock = Clock::new(&config.timeouts);
        let head = config.limits.head_bytes_max;
        Server {
            app: App::new(rounds),
            date: Date::at(SystemTime::now()),
            date_until: clock.now(),
            clock,
            spares: Vec::new(),
            ready: Vec::new(),
            submitted: Vec::new(),
            buffered_bytes: 0,
            buffered_bytes_max: (config.buffered_bytes_max / threads).max(head),
            open,
            config,
        }
    }

    fn run(&mut self, listener: TcpListener) -> io::Result<()> {
        let mut uring = Uring::new(listener)?;
        loop {
            let is_empty = uring.is_empty();
            uring.wait((!is_empty).then(|| self.clock.wait()))?;
            self.clock.update();
            self.update_date();
            while self.take_event(&mut uring)? {}
            self.note_blocked(&mut uring)?;
            if self.clock.is_look_due() {
                self.expire(&mut uring)?;
            }
            self.send_ready(&mut uring)?;
        }
    }

    fn update_date(&mut self) {
        let now = self.clock.now();
        if now >= self.date_until {
            let date = SystemTime::now();
            self.date.update(date);
            let since = date.duration_since(UNIX_EPOCH).unwrap_or_default();
            let into_second = Duration::from_nanos(since.subsec_nanos().into());
            self.date_until = now + Duration::from_secs(1) - into_second;
        }
    }

    /// Takes an event; returns false when it is time to wait.
    fn take_event(&mut self, uring: &mut Uring<Client>) -> io::Result<bool> {
        let Some(event) = uring.next()? else { return Ok(false) };
        match event {
            Event::Accepted(stream) => self.accept(uring, stream)?,
            Event::Received { key, client, bytes } => {
                if client.can_answer() {
                    let has_output = !client.output.is_empty();
                    self.answer(client, bytes);
                    if !has_output {
                        self.go_on(uring, key)?;
                    }
                } else if client.hold(bytes) {
                    uring.pause(key)?;
                }
                self.settle(uring, key)?;
            }
            Event::Sent { key, client, written, left, spare } => {
                client.sent_bytes += written;
                client.timer.note_written(written);
                if left > 0 {
                    client.blocked_bytes = left;
                } else {
                    client.is_sending = false;
                    client.blocked_bytes = 0;
                    self.keep_spare(spare.unwrap_or_default());
                    self.go_on(uring, key)?;
                }
                self.settle(uring, key)?;
            }
            Event::Ended { key, client, has_failed } => {
                client.has_ended = true;
                // All complete requests are answered first.
                if has_failed || client.lingers.is_some() || client.is_done() {
                    self.close(uring, key)?;
                }
            }
        }
        Ok(true)
    }

    fn accept(&mut self, uring: &mut Uring<Client>, stream: TcpStream) -> io::Result<()> {
        if self.open.fetch_add(1, Ordering::Relaxed) < self.config.connections_max {
            return uring.open(stream, Client::new(&self.clock)).map(drop);
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.shed(stream);
        Ok(())
    }

    /// Sends 503 and closes. The buffer of a new socket takes it at once.
    fn shed(&self, mut stream: TcpStream) {
        let mut output = Vec::new();
        let context = Context::new(&self.config.limits, &self.date);
        Connection::default().reject(Rejection::Overload, &[], &mut output, &context);
        // The client may be gone.
        let _ = stream.write_all(&output).and_then(|()| stream.shutdown(Shutdown::Write));
    }

    /// Advances the protocol core over the carried and the `fresh` bytes.
    fn answer(&mut self, client: &mut Client, fresh: &[u8]) {
        if client.output.capacity() == 0 {
            client.output = self.spares.pop().unwrap_or_default();
        }
        let is_carried = !client.carry.is_empty();
        if is_carried {
            client.carry.extend_from_slice(fresh);
        }
        let input = if is_carried { &client.carry } else { fresh };
        let mut context = Context::new(&self.config.limits, &self.date);
        context.requests_max = CALL_REQUESTS;
        let progress = client.http.advance(input, &mut client.output, &mut self.app, &context);
        client.has_unseen = false;
        client.next = progress.next;
        client.is_used |= progress.consumed > 0;
        client.timer.note_consumed(progress.consumed);
        if let Next::Close(_) = progress.next {
            // No further byte is read as a request.
            client.carry = Vec::new();
        } else if progress.consumed == input.len() {
            client.carry = Vec::new();
        } else if is_carried {
            client.carry.drain(..progress.consumed);
        } else {
            client.carry.extend_from_slice(&fresh[progress.consumed..]);
        }
    }

    /// Does what the protocol core needs next, until there is output to send or more input is
    /// needed.
    fn go_on(&mut self, uring: &mut Uring<Client>, key: usize) -> io::Result<()> {
        loop {
            let Some(client) = uring.client(key) else { return Ok(()) };
            if !client.output.is_empty() {
                self.ready.push(key);
                break;
            }
            self.keep_spare(std::mem::take(&mut client.output));
            match client.next {
                Next::Read if !client.has_unseen => break,
                Next::Read | Next::Flush => self.answer(client, &[]),
                Next::Wait => unreachable!("this service has no workers to defer an answer to"),
                Next::Close(close) => return self.close_when_sent(uring, key, close),
            }
        }
        let Some(client) = uring.client(key) else { return Ok(()) };
        if client.has_ended && client.is_done() {
            return self.close(uring, key);
        }
        if client.may_resume() { uring.resume(key) } else { Ok(()) }
    }

    /// Queues the sends of this wake-up.
    fn send_ready(&mut self, uring: &mut Uring<Client>) -> io::Result<()> {
        for key in self.ready.drain(..) {
            // The connection may have closed, and another one with its key may be in the list too.
            let Some(client) = uring.client(key) else { continue };
            if client.output.is_empty() || client.is_sending {
                continue;
            }
            client.is_sending = true;
            let output = std::mem::take(&mut client.output);
            uring.send(key, Output::Buffer(output))?;
            self.submitted.push(key);
        }
        Ok(())
    }

    /// Notes which clients have not taken all of the output that was sent before the wait.
    fn note_blocked(&mut self, uring: &mut Uring<Client>) -> io::Result<()> {
        for at in 0..self.submitted.len() {
            let key = self.submitted[at];
            if let Some(client) = uring.client(key)
                && client.is_sending
            {
                client.blocked_bytes = client.blocked_bytes.max(1);
                self.settle(uring, key)?;
            }
        }
        self.submitted.clear();
        Ok(())
    }

    /// Restarts the timer, and counts the memory that the connection holds.
    fn settle(&mut self, uring: &mut Uring<Client>, key: usize) -> io::Result<()> {
        let Some(client) = uring.client(key) else { return Ok(()) };
        client.timer.update(client.timeout_kind(), &self.clock);
        let bytes = client.held_bytes();
        let has_grown = bytes > client.buffered_bytes;
        self.buffered_bytes = self.buffered_bytes + bytes - client.buffered_bytes;
        client.buffered_bytes = bytes;
        if has_grown && self.buffered_bytes > self.buffered_bytes_max {
            return self.reject(uring, key, Rejection::Overload);
        }
        Ok(())
    }

    /// Ends the connections with expired timers.
    #[cold]
    fn expire(&mut self, uring: &mut Uring<Client>) -> io::Result<()> {
        let timers = uring.clients().map(|(key, client)| (key, &client.timer));
        for key in self.clock.expired(timers) {
            let Some(client) = uring.client(key) else { continue };
            match client.timer.kind() {
                Kind::Head if !client.has_head_begun() => self.close(uring, key)?,
                Kind::Head | Kind::Body => self.reject(uring, key, Rejection::Timeout)?,
                _ => self.close(uring, key)?,
            }
        }
        Ok(())
    }

    /// Gives up a request that has begun to arrive; responds if no response has begun.
    #[cold]
    fn reject(
        &mut self,
        uring: &mut Uring<Client>,
        key: usize,
        rejection: Rejection,
    ) -> io::Result<()> {
        let Some(client) = uring.client(key) else { return Ok(()) };
        let is_over = client.lingers.is_some() || matches!(client.next, Next::Close(_));
        if is_over || client.is_sending || !client.output.is_empty() {
            return self.close(uring, key);
        }
        let context = Context::new(&self.config.limits, &self.date);
        let carry = std::mem::take(&mut client.carry);
        let close = client.http.reject(rejection, &carry, &mut client.output, &context);
        client.next = Next::Close(close);
        self.go_on(uring, key)?;
        self.settle(uring, key)
    }

    /// Closes after the last response. If a reset could destroy it on its way, shuts the write
    /// side down and discards input first.
    #[inline(never)]
    fn close_when_sent(
        &mut self,
        uring: &mut Uring<Client>,
        key: usize,
        close: Close,
    ) -> io::Result<()> {
        let Some(client) = uring.client(key) else { return Ok(()) };
        let is_large = client.sent_bytes > SENT_BYTES_SMALL;
        let is_over = client.has_ended || close == Close::Now && !is_large;
        if close == Close::Reset {
            self.forget(uring, key);
            return uring.reset(key);
        }
        client.lingers = Some(is_large);
        client.is_paused = false;
        if is_over || uring.shut_down_write(key).is_err() {
            return self.close(uring, key);
        }
        uring.resume(key)
    }

    /// Closes now. A response that is cut off would look complete if it ended with the connection,
    /// so the client sees a reset then.
    fn close(&mut self, uring: &mut Uring<Client>, key: usize) -> io::Result<()> {
        let Some(client) = uring.client(key) else { return Ok(()) };
        let is_unsent = client.is_sending || !client.output.is_empty();
        let is_cut_off = is_unsent && matches!(client.next, Next::Close(_));
        let needs_reset = is_cut_off || client.http.is_delimited_by_close();
        self.forget(uring, key);
        if needs_reset { uring.reset(key) } else { uring.close(key) }
    }

    /// Takes a connection that closes out of the counts.
    fn forget(&mut self, uring: &mut Uring<Client>, key: usize) {
        let Some(client) = uring.client(key) else { return };
        self.buffered_bytes -= client.buffered_bytes;
        self.keep_spare(std::mem::take(&mut client.output));
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    fn keep_spare(&mut self, mut buffer: Vec<u8>) {
        if (1..=SPARE_BYTES).contains(&buffer.capacity()) && self.spares.len() < SPARES {
            buffer.clear();
            self.spares.push(buffer);
        }
    }
}
