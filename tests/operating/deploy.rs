//! The files in `deploy/` fit the binary, and pass the checkers that are installed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{ADMIN, get, path};
use crate::faults::{has_program, skip};
use crate::support::process::{BINARY, Running};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs a checker; returns its output if it failed.
fn complaint(command: &mut Command) -> Option<String> {
    let output = command.output().expect("the checker runs");
    let text = [output.stdout, output.stderr].concat();
    (!output.status.success()).then(|| String::from_utf8_lossy(&text).into_owned())
}

/// Returns the names of metrics in `text`.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|each: char| !(each.is_ascii_alphanumeric() || each == '_'));
    let is_metric = |word: &&str| word.starts_with("pinloop_") || word.starts_with("process_");
    words.filter(is_metric).map(String::from).collect()
}

#[test]
fn the_rules_and_the_dashboard_use_only_metrics_that_exist() {
    let log = path("deploy.log");
    let options = ["--rate-limit", "1/s", "--workers", "1", "--access-log"];
    let arguments = [&ADMIN[..], &options, &[log.to_str().unwrap()]].concat();
    let running = Running::start_unpinned(&arguments);
    let shown = metrics(&get(running.admin_addr(), "/metrics"));
    // A metric that the adapter makes from the recording rule.
    let made = ["pinloop_requests_per_core".to_string()];
    for name in ["prometheus/rules.yaml", "grafana/pinloop.json"] {
        let used = metrics(&read(name));
        assert!(used.len() > 8, "{name} uses {used:?}");
        let unknown: Vec<_> = used.difference(&shown).filter(|name| !made.contains(name)).collect();
        assert!(unknown.is_empty(), "{name} uses {unknown:?}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(&read("grafana/pinloop.json")).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 10);
    fs::remove_file(log).unwrap();
}

#[test]
fn the_manifests_run_the_images_that_the_readme_builds() {
    for manifest in ["kubernetes/deployment.yaml", "kubernetes/load-test.yaml"] {
        let manifest = read(manifest);
        let image = manifest.lines().find_map(|line| line.trim().strip_prefix("image: "));
        let image = image.expect("the manifest names an image");
        assert!(read("README.md").contains(&format!("-t {image} -f")), "{image} is not built");
    }
}

/// The binary said 0.1.0 while the changelog and the images said 0.2.0.
#[test]
fn the_changelog_the_locks_and_the_images_have_the_version_of_the_binary() {
    let version = env!("CARGO_PKG_VERSION");
    let changelog = read("../CHANGELOG.md");
    let newest = changelog.lines().find_map(|line| line.strip_prefix("## [")?.split(']').next());
    assert_eq!(newest, Some(version), "CHANGELOG.md");
    let package = format!("pinloop ({version}-1) ");
    assert!(read("debian/changelog").starts_with(&package), "debian/changelog");
    for lock in ["../Cargo.lock", "../tests/fuzz/Cargo.lock"] {
        let package = format!("name = \"pinloop\"\nversion = \"{version}\"\n");
        assert!(read(lock).contains(&package), "{lock} has another version");
    }
    for name in ["README.md", "kubernetes/deployment.yaml", "kubernetes/load-test.yaml"] {
        let text = read(name);
        let tags: Vec<&str> = text.split_whitespace().filter_map(tag).collect();
        assert!(!tags.is_empty(), "{name} names no image");
        assert!(tags.iter().all(|tag| *tag == version), "{name} has {tags:?}, not {version}");
    }
}

/// Returns the tag of an image of this project.
fn tag(word: &str) -> Option<&str> {
    let (image, tag) = word.split_once(':')?;
    matches!(image, "pinloop" | "pinloop-bench").then_some(tag).filter(|tag| !tag.is_empty())
}

#[test]
fn promtool_accepts_the_rules() {
    if !has_program("promtool") {
        return skip("promtool is not installed");
    }
    let rules = file("prometheus/rules.yaml");
    let complaint = complaint(Command::new("promtool").args(["check", "rules"]).arg(rules));
    assert_eq!(complaint, None);
}

#[test]
fn the_binary_accepts_the_configurations() {
    let config = path("deploy.toml");
    let check = |text: &str| {
        fs::write(&config, text).unwrap();
        complaint(Command::new(BINARY).arg("--check-config").arg("--config").arg(&config))
    };
    assert_eq!(check(&read("systemd/pinloop.toml")), None);
    let map = read("kubernetes/configmap.yaml");
    let (_, text) = map.split_once("pinloop.toml: |\n").expect("the file in the map");
    assert!(text.contains("drain-delay"), "{text}");
    assert_eq!(check(text), None);
    fs::remove_file(config).unwrap();

    let containerfile = read("Containerfile");
    let mut command = Command::new(BINARY);
    let words = containerfile.split_whitespace();
    let variables: Vec<(&str, &str)> =
        words.filter_map(|word| word.strip_prefix("PINLOOP_")?.split_once('=')).collect();
    assert_eq!(variables.len(), 3, "{containerfile}");
    // A variable that stands for no option has no effect.
    let help = Command::new(BINARY).arg("--help").output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    for (name, value) in variables {
        assert!(help.contains(&format!("[env: PINLOOP_{name}=")), "{name}");
        command.env(format!("PINLOOP_{name}"), value);
    }
    assert_eq!(complaint(command.arg("--check-config")), None);
}

#[test]
fn the_container_is_built_with_the_compiler_of_the_repository() {
    let toolchain = fs::read_to_string(file("../rust-toolchain.toml")).unwrap();
    let version = toolchain.split('"').nth(1).expect("the version");
    let image = format!("FROM docker.io/library/rust:{version}-");
    assert!(read("Containerfile").contains(&image), "{image}");
}

/// The grace period of Kubernetes and the stop timeout of systemd are longer than a stop.
#[test]
fn a_stop_fits_into_the_time_that_the_supervisor_gives() {
    let number = |text: &str, name: &str, default: u32| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
        line.map_or(default, |rest| {
            rest.trim_start_matches([' ', '=', ':']).parse().expect("a number")
        })
    };
    let stop = |text: &str| {
        number(text, "drain-delay", 0)
            + number(text, "drain-grace", 0)
            + number(text, "drain-timeout", 10)
    };
    let grace = number(&read("kubernetes/deployment.yaml"), "terminationGracePeriodSeconds", 0);
    assert!(stop(&read("kubernetes/configmap.yaml")) < grace);
    let timeout = number(&read("systemd/pinloop.service"), "TimeoutStopSec", 0);
    assert!(stop(&read("systemd/pinloop.toml")) < timeout);
}

#[test]
fn systemd_accepts_the_units_and_finds_them_hardened() {
    if !has_program("systemd-analyze") {
        return skip("systemd-analyze is not installed");
    }
    let folder = path("units");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    let units = ["pinloop.service", "pinloop.socket", "pinloop-admin.socket"];
    for name in units {
        // systemd looks for the program in the folders of the system.
        let command = format!("ExecStart={BINARY} ");
        let text = read(&format!("systemd/{name}")).replace("ExecStart=pinloop ", &command);
        fs::write(folder.join(name), text).unwrap();
    }
    let mut verify = Command::new("systemd-analyze");
    // The manual page is in the package.
    verify.args(["verify", "--man=no"]).args(units.map(|name| folder.join(name)));
    let output = verify.output().unwrap();
    // A misspelled key is only a warning. Warnings about other units do not matter.
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !message.contains("pinloop"), "{message}");
    let mut security = Command::new("systemd-analyze");
    // At most 2.0.
    security.args(["security", "--offline=true", "--threshold=20"]);
    let complaint = complaint(security.arg(folder.join("pinloop.service")));
    assert_eq!(complaint, None);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn kubernetes_accepts_the_manifests() {
    if !has_program("kubernetes-validate") {
        return skip("kubernetes-validate is not installed");
    }
    let files = fs::read_dir(file("kubernetes")).unwrap().map(|entry| entry.unwrap().path());
    // These two kinds are not part of Kubernetes itself.
    let is_other = |path: &PathBuf| {
        path.ends_with("kustomization.yaml") || path.ends_with("servicemonitor.yaml")
    };
    let files: Vec<PathBuf> = files.filter(|path| !is_other(path)).collect();
    assert!(files.len() > 6, "{files:?}");
    let complaint = complaint(Command::new("kubernetes-validate").arg("--strict").args(files));
    assert_eq!(complaint, None);
}
