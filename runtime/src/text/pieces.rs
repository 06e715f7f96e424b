//! About how many tokens a text has, counted with the pieces of a tokenizer's vocabulary.
//!
//! From the start of the text on, the longest piece that fits is taken. The count is close to the
//! number of tokens, and found many times faster, also for words that were never seen before. The
//! rules that guess compare such counts.

use std::ops::Range;

use super::byte_level::bytes_of;

/// Counts the tokens of a text in UTF-8, no further than asked.
pub(crate) type Tokens<'a> = &'a dyn Fn(&[u8], usize) -> usize;

/// Longer tokens are runs of spaces and signs, and left out.
const MAX_PIECE_BYTES: usize = 64;
/// More nodes than any vocabulary needs; what is left of a larger one is cut.
const MAX_NODES: usize = 1 << 22;
/// How many places are tried for the children of a node before they are put at the end.
const MAX_TRIES: usize = 64;

/// A vocabulary as a tree of bytes, in a double array: the child of a node by a byte is at the
/// node's base, exclusive-or the byte, if the node there is one by that byte. No two nodes have the
/// same base.
pub(super) struct Pieces {
    nodes: Vec<Node>,
}

/// Small, so that more of the tree is near at hand. 22 bits are its base, 0 for a node without
/// children; then one tells whether a piece ends here, and one that there is a node; the lowest 8
/// are the byte.
#[derive(Clone, Copy, Default)]
struct Node(u32);

impl Node {
    const IS_THERE: u32 = 1 << 8;
    const ENDS: u32 = 1 << 9;
    const BASE: u32 = 10;

    fn by(byte: u8) -> Self {
        Self(Self::IS_THERE | u32::from(byte))
    }

    fn is_by(self, byte: u8) -> bool {
        self.0 & (Self::IS_THERE | 0xff) == Self::by(byte).0
    }

    fn is_free(self) -> bool {
        self.0 & Self::IS_THERE == 0
    }

    fn ends(self) -> bool {
        self.0 & Self::ENDS != 0
    }

    fn base(self) -> u32 {
        self.0 >> Self::BASE
    }
}

impl Pieces {
    /// Those of a vocabulary of bytes, as GPT-2's is.
    pub(super) fn of<'a>(tokens: impl Iterator<Item = &'a str>) -> Self {
        Self::new(tokens.filter_map(bytes_of))
    }

    fn new(pieces: impl Iterator<Item = Vec<u8>>) -> Self {
        let mut pieces: Vec<_> = pieces
            .filter(|piece| (1..=MAX_PIECE_BYTES).contains(&piece.len()))
            .collect();
        pieces.sort_unstable();
        pieces.dedup();
        let mut tree = Self { nodes: Vec::new() };
        let mut room = Room::default();
        room.grow(&mut tree.nodes);
        tree.nodes[0] = Node::by(0);
        let mut open = vec![(0, 0, 0..pieces.len())];
        // Every node's pieces are a range of all, and so are those of each of its children.
        while let Some((node, depth, range)) = open.pop() {
            let of_node = &pieces[range.clone()];
            let ends = usize::from(of_node.first().is_some_and(|piece| piece.len() == depth));
            tree.nodes[node].0 |= Node::ENDS * ends as u32;
            let children: Vec<(u8, Range<usize>)> = children(of_node, depth, ends, range.start);
            if children.is_empty() || tree.nodes.len() >= MAX_NODES {
                continue;
            }
            let base = room.base_for(&children, &mut tree.nodes);
            tree.nodes[node].0 |= (base as u32) << Node::BASE;
            for (byte, range) in children {
                let child = base ^ usize::from(byte);
                tree.nodes[child] = Node::by(byte);
                open.push((child, depth + 1, range));
            }
        }
        tree
    }

    /// The pieces of a text, counted no further than `most`.
    pub(super) fn count(&self, bytes: &[u8], most: usize) -> usize {
        let (mut count, mut at) = (0, 0);
        while at < bytes.len() && count < most {
            let mut node = self.nodes[0];
            // A byte that no piece begins with is one by itself.
            let mut end = at + 1;
            for (next, byte) in (at + 1..).zip(&bytes[at..]) {
                let child = self.nodes.get((node.base() ^ u32::from(*byte)) as usize);
                let Some(child) = child.filter(|child| child.is_by(*byte)) else {
                    break;
                };
                node = *child;
                if node.ends() {
                    end = next;
                }
            }
            at = end;
            count += 1;
            // What is left takes one more at least.
            if count.saturating_add(1) >= most && at < bytes.len() {
                return most;
            }
        }
        count
    }
}

