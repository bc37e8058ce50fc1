//! The character classes of RFC 9110, 5.6.2 and RFC 3986, as tables.

const TOKEN: u8 = 1;
const FIELD_VALUE: u8 = 2;
const TARGET: u8 = 4;
const REG_NAME: u8 = 8;
const UNRESERVED: u8 = 16;

const TIMEOUT_KINDS: &[u8; 256] = &classes();

/// `tchar` (RFC 9110, 5.6.2).
pub(super) const fn is_token(byte: u8) -> bool {
    TIMEOUT_KINDS[byte as usize] & TOKEN != 0
}

/// What a field value may hold: HTAB, SP, VCHAR and obs-text (RFC 9110, 5.5).
pub(super) const fn is_field_value(byte: u8) -> bool {
    TIMEOUT_KINDS[byte as usize] & FIELD_VALUE != 0
}

/// `pchar` and `/`, but for the `%` of an escape: what stands for itself in a path and
/// in a query (RFC 3986, 3.3 and 3.4).
pub(super) const fn is_plain_target(byte: u8) -> bool {
    TIMEOUT_KINDS[byte as usize] & TARGET != 0
}

/// What a registered name or an IPv4 address may hold, but for the `%` of an
/// escape (RFC 3986, 3.2.2).
pub(super) const fn is_reg_name(byte: u8) -> bool {
    TIMEOUT_KINDS[byte as usize] & REG_NAME != 0
}

/// Whether all four are such.
pub(super) fn are_reg_name([a, b, c, d]: &[u8; 4]) -> bool {
    let class = |byte: &u8| TIMEOUT_KINDS[usize::from(*byte)];
    class(a) & class(b) & class(c) & class(d) & REG_NAME != 0
}

/// `unreserved` (RFC 3986, 2.3).
pub(super) const fn is_unreserved(byte: u8) -> bool {
    TIMEOUT_KINDS[byte as usize] & UNRESERVED != 0
}

/// Whether all of `text` is of one kind; for constants, as a `const fn` has no
/// iterators and no function pointers.
macro_rules! all {
    ($text:expr, $is:path) => {{
        let bytes = $text.as_bytes();
        let mut at = 0;
        while at < bytes.len() && $is(bytes[at]) {
            at += 1;
        }
        at == bytes.len()
    }};
}
pub(super) use all;

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
        let reg_name = unreserved || sub_delim;
        let token = alphanumeric
            || matches!(b, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-')
            || matches!(b, b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
        if token {
            classes[byte] |= TOKEN;
        }
        if b == b'\t' || (b >= b' ' && b != 0x7f) {
            classes[byte] |= FIELD_VALUE;
        }
        if reg_name || matches!(b, b':' | b'@' | b'/') {
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
        assert_eq!(of(is_reg_name), 66 + 11);
        assert_eq!(of(is_plain_target), 77 + 3);
    }
}
