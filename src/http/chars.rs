//! Character classes of RFC 9110, RFC 3986 and the WHATWG URL standard, as one table.

/// Characters that the path and the query of a request target may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetSyntax {
    /// Every visible ASCII character except `"`, `#`, `<` and `>`, and a `%` that begins no
    /// escape. Browsers and common clients send these as they are, because the WHATWG URL
    /// standard leaves them unescaped.
    #[default]
    Url,
    /// RFC 3986 to the letter: every other character is percent-encoded.
    Rfc3986,
}

const TOKEN: u8 = 1;
const FIELD_VALUE: u8 = 2;
/// A character that stands for itself in a path or a query by RFC 3986.
const RFC_TARGET: u8 = 4;
/// The same by the WHATWG URL standard.
const URL_TARGET: u8 = 8;
const REG_NAME: u8 = 16;
const UNRESERVED: u8 = 32;

const CLASSES: &[u8; 256] = &classes();

/// Reports whether `byte` is a `tchar` (RFC 9110, 5.6.2).
pub(super) const fn is_token(byte: u8) -> bool {
    CLASSES[byte as usize] & TOKEN != 0
}

/// Reports whether a field value may hold `byte`: HTAB, SP, VCHAR or obs-text (RFC 9110, 5.5).
pub(super) const fn is_field_value(byte: u8) -> bool {
    CLASSES[byte as usize] & FIELD_VALUE != 0
}

/// Characters that stand for themselves in a path and in a query, which excludes `%` and `?`.
#[derive(Clone, Copy)]
pub(super) struct TargetClass(u8);

impl TargetClass {
    pub(super) fn of(syntax: TargetSyntax) -> TargetClass {
        match syntax {
            TargetSyntax::Url => TargetClass(URL_TARGET),
            TargetSyntax::Rfc3986 => TargetClass(RFC_TARGET),
        }
    }

    #[inline(always)]
    pub(super) fn contains(self, byte: u8) -> bool {
        CLASSES[byte as usize] & self.0 != 0
    }
}

/// Reports whether a registered name or an IPv4 address may hold `byte`, except for the `%` of
/// an escape (RFC 3986, 3.2.2).
pub(super) const fn is_reg_name(byte: u8) -> bool {
    CLASSES[byte as usize] & REG_NAME != 0
}

/// Reports whether `byte` is `unreserved` (RFC 3986, 2.3).
pub(super) const fn is_unreserved(byte: u8) -> bool {
    CLASSES[byte as usize] & UNRESERVED != 0
}

/// Returns the value of a hexadecimal digit.
pub(super) const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Reports whether `$is` holds for each byte of `$text`. A macro, because a `const fn` has
/// neither iterators nor function pointers.
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
            classes[byte] |= RFC_TARGET;
        }
        if b.is_ascii_graphic() && !matches!(b, b'"' | b'#' | b'%' | b'<' | b'>' | b'?') {
            classes[byte] |= URL_TARGET;
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
    fn the_classes_are_those_of_the_standards() {
        let count = |class: &dyn Fn(u8) -> bool| (0..=255u8).filter(|&b| class(b)).count();
        assert_eq!(count(&is_token), 62 + 15);
        assert_eq!(count(&is_field_value), 1 + 95 + 128);
        assert_eq!(count(&is_unreserved), 62 + 4);
        assert_eq!(count(&is_reg_name), 66 + 11);
        let target = |syntax| count(&|byte| TargetClass::of(syntax).contains(byte));
        assert_eq!(target(TargetSyntax::Rfc3986), 77 + 3);
        assert_eq!(target(TargetSyntax::Url), 94 - 6);
    }
}
