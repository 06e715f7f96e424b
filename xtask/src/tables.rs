//! The figures in the documents: each stands between two comments, and is written there from a
//! machine's record.
//!
//! `<!-- figures of MACHINE: BLOCK -->` begins one, `<!-- end of figures -->` ends it. A test
//! compares what stands there with the record.

mod blocks;
mod cells;

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use crate::library::{read, write};
use crate::record::Record;

const DOCUMENTS: [&str; 2] = ["README.md", "docs/measuring.md"];
const BEGIN: &str = "<!-- figures of ";
const END: &str = "<!-- end of figures -->";

/// What writes a block from the records; nothing where there is no record.
type Block = fn(&Records) -> Option<String>;

const BLOCKS: [(&str, Block); 12] = [
    ("checks", blocks::checks),
    ("network", blocks::network),
    ("start", blocks::start),
    ("quality", blocks::quality),
    ("agreement", blocks::agreement),
    ("peers", blocks::peers),
    ("latency", blocks::latency),
    ("beginning", blocks::beginning),
    ("languages", blocks::languages),
    ("parts", blocks::parts),
    ("lengths", blocks::lengths),
    ("sessions", blocks::sessions),
];
/// The file that each block is written from is one of these.
const FILES: [&str; 8] = [
    "peers",
    "latency",
    "start",
    "languages",
    "lengths",
    "sessions",
    "quality",
    "agreement",
];

/// What a machine measured last, by file.
struct Records(HashMap<&'static str, Record>);

impl Records {
    fn of(root: &Path, machine: &str) -> Result<Self, String> {
        let read =
            |name: &'static str| Ok((name, Record::last(root, machine, &format!("{name}.csv"))?));
        FILES
            .into_iter()
            .map(read)
            .collect::<Result<_, String>>()
            .map(Self)
    }

    /// `None` where nothing was recorded.
    fn get(&self, name: &str) -> Option<&Record> {
        self.0
            .get(name)
            .filter(|record| record.rows().next().is_some())
    }
}

/// Writes the figures of a machine into the documents.
pub fn fill(root: &Path, machine: &str) -> Result<(), String> {
    let records = Records::of(root, machine)?;
    for document in DOCUMENTS {
        let path = root.join(document);
        let filled = filled(&read(&path)?, |_| Ok((machine.to_owned(), &records)))
            .map_err(|reason| format!("{document}: {reason}"))?;
        write(&path, &filled)?;
        eprintln!("wrote the figures of {machine} into {document}");
    }
    Ok(())
}

/// A document with its blocks written again; `whose` says of which machine, by the name that stands
/// there.
fn filled<'r>(
    text: &str,
    mut whose: impl FnMut(&str) -> Result<(String, &'r Records), String>,
) -> Result<String, String> {
    let mut out = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(marker) = line.strip_prefix(BEGIN) else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let (named, block) = marker
            .strip_suffix(" -->")
            .and_then(|marker| marker.split_once(": "))
            .ok_or_else(|| format!("{line}: expected {BEGIN}MACHINE: BLOCK -->"))?;
        let (_, render) = BLOCKS
            .iter()
            .find(|(name, _)| *name == block)
            .ok_or_else(|| format!("{line}: there is no block {block}"))?;
        let before: Vec<&str> = lines.by_ref().take_while(|line| *line != END).collect();
        let before = before.join("\n");
        let (machine, records) = whose(named)?;
        let body = render(records).unwrap_or_else(|| {
            eprintln!("{machine} has no record for the block {block}: left as it is");
            before
        });
        let _ = write!(
            out,
            "{BEGIN}{machine}: {block} -->\n\n{}\n\n{END}\n",
            body.trim()
        );
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_say_what_was_recorded() {
        let root = crate::root().unwrap();
        let mut blocks = 0;
        for document in DOCUMENTS {
            let text = read(&root.join(document)).unwrap();
            let machines: Vec<&str> = text
                .lines()
                .filter_map(|line| line.strip_prefix(BEGIN)?.split(": ").next())
                .collect();
            blocks += machines.len();
            let records: HashMap<&str, Records> = machines
                .into_iter()
                .map(|machine| (machine, Records::of(&root, machine).unwrap()))
                .collect();
            let again =
                filled(&text, |machine| Ok((machine.to_owned(), &records[machine]))).unwrap();
            assert!(
                text == again,
                "{document}: `cargo xtask tables MACHINE` writes what was recorded"
            );
        }
        assert_eq!(blocks, BLOCKS.len(), "every block stands in a document");
    }

    #[test]
    fn a_block_is_replaced_and_what_is_around_it_kept() {
        let records = Records(HashMap::new());
        let text = format!("a\n{BEGIN}m: checks -->\n\nold\n\n{END}\nb\n");
        let whose = |_: &str| Ok(("m".to_owned(), &records));
        assert_eq!(filled(&text, whose).unwrap(), text);
        assert!(filled(&format!("{BEGIN}m: nothing -->\n{END}\n"), whose).is_err());
        assert!(filled(&format!("{BEGIN}m -->\n{END}\n"), whose).is_err());
    }
}
