//! The header says what the library does: constants, layouts, functions. A C compiler reads the
//! header.

use std::mem::{offset_of, size_of};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::boundary;
use crate::choices::{CACHES, JOINS};
use crate::message::MESSAGE_SIZE;
use crate::status::STATUSES;
use crate::structs::{
    CCheckOptions, CError, CFile, CInput, CModelOptions, COptions, CStreamOptions, CVerdict,
    LANGUAGE_SIZE,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The size of a struct and the places of its fields, as `ffi/tests/c/constants.c` prints them.
macro_rules! layout {
    ($name:literal, $type:ty, $($field:ident)*) => {
        [
            (concat!("sizeof ", $name), size_of::<$type>()),
            $((concat!($name, ".", stringify!($field)), offset_of!($type, $field)),)*
        ]
    };
}

/// The functions that the header declares.
fn declared(header: &str) -> Vec<String> {
    let lines = header
        .lines()
        .filter_map(|line| line.strip_prefix("DUOGUARD_API "));
    let name = |line: &str| {
        let before = &line[..line.find('(').expect("a function has parameters")];
        before[before.rfind("duoguard_").expect("all names begin so")..].to_owned()
    };
    let mut names: Vec<String> = lines.map(name).collect();
    names.sort();
    names
}

#[test]
fn constants_and_layouts_are_the_same_in_c() {
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("constants");
    let compiled = Command::new(&compiler)
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"])
        .arg(root().join("include"))
        .arg(root().join("ffi/tests/c/constants.c"))
        .arg("-o")
        .arg(&program)
        .status()
        .unwrap_or_else(|e| panic!("cannot run {compiler}, a C compiler: {e}"));
    assert!(compiled.success());
    let output = Command::new(&program).output().unwrap();
    let found = String::from_utf8(output.stdout).unwrap();

    let mut expected = vec![
        (
            "DUOGUARD_ABI_VERSION".to_owned(),
            boundary::duoguard_abi_version() as usize,
        ),
        ("DUOGUARD_MESSAGE_SIZE".to_owned(), MESSAGE_SIZE),
    ];
    for (status, name) in STATUSES {
        expected.push((name.to_str().unwrap().to_owned(), status as usize));
    }
    let joins = JOINS.iter().map(|(name, _)| *name).enumerate();
    let caches = CACHES.iter().map(|(name, _)| *name).enumerate();
    expected.extend(
        joins
            .chain(caches)
            .map(|(value, name)| (name.to_owned(), value)),
    );
    let layouts = [
        &layout!("error", CError, message)[..],
        &layout!("file", CFile, name data size),
        &layout!("model_options", CModelOptions, struct_size reserved public_key),
        &layout!("options", COptions, struct_size threads engine),
        &layout!("input", CInput,
            struct_size reserved prompt prompt_size response response_size language),
        &layout!("check_options", CCheckOptions,
            struct_size join max_tokens target_fpr literal thresholds threshold_count),
        &layout!("verdict", CVerdict,
            struct_size flagged top_category top_score tokens tokens_scored windows language
            span_in_response span_begin span_end coverage_partial reserved),
        &layout!("stream_options", CStreamOptions,
            struct_size cache prompt prompt_size language check debounce_bytes),
    ];
    let layouts = layouts.concat().into_iter();
    expected.extend(layouts.map(|(name, value)| (name.to_owned(), value)));
    expected.push(("sizeof language".to_owned(), LANGUAGE_SIZE));
    let expected: Vec<String> = expected
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn every_function_of_the_header_is_defined_and_no_other() {
    let header = fs::read_to_string(root().join("include/duoguard.h")).unwrap();
    let mut defined = Vec::new();
    for file in fs::read_dir(root().join("ffi/src/boundary")).unwrap() {
        let source = fs::read_to_string(file.unwrap().path()).unwrap();
        defined.extend(source.split("#[unsafe(no_mangle)]\n").skip(1).map(|text| {
            let name = &text[text.find("fn ").unwrap() + 3..];
            name[..name.find('(').unwrap()].to_owned()
        }));
    }
    defined.sort();
    let declared = declared(&header);
    assert!(declared.len() >= 16, "{declared:?}");
    assert_eq!(declared, defined);
}
