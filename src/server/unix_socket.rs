//! Unix sockets to listen on: their file with its mode and its owner.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, SockAddr, Socket, Type};

use super::start_lock;

/// A Unix socket to listen on, for [`Listeners::bind_unix`](super::Listeners::bind_unix).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixSocket {
    /// Path of its file, at most 107 bytes. The folder must exist.
    pub path: PathBuf,
    /// Mode of the file. Connecting needs the permission to write.
    pub mode: u32,
    /// User that the file belongs to, by number. Default: that of the process.
    pub user: Option<u32>,
    /// Group that the file belongs to, by number. Default: that of the process, or of the folder.
    pub group: Option<u32>,
}

impl UnixSocket {
    /// Default of [`mode`](UnixSocket::mode): a proxy connects as a member of the group, and nobody
    /// else does.
    pub const MODE: u32 = 0o660;

    /// Returns the socket at `path` with the default mode and owner.
    pub fn new(path: impl Into<PathBuf>) -> UnixSocket {
        UnixSocket { path: path.into(), mode: UnixSocket::MODE, user: None, group: None }
    }

    /// Binds the socket, and replaces the file of a server that has ended.
    ///
    /// # Errors
    /// If there is another file at the path, or a process listens there, or the system refuses
    /// something.
    pub(super) fn bind(&self, backlog: u32) -> io::Result<(OwnedFd, SocketFile)> {
        let addr = SockAddr::unix(&self.path)?;
        if addr.as_pathname() != Some(&self.path) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path is not a file name"));
        }
        let folder = folder(&self.path)?;
        let _lock = start_lock::lock(&format!("{}-{}", folder.dev(), folder.ino()));
        remove_stale(&self.path, &addr)?;
        let socket = new_socket()?;
        socket.bind(&addr)?;
        let mut file = SocketFile::of(&self.path)?;
        file.is_new = true;
        // Nobody can connect before the socket listens.
        fs::set_permissions(&self.path, Permissions::from_mode(self.mode))?;
        if self.user.is_some() || self.group.is_some() {
            lchown(&self.path, self.user, self.group).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot change the owner: {error}"))
            })?;
        }
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok((socket.into(), file))
    }
}

fn new_socket() -> io::Result<Socket> {
    Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)
}

/// Returns the metadata of the folder of `path`.
fn folder(path: &Path) -> io::Result<Metadata> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::metadata(folder).map_err(|error| {
        io::Error::new(error.kind(), format!("the folder {}: {error}", folder.display()))
    })
}

/// Removes the socket file of a server that has ended.
fn remove_stale(path: &Path, addr: &SockAddr) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(file) if !file.file_type().is_socket() => {
            let text = "there is a file that is not a socket";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        Ok(_) => {}
    }
    match new_socket()?.connect(addr) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        // Also if its queue is full.
        _ => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
    }
}

/// The file of a Unix socket, which the server removes when it stops.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// This process has made the file, so that it goes if the start fails.
    is_new: bool,
    /// The file is removed, or belongs to another process.
    is_done: AtomicBool,
}

impl SocketFile {
    /// Returns the file at `path`, which a process before this one has made.
    pub(super) fn of(path: &Path) -> io::Result<SocketFile> {
        let file = fs::symlink_metadata(path)?;
        Ok(SocketFile {
            path: path.into(),
            device: file.dev(),
            inode: file.ino(),
            is_new: false,
            is_done: AtomicBool::new(false),
        })
    }

    /// Leaves the file to another process.
    pub(super) fn keep(&self) {
        self.is_done.store(true, Ordering::SeqCst);
    }

    /// Removes the file, so that no more clients find the socket. Leaves a file that has replaced
    /// it.
    pub(super) fn remove(&self) {
        if self.is_done.swap(true, Ordering::SeqCst) {
            return;
        }
        let is_own = |file: Metadata| (file.dev(), file.ino()) == (self.device, self.inode);
        if fs::symlink_metadata(&self.path).is_ok_and(is_own)
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::warn!("the socket file {} could not be removed: {error}", self.path.display());
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_new {
            self.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn of_two_servers_that_start_at_the_same_moment_one_listens() {
        let name = format!("pinloop-unix-socket-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        for _ in 0..200 {
            // The file of a server that has ended.
            drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
            let barrier = Barrier::new(2);
            let bind = || {
                barrier.wait();
                UnixSocket::new(&path).bind(9)
            };
            let (one, other) = thread::scope(|scope| {
                let other = scope.spawn(bind);
                (bind(), other.join().unwrap())
            });
            assert!(one.is_ok() != other.is_ok(), "{one:?}, {other:?}");
        }
        assert!(!path.exists());
    }
}
