//! Numbers in a response head and in chunk sizes.

pub(super) fn write_decimal(output: &mut Vec<u8>, number: u64) {
    output.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes a chunk size (RFC 9112, 7.1).
pub(super) fn write_hexadecimal(output: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 16];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789ABCDEF"[(number % 16) as usize];
        number /= 16;
        if number == 0 {
            break;
        }
    }
    output.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_numbers_as_they_are_read() {
        let mut output = Vec::new();
        for number in [0, 9, 10, 255, 1_000_000, u64::MAX] {
            output.clear();
            write_hexadecimal(&mut output, number);
            assert_eq!(String::from_utf8_lossy(&output), format!("{number:X}"));
            output.clear();
            write_decimal(&mut output, number);
            assert_eq!(String::from_utf8_lossy(&output), number.to_string());
        }
    }
}
