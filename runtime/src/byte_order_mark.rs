//! The byte order mark that some editors begin a file with.

/// The contents of a text file without the byte order mark (U+FEFF in UTF-8) that may begin it.
///
/// Every reader of text files in this workspace goes through here or through
/// [`strip_byte_order_mark`], so that a file means the same to all of them.
pub fn without_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The same of a text, with all marks that begin it.
pub fn strip_byte_order_mark(text: &str) -> &str {
    text.trim_start_matches('\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mark_at_the_start_goes() {
        assert_eq!(
            without_byte_order_mark("\u{feff}a\u{feff}".as_bytes()),
            "a\u{feff}".as_bytes()
        );
        assert_eq!(without_byte_order_mark(b"a"), b"a");
        assert_eq!(without_byte_order_mark(b""), b"");
    }
}
