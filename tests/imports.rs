//! Who may import whom, and what may not live where: the rules of the house.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn http_has_no_io_no_clock_and_no_other_module() {
    for (path, code) in sources("src/http") {
        for forbidden in [
            "std::net",
            "std::io",
            "std::fs",
            "std::thread",
            "Instant",
            "SystemTime::now",
            "mio",
            "socket2",
            "crate::server",
            "crate::app",
            "crate::config",
        ] {
            assert!(!code.contains(forbidden), "{} has {forbidden}", path.display());
        }
    }
}

#[test]
fn the_server_is_handed_its_service() {
    for (path, code) in sources("src/server") {
        assert!(!code.contains("app::"), "{} knows the service", path.display());
    }
}

#[test]
fn the_service_knows_the_protocol_and_what_any_service_may_use() {
    let code = code_of(Path::new("src/app.rs"));
    for line in code.lines().filter(|line| line.contains("crate::")) {
        let allowed = ["crate::http", "crate::{Metrics, Workers}", "crate::{RateLimiter, TooMany}"];
        let is_plain = allowed.iter().any(|module| line.contains(module));
        assert!(is_plain, "{line}");
    }
}

#[test]
fn the_library_and_the_binary_forbid_unsafe_code() {
    for root in ["src/lib.rs", "src/main.rs"] {
        assert!(code_of(Path::new(root)).contains("#![forbid(unsafe_code)]"), "{root}");
    }
}

/// The Rust files below `folder`, without their comments.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
        .expect("the folder is there");
    let files: Vec<_> = files
        .map(|file| file.expect("a file").path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), code_of(&path)))
        .collect();
    assert!(!files.is_empty());
    files
}

fn code_of(path: &Path) -> String {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a source");
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect()
}
