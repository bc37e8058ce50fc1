//! Printing to stdout. A reader that has seen enough, such as `head`, is not an error.

use std::io::{self, ErrorKind, Write};

/// Prints `text` as it is. Prints nothing if stdout is a pipe that is closed at its other end;
/// `print!` would panic.
pub fn print(text: &str) -> io::Result<()> {
    print_to(&mut io::stdout().lock(), text)
}

fn print_to(stdout: &mut impl Write, text: &str) -> io::Result<()> {
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_is_gone_is_not_an_error() {
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        assert!(print_to(&mut writer, "one line\n").is_ok());
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert!(print_to(&mut full, "one line\n").is_err());
    }
}
