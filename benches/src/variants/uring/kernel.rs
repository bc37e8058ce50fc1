//! The queues and buffers that a thread shares with the kernel. All unsafe code of the measure is
//! in this file.
//!
//! **Rule of this file**: memory that the kernel may still use is never freed. The ring, its
//! buffers and the outputs that are being sent stay until the process ends, as its server does.

#![allow(unsafe_code)]

use std::alloc::{self, Layout};
use std::io;
use std::mem::ManuallyDrop;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use io_uring::squeue::Flags;
use io_uring::types::{BufRingEntry, Fd, SubmitArgs, Timespec};
use io_uring::{
    Builder, CompletionQueue, IoUring, Probe, SubmissionQueue, Submitter, cqueue, opcode, squeue,
};
use rustix::io::Errno;
use rustix::net::SocketFlags;

/// Number of submissions that one system call takes. The queue is a ring that the loop goes
/// round, so a larger one takes more of the cache.
const SUBMISSIONS: u32 = 256;

/// Number of completions that the kernel has room for. It keeps more until there is room.
const COMPLETIONS: u32 = 1024;

/// Number of buffers that the connections of a thread share; a power of two. A connection gives
/// its buffer back before the thread waits again, so they only need to last for one wake-up.
const BUFFERS: u16 = 256;

/// Size of a buffer: a request with a body of 64 KiB takes five.
const BUFFER_BYTES: usize = 16 * 1024;

/// Distance of two buffers. The two cache lines beyond the buffer keep the first lines of all
/// buffers out of the same few sets of the cache, where a power of two would put them.
const BUFFER_STRIDE: usize = BUFFER_BYTES + 128;

/// Number of the ring of buffers; there is only this one.
const BUFFER_GROUP: u16 = 0;

/// Alignment that the kernel asks of a ring of buffers.
const PAGE: usize = 4096;

/// Returns the reason why this kernel, or a filter of system calls, does not let the rungs use
/// io_uring; `None` if it does.
pub(in crate::variants) fn unavailable() -> Option<String> {
    let ring = match builder().build(SUBMISSIONS) {
        Ok(ring) => ring,
        Err(error) => {
            let hint = match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::PERM) => {
                    "; a seccomp filter, such as Docker's default profile, or \
                     kernel.io_uring_disabled forbids it"
                }
                Some(Errno::NOSYS) => "; this kernel has no io_uring",
                Some(Errno::INVAL) => "; single issuer and deferred task work need Linux 6.1",
                _ => "",
            };
            return Some(format!("io_uring_setup fails: {error}{hint}"));
        }
    };
    let mut probe = Probe::new();
    if let Err(error) = ring.submitter().register_probe(&mut probe) {
        return Some(format!("io_uring_register fails: {error}"));
    }
    let needed = [
        ("accept", opcode::AcceptMulti::CODE),
        ("recv", opcode::RecvMulti::CODE),
        ("send", opcode::Send::CODE),
        ("cancel", opcode::AsyncCancel::CODE),
        ("close", opcode::Close::CODE),
    ];
    let missing = needed.iter().find(|(_, code)| !probe.is_supported(*code));
    if let Some((name, _)) = missing {
        return Some(format!("the io_uring of this kernel has no {name}"));
    }
    let has_features = ring.params().is_feature_nodrop() && ring.params().is_feature_ext_arg();
    (!has_features).then(|| "the io_uring of this kernel is older than Linux 5.11".to_string())
}

