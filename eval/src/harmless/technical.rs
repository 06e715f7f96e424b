//! Harmless texts that machines write: numbers, marks, addresses, code, logs.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::identifiers::{characters, pick};

const NAMES: [&str; 16] = [
    "report", "invoice", "user", "item", "config", "photo", "index", "total", "weather", "order",
    "main", "count", "notes", "result", "station", "price",
];
const ENDINGS: [&str; 10] = [
    "pdf", "txt", "rs", "py", "jpg", "csv", "json", "html", "toml", "docx",
];
const FOLDERS: [&str; 10] = [
    "home",
    "usr/share",
    "var/log",
    "Documents",
    "src",
    "tests/data",
    "Downloads",
    "etc",
    "opt",
    "2026/11",
];
const HOSTS: [&str; 7] = [
    "example.org",
    "example.com",
    "docs.example.net",
    "shop.example.de",
    "localhost:8080",
    "192.0.2.17",
    "library.example.edu",
];

pub(super) fn number(rng: &mut ChaCha8Rng) -> String {
    let n: u32 = rng.random_range(0..1_000_000);
    let (small, cents) = (n % 100, n / 100 % 100);
    let (day, month, year) = (n % 28 + 1, n / 28 % 12 + 1, 1950 + n / 400 % 90);
    let (hour, minute) = (n % 24, n / 24 % 60);
    match rng.random_range(0..16) {
        0 => format!("{}", n % 10),
        1 => format!("{small}"),
        2 => format!("{year}"),
        3 => format!("{n}"),
        4 => format!("{small}.{cents:02}"),
        5 => format!("-{small},{cents:02}"),
        6 => format!("{small} %"),
        7 => format!("{small}.{cents:02} €"),
        8 => format!("${n}"),
        9 => format!("{year}-{month:02}-{day:02}"),
        10 => format!("{day}.{month}.{year}"),
        11 => format!("{hour:02}:{minute:02}"),
        12 => format!("+49 30 {n:06}"),
        13 => format!("{small} x {cents} = {}", small * cents),
        14 => format!("{small}, {cents}, {hour}, {minute}"),
        _ => format!("{small} km/h"),
    }
}

pub(super) fn punctuation(rng: &mut ChaCha8Rng) -> String {
    const MARKS: &str = "?!.,;:-_/\\|()[]{}<>=+*#&%@~^`'\"";
    const OTHERS: [&str; 18] = [
        "...", "---", "{}", "[]", "()", "!!", "?!", "\\", "***", "===", "»«", "。", "？", "–", "…",
        "؟", "<>", "# #",
    ];
    let count = rng.random_range(1..=4);
    match rng.random_bool(0.4) {
        true => pick(rng, &OTHERS).to_owned(),
        false if rng.random_bool(0.5) => characters(rng, MARKS, 1).repeat(count),
        false => characters(rng, MARKS, count),
    }
}

pub(super) fn url(rng: &mut ChaCha8Rng) -> String {
    let (host, name, ending) = (pick(rng, &HOSTS), pick(rng, &NAMES), pick(rng, &ENDINGS));
    let folder = pick(rng, &FOLDERS);
    let n: u32 = rng.random_range(1..100_000);
    match rng.random_range(0..8) {
        0 => format!("https://{host}"),
        1 => format!("https://{host}/{name}/{n}"),
        2 => format!("http://{host}/{folder}/{name}.{ending}"),
        3 => format!("https://{host}/search?q={name}&page={n}"),
        4 => format!("www.{host}"),
        5 => format!("{name}.{n}@example.org"),
        6 => format!("ftp://{host}/{name}.{ending}#{n}"),
        _ => format!("git@{host}:{name}/{name}-{n}.git"),
    }
}

pub(super) fn path(rng: &mut ChaCha8Rng) -> String {
    let (folder, name, ending) = (pick(rng, &FOLDERS), pick(rng, &NAMES), pick(rng, &ENDINGS));
    let other = pick(rng, &NAMES);
    let n: u32 = rng.random_range(1..1000);
    match rng.random_range(0..6) {
        0 => format!("/{folder}/{name}.{ending}"),
        1 => format!("C:\\{}\\{name}_{n}.{ending}", folder.replace('/', "\\")),
        2 => format!("./{name}/{other}.{ending}"),
        3 => format!("~/{folder}/{other}-{n}/"),
        4 => format!("{name}.{ending}"),
        _ => format!("../{folder}/{name}.{ending}:{n}"),
    }
}

