//! Throughput of taking disguises off texts, in bytes a second, one thread.
//!
//! `cargo bench -p duoguard-benches --bench text`. What is timed is what `Session::check` does to a
//! text before it tokenises it, the tokens that some rules count included. Paragraphs are repeated;
//! the mixed words do not come again, in plain and in every disguise.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use duoguard::Model;
use duoguard_eval::Disguise;

/// About how long each text is, disguises apart.
const BYTES: usize = 1 << 20;

/// A name, and a paragraph that the text repeats.
const TEXTS: [(&str, &str); 13] = [
    (
        "English, ASCII",
        "The weather has been very pleasant this week, and everybody is going to the beach (on foot, of course). ",
    ),
    (
        "JSON, ASCII",
        "{\"id\": 4711, \"name\": \"Bakery\", \"open\": true, \"tags\": [\"bread\", \"cake\"], \"price\": 3.50}\n",
    ),
    (
        "Rust, ASCII",
        "    let sum: usize = items.iter().map(|item| item.len()).sum::<usize>() + 2 * offset;\n",
    ),
    (
        "French",
        "Le temps est très agréable cette semaine, et tout le monde s'en va à la plage dès l'après-midi. ",
    ),
    (
        "German",
        "Das Wetter ist diese Woche sehr schön, und alle gehen mit ihren Freunden über die Brücke zum See. ",
    ),
    (
        "Russian",
        "На этой неделе очень хорошая погода, и все идут на пляж вместе со своими друзьями. ",
    ),
    (
        "Persian",
        "هوا این هفته بسیار خوب است و همه با دوستان خود به کنار دریا می\u{200c}روند. ",
    ),
    (
        "Hindi",
        "इस सप्ताह मौसम बहुत सुहावना है और सब लोग अपने दोस्तों के साथ समुद्र तट पर जा रहे हैं। ",
    ),
    (
        "Chinese",
        "这个星期天气很好，大家都和朋友一起去海边散步，晚上回家做饭。",
    ),
    (
        "zero-width characters",
        "T\u{200b}he we\u{200d}ath\u{2060}er ha\u{200b}s been ve\u{200c}ry ple\u{200b}asant th\u{2060}is week. ",
    ),
    (
        "full-width",
        "Ｔｈｅ ｗｅａｔｈｅｒ ｈａｓ ｂｅｅｎ ｖｅｒｙ ｐｌｅａｓａｎｔ ｔｈｉｓ ｗｅｅｋ． ",
    ),
    (
        "leet",
        "7h3 w347h3r h45 b33n v3ry pl3454n7 7h15 w33k, 4nd 3v3ryb0dy 15 601n6 70 7h3 b34ch. ",
    ),
    (
        "emoji",
        "Happy birthday 🎂🎉 to you 👩\u{200d}🚀 and your family 👨\u{200d}👩\u{200d}👧 ❤\u{fe0f}! ",
    ),
];

/// Sentences of the same content in several languages: a tag, a tabulator, a sentence.
const SENTENCES: &str = include_str!("../data/parallel.tsv");

/// Program text as it is.
const SOURCE: [&str; 5] = [
    include_str!("../../runtime/src/verdict.rs"),
    include_str!("../../runtime/src/graph/onnx.rs"),
    include_str!("../../runtime/src/bundle/manifest.rs"),
    include_str!("../../runtime/src/options.rs"),
    include_str!("../../eval/src/metrics.rs"),
];

/// Words of languages in Latin letters in a random order, which does not come again. Every third
/// word is put together from the beginning of one and the end of another, so that most of those are
/// seen once.
fn mixed_words() -> String {
    let is_latin = |line: &&str| ["en", "fr", "de", "es", "pt", "it"].contains(&&line[..2]);
    let lines = SENTENCES.lines().filter(is_latin);
    let words: Vec<&str> = lines.flat_map(|line| line[3..].split(' ')).collect();
    let mut state = 1_u64;
    let mut word = || {
        // Knuth's MMIX generator; its upper bits are the random ones.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        words[(state >> 33) as usize % words.len()]
    };
    let mut text = String::with_capacity(BYTES + 64);
    for n in 0.. {
        if text.len() >= BYTES {
            break;
        }
        let first = word();
        match n % 3 {
            0 => {
                let last = word();
                text += &first[..first.ceil_char_boundary(first.len() / 2)];
                text += &last[last.floor_char_boundary(last.len() / 2)..];
            }
            _ => text += first,
        }
        text.push(' ');
    }
    text
}

/// Every text that is measured, by its name.
fn texts() -> Vec<(String, String)> {
    let repeated = |(name, paragraph): (&str, &str)| {
        let text = paragraph.repeat(BYTES / paragraph.len());
        (name.to_owned(), text)
    };
    let mut texts: Vec<_> = TEXTS.into_iter().map(repeated).collect();
    let source: String = SOURCE.concat().chars().filter(char::is_ascii).collect();
    texts.push((
        "Rust, source files".to_owned(),
        source.repeat(BYTES / source.len()),
    ));
    // One character that shows nothing in so many that do.
    let paragraph = TEXTS[0].1.repeat(40);
    texts.push((
        "English, now and then a zero-width space".to_owned(),
        format!("{paragraph}\u{200b}").repeat(BYTES / paragraph.len()),
    ));
    let words = mixed_words();
    // Disguises are up to four times as long as what is in them.
    let part = &words[..words.floor_char_boundary(BYTES / 4)];
    let ascii: String = part.chars().filter(char::is_ascii).collect();
    for disguise in Disguise::ALL {
        let worn = disguise.apply(part).or_else(|| disguise.apply(&ascii));
        let name = format!("mixed words, {}", disguise.name());
        texts.extend(worn.map(|worn| (name, worn)));
    }
    texts.push(("mixed words".to_owned(), words));
    texts
}

fn main() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/mini");
    let model = Model::open(path).expect("the bundled model opens");
    let mut criterion = Criterion::default()
        .configure_from_args()
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_millis(500))
        .sample_size(20);
    let mut group = criterion.benchmark_group("views");
    for (name, text) in texts() {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                black_box(&model)
                    .views(black_box(&text))
                    .expect("it is read")
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
