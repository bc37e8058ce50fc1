//! Makes a hash of all sources, so that an agent of another build of the same version is known.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Sources of the program, from the root of the repository.
const SOURCES: [&str; 5] = ["Cargo.lock", "Cargo.toml", "benches/Cargo.toml", "benches/src", "src"];

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("..");
    let mut hash = Fnv::default();
    for source in SOURCES {
        let path = root.join(source);
        println!("cargo::rerun-if-changed={}", path.display());
        hash.add(source, &path)?;
    }
    println!("cargo::rustc-env=PINLOOP_SOURCES={:016x}", hash.0);
    Ok(())
}

/// The hash FNV-1a: it tells builds apart, and is no protection.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// Adds the names and the bytes of a file, or of all files of a folder in the order of names.
    fn add(&mut self, name: &str, path: &Path) -> io::Result<()> {
        if !path.is_dir() {
            self.add_bytes(name.as_bytes());
            self.add_bytes(&fs::read(path)?);
            return Ok(());
        }
        let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = format!("{name}/{}", entry.file_name().to_string_lossy());
            self.add(&name, &entry.path())?;
        }
        Ok(())
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