pub(super) fn code(rng: &mut ChaCha8Rng) -> String {
    let (a, b, file) = (pick(rng, &NAMES), pick(rng, &NAMES), pick(rng, &ENDINGS));
    let n: u32 = rng.random_range(0..500);
    match rng.random_range(0..14) {
        0 => format!("let {a} = {b}.len() + {n};"),
        1 => format!("for i in range({n}):\n    print({a}[i])"),
        2 => format!("SELECT {a}, {b} FROM {a}s WHERE id = {n};"),
        3 => format!("git commit -m \"Add {a} to {b}\""),
        4 => format!("ls -la {a}.{file} | head -n {n}"),
        5 => format!("<div class=\"{a}\">{b} {n}</div>"),
        6 => format!("int main(void) {{ return {n}; }}"),
        7 => format!("def {a}({b}):\n    return {b} * {n}"),
        8 => format!("import {a}"),
        9 => format!("if ({a} > {n}) {{ {b} = 0; }}"),
        10 => format!("cargo test -p {a} --release"),
        11 => format!("{a}_{b}[{n}]"),
        12 => format!("const {a} = await fetch(`/{b}/${{id}}`);"),
        _ => format!("#{n:06x}"),
    }
}

/// JSON with or without a sentence in it, whose letters beyond ASCII may be escaped.
pub(super) fn json(sentence: &str, rng: &mut ChaCha8Rng) -> String {
    let (a, b) = (pick(rng, &NAMES), pick(rng, &NAMES));
    let n: u32 = rng.random_range(0..10_000);
    let quoted = match rng.random_bool(0.5) {
        true => serde_json::Value::from(sentence).to_string(),
        false => escaped(sentence),
    };
    match rng.random_range(0..7) {
        0 => format!("{{\"{a}\": {n}}}"),
        1 => format!("{{\"{a}\": [{n}, {}], \"{b}\": null}}", n / 2),
        2 => format!("{{\"role\": \"user\", \"content\": {quoted}}}"),
        3 => format!("[{{\"id\": {n}, \"{a}\": {quoted}}}]"),
        4 => format!("{{\"{a}\": {{\"{b}\": true}}, \"version\": \"1.{n}\"}}"),
        5 => quoted,
        _ => "{\"status\": \"ok\", \"error\": null}".to_owned(),
    }
}

/// A JSON string in ASCII alone.
fn escaped(text: &str) -> String {
    let mut written = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => written.extend(['\\', c]),
            ' '..='~' => written.push(c),
            _ => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    written += &format!("\\u{unit:04x}");
                }
            }
        }
    }
    written + "\""
}

pub(super) fn log(rng: &mut ChaCha8Rng) -> String {
    let (a, b) = (pick(rng, &NAMES), pick(rng, &NAMES));
    let n: u32 = rng.random_range(1..60_000);
    let (hour, minute, second) = (n % 24, n % 60, n / 60 % 60);
    let level = pick(rng, &["INFO", "WARN", "ERROR", "DEBUG"]);
    match rng.random_range(0..6) {
        0 => format!(
            "2026-11-{:02}T{hour:02}:{minute:02}:{second:02}Z {level} {a}: {b} saved in {n} ms",
            n % 28 + 1
        ),
        1 => format!("[{hour:02}:{minute:02}:{second:02}] {level} - connection {n} closed"),
        2 => format!("192.0.2.{} - - \"GET /{a}/{b} HTTP/1.1\" 200 {n}", n % 250),
        3 => format!(
            "Nov {:2} {hour:02}:{minute:02}:{second:02} host {a}[{n}]: started",
            n % 28 + 1
        ),
        4 => format!(
            "thread 'main' panicked at src/{a}.rs:{}:{}: index out of bounds",
            n % 400,
            n % 80
        ),
        _ => format!(
            "{level} {a}.{b}: retry {} of 5 after {n} ms\n{level} {a}.{b}: done",
            n % 5
        ),
    }
}
