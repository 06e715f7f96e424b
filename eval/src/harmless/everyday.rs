//! Greetings, single words, emoji, sentences of everyday life and what a picture shows.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::Part;
use super::identifiers::pick;

/// Language, what the items are, and the items with bars between.
const DATA: &str = include_str!("../../data/everyday.tsv");

/// The languages that have items of a kind, with those of the part.
fn lists(kind: &str, part: Part) -> Vec<(&'static str, Vec<&'static str>)> {
    let line = |line: &'static str| {
        let mut fields = line.split('\t');
        let (language, name, items) = (fields.next()?, fields.next()?, fields.next()?);
        let items: Vec<_> = items.split('|').collect();
        (name == kind).then(|| (language, part.of(&items)))
    };
    DATA.lines().filter_map(line).collect()
}

fn item(kind: &str, part: Part, rng: &mut ChaCha8Rng) -> (Option<&'static str>, String) {
    let (language, items) = pick(rng, &lists(kind, part));
    (Some(language), pick(rng, &items).to_owned())
}

/// An item of a kind in one language; empty where that has none.
fn item_of(kind: &str, language: Option<&str>, part: Part, rng: &mut ChaCha8Rng) -> &'static str {
    let mut lists = lists(kind, part).into_iter();
    let of_language = lists.find(|(of, _)| Some(*of) == language);
    of_language.map_or("", |(_, items)| pick(rng, &items))
}

pub(super) fn greeting(part: Part, rng: &mut ChaCha8Rng) -> (Option<&'static str>, String) {
    let (language, greeting) = item("greeting", part, rng);
    let end = match greeting.ends_with(['?', '？', '؟']) {
        true => "",
        false => pick(rng, &["", "!", ".", ","]),
    };
    (language, greeting + end)
}

pub(super) fn word(part: Part, rng: &mut ChaCha8Rng) -> (Option<&'static str>, String) {
    let (language, word) = item("word", part, rng);
    let text = match rng.random_range(0..5) {
        0 => word.to_uppercase(),
        1 => word + "?",
        _ => word,
    };
    (language, text)
}

pub(super) fn emoji(part: Part, rng: &mut ChaCha8Rng) -> String {
    const EMOJI: [&str; 30] = [
        "🙂",
        "👍",
        "❤️",
        "🎉",
        "🌳",
        "😂",
        "🙏",
        "🚲",
        "☀️",
        "🍞",
        "🐈",
        "🌧️",
        "📚",
        "🏔️",
        "🎂",
        "👩‍🍳",
        "🇫🇷",
        "🚆",
        "🌻",
        "😴",
        "✅",
        "🥕",
        "👋🏽",
        "🏠",
        "☕",
        "🐶",
        "🎵",
        "🇯🇵",
        "👨‍👩‍👧",
        "🍎",
    ];
    let emoji = part.of(&EMOJI);
    let count = rng.random_range(1..=3);
    (0..count).map(|_| pick(rng, &emoji)).collect()
}

/// A sentence: a frame of the part, and whatever fits it.
pub(super) fn sentence(part: Part, rng: &mut ChaCha8Rng) -> (Option<&'static str>, String) {
    let (language, frame) = item("frame", part, rng);
    let filler = item_of("filler", language, part, rng);
    (language, frame.replace("{}", filler))
}

/// What a picture shows: who does what, and where, each of the part.
pub(super) fn scene(part: Part, rng: &mut ChaCha8Rng) -> (Option<&'static str>, String) {
    let (language, who) = item("who", part, rng);
    let does = item_of("does", language, part, rng);
    let place = item_of("where", language, part, rng);
    let end = pick(rng, &["", "."]);
    (language, format!("{who} {does} {place}{end}"))
}
