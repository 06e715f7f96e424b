//! Tokens and their ids, as compact as they are quick to read: one string of all tokens, and a
//! table of their hashes.

use std::hash::{BuildHasher, RandomState};

/// The tokens of a model, whose ids are their places.
pub(in super::super) struct Vocabulary {
    /// All tokens, one behind the other.
    text: String,
    /// Where each token ends there.
    ends: Vec<u32>,
    /// By hash; at most half full, and its length is a power of two.
    slots: Vec<Slot>,
    /// What hashes are multiplied by: odd, and another in each process, so that no file can be
    /// written whose tokens all meet in the table.
    factor: u64,
    /// Bytes of the longest token.
    longest: usize,
}

#[derive(Clone, Copy)]
struct Slot {
    /// The high half of the hash.
    mark: u32,
    id: u32,
}

const FREE: Slot = Slot {
    mark: 0,
    id: u32::MAX,
};

/// Tokens that a vocabulary is made of.
#[derive(Default)]
pub(super) struct Tokens {
    text: String,
    ends: Vec<u32>,
}

impl Tokens {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Appends a token, whose id is how many there were; `None` if there is no room for it.
    pub(super) fn push(&mut self, token: &str) -> Option<()> {
        let end = u32::try_from(self.text.len() + token.len()).ok()?;
        // The largest id stands for none.
        (self.ends.len() < FREE.id as usize).then_some(())?;
        self.text.push_str(token);
        self.ends.push(end);
        Some(())
    }
}

impl Vocabulary {
    /// Of equal tokens, the last one counts.
    pub(super) fn new(tokens: Tokens) -> Self {
        let mut vocabulary = Self {
            slots: vec![FREE; (2 * tokens.len()).next_power_of_two().max(2)],
            text: tokens.text,
            ends: tokens.ends,
            factor: RandomState::new().hash_one(0) | 1,
            longest: 0,
        };
        for id in 0..vocabulary.ends.len() as u32 {
            let token = vocabulary.bytes(id);
            let (hash, length) = (vocabulary.hash(0, token), token.len());
            let (Ok(at) | Err(at)) = vocabulary.slot(hash, token);
            vocabulary.slots[at] = Slot {
                mark: mark(hash),
                id,
            };
            vocabulary.longest = vocabulary.longest.max(length);
        }
        vocabulary
    }

    pub(in super::super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// In the order of their ids.
    pub(in super::super) fn tokens(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len() as u32).map(|id| &self.text[self.place(id)])
    }

    pub(in super::super) fn token(&self, id: u32) -> Option<&str> {
        ((id as usize) < self.ends.len()).then(|| &self.text[self.place(id)])
    }

    pub(in super::super) fn id(&self, token: &str) -> Option<u32> {
        self.find(self.hash(0, token.as_bytes()), token.as_bytes())
    }

    /// The tokens that a text begins with, from the shortest on: where each ends, and its id.
    pub(super) fn prefixes<'a>(
        &'a self,
        text: &'a str,
    ) -> impl Iterator<Item = (usize, u32)> + use<'a> {
        let bytes = text.as_bytes();
        let mut hash = 0;
        let ends = text.char_indices().map(|(at, c)| (at, at + c.len_utf8()));
        ends.take_while(|(_, end)| *end <= self.longest)
            .filter_map(move |(at, end)| {
                hash = self.hash(hash, &bytes[at..end]);
                Some((end, self.find(hash, &bytes[..end])?))
            })
    }

    /// The ids of the tokens that stand for single bytes: `<0x00>` and so on.
    pub(super) fn byte_tokens(&self) -> [Option<u32>; 256] {
        std::array::from_fn(|byte| self.id(&format!("<0x{byte:02X}>")))
    }

    fn place(&self, id: u32) -> std::ops::Range<usize> {
        let start = id.checked_sub(1).map_or(0, |id| self.ends[id as usize]);
        start as usize..self.ends[id as usize] as usize
    }

    fn bytes(&self, id: u32) -> &[u8] {
        &self.text.as_bytes()[self.place(id)]
    }

    /// The hash of what has the hash `before`, with more bytes behind it.
    fn hash(&self, before: u64, bytes: &[u8]) -> u64 {
        let next = |hash: u64, byte: &u8| {
            hash.wrapping_add(u64::from(*byte) + 1)
                .wrapping_mul(self.factor)
        };
        bytes.iter().fold(before, next)
    }

    fn find(&self, hash: u64, token: &[u8]) -> Option<u32> {
        let found = self.slot(hash, token).ok()?;
        Some(self.slots[found].id)
    }

    /// Where a token is, or where it can go.
    fn slot(&self, hash: u64, token: &[u8]) -> Result<usize, usize> {
        let last = self.slots.len() - 1;
        // The low bits of a product depend on the low bits alone of what is multiplied.
        let mixed = (hash ^ hash >> 32).wrapping_mul(self.factor);
        let mut at = (mixed >> 32) as usize & last;
        loop {
            let slot = self.slots[at];
            if slot.id == FREE.id {
                return Err(at);
            }
            if slot.mark == mark(hash) && self.bytes(slot.id) == token {
                return Ok(at);
            }
            at = (at + 1) & last;
        }
    }
}

fn mark(hash: u64) -> u32 {
    (hash >> 32) as u32
}