/// Bytes to send.
pub(in crate::variants) enum Output {
    /// Bytes that live as long as the process.
    Constant(&'static [u8]),
    /// A buffer, which comes back once it is sent.
    Buffer(Vec<u8>),
}

impl Output {
    fn bytes(&self) -> &[u8] {
        match self {
            Output::Constant(bytes) => bytes,
            Output::Buffer(bytes) => bytes,
        }
    }
}

/// The result of an operation; an error number if it has failed.
type Outcome<T> = Result<T, Errno>;

/// A completion that the kernel reports.
pub(super) enum Completion {
    /// The listener has a connection. `goes_on` unless the kernel has ended the accept.
    Accepted { stream: Outcome<TcpStream>, goes_on: bool },
    /// Bytes have arrived for connection `key`, or with 0 of them its end. `goes_on` unless the
    /// kernel has ended the receive.
    Received { key: usize, arrived: Outcome<Arrived>, goes_on: bool },
    /// The socket took `written` bytes. The output comes back once all of it is sent, and after an
    /// error.
    Sent { key: usize, written: Outcome<usize>, left: usize, output: Option<Output> },
    /// A cancel or a close has failed, because the operation was over.
    Other,
}

/// The bytes that a receive has brought. [`Kernel::bytes`] shows them.
pub(super) struct Arrived {
    buffer: Option<u16>,
    pub(super) bytes: usize,
}

/// Operation of a submission, in the low bits of its user data; the key is in the others.
#[derive(Clone, Copy)]
pub(super) enum Operation {
    Accept,
    Receive,
    Send,
    Other,
}

const OPERATION_BITS: u32 = 2;

fn user_data(operation: Operation, key: usize) -> u64 {
    (key as u64) << OPERATION_BITS | operation as u64
}

/// The ring of a thread. Only the thread that made it may use it.
pub(super) struct Kernel {
    submitter: Submitter<'static>,
    submissions: SubmissionQueue<'static>,
    completions: CompletionQueue<'static>,
    buffers: Buffers,
    /// Outputs that the kernel sends from, by key of the connection. Not dropped, because the
    /// kernel may still send from them.
    outputs: ManuallyDrop<Vec<Option<Sending>>>,
}

struct Sending {
    output: Output,
    /// Number of bytes that are sent.
    sent: usize,
    /// Set until the kernel reports what became of the last send.
    is_submitted: bool,
}

impl Kernel {
    pub(super) fn new() -> io::Result<Kernel> {
        let ring = Box::leak(Box::new(builder().build(SUBMISSIONS)?));
        let (mut submitter, submissions, completions) = ring.split();
        // Spares each system call the look-up of the ring's descriptor.
        submitter.register_ring_fd()?;
        let buffers = Buffers::new(&submitter)?;
        let outputs = ManuallyDrop::new(Vec::new());
        Ok(Kernel { submitter, submissions, completions, buffers, outputs })
    }

    /// Accepts connections until the kernel ends it.
    pub(super) fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        let accept = opcode::AcceptMulti::new(Fd(listener.as_raw_fd()));
        let accept = accept.flags(SocketFlags::CLOEXEC.bits() as i32).build();
        // SAFETY: The entry refers to no memory.
        unsafe { self.push(accept, Operation::Accept, 0) }
    }

    /// Receives from connection `key` until the kernel ends it.
    pub(super) fn receive(&mut self, key: usize, stream: &TcpStream) -> io::Result<()> {
        let receive = opcode::RecvMulti::new(Fd(stream.as_raw_fd()), BUFFER_GROUP).build();
        // SAFETY: The entry refers to no memory but the ring of buffers, which is never freed.
        unsafe { self.push(receive, Operation::Receive, key) }
    }

    /// Sends `output` to connection `key`.
    ///
    /// # Panics
    /// If another output is being sent: two sends of one connection may change places.
    pub(super) fn send(
        &mut self,
        key: usize,
        stream: &TcpStream,
        output: Output,
    ) -> io::Result<()> {
        if self.outputs.len() <= key {
            self.outputs.resize_with(key + 1, || None);
        }
        let place = &mut self.outputs[key];
        assert!(place.is_none(), "one output at a time");
        *place = Some(Sending { output, sent: 0, is_submitted: false });
        self.send_rest(key, stream)
    }

    /// Sends what is left of the output of connection `key`, after the completion of its last
    /// send.
    pub(super) fn send_rest(&mut self, key: usize, stream: &TcpStream) -> io::Result<()> {
        let Some(sending) = &mut self.outputs[key] else { return Ok(()) };
        assert!(!sending.is_submitted, "one send at a time");
        sending.is_submitted = true;
        let rest = &sending.output.bytes()[sending.sent..];
        let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let send = opcode::Send::new(Fd(stream.as_raw_fd()), rest.as_ptr(), length).build();
        // SAFETY: The output stays in its place, and is not written to, until the completion of
        // this send takes it out. A move of the output leaves its bytes where they are. Without a
        // completion it is never dropped.
        unsafe { self.push(send, Operation::Send, key) }
    }

    /// Reports whether an output of connection `key` is being sent.
    pub(super) fn is_sending(&self, key: usize) -> bool {
        self.outputs.get(key).is_some_and(Option::is_some)
    }

