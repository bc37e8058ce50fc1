//! The folder of a test of the agent: the cache of a machine, and what makes it seem another one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use pinloop_bench::rig::host::Place;

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

/// A folder for one test.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
}

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("pinloop-agent-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self { path }
    }

    /// This machine as if it were another one, with its cache here. Words of `prefix` come first.
    pub(crate) fn place(&self, prefix: &str) -> Place {
        Place {
            command: format!("env XDG_CACHE_HOME={} {prefix}", self.path.display()),
            address: LOOPBACK.into(),
            listen: LOOPBACK.into(),
            agent: None,
        }
    }

    /// Returns a prefix that makes this machine seem to be of another platform.
    pub(crate) fn other_platform(&self) -> String {
        let fake = self.path.join("fake");
        fs::create_dir(&fake).unwrap();
        script(&fake.join("uname"), "case $1 in -s) echo Linux ;; *) echo aarch64 ;; esac");
        format!("env PATH={}:$PATH", fake.display())
    }

    /// A machine of another platform, with a script for an agent.
    pub(crate) fn with_agent(&self, text: &str) -> Place {
        let program = self.path.join("agent");
        script(&program, text);
        Place { agent: Some(program), ..self.place(&self.other_platform()) }
    }

    /// Returns what is in the folder, apart from the programs of the test.
    pub(crate) fn left(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(&self.path).unwrap().flatten().map(|file| file.path());
        files.filter(|path| !path.ends_with("fake") && !path.ends_with("agent")).collect()
    }

    pub(crate) fn cached(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.path.join("pinloop-bench")).into_iter().flatten().flatten();
        files.map(|file| file.path()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
}
