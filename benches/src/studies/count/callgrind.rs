//! Instructions by address, from the file that callgrind writes.

/// Has callgrind write each address and name in full.
pub const OPTIONS: [&str; 3] = ["--dump-instr=yes", "--compress-strings=no", "--compress-pos=no"];

/// Instructions that one run executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// By all threads.
    pub instructions: u64,
    /// The same by instruction; one may occur more than once.
    pub costs: Vec<Cost>,
}

/// Number of executions of one instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Path of the program or library.
    pub object: String,
    /// The symbol, as callgrind has it.
    pub symbol: String,
    /// Address in that file.
    pub address: u64,
    /// Times.
    pub times: u64,
}

/// Reads such a file; none if it is not whole.
pub fn read(file: &str) -> Option<Profile> {
    let (mut object, mut symbol) = ("", "");
    let mut costs = Vec::new();
    let mut totals = None;
    let mut lines = file.lines();
    while let Some(line) = lines.next() {
        if let Some(path) = line.strip_prefix("ob=") {
            object = path;
        } else if let Some(name) = line.strip_prefix("fn=") {
            symbol = name;
        } else if line.starts_with("calls=") {
            // The cost of the callee stands with the callee, too.
            lines.next();
        } else if let Some(count) = line.strip_prefix("totals:") {
            totals = count.trim().parse().ok();
        } else if let Some((address, times)) = cost(line) {
            let (object, symbol) = (object.to_string(), symbol.to_string());
            costs.push(Cost { object, symbol, address, times });
        }
    }
    let sum = costs.iter().map(|cost| cost.times).sum();
    (totals == Some(sum)).then_some(Profile { instructions: sum, costs })
}

/// `0xADDRESS LINE TIMES`
fn cost(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.strip_prefix("0x")?.split(' ');
    let address = u64::from_str_radix(fields.next()?, 16).ok()?;
    Some((address, fields.nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# callgrind format
version: 1
positions: instr line
events: Ir
summary: 17

ob=/bin/server
fl=src/main.rs
fn=main
0x109000 3 2
fi=src/lib.rs
0x109004 9 5
cob=/lib/libc.so.6
cfi=memcpy.S
cfn=memcpy
calls=5 0x4800000 7
0x109008 4 1000

ob=/lib/libc.so.6
fl=memcpy.S
fn=memcpy
0x4800000 7 10

totals: 17
";

    #[test]
    fn costs_are_read_without_those_of_callees() {
        let profile = read(FILE).unwrap();
        assert_eq!(profile.instructions, 17);
        let cost = |object: &str, symbol: &str, address, times| Cost {
            object: object.to_string(),
            symbol: symbol.to_string(),
            address,
            times,
        };
        assert_eq!(
            profile.costs,
            [
                cost("/bin/server", "main", 0x10_9000, 2),
                cost("/bin/server", "main", 0x10_9004, 5),
                cost("/lib/libc.so.6", "memcpy", 0x480_0000, 10),
            ]
        );
    }

    #[test]
    fn a_file_that_is_cut_off_or_does_not_add_up_is_none() {
        assert_eq!(read(FILE.split_once("totals").unwrap().0), None);
        assert_eq!(read(&FILE.replace("0x4800000 7 10", "0x4800000 7 11")), None);
        assert_eq!(read(""), None);
    }
}
