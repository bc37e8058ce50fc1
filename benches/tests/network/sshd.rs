//! An sshd in a namespace, with keys made by the test.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::folder::Folder;
use crate::namespaces::Namespaces;
use crate::{FAR, NEAR, PATIENCE};

/// An sshd on the far host, with keys of its own.
pub(crate) struct Sshd {
    daemon: Child,
    pub(crate) folder: Folder,
}

impl Sshd {
    const PORT: &str = "2222";

    /// Returns none, and says why, if it is not installed.
    pub(crate) fn start(hosts: &Namespaces) -> Option<Self> {
        let program = Path::new("/usr/sbin/sshd");
        if !program.exists() {
            println!("skipped: there is no sshd; Debian has it in openssh-server");
            return None;
        }
        let folder = Folder::new("sshd");
        let file = |name: &str| folder.path.join(name).display().to_string();
        for key in ["host", "user"] {
            let arguments = ["-q", "-t", "ed25519", "-N", "", "-f", &file(key)];
            assert!(Command::new("ssh-keygen").args(arguments).status().unwrap().success());
        }
        fs::copy(file("user.pub"), file("authorized_keys")).unwrap();
        let host_key = fs::read_to_string(file("host.pub")).unwrap();
        let known = format!("[10.203.0.2]:{} {host_key}", Self::PORT);
        fs::write(file("known_hosts"), known).unwrap();
        // A login that prints comes from ssh's 'ForceCommand' here, as from a shell's profile.
        let forced = "echo a login that prints; eval \"$SSH_ORIGINAL_COMMAND\"";
        let config = format!(
            "ListenAddress 10.203.0.2:{}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\n\
             UsePAM no\nPidFile none\nPermitRootLogin yes\nForceCommand {forced}\n",
            Self::PORT,
            file("host"),
            file("authorized_keys")
        );
        fs::write(file("sshd_config"), config).unwrap();
        // Where it keeps its child without privileges.
        fs::create_dir_all("/run/sshd").unwrap();
        let mut command = hosts.command(FAR, program, &["-D", "-e", "-f", &file("sshd_config")]);
        let daemon = command.stderr(Stdio::null()).spawn().unwrap();
        let sshd = Self { daemon, folder };
        let deadline = Instant::now() + PATIENCE;
        let is_up = || {
            let script = format!("exec 3<>/dev/tcp/10.203.0.2/{}", Self::PORT);
            hosts.run(NEAR, "bash", &["-c", &script]).status.success()
        };
        while !is_up() {
            assert!(Instant::now() < deadline, "sshd does not listen");
            std::thread::yield_now();
        }
        Some(sshd)
    }

    pub(crate) fn command(&self) -> String {
        let file = |name: &str| self.folder.path.join(name).display().to_string();
        format!(
            "ssh -F none -i {} -o UserKnownHostsFile={} -o StrictHostKeyChecking=yes -o BatchMode=yes \
             -p {} 10.203.0.2",
            file("user"),
            file("known_hosts"),
            Self::PORT
        )
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
