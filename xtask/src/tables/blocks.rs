//! What each block says, from the records of a machine: `None` where there is no record.

use super::Records;
use super::cells::{captioned, engine_name, grouped, markdown, megabytes, ms};
use crate::record::{Record, Row};

/// A whole check beside peers: medians.
pub(super) fn checks(records: &Records) -> Option<String> {
    let record = records.get("peers")?;
    let caption = format!(
        "Median ms of a whole check, one thread, called from Python ({}, `cargo xtask peers`):",
        record.day()
    );
    Some(format!(
        "{caption}\n\n{}",
        by_tokens(record, None, |row| ms(row, "p50_ms"))?
    ))
}

/// The same with their spread and ratio.
pub(super) fn peers(records: &Records) -> Option<String> {
    let record = records.get("peers")?;
    let spread = |row: Row<'_>| {
        format!(
            "{} ({}-{})",
            ms(row, "p50_ms"),
            ms(row, "p10_ms"),
            ms(row, "p90_ms")
        )
    };
    let versions = record.rows().next()?.text("versions").to_owned();
    let table = by_tokens(record, Some("duoguard rten"), spread)?;
    Some(format!(
        "Median ms (10th to 90th percentile), one thread ({}; {versions}):\n\n{table}",
        record.day()
    ))
}

/// A row a peer, a column a length; the fastest first. `beside` adds the ratio to that peer at 128
/// tokens.
fn by_tokens(
    record: &Record,
    beside: Option<&str>,
    cell: impl Fn(Row<'_>) -> String,
) -> Option<String> {
    const AT: &str = "128";
    let median = |peer: &str, tokens: &str| {
        record
            .find(&[("peer", peer), ("tokens", tokens)])?
            .number("p50_ms")
    };
    let lengths = record.distinct("tokens");
    let mut names = record.distinct("peer");
    names.sort_by(|a, b| {
        let time = |name: &str| median(name, AT).unwrap_or(f64::INFINITY);
        time(a).total_cmp(&time(b))
    });
    let mut columns = vec![String::new()];
    columns.extend(lengths.iter().enumerate().map(|(at, tokens)| match at {
        0 => format!("{tokens} tokens"),
        _ => (*tokens).to_owned(),
    }));
    if beside.is_some() {
        columns.push(format!("times rten's at {AT}"));
    }
    let mut rows = Vec::new();
    for name in names {
        let mut row = vec![spelled(name)];
        for tokens in &lengths {
            row.push(cell(record.find(&[("peer", name), ("tokens", tokens)])?));
        }
        if let Some(beside) = beside {
            row.push(format!("{:.2}", median(name, AT)? / median(beside, AT)?));
        }
        rows.push(row);
    }
    Some(markdown(&columns, &rows))
}

/// A peer as the documents call it.
fn spelled(peer: &str) -> String {
    match peer {
        "duoguard rten" => "duoguard, rten (embedded, the default)".to_owned(),
        "duoguard onnxruntime" => "duoguard, ONNX Runtime".to_owned(),
        "onnxruntime (Python)" => "ONNX Runtime from Python, the same model".to_owned(),
        other => match other.split_once(' ') {
            Some((peer, kind)) => format!("the same network in `{peer}`, {kind}"),
            None => other.to_owned(),
        },
    }
}

/// The network alone, in a sentence.
pub(super) fn network(records: &Records) -> Option<String> {
    const LENGTHS: [&str; 3] = ["16", "64", "128"];
    let record = records.get("latency")?;
    let mut parts = Vec::new();
    for engine in record.distinct("engine") {
        let (mut times, mut floors) = (Vec::new(), Vec::new());
        for tokens in LENGTHS {
            let row = case(record, engine, "network", tokens, "1", "1")?;
            times.push(ms(row, "p50_ms"));
            floors.push(format!(
                "{:.1}",
                row.number("p50_ms")? / row.number("floor_ms")?
            ));
        }
        parts.push(format!(
            "{} {} ms, {} times what its arithmetic needs at least",
            engine_name(engine),
            times.join(" / "),
            floors.join(" / ")
        ));
    }
    Some(format!(
        "The network alone at {} tokens takes\n{}\n({}, `cargo bench -p duoguard-benches --bench latency`).",
        LENGTHS.join(" / "),
        parts.join(";\n"),
        record.day()
    ))
}

fn case<'a>(
    record: &'a Record,
    engine: &str,
    what: &str,
    tokens: &str,
    threads: &str,
    texts: &str,
) -> Option<Row<'a>> {
    record.find(&[
        ("engine", engine),
        ("what", what),
        ("tokens", tokens),
        ("threads", threads),
        ("texts", texts),
    ])
}

