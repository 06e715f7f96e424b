//! A message cut to the size of the caller's buffer.

/// `DUOGUARD_MESSAGE_SIZE`.
pub(crate) const MESSAGE_SIZE: usize = 1024;

const CUT: &str = " [...] ";

/// The bytes of a message with its NUL, at most [`MESSAGE_SIZE`] of them. A longer message loses
/// its middle: its beginning names the file, its end what to do.
pub(crate) fn fitted(message: &str) -> Vec<u8> {
    // A NUL inside would end the message there.
    let message = message.replace('\0', "\u{fffd}");
    let room = MESSAGE_SIZE - 1;
    let mut bytes = if message.len() <= room {
        message.into_bytes()
    } else {
        let half = (room - CUT.len()) / 2;
        let start = &message[..message.floor_char_boundary(half)];
        let end = &message[message.ceil_char_boundary(message.len() - half)..];
        [start, CUT, end].concat().into_bytes()
    };
    bytes.push(0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_messages_are_whole() {
        assert_eq!(fitted("no file"), b"no file\0");
        assert_eq!(fitted("a\0b"), "a\u{fffd}b\0".as_bytes());
        let longest = "x".repeat(MESSAGE_SIZE - 1);
        assert_eq!(fitted(&longest).len(), MESSAGE_SIZE);
        assert!(!String::from_utf8(fitted(&longest)).unwrap().contains(CUT));
    }

    #[test]
    fn long_messages_keep_both_ends_and_stay_utf8() {
        for shift in 0..4 {
            let message = format!("{}start{}end", "x".repeat(shift), "\u{1f35e}".repeat(1000));
            let bytes = fitted(&message);
            assert!(bytes.len() <= MESSAGE_SIZE && bytes.len() > MESSAGE_SIZE - 12);
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains("start") && text.contains(CUT) && text.ends_with("end\0"));
        }
    }
}
