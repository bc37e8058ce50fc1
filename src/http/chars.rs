//! The character classes of RFC 9110, 5.6.2 and RFC 3986, as tables.

const TOKEN: u8 = 1;
const FIELD_VALUE: u8 = 2;
const TARGET: u8 = 4;
const REG_NAME: u8 = 8;
const UNRESERVED: u8 = 16;

static CLASSES: [u8; 256] = classes();

/// `tchar` (RFC 9110, 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    CLASSES[byte as usize] & TOKEN != 0
}

/// What a field value may hold: HTAB, SP, VCHAR and obs-text (RFC 9110, 5.5).
pub(super) fn is_field_value(byte: u8) -> bool {
    CLASSES[byte as usize] & FIELD_VALUE != 0
}

/// `pchar`, `/`, `?` and the `%` of an escape (RFC 3986, 3.3 and 3.4).
pub(super) fn is_target(byte: u8) -> bool {
    CLASSES[byte as usize] & TARGET != 0
}

/// What a registered name or an IPv4 address may hold, and the `%` of an
/// escape (RFC 3986, 3.2.2).
pub(super) fn is_reg_name(byte: u8) -> bool {
    CLASSES[byte as usize] & REG_NAME != 0
}

/// `unreserved` (RFC 3986, 2.3).
pub(super) fn is_unreserved(byte: u8) -> bool {
    CLASSES[byte as usize] & UNRESERVED != 0
}

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        let alphanumeric = b.is_ascii_alphanumeric();
        let unreserved = alphanumeric || matches!(b, b'-' | b'.' | b'_' | b'~');
        let sub_delim = matches!(
            b,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        );
        let reg_name = unreserved || sub_delim || b == b'%';
        let token = alphanumeric
            || matches!(b, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-')
            || matches!(b, b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
        if token {
            classes[byte] |= TOKEN;
        }
        if b == b'\t' || (b >= b' ' && b != 0x7f) {
            classes[byte] |= FIELD_VALUE;
        }
        if reg_name || matches!(b, b':' | b'@' | b'/' | b'?') {
            classes[byte] |= TARGET;
        }
        if reg_name {
            classes[byte] |= REG_NAME;
        }
        if unreserved {
            classes[byte] |= UNRESERVED;
        }
        byte += 1;
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_are_those_of_the_rfcs() {
        let of = |class: fn(u8) -> bool| (0..=255u8).filter(|&b| class(b)).count();
        assert_eq!(of(is_token), 62 + 15);
        assert_eq!(of(is_field_value), 1 + 95 + 128);
        assert_eq!(of(is_unreserved), 62 + 4);
        assert_eq!(of(is_reg_name), 66 + 11 + 1);
        assert_eq!(of(is_target), 78 + 4);
    }
}
