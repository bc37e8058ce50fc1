//! Copies a program of this machine to another one, once for each build: its name there is its
//! hash, and it is used again only with that hash.

use std::fs;
use std::path::Path;
use std::process::Output;

use sha2::{Digest, Sha256};

use super::connection::AgentError;
use super::shell::Shell;

/// In front of each line that a script answers with. A login may print other lines before.
const ANSWER: &str = "pinloop-install: ";

/// Days after which a program that was not used is deleted from the cache.
const KEPT_DAYS: u32 = 30;

/// Tells what the machine is, its cache folder, and the hash of the program `HASH` in it. `touch`
/// marks the program as used. It makes no folder, because the machine may turn out to be of no use.
const PROBE: &str = r#"
say() { printf '\npinloop-install: %s\n' "$*"; }
exists() { [ -e "$1" ] || [ -L "$1" ]; }
can_be_made() {
    near=$1
    while [ -n "$near" ] && ! exists "$near"; do near=${near%/*}; done
    [ -d "${near:-/}" ] && [ -w "${near:-/}" ]
}
say platform "$(uname -s)" "$(uname -m)"
cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
folder=$cache/pinloop-bench
case $cache in
    /* | '') ;;
    *) say folder "$folder"; exit ;;
esac
if [ -z "$cache" ] || { ! exists "$folder" && ! can_be_made "$folder"; }; then
    folder=/tmp/pinloop-bench-$(id -u)
fi
if exists "$folder"; then
    if [ -L "$folder" ] || [ ! -d "$folder" ] || [ ! -O "$folder" ]; then
        echo "$folder is no folder, or belongs to another user" >&2
        exit 1
    fi
    chmod 700 "$folder"
    find "$folder" -name '*.unfinished-*' -mmin +60 -exec rm -f {} +
    find "$folder" -type f -mtime +DAYS -exec rm -f {} +
    if [ -f "$folder/HASH" ]; then
        touch "$folder/HASH"
        say hash $(sha256sum < "$folder/HASH")
    fi
fi
say folder "$folder"
"#;

/// Makes the cache folder, and tells the topmost folder that was not there. Everyone may write to
/// /tmp, so the folder must be this user's.
const MAKE: &str = r#"
made=
near='FOLDER'
while [ -n "$near" ] && [ ! -e "$near" ]; do made=$near; near=${near%/*}; done
printf '\npinloop-install: made %s\n' "$made"
mkdir -p 'FOLDER' || exit 1
if [ -L 'FOLDER' ] || [ ! -O 'FOLDER' ]; then
    echo 'FOLDER is a link, or belongs to another user' >&2
    exit 1
fi
chmod 700 'FOLDER'
"#;

/// Deletes what a copy that failed has left: the file, and the folders from `MADE` on.
const TIDY: &str = r#"
rm -f 'FILE'
near='FOLDER'
while [ -n 'MADE' ] && [ -n "$near" ]; do
    rmdir "$near" 2>/dev/null
    if [ "$near" = 'MADE' ]; then break; fi
    near=${near%/*}
done
"#;

/// Gives the copy its name if it is whole.
const FINISH: &str = r#"
found=$(sha256sum < 'FILE') || { rm -f 'FILE'; exit 1; }
case $found in
    HASH*) chmod 700 'FILE' && mv 'FILE' 'FOLDER/HASH' ;;
    *) rm -f 'FILE'; echo 'the copy is not whole' >&2; exit 1 ;;
esac
"#;

/// A program that is on the other machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Path there.
    pub path: String,
    /// SHA-256 of a program for another platform, in hexadecimal; none of this machine's program.
    pub other: Option<String>,
}

/// Place of the kind of CPU in an ELF file.
const ELF_MACHINE: std::ops::Range<usize> = 18..20;

/// Kinds of CPUs as `uname` names them, and their numbers in ELF files. Others are not checked.
const ELF_MACHINES: [(&str, u8); 3] = [("x86_64", 62), ("aarch64", 183), ("riscv64", 243)];

/// What a machine has told about itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Probed {
    platform: String,
    folder: String,
    /// Topmost folder that was made.
    made: String,
    hash: Option<String>,
}

/// Copies `program` to the machine unless it is there. A machine of another platform than this one
/// gets `other` instead.
///
/// # Errors
/// A sentence: the machine cannot be reached, is of another platform, has no room, and the like.
pub fn install(
    shell: &Shell,
    program: &Path,
    other: Option<&Path>,
) -> Result<Installed, AgentError> {
    let name = shell.name();
    let bytes = read(program)?;
    let hash = hex(&Sha256::digest(&bytes));
    let probed = probe(shell, &hash)?;
    if probed.platform != own_platform() {
        let Some(other) = other else {
            return Err(AgentError::Lost(format!(
                "{name} is {}, and this program is for {}: build it there, and give its path here with \
                 --agent",
                probed.platform,
                own_platform()
            )));
        };
        let bytes = read(other)?;
        check(&bytes, other, &probed.platform)?;
        let hash = hex(&Sha256::digest(&bytes));
        let probed = probe(shell, &hash)?;
        let path = copy_unless_there(shell, &bytes, &hash, &probed)?;
        return Ok(Installed { path, other: Some(hash) });
    }
    if let Some(other) = other {
        eprintln!("note: {name} is of this platform, so {} is not used there", other.display());
    }
    let path = copy_unless_there(shell, &bytes, &hash, &probed)?;
    Ok(Installed { path, other: None })
}

/// Fails if the bytes cannot be a program of the platform.
fn check(bytes: &[u8], path: &Path, platform: &str) -> Result<(), AgentError> {
    let lost =
        |reason: String| Err(AgentError::Lost(format!("--agent {}: {reason}", path.display())));
    if bytes.starts_with(b"#!") {
        return Ok(());
    }
    let Some(machine) = bytes.get(ELF_MACHINE).filter(|_| bytes.starts_with(b"\x7fELF")) else {
        return lost("it is neither a program of Linux nor a script".to_string());
    };
    let named = |&&(_, number): &&(&str, u8)| machine == [number, 0];
    match ELF_MACHINES.iter().find(named) {
        Some((name, _)) if platform != format!("Linux {name}") => {
            lost(format!("it is a program for Linux {name}, and the machine is {platform}"))
        }
        _ => Ok(()),
    }
}

fn read(program: &Path) -> Result<Vec<u8>, AgentError> {
    fs::read(program)
        .map_err(|error| AgentError::Lost(format!("{} cannot be read: {error}", program.display())))
}

/// Asks the machine what it is, and for the program with this hash.
fn probe(shell: &Shell, hash: &str) -> Result<Probed, AgentError> {
    let script = PROBE.replace("HASH", hash).replace("DAYS", &KEPT_DAYS.to_string());
    let probed = parse(&answered(shell, &script)?);
    if probed.folder.is_empty() {
        return Err(AgentError::Lost(format!(
            "{} cannot be looked at: its shell did not run a script from stdin",
            shell.name()
        )));
    }
    Ok(probed)
}

fn copy_unless_there(
    shell: &Shell,
    bytes: &[u8],
    hash: &str,
    probed: &Probed,
) -> Result<String, AgentError> {
    let name = shell.name();
    if !is_plain(&probed.folder) {
        return Err(AgentError::Lost(format!(
            "{name} caches programs in {:?}, which is not a whole path of plain characters: set XDG_CACHE_HOME there",
            probed.folder
        )));
    }
    let path = format!("{}/{hash}", probed.folder);
    if probed.hash.as_deref() != Some(hash) {
        copy(shell, bytes, &probed.folder, hash)?;
    }
    Ok(path)
}

fn copy(shell: &Shell, bytes: &[u8], folder: &str, hash: &str) -> Result<(), AgentError> {
    let file = format!("{folder}/{hash}.unfinished-{}", fastrand::u32(..));
    let mut made = String::new();
    let copied = make(shell, folder, &mut made)
        .and_then(|()| write(shell, bytes, &file))
        .and_then(|()| finish(shell, &file, folder, hash));
    copied.map_err(|reason| {
        // The reason is known; this only tidies up.
        let tidy = TIDY.replace("FILE", &file).replace("FOLDER", folder).replace("MADE", &made);
        let _ = shell.script(&tidy);
        let mebibytes = bytes.len().div_ceil(1024 * 1024);
        AgentError::Lost(format!(
            "the agent cannot be copied to {}: {reason}; it needs {mebibytes} MiB in {folder}",
            shell.name()
        ))
    })
}

/// Makes the folder, and fills in the topmost one that was not there. The error is a clause.
fn make(shell: &Shell, folder: &str, made: &mut String) -> Result<(), String> {
    let output = shell.script(&MAKE.replace("FOLDER", folder))?;
    *made = parse(&String::from_utf8_lossy(&output.stdout)).made;
    succeeded(&output)
}

fn write(shell: &Shell, bytes: &[u8], file: &str) -> Result<(), String> {
    succeeded(&shell.run(&["dd", &format!("of={file}"), "bs=65536"], bytes)?)
}

fn finish(shell: &Shell, file: &str, folder: &str, hash: &str) -> Result<(), String> {
    let script = FINISH.replace("FILE", file).replace("FOLDER", folder).replace("HASH", hash);
    succeeded(&shell.script(&script)?)
}

fn succeeded(output: &Output) -> Result<(), String> {
    if output.status.success() { Ok(()) } else { Err(first_line(&output.stderr)) }
}

/// Runs a script that must end well, and returns what it printed.
fn answered(shell: &Shell, script: &str) -> Result<String, AgentError> {
    let lost = |reason: String| {
        AgentError::Lost(format!("{} cannot be looked at: {reason}", shell.name()))
    };
    let output = shell.script(script).map_err(lost)?;
    if !output.status.success() {
        return Err(lost(format!("{}; {}", output.status, first_line(&output.stderr))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn parse(printed: &str) -> Probed {
    let mut probed = Probed::default();
    for line in printed.lines().filter_map(|line| line.strip_prefix(ANSWER)) {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        match name {
            "platform" => probed.platform = value.to_string(),
            "folder" => probed.folder = value.to_string(),
            "made" => probed.made = value.to_string(),
            // `HASH  -`
            "hash" => probed.hash = value.split(' ').next().map(String::from),
            _ => {}
        }
    }
    probed
}

/// The platform of this program, as `uname` names it.
fn own_platform() -> String {
    format!("Linux {}", std::env::consts::ARCH)
}

fn is_plain(path: &str) -> bool {
    path.starts_with('/')
        && path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@,:=".contains(c))
}

fn first_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.trim().lines().next().unwrap_or("it did not say why").to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_login_are_not_answers() {
        let printed = "Welcome!\n\npinloop-install: platform Linux x86_64\nlast login: yesterday\n\
            pinloop-install: hash 12ab  -\npinloop-install: folder /home/me/.cache/pinloop-bench\n";
        let expected = Probed {
            platform: "Linux x86_64".to_string(),
            folder: "/home/me/.cache/pinloop-bench".to_string(),
            hash: Some("12ab".to_string()),
            ..Probed::default()
        };
        assert_eq!(parse(printed), expected);
        assert_eq!(parse("Welcome!\n"), Probed::default());
    }

    #[test]
    fn a_folder_that_needs_quotes_is_not_plain() {
        assert!(is_plain("/home/me/.cache/pinloop-bench"));
        for folder in ["/home/a b", "/home/$x", "relative", "/home/'", "/home/é"] {
            assert!(!is_plain(folder), "{folder}");
        }
    }
}
