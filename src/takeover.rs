//! `--takeover PATH`: hands the listening sockets from a process to its successor.
//!
//! The serving process listens on a Unix socket. Its successor connects, and gets duplicates of
//! the listening sockets (SCM_RIGHTS, unix(7)). Once the successor serves, it says so, and the
//! first process drains. If the successor fails before that, nothing has changed. All messages
//! are words of eight bytes.

use std::fs::{self, Permissions};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use log::{debug, error, warn};
use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg, sockopt,
};

type Word = [u8; 8];

const ASK: Word = *b"takeover";
const PUBLIC: Word = *b"public  ";
const PUBLIC_ACTIVATED: Word = *b"public-s";
const ADMIN: Word = *b"admin   ";
const ADMIN_ACTIVATED: Word = *b"admin-s ";
const END: Word = *b"end     ";
const SERVING: Word = *b"serving ";

/// Descriptors in one message. The kernel allows 253.
const FDS_MAX: usize = 100;

/// Time for each message but the last one.
const MESSAGE_WAIT: Duration = Duration::from_secs(5);

/// Time for the start of a successor. It makes its threads and opens its log.
const START_WAIT: Duration = Duration::from_secs(60);

/// Longest path of a Unix socket in bytes (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Pause after a failure to accept a successor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Listening sockets on one address.
#[derive(Debug, Default)]
pub(crate) struct SocketSet {
    pub(crate) fds: Vec<OwnedFd>,
    /// They come from socket activation. So systemd keeps them too, and they replace the address in
    /// the options, in this process and in each successor.
    pub(crate) are_activated: bool,
}

impl SocketSet {
    fn add(&mut self, fds: Vec<OwnedFd>, are_activated: bool) {
        self.fds.extend(fds);
        self.are_activated |= are_activated;
    }

    /// Sends the sockets, with the word that says whether they were activated.
    fn send(&self, stream: &UnixStream, word: Word, activated: Word) -> io::Result<()> {
        let word = if self.are_activated { activated } else { word };
        self.fds.chunks(FDS_MAX).try_for_each(|fds| send(stream, word, fds))
    }
}

/// The listening sockets of both addresses.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) public: SocketSet,
    pub(crate) admin: SocketSet,
}

/// The sockets of the process before this one, which waits until this one serves.
pub(crate) struct Inherited {
    pub(crate) sockets: Sockets,
    stream: UnixStream,
}