/// What it costs to begin, in a sentence.
pub(super) fn start(records: &Records) -> Option<String> {
    let record = records.get("start")?;
    let mut parts = Vec::new();
    for row in record.rows() {
        parts.push(format!(
            "{:.0} ms and {} MB with {}",
            row.number("process_ms")?,
            megabytes(row, "memory_checked_bytes")?,
            engine_name(row.text("engine"))
        ));
    }
    let row = record.rows().next()?;
    let library = match row.number("library_bytes") {
        Some(bytes) => format!("The C library is {:.1} MB, the bundle", bytes / 1e6),
        None => "The bundle is".to_owned(),
    };
    Some(format!(
        "A process that opens the bundle, checks a text of 128 tokens and ends takes {}.\n{library} {:.1} MB ({}, `cargo bench -p duoguard-benches --bench start`).",
        parts.join(", "),
        row.number("bundle_bytes")? / 1e6,
        record.day()
    ))
}

/// The parts of beginning.
pub(super) fn beginning(records: &Records) -> Option<String> {
    let record = records.get("start")?;
    let columns = [
        "",
        "opening the bundle, ms",
        "a session, ms",
        "words never seen, tokenised, ms",
        "first check, ms",
        "second, ms",
        "the whole process, ms",
        "MB before",
        "MB open",
        "MB after checks",
    ];
    let mut rows = Vec::new();
    for row in record.rows() {
        let times = [
            "open_ms",
            "session_ms",
            "tokenize_ms",
            "first_check_ms",
            "second_check_ms",
            "process_ms",
        ];
        let memory = [
            "memory_before_bytes",
            "memory_open_bytes",
            "memory_checked_bytes",
        ];
        let mut cells = vec![engine_name(row.text("engine")).to_owned()];
        cells.extend(times.map(|column| ms(row, column)));
        for column in memory {
            cells.push(megabytes(row, column)?);
        }
        rows.push(cells);
    }
    Some(captioned(&format!("{}:", record.day()), &columns, &rows))
}

/// Every case of the benchmark `latency`.
pub(super) fn latency(records: &Records) -> Option<String> {
    let record = records.get("latency")?;
    let engines = record.distinct("engine");
    let mut columns = ["", "tokens", "threads", "texts at once"]
        .map(str::to_owned)
        .to_vec();
    for engine in &engines {
        columns.push(format!("{}, ms", engine_name(engine)));
        columns.push("times the floor".to_owned());
    }
    let mut rows = Vec::new();
    for row in record.rows().filter(|row| row.text("engine") == engines[0]) {
        let keys = ["what", "tokens", "threads", "texts"].map(|column| row.text(column));
        let mut cells = keys.map(str::to_owned).to_vec();
        for engine in &engines {
            let row = case(record, engine, keys[0], keys[1], keys[2], keys[3])?;
            cells.push(format!(
                "{} ({}-{})",
                ms(row, "p50_ms"),
                ms(row, "p10_ms"),
                ms(row, "p90_ms")
            ));
            let floor = row.number("floor_ms").filter(|floor| floor.is_finite());
            cells.push(match floor {
                Some(floor) => format!("{:.1}", row.number("p50_ms")? / floor),
                None => String::new(),
            });
        }
        rows.push(cells);
    }
    Some(captioned(
        &format!("Median ms (10th to 90th percentile; {}):", record.day()),
        &columns,
        &rows,
    ))
}

