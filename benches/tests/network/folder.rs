//! The folder of a test over a network, and the measure that writes into it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pinloop_bench::results::Results;
use pinloop_bench::rig::machine::allowed_cores;

use crate::namespaces::Namespaces;
use crate::{FAR, NEAR, PROGRAM};

/// A folder for one test.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
}

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("pinloop-network-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self { path }
    }

    pub(crate) fn arguments(&self, server_on: &str, more: &[&str]) -> Vec<String> {
        let (cores, out) = (allowed_cores().unwrap(), self.path.join("results.json"));
        let command = format!("{server_on} env XDG_CACHE_HOME={}", self.path.display());
        let (first, last) = (cores[0].to_string(), cores[cores.len() - 1].to_string());
        let all = [
            ["--server-on", &command],
            ["--address", "10.203.0.2"],
            ["--out", out.to_str().unwrap()],
            ["--variants", "pinloop,hyper_per_core"],
            ["--regimes", "closed"],
            ["--server-cores", &first],
            ["--generator-core", &last],
        ];
        // An option that is given again is the test's, and the quick form has its own regimes.
        let is_quick = more.contains(&"--quick");
        let is_new =
            |pair: &&[&str; 2]| !more.contains(&pair[0]) && (!is_quick || pair[0] != "--regimes");
        let kept = all.iter().filter(is_new).flatten();
        ["--bench"].iter().chain(kept).chain(more).map(ToString::to_string).collect()
    }

    /// Runs the ladder near, with servers far. Returns the results, and what it printed.
    pub(crate) fn measure(
        &self,
        hosts: &Namespaces,
        server_on: &str,
        name: &str,
    ) -> (Results, String) {
        self.measure_with(hosts, server_on, &["--name", name])
    }

    pub(crate) fn measure_with(
        &self,
        hosts: &Namespaces,
        server_on: &str,
        more: &[&str],
    ) -> (Results, String) {
        let length: &[&str] = if more.contains(&"--quick") { &[] } else { &["--seconds", "4"] };
        let arguments = self.arguments(server_on, &[length, more].concat());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = hosts.run(NEAR, PROGRAM, &arguments);
        let said = text(&output);
        assert!(output.status.success(), "{said}");
        (Results::read(&self.path.join("results.json")).unwrap(), said)
    }

    /// Runs the ladder near, which must fail. Returns what it printed.
    pub(crate) fn fail(&self, hosts: &Namespaces, more: &[&str]) -> String {
        let arguments = self.arguments(&hosts.on(FAR), more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = hosts.run(NEAR, PROGRAM, &[&arguments[..], &["--seconds", "4"]].concat());
        assert!(!output.status.success(), "{}", text(&output));
        text(&output)
    }

    pub(crate) fn cached(&self) -> Vec<String> {
        let files = fs::read_dir(self.path.join("pinloop-bench")).unwrap().flatten();
        files.map(|file| file.file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

pub(crate) fn hash_of(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    text(&output).split(' ').next().unwrap().to_string()
}

pub(crate) fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}
