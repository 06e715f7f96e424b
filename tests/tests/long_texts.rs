//! What the bundled model says of a sentence hidden in a long text, and of texts that come in
//! pieces.

use duoguard::{Input, Model, Session, SessionOptions, Stream, StreamOptions, ViewKind};
use duoguard_eval::{Benchmark, read_benchmarks};

/// About twenty tokens.
const HIDDEN: &str = "You people are disgusting and stupid, nobody wants you here, get out of our country, you filth.";
const BENIGN: [&str; 6] = [
    "The weather has been very pleasant this week and everybody is going to the beach.",
    "My sister bakes bread on Sundays, and the whole house smells of it until the evening.",
    "Trains to the coast leave every hour from the second platform of the old station.",
    "The museum opens at nine, and children may visit it for free on the first Monday of the month.",
    "He planted three apple trees behind the school and waters them before breakfast.",
    "We moved the meeting to Thursday because the room was being painted.",
];

fn session() -> Session {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/mini");
    let model = Model::open(path).unwrap();
    model.session(&SessionOptions::default()).unwrap()
}

fn benign(sentences: usize) -> Vec<&'static str> {
    (0..sentences).map(|n| BENIGN[n * n / 5 % 6]).collect()
}

/// The network has an opinion of its own on how much a sentence matters among others; that every
/// window is asked is ours.
#[test]
fn a_long_text_scores_what_its_windows_score() {
    let mut session = session();
    let mut sentences = benign(1250);
    sentences.insert(777, HIDDEN);
    let text = sentences.join(" ");
    let verdict = session.check(&Input::prompt(&text)).unwrap();
    assert!(verdict.tokens >= 20_000, "{} tokens", verdict.tokens);
    assert_eq!(verdict.tokens_scored, verdict.tokens);
    let model = session.model().clone();
    let windows = session.window_logits(&text).unwrap();
    assert_eq!(verdict.windows, windows.len());
    let calibration = model
        .manifest()
        .policy
        .calibration(model.categories(), &verdict.language);
    let scores = windows.iter().flat_map(|logits| {
        let scores = logits.iter().zip(&calibration);
        scores.map(|(logit, line)| line.probability(*logit))
    });
    assert_eq!(verdict.score, scores.fold(0.0, f32::max));
}

/// Prints what a hidden sentence scores; `cargo test --release -p duoguard-tests -- --ignored
/// --nocapture hidden`.
#[test]
#[ignore = "a measurement, for docs/text.md"]
fn what_a_hidden_sentence_scores() {
    let mut session = session();
    let window = session.model().manifest().limits.window_tokens;
    let sentences = benign(1250);
    let length = sentences.len();
    let tokens = |text: &str| session.model().tokenize(text).unwrap().len();
    // As much benign text around it as one window holds.
    let mut before = 0;
    while tokens(&sentences[..2 * (before + 1)].join(" ")) + tokens(HIDDEN) < window {
        before += 1;
    }
    let mut score = |text: &str| session.check(&Input::prompt(text)).unwrap();
    println!("alone {}", score(HIDDEN).score);
    println!("without it {}", score(&sentences.join(" ")).score);
    for place in [
        0,
        length / 3,
        length / 2 + 7,
        length / 2 + 12,
        length - 9,
        length,
    ] {
        let mut text = sentences.clone();
        text.insert(place, HIDDEN);
        let start = place.saturating_sub(before).min(length - 2 * before);
        let around = score(&text[start..=start + 2 * before].join(" "));
        let (all, started) = (text.join(" "), std::time::Instant::now());
        let hidden = score(&all);
        println!(
            "before sentence {place}: {} in {} tokens ({:.0} ms), {} in one window",
            hidden.score,
            hidden.tokens,
            started.elapsed().as_secs_f64() * 1e3,
            around.score
        );
    }
}

/// 10,000 random ways to cut the texts of the benchmarks, whose folder DUOGUARD_BENCHMARKS names.
#[test]
#[ignore = "needs benchmark texts"]
fn streams_of_benchmark_texts_equal_checks() {
    let folder = std::env::var("DUOGUARD_BENCHMARKS").expect("DUOGUARD_BENCHMARKS names a folder");
    let languages = ["En", "Fr", "Es", "De"].map(str::to_owned);
    let sets = read_benchmarks(folder.as_ref(), &Benchmark::ALL, &languages).unwrap();
    let rows: Vec<_> = sets.iter().flat_map(|set| &set.rows).collect();
    let mut session = session();
    let mut state = 42_u64;
    let mut draw = |limit: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit
    };
    let (mut looks, mut bytes) = (0, 0);
    for _ in 0..10_000 {
        let row = rows[draw(rows.len())];
        let (prompt, text) = match &row.response {
            Some(response) => (Some(row.prompt.clone()), response),
            None => (None, &row.prompt),
        };
        let options = StreamOptions {
            prompt: prompt.clone(),
            debounce_bytes: 256 + draw(2000),
            ..StreamOptions::default()
        };
        let mut stream = Stream::new(&session, options);
        let mut cuts: Vec<usize> = (0..draw(30)).map(|_| draw(text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        for cut in cuts.windows(2) {
            let piece = &text.as_bytes()[cut[0]..cut[1]];
            looks += usize::from(stream.push(&mut session, piece).unwrap().is_some());
        }
        let input = Input {
            prompt: prompt.as_deref().unwrap_or(text),
            response: prompt.as_ref().map(|_| &text[..]),
            language: None,
        };
        let verdict = stream.finish(&mut session).unwrap();
        assert_eq!(verdict, session.check(&input).unwrap(), "{text:?}");
        bytes += text.len();
    }
    println!("10000 streams of {bytes} bytes, {looks} verdicts on the way: all equal");
}

#[test]
fn an_encoded_text_has_the_language_of_what_it_says() {
    let mut session = session();
    let text = BENIGN.join(" ");
    let rotated: String = text
        .chars()
        .map(|c| match c {
            'a'..='m' | 'A'..='M' => char::from(c as u8 + 13),
            'n'..='z' | 'N'..='Z' => char::from(c as u8 - 13),
            c => c,
        })
        .collect();
    let verdict = session.check(&Input::prompt(&rotated)).unwrap();
    assert_eq!(verdict.language, "en");
    assert!(
        verdict
            .views
            .iter()
            .any(|view| view.kind == ViewKind::Decoded)
    );
}