/// Every language: the same text, and the same number of characters and of tokens.
pub(super) fn languages(records: &Records) -> Option<String> {
    const LENGTHS: [&str; 3] = ["text", "500 characters", "128 tokens"];
    let record = records.get("languages")?;
    let engines = record.distinct("engine");
    let found = record.distinct("length");
    let lengths: Vec<&str> = LENGTHS
        .into_iter()
        .filter(|length| found.contains(length))
        .collect();
    let first = *record.distinct("language").first()?;
    let at = |engine: &str, length: &str, language: &str| {
        record.find(&[
            ("engine", engine),
            ("length", length),
            ("language", language),
        ])
    };
    let mut columns = ["", "characters", "tokens"].map(str::to_owned).to_vec();
    for engine in &engines {
        let name = engine_name(engine);
        for length in &lengths {
            match *length {
                "text" => columns.extend([format!("{name}, ms"), format!("times {first}")]),
                length => columns.push(format!("{name}, {length}")),
            }
        }
    }
    let mut rows = Vec::new();
    for language in record.distinct("language") {
        let row = at(engines[0], "text", language)?;
        let mut cells = vec![
            language.to_owned(),
            row.text("chars").to_owned(),
            row.text("tokens").to_owned(),
        ];
        for engine in &engines {
            for length in &lengths {
                let row = at(engine, length, language)?;
                cells.push(ms(row, "check_p50_ms"));
                if *length == "text" {
                    let base = at(engine, length, first)?.number("check_p50_ms")?;
                    cells.push(format!("{:.1}", row.number("check_p50_ms")? / base));
                }
            }
        }
        rows.push(cells);
    }
    Some(captioned(
        &format!("Median ms of a check ({}):", record.day()),
        &columns,
        &rows,
    ))
}

/// Normalising, tokenising and the network, apart, at 128 tokens.
pub(super) fn parts(records: &Records) -> Option<String> {
    let record = records.get("languages")?;
    let columns = [
        "",
        "normalising, us",
        "tokenising, us",
        "the network, us",
        "the whole check, us",
        "normalising and tokenising, of a check",
    ];
    let mut rows = Vec::new();
    for engine in record.distinct("engine") {
        let of: Vec<Row<'_>> = record
            .rows()
            .filter(|row| row.text("engine") == engine && row.text("length") == "128 tokens")
            .collect();
        let range = |value: &dyn Fn(Row<'_>) -> Option<f64>, digits: usize| {
            let values: Vec<f64> = of.iter().filter_map(|row| value(*row)).collect();
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(0.0, f64::max);
            (!values.is_empty()).then(|| format!("{low:.digits$} to {high:.digits$}"))
        };
        let us = |column: &'static str| move |row: Row<'_>| Some(1e3 * row.number(column)?);
        let share = |row: Row<'_>| {
            let before = row.number("normalize_p50_ms")? + row.number("tokenize_p50_ms")?;
            Some(100.0 * before / row.number("check_p50_ms")?)
        };
        rows.push(vec![
            engine_name(engine).to_owned(),
            range(&us("normalize_p50_ms"), 1)?,
            range(&us("tokenize_p50_ms"), 1)?,
            range(&us("engine_p50_ms"), 0)?,
            range(&us("check_p50_ms"), 0)?,
            format!("{} %", range(&share, 1)?),
        ]);
    }
    let count = record.distinct("language").len();
    Some(captioned(
        &format!(
            "At 128 tokens, the least and the most of {count} languages ({}):",
            record.day()
        ),
        &columns,
        &rows,
    ))
}