    /// Drops the output of connection `key`, unless the kernel is sending from it.
    pub(super) fn give_up(&mut self, key: usize) {
        self.outputs[key].take_if(|sending| !sending.is_submitted);
    }

    /// Ends an operation of connection `key`.
    pub(super) fn cancel(&mut self, operation: Operation, key: usize) -> io::Result<()> {
        let cancel = opcode::AsyncCancel::new(user_data(operation, key)).build();
        // SAFETY: The entry refers to no memory.
        unsafe { self.push(cancel.flags(Flags::SKIP_SUCCESS), Operation::Other, key) }
    }

    /// Closes `stream`. The kernel keeps the socket open while it has an operation of it.
    pub(super) fn close(&mut self, key: usize, stream: TcpStream) -> io::Result<()> {
        let close = opcode::Close::new(Fd(stream.into_raw_fd())).build();
        // SAFETY: The entry refers to no memory. The descriptor was given up by its owner.
        unsafe { self.push(close.flags(Flags::SKIP_SUCCESS), Operation::Other, key) }
    }

    /// Submits what is queued and waits for a completion, but not longer than `timeout`.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.submissions.sync();
        let entered = match timeout {
            None => self.submitter.submit_and_wait(1),
            Some(timeout) => {
                let timeout = Timespec::from(timeout);
                self.submitter.submit_with_args(1, &SubmitArgs::new().timespec(&timeout))
            }
        };
        self.submissions.sync();
        self.completions.sync();
        entered.map(drop).or_else(unless_transient)
    }

    /// Takes the next completion, and gives the buffer of the last one back to the kernel. `None`
    /// says that it is time to wait.
    pub(super) fn next(&mut self) -> Option<Completion> {
        self.buffers.take_back();
        let Some(completion) = self.completions.next() else {
            // Tells the kernel which completions are taken.
            self.completions.sync();
            return None;
        };
        const ACCEPT: u64 = Operation::Accept as u64;
        const RECEIVE: u64 = Operation::Receive as u64;
        const SEND: u64 = Operation::Send as u64;
        let data = completion.user_data();
        let key = (data >> OPERATION_BITS) as usize;
        let goes_on = cqueue::more(completion.flags());
        let result = outcome(&completion);
        Some(match data & ((1 << OPERATION_BITS) - 1) {
            ACCEPT => {
                // SAFETY: The kernel has just opened this descriptor for us, and nobody else has
                // it.
                let stream = result.map(|fd| unsafe { TcpStream::from_raw_fd(fd) });
                Completion::Accepted { stream, goes_on }
            }
            RECEIVE => {
                let buffer = cqueue::buffer_select(completion.flags());
                self.buffers.lend(buffer);
                let arrived = result.map(|bytes| Arrived { buffer, bytes: bytes as usize });
                Completion::Received { key, arrived, goes_on }
            }
            SEND => self.sent(key, result.map(|written| written as usize)),
            _ => Completion::Other,
        })
    }

    /// Returns the bytes of the completion that was taken last.
    pub(super) fn bytes(&self, arrived: &Arrived) -> &[u8] {
        arrived.buffer.map_or(&[], |buffer| self.buffers.bytes(buffer, arrived.bytes))
    }

    /// Counts what was sent, and takes the output out of its place if no more is to be sent.
    fn sent(&mut self, key: usize, written: Outcome<usize>) -> Completion {
        let place = &mut self.outputs[key];
        let mut left = 0;
        if let Some(sending) = place {
            sending.is_submitted = false;
            sending.sent += written.unwrap_or(0);
            left = sending.output.bytes().len() - sending.sent;
        }
        let is_over = match written {
            Ok(_) => left == 0,
            Err(error) => !matches!(error, Errno::INTR | Errno::AGAIN),
        };
        let output = if is_over { place.take().map(|sending| sending.output) } else { None };
        Completion::Sent { key, written, left, output }
    }

    /// Queues a submission. If the queue is full, submits it.
    ///
    /// # Safety
    /// Memory that the entry refers to must be valid, and not be written to, until the kernel has
    /// completed the operation.
    unsafe fn push(
        &mut self,
        entry: squeue::Entry,
        operation: Operation,
        key: usize,
    ) -> io::Result<()> {
        let entry = entry.user_data(user_data(operation, key));
        // SAFETY: The caller vouches for the memory of the entry.
        while unsafe { self.submissions.push(&entry) }.is_err() {
            self.submissions.sync();
            self.submitter.submit().map(drop).or_else(unless_transient)?;
            self.submissions.sync();
        }
        Ok(())
    }
}

