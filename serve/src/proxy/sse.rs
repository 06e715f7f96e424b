//! Server-sent events, cut from a stream of bytes and kept as they came.

/// The longest event, in bytes.
pub(crate) const MAX_EVENT_BYTES: usize = 1 << 20;

/// Cuts bytes into events.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    waiting: Vec<u8>,
    /// Bytes of it in which no end was found.
    searched: usize,
}

/// An event is longer than [`MAX_EVENT_BYTES`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Splitter {
    /// Takes bytes and gives the events that they complete, each with the empty line behind it.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        self.waiting.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(length) = event_length(&self.waiting, self.searched) {
            let rest = self.waiting.split_off(length);
            events.push(std::mem::replace(&mut self.waiting, rest));
            self.searched = 0;
        }
        // An end is at most four bytes, and may have begun.
        self.searched = self.waiting.len().saturating_sub(3);
        match self.waiting.len() > MAX_EVENT_BYTES {
            true => Err(TooLong),
            false => Ok(events),
        }
    }

    /// What was left without an end when the stream ended.
    pub(crate) fn rest(&mut self) -> Option<Vec<u8>> {
        let rest = std::mem::take(&mut self.waiting);
        (!rest.is_empty()).then_some(rest)
    }
}

/// The length of the first event, the empty line that ends it included. Lines end in LF, CR LF or
/// CR; a CR at the end of what has come may be half of an end.
fn event_length(bytes: &[u8], from: usize) -> Option<usize> {
    let line_end = |at: usize| match bytes.get(at)? {
        b'\n' => Some(1),
        b'\r' if bytes.get(at + 1)? == &b'\n' => Some(2),
        b'\r' => Some(1),
        _ => None,
    };
    (from..bytes.len()).find_map(|at| {
        // The LF of a CR LF is no end of its own.
        if bytes[at] == b'\n' && at > 0 && bytes[at - 1] == b'\r' {
            return None;
        }
        let first = line_end(at)?;
        let second = line_end(at + first)?;
        Some(at + first + second)
    })
}

/// The data of an event: its `data` lines, joined. `None` if it has none, as a comment.
pub(crate) fn data(event: &[u8]) -> Option<Vec<u8>> {
    let lines = event.split(|byte| *byte == b'\n' || *byte == b'\r');
    let data = lines.filter_map(|line| {
        let rest = line.strip_prefix(b"data")?;
        match rest.first() {
            None => Some(rest),
            Some(b':') => Some(rest[1..].strip_prefix(b" ").unwrap_or(&rest[1..])),
            Some(_) => None,
        }
    });
    let data: Vec<_> = data.collect();
    (!data.is_empty()).then(|| data.join(&b'\n'))
}

/// An event with this data, which is one line.
pub(crate) fn event(data: &str) -> Vec<u8> {
    format!("data: {data}\n\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_wherever_the_pieces_are() {
        for end in ["\n\n", "\r\n\r\n", "\r\r"] {
            let text = format!("data: one{end}: a comment{end}data: two{end}x");
            for size in 1..text.len() {
                let mut splitter = Splitter::default();
                let mut events = Vec::new();
                for piece in text.as_bytes().chunks(size) {
                    events.extend(splitter.push(piece).unwrap());
                }
                let rest = splitter.rest().unwrap();
                assert_eq!(
                    [events.concat(), rest].concat(),
                    text.as_bytes(),
                    "{size} {end:?}"
                );
                let data: Vec<_> = events.iter().filter_map(|event| data(event)).collect();
                assert_eq!(data, [b"one".to_vec(), b"two".to_vec()], "{size} {end:?}");
            }
        }
    }

    #[test]
    fn data_lines_are_joined_and_others_left_out() {
        let event = b"event: a\ndata: 1\ndata:2\nid: 3\ndata\ndatum: 4\n\n";
        assert_eq!(data(event).unwrap(), b"1\n2\n");
        assert_eq!(data(b": a comment\n\n"), None);
    }

    #[test]
    fn an_event_without_an_end_is_refused() {
        let mut splitter = Splitter::default();
        let piece = vec![b'a'; MAX_EVENT_BYTES / 2];
        assert_eq!(splitter.push(&piece), Ok(vec![]));
        assert_eq!(splitter.push(&piece), Ok(vec![]));
        assert_eq!(splitter.push(b"a"), Err(TooLong));
    }
}