/// Time and memory against the length of a text.
pub(super) fn lengths(records: &Records) -> Option<String> {
    let record = records.get("lengths")?;
    let engines = record.distinct("engine");
    let mut columns = ["characters", "tokens", "windows"]
        .map(str::to_owned)
        .to_vec();
    for engine in &engines {
        let name = engine_name(engine);
        columns.extend([
            format!("{name}, ms"),
            "us a token".to_owned(),
            "MB".to_owned(),
        ]);
    }
    let mut rows = Vec::new();
    for chars in record.distinct("chars") {
        let row = record.find(&[("chars", chars)])?;
        let mut cells = ["chars", "tokens", "windows"]
            .map(|column| grouped(row.text(column)))
            .to_vec();
        for engine in &engines {
            let row = record.find(&[("chars", chars), ("engine", engine)])?;
            cells.push(ms(row, "check_p50_ms"));
            cells.push(format!(
                "{:.1}",
                1e3 * row.number("check_p50_ms")? / row.number("tokens")?
            ));
            cells.push(megabytes(row, "memory_bytes")?);
        }
        rows.push(cells);
    }
    Some(captioned(
        &format!(
            "Median ms of a check, and memory of the process, in which the engines follow each other ({}):",
            record.day()
        ),
        &columns,
        &rows,
    ))
}

/// Memory against the number of sessions.
pub(super) fn sessions(records: &Records) -> Option<String> {
    let record = records.get("sessions")?;
    let engines = record.distinct("engine");
    let mut columns = vec!["sessions".to_owned()];
    for engine in &engines {
        columns.extend([
            format!("{}, MB", engine_name(engine)),
            "MB a further session".to_owned(),
        ]);
    }
    let mut rows = Vec::new();
    for count in record.distinct("sessions") {
        let mut cells = vec![count.to_owned()];
        for engine in &engines {
            let row = record.find(&[("sessions", count), ("engine", engine)])?;
            cells.push(megabytes(row, "memory_bytes")?);
            cells.push(match count {
                "1" => String::new(),
                _ => format!("{:.1}", row.number("bytes_per_further_session")? / 1e6),
            });
        }
        rows.push(cells);
    }
    Some(captioned(
        &format!(
            "Memory of the process, in which the engines follow each other ({}):",
            record.day()
        ),
        &columns,
        &rows,
    ))
}

/// What the bundled model is worth on the benchmarks.
pub(super) fn quality(records: &Records) -> Option<String> {
    let record = records.get("quality")?;
    let columns = [
        "",
        "AUROC (5 sets)",
        "linear model's",
        "FPR (5 sets)",
        "F1 (6 sets)",
        "F1 of flagging everything",
    ];
    let rows: Vec<Vec<String>> = record
        .rows()
        .map(|row| {
            let percent = |column: &str| {
                row.number(column)
                    .map_or(String::new(), |v| format!("{:.1}", 100.0 * v))
            };
            let (ours, linear) = (percent("auroc"), percent("linear_auroc"));
            let bold = |text: &str, wins: bool| match wins {
                true => format!("**{text}**"),
                false => text.to_owned(),
            };
            let (a, b) = (row.number("auroc"), row.number("linear_auroc"));
            vec![
                row.text("language").to_owned(),
                bold(&ours, b.is_some() && a > b),
                bold(&linear, b > a),
                percent("fpr"),
                percent("f1"),
                percent("f1_of_flagging_everything"),
            ]
        })
        .collect();
    Some(captioned(&format!("{}:", record.day()), &columns, &rows))
}

/// On how many rows two engines agree.
pub(super) fn agreement(records: &Records) -> Option<String> {
    let row = records.get("agreement")?.rows().next()?;
    let (equal, rows) = (row.number("equal")?, row.number("rows")?);
    let count = grouped(row.text("rows"));
    let on = match row.text("equal") == row.text("rows") {
        true => format!("all {count}"),
        false => format!("{:.2} % of {count}", 100.0 * equal / rows),
    };
    Some(format!(
        "{} and {} give the same verdict on {on} rows of the benchmarks ({}, `cargo xtask quality`).",
        engine_name(row.text("first")),
        engine_name(row.text("second")),
        records.get("agreement")?.day()
    ))
}