/// Asks the process at `path` for its sockets. Returns `None` if nothing listens there.
///
/// # Errors
/// If there is something else at `path`, or the process does not answer as it should.
pub(crate) fn ask(path: &Path) -> io::Result<Option<Inherited>> {
    match UnixStream::connect(path) {
        Ok(stream) => ask_on(stream).map(Some).map_err(explain),
        // A path that is too long is told by the bind of the offer.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) =>
        {
            Ok(None)
        }
        // A process that has ended has left its file.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && is_socket(path) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Says what the end or the silence of the process before this one means.
fn explain(error: io::Error) -> io::Error {
    let sentence = match error.kind() {
        io::ErrorKind::WouldBlock => {
            "the process there has not answered in time; it may be paused, or another process may \
             be taking its sockets over"
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the process there stops, or another process has just taken its sockets over"
        }
        _ => return error,
    };
    io::Error::new(error.kind(), sentence)
}

fn ask_on(mut stream: UnixStream) -> io::Result<Inherited> {
    stream.set_read_timeout(Some(MESSAGE_WAIT))?;
    stream.write_all(&ASK)?;
    let mut sockets = Sockets::default();
    loop {
        match receive(&stream)? {
            (word @ (PUBLIC | PUBLIC_ACTIVATED), fds) => {
                sockets.public.add(fds, word == PUBLIC_ACTIVATED);
            }
            (word @ (ADMIN | ADMIN_ACTIVATED), fds) => {
                sockets.admin.add(fds, word == ADMIN_ACTIVATED);
            }
            (END, _) => return Ok(Inherited { sockets, stream }),
            _ => return Err(io::Error::other("the process there is stopping, or not a pinloop")),
        }
    }
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

impl Inherited {
    /// Tells the process before this one that it can stop.
    pub(crate) fn confirm(mut self) {
        if let Err(error) = self.stream.write_all(&SERVING) {
            warn!("the process before this one has ended by itself: {error}");
        }
    }
}

/// A Unix socket for an offer, bound under a name of its own. Dropping it removes that file.
pub(crate) struct Place {
    listener: UnixListener,
    file: OfferFile,
}

impl Place {
    /// Binds a socket that only this user can connect to, beside `path`.
    ///
    /// # Errors
    /// If there is a file at `path` that is not a socket, or the system refuses something.
    pub(crate) fn bind(path: &Path) -> io::Result<Place> {
        if path.exists() && !is_socket(path) {
            return Err(io::Error::other("there is a file that is not a socket"));
        }
        let suffix = format!(".{}", std::process::id());
        let bytes_max = SOCKET_PATH_BYTES_MAX - suffix.len();
        if path.as_os_str().len() > bytes_max {
            return Err(io::Error::other(format!(
                "allowed is a path of at most {bytes_max} bytes"
            )));
        }
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let _ = fs::remove_file(&name);
        let listener = UnixListener::bind(&name)?;
        fs::set_permissions(&name, Permissions::from_mode(0o600))?;
        let id = file_id(Path::new(&name))?;
        let file = OfferFile { name: name.into(), path: path.into(), id, is_public: false.into() };
        Ok(Place { listener, file })
    }

    /// Offers `sockets` here. Calls `hand_over` once a successor serves on them, and `keep_files`
    /// if this process stops while a successor that has them starts. No process finds the offer
    /// before [`Offer::publish`].
    ///
    /// # Errors
    /// Returns the system's error if the thread cannot be started.
    pub(crate) fn offer(
        self,
        sockets: Sockets,
        hand_over: impl FnOnce() + Send + 'static,
        keep_files: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Offer> {
        let Place { listener, file } = self;
        let offer = Offer {
            file: Arc::new(file),
            sockets: Arc::new(Mutex::new(Some(sockets))),
            is_asked: Arc::default(),
            keep_files: Arc::new(keep_files),
        };
        let own = offer.clone();
        let run = move || {
            loop {
                let served = own.serve(accept(&listener));
                own.is_asked.store(false, Ordering::SeqCst);
                match served {
                    Ok(true) => {
                        debug!("a successor has taken the listening sockets over");
                        own.take();
                        return hand_over();
                    }
                    Ok(false) => {}
                    Err(error) => error!("a takeover has failed, this process serves on: {error}"),
                }
            }
        };
        thread::Builder::new().name("pinloop-takeover".into()).spawn(run)?;
        Ok(offer)
    }
}

/// Waits for a process that asks for the sockets.
fn accept(listener: &UnixListener) -> UnixStream {
    let mut is_failing = false;
    loop {
        match listener.accept() {
            Ok((stream, _)) => return stream,
            // Without a free descriptor this happens at once, also if no process asks.
            Err(error) if !is_failing => warn!("no successor can ask for the sockets: {error}"),
            Err(_) => {}
        }
        is_failing = true;
        thread::sleep(ACCEPT_PAUSE);
    }
}

/// The file of an offer: first under a name of its own, then at the path of `--takeover`.
struct OfferFile {
    name: PathBuf,
    path: PathBuf,
    /// Device and inode.
    id: (u64, u64),
    is_public: AtomicBool,
}

impl OfferFile {
    /// Removes the file. Leaves a file of another process at the same path.
    fn remove(&self) {
        for path in [&self.name, &self.path] {
            if file_id(path).is_ok_and(|id| id == self.id) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

impl Drop for OfferFile {
    fn drop(&mut self) {
        if !self.is_public.load(Ordering::SeqCst) {
            self.remove();
        }
    }
}

fn file_id(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// The offer of this process to its successor. Clones share it.
#[derive(Clone)]
pub(crate) struct Offer {
    file: Arc<OfferFile>,
    sockets: Arc<Mutex<Option<Sockets>>>,
    /// A process that has got the sockets starts.
    is_asked: Arc<AtomicBool>,
    /// Leaves the files of Unix sockets where they are.
    keep_files: Arc<dyn Fn() + Send + Sync>,
}

impl Offer {
    /// Has successors find the offer. Replaces the socket of the process before this one in one
    /// step.
    ///
    /// # Errors
    /// Returns the system's error if the file cannot be renamed.
    pub(crate) fn publish(&self) -> io::Result<()> {
        fs::rename(&self.file.name, &self.file.path)?;
        self.file.is_public.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Withdraws the offer because this process stops, so that the sockets close with it. Leaves the
    /// files of a successor that is about to serve.
    pub(crate) fn withdraw(&self) {
        if self.take().is_some() {
            self.file.remove();
        }
        // From now on no successor gets the sockets. One that has got them serves at these files.
        if self.is_asked.load(Ordering::SeqCst) {
            (self.keep_files)();
        }
    }

    fn take(&self) -> Option<Sockets> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Hands the sockets to a process that asks for them; reports whether it serves on them.
    fn serve(&self, mut stream: UnixStream) -> io::Result<bool> {
        let user = sockopt::socket_peercred(&stream)?.uid;
        if user != rustix::process::geteuid() && !user.is_root() {
            let user = user.as_raw();
            return Err(io::Error::other(format!("user {user} is neither root nor the owner")));
        }
        stream.set_read_timeout(Some(MESSAGE_WAIT))?;
        stream.set_write_timeout(Some(MESSAGE_WAIT))?;
        let mut word = Word::default();
        stream.read_exact(&mut word)?;
        if word != ASK {
            return Err(io::Error::other("the request is not one for a takeover"));
        }
        self.hand_out(stream).map_err(of_successor)
    }

    fn hand_out(&self, mut stream: UnixStream) -> io::Result<bool> {
        {
            let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(sockets) = &*sockets else { return Ok(false) };
            self.is_asked.store(true, Ordering::SeqCst);
            sockets.public.send(&stream, PUBLIC, PUBLIC_ACTIVATED)?;
            sockets.admin.send(&stream, ADMIN, ADMIN_ACTIVATED)?;
        }
        send(&stream, END, &[])?;
        stream.set_read_timeout(Some(START_WAIT))?;
        let mut word = Word::default();
        stream.read_exact(&mut word)?;
        Ok(word == SERVING)
    }
}

/// Says what the end or the silence of a successor means.
fn of_successor(error: io::Error) -> io::Error {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof, WouldBlock};
    let sentence = match error.kind() {
        UnexpectedEof | ConnectionReset | BrokenPipe => {
            "the successor has ended before it served".to_string()
        }
        WouldBlock => format!("the successor has not served within {} s", START_WAIT.as_secs()),
        _ => return error,
    };
    io::Error::new(error.kind(), sentence)
}

/// Sends a word with sockets.
fn send(stream: &UnixStream, word: Word, sockets: &[OwnedFd]) -> io::Result<()> {
    let fds: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("too many sockets for one message"));
    }
    let sent = retry_on_intr(|| {
        sendmsg(stream, &[IoSlice::new(&word)], &mut ancillary, SendFlags::NOSIGNAL)
    })?;
    if sent == word.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives a word with sockets.
fn receive(stream: &UnixStream) -> io::Result<(Word, Vec<OwnedFd>)> {
    let mut word = Word::default();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut word)];
    // A pause (SIGSTOP, a frozen container) interrupts what has a timeout (signal(7)).
    let received =
        retry_on_intr(|| recvmsg(stream, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC))?;
    let mut sockets = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            sockets.extend(fds);
        }
    }
    // The kernel closes what finds no room, and with it the queue of a listening socket.
    if received.flags.contains(ReturnFlags::CTRUNC) {
        let text = "too few file descriptors for its sockets; raise the limit (ulimit -n)";
        return Err(io::Error::other(text));
    }
    match received.bytes == word.len() {
        true => Ok((word, sockets)),
        false => Err(io::Error::other("the process there is stopping, or not a pinloop")),
    }
}
