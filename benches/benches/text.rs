//! Throughput of taking disguises off texts, in bytes a second, one thread.
//!
//! `cargo bench -p duoguard-benches --bench text`. What is timed is what `Session::check` does to a text before it tokenises it,
//! the tokens that some rules count included.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use duoguard::Model;

/// About how long each text is.
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

fn main() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/mini");
    let model = Model::open(path).expect("the bundled model opens");
    let mut criterion = Criterion::default()
        .configure_from_args()
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_millis(500))
        .sample_size(20);
    let mut group = criterion.benchmark_group("views");
    for (name, paragraph) in TEXTS {
        let text = paragraph.repeat(BYTES / paragraph.len());
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(&model).views(black_box(&text)).len());
        });
    }
    group.finish();
    criterion.final_summary();
}