fn outcome(completion: &cqueue::Entry) -> Outcome<i32> {
    match completion.result() {
        error if error < 0 => Err(Errno::from_raw_os_error(-error)),
        result => Ok(result),
    }
}

fn builder() -> Builder {
    let mut builder = IoUring::builder();
    // Completions are made only while the one thread of the ring waits for them.
    builder.setup_single_issuer().setup_defer_taskrun();
    builder.setup_submit_all().setup_cqsize(COMPLETIONS);
    builder
}

/// Ignores errors after which the loop only needs to go on: the timeout, a signal, and a kernel
/// that has no room until completions are taken.
fn unless_transient(error: io::Error) -> io::Result<()> {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN) => Ok(()),
        _ => Err(error),
    }
}

/// The buffers that the kernel receives into.
struct Buffers {
    /// Ring of [`BUFFERS`] entries, aligned to a page.
    ring: NonNull<BufRingEntry>,
    /// The buffers, [`BUFFER_STRIDE`] apart.
    memory: NonNull<u8>,
    /// Number of buffers that were given to the kernel so far; wraps.
    given: u16,
    /// Buffer with the bytes of the last completion. It goes back to the kernel with the next one.
    lent: Option<u16>,
}

impl Buffers {
    fn new(submitter: &Submitter<'_>) -> io::Result<Buffers> {
        let count = usize::from(BUFFERS);
        let ring = zeroed(count * size_of::<BufRingEntry>())?.cast();
        let memory = zeroed(count * BUFFER_STRIDE)?;
        let mut buffers = Buffers { ring, memory, given: 0, lent: None };
        let address = ring.as_ptr() as u64;
        // SAFETY: The ring has `BUFFERS` entries, is aligned to a page, and is never freed.
        unsafe { submitter.register_buf_ring_with_flags(address, BUFFERS, BUFFER_GROUP, 0) }?;
        (0..BUFFERS).for_each(|buffer| buffers.give(buffer));
        Ok(buffers)
    }

    /// Returns the first bytes of a buffer that is lent.
    fn bytes(&self, buffer: u16, bytes: usize) -> &[u8] {
        assert!(self.lent == Some(buffer) && bytes <= BUFFER_BYTES);
        // SAFETY: The range is within the memory, as `give` has seen to, and initialized. The
        // kernel does not write to it before `take_back` gives it back, which takes `&mut self`.
        unsafe { slice::from_raw_parts(self.address(buffer), bytes) }
    }

    fn lend(&mut self, buffer: Option<u16>) {
        debug_assert!(self.lent.is_none());
        self.lent = buffer;
    }

    /// Gives the buffer that was lent back to the kernel.
    fn take_back(&mut self) {
        if let Some(buffer) = self.lent.take() {
            self.give(buffer);
        }
    }

    fn give(&mut self, buffer: u16) {
        let address = self.address(buffer) as u64;
        let place = usize::from(self.given % BUFFERS);
        self.given = self.given.wrapping_add(1);
        // SAFETY: The place is within the ring, and initialized with zeros. The kernel reads
        // entries only before the tail, and this one is beyond the tail until the store. The tail
        // is in a part of the first entry that the setters leave alone.
        unsafe {
            let entry = self.ring.add(place).as_mut();
            entry.set_addr(address);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(buffer);
            let tail = BufRingEntry::tail(self.ring.as_ptr()).cast::<AtomicU16>();
            (*tail).store(self.given, Ordering::Release);
        }
    }

    fn address(&self, buffer: u16) -> *mut u8 {
        assert!(buffer < BUFFERS);
        // SAFETY: The buffer is within the memory.
        unsafe { self.memory.add(usize::from(buffer) * BUFFER_STRIDE) }.as_ptr()
    }
}

/// Returns memory that is never freed, aligned to a page. Pages that are never touched take none.
fn zeroed(bytes: usize) -> io::Result<NonNull<u8>> {
    let layout = Layout::from_size_align(bytes, PAGE).map_err(io::Error::other)?;
    assert!(bytes > 0);
    // SAFETY: The layout has a size.
    NonNull::new(unsafe { alloc::alloc_zeroed(layout) }).ok_or(io::ErrorKind::OutOfMemory.into())
}
