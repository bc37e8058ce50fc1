//! Output of the program `counted` at its end.

/// Calls that allocate, and the bytes that they ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// Calls that allocate memory, or move it.
    pub calls: u64,
    /// Asked for by these.
    pub bytes: u64,
}

/// The line that it prints.
pub fn said(calls: u64, bytes: u64) -> String {
    format!("allocated {calls} times, {bytes} bytes")
}

/// Reads that line among others.
pub fn read(printed: &str) -> Option<Allocated> {
    printed.lines().find_map(|line| {
        let (calls, bytes) = line.strip_prefix("allocated ")?.split_once(" times, ")?;
        let bytes = bytes.strip_suffix(" bytes")?;
        Some(Allocated { calls: calls.parse().ok()?, bytes: bytes.parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read() {
        let printed = format!("a word before\n{}\n", said(12, 3456));
        assert_eq!(read(&printed), Some(Allocated { calls: 12, bytes: 3456 }));
        assert_eq!(read("allocated often\n"), None);
        assert_eq!(read(""), None);
    }
}