/// Where nodes can go.
#[derive(Default)]
struct Room {
    /// Nodes before it are taken, or were tried often enough.
    free: usize,
    /// Which bases are taken, 0 among them.
    bases: Vec<bool>,
}

impl Room {
    /// Makes room for 256 more nodes.
    fn grow(&mut self, nodes: &mut Vec<Node>) {
        nodes.resize(nodes.len() + 256, Node::default());
        self.bases.resize(nodes.len(), false);
        self.bases[0] = true;
    }

    /// A base of its own under which all children find room.
    fn base_for(&mut self, children: &[(u8, Range<usize>)], nodes: &mut Vec<Node>) -> usize {
        while nodes.get(self.free).is_some_and(|node| !node.is_free()) {
            self.free += 1;
        }
        let fits = |base: &usize| {
            let mut places = children.iter().map(|(byte, _)| base ^ usize::from(*byte));
            !self.bases[*base] && places.all(|at| nodes[at].is_free())
        };
        let first = usize::from(children[0].0);
        let places = (self.free..nodes.len()).filter(|at| nodes[*at].is_free());
        let mut bases = places.take(MAX_TRIES).map(|at| at ^ first);
        let found = bases.find(fits);
        let base = found.unwrap_or_else(|| {
            let base = nodes.len();
            // What is still free before here has been tried often enough.
            self.free = base;
            self.grow(nodes);
            base
        });
        self.bases[base] = true;
        base
    }
}

/// The bytes that follow the first `depth` ones of sorted pieces, and where the pieces with each
/// are, counted from `start`. The first `ends` pieces have none.
fn children(
    pieces: &[Vec<u8>],
    depth: usize,
    ends: usize,
    start: usize,
) -> Vec<(u8, Range<usize>)> {
    let mut children = Vec::new();
    let mut at = ends;
    for group in pieces[ends..].chunk_by(|a, b| a[depth] == b[depth]) {
        let range = start + at..start + at + group.len();
        children.push((group[0][depth], range));
        at += group.len();
    }
    children
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(of: &[&str]) -> Pieces {
        Pieces::new(of.iter().map(|piece| piece.as_bytes().to_vec()))
    }

    #[test]
    fn the_longest_piece_is_taken() {
        let pieces = pieces(&["a", "b", "ab", "abcd", " ab", "ü"]);
        for (text, count) in [
            ("", 0),
            ("ab", 1),
            ("aab", 2),
            ("abc", 2),
            ("abcd ab", 2),
            ("ü", 1),
            ("ö", 2),
            ("xyz", 3),
        ] {
            assert_eq!(pieces.count(text.as_bytes(), usize::MAX), count, "{text:?}");
            assert_eq!(pieces.count(text.as_bytes(), 1), count.min(1), "{text:?}");
        }
        assert_eq!(Pieces::new(std::iter::empty()).count(b"ab", 9), 2);
    }

    #[test]
    fn every_piece_is_found_among_many() {
        let words: Vec<String> = (0..20_000).map(|n| format!("{:x}.", n * 7919)).collect();
        let tree = Pieces::new(words.iter().map(|word| word.clone().into_bytes()));
        for word in &words {
            assert_eq!(tree.count(word.as_bytes(), usize::MAX), 1, "{word}");
        }
        let taken = tree.nodes.iter().filter(|node| !node.is_free()).count();
        assert!(
            taken * 2 > tree.nodes.len(),
            "{taken} of {}",
            tree.nodes.len()
        );
    }
}
