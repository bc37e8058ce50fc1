//! System calls by name, from the table of `strace -c`.

use std::collections::BTreeMap;

/// Reads the table: `% time, seconds, usecs/call, calls, errors, syscall`, where
/// no errors leave their column empty. None if it is no such table.
pub fn read(table: &str) -> Option<BTreeMap<String, u64>> {
    let mut calls = BTreeMap::new();
    let mut total = None;
    for line in table.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, seconds, _, count, .., name] = fields[..] else { continue };
        let (Ok(_), Ok(count)) = (seconds.parse::<f64>(), count.parse::<u64>()) else { continue };
        match name {
            "total" => total = Some(count),
            _ => drop(calls.insert(name.to_string(), count)),
        }
    }
    // The sum is strace's last line: without it the table is cut off.
    (total? == calls.values().sum::<u64>()).then_some(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 52.65    0.001103        1103         1           execve
 14.65    0.000307         307         7         5 read
------ ----------- ----------- --------- --------- ----------------
100.00    0.001410          42         8         5 total
";

    #[test]
    fn calls_are_read_with_and_without_errors() {
        let calls = read(TABLE).unwrap();
        let expected = [("execve".to_string(), 1), ("read".to_string(), 7)];
        assert_eq!(calls, BTreeMap::from(expected));
    }

    #[test]
    fn a_table_that_is_cut_off_is_none() {
        assert_eq!(read(TABLE.split_once("100.00").unwrap().0), None);
        assert_eq!(read("strace: ptrace: Operation not permitted"), None);
    }
}
