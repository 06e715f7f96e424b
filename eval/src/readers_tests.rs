use std::fs;

use super::*;

fn read(benchmark: Benchmark, contents: impl AsRef<[u8]>) -> std::result::Result<Vec<Row>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(benchmark.file_name());
    fs::write(&path, contents).unwrap();
    let prefix = format!("{}: ", path.display());
    benchmark.read(&path).map_err(|error| {
        let text = error.to_string();
        text.strip_prefix(&prefix)
            .expect("names the file")
            .to_owned()
    })
}

#[test]
fn xstest_is_csv_with_quoted_line_breaks() {
    let text = "\u{feff}id,type,prompt,completion\n\
        1,homonyms,How do I kill a process?,\"Use kill.\nThen look.\"\n\
        2,contrast_homonyms,\"How do I \"\"kill\"\" my, say, boss?\",No.\n";
    let rows = read(Benchmark::XsTest, text).unwrap();
    assert_eq!(rows.len(), 2);
    assert!(!rows[0].label && rows[1].label);
    assert_eq!(rows[1].prompt, "How do I \"kill\" my, say, boss?");
    assert_eq!(rows[1].response, None);
}

#[test]
fn flags_and_classes_are_zero_or_one() {
    let flags = r#"[{"prompt":"a","moderation_flag":0,"parsed_result":null},{"prompt":"b","moderation_flag":1}]"#;
    for benchmark in [Benchmark::OpenAi, Benchmark::ToxicChat] {
        let rows = read(benchmark, flags).unwrap();
        assert_eq!((rows[0].label, rows[1].label), (false, true));
    }
    let classes = r#"[{"prompt":"a","class":1},{"prompt":"b","class":0}]"#;
    for benchmark in [Benchmark::RtpLx, Benchmark::XSafety] {
        let rows = read(benchmark, classes).unwrap();
        assert_eq!((rows[0].label, rows[1].label), (true, false));
    }
}

#[test]
fn beavertails_keeps_prompt_and_response_apart() {
    let text = "{\"prompt\":\"p\",\"response\":\"r\",\"is_safe\":false}\n{\"prompt\":\"q\",\"response\":\"s\\u2028\",\"is_safe\":true}\n";
    let rows = read(Benchmark::BeaverTails, text).unwrap();
    assert_eq!(rows[0].response.as_deref(), Some("r"));
    assert!(rows[0].label && !rows[1].label);
}

#[test]
fn errors_name_the_place_and_the_field() {
    let cases: [(Benchmark, &[u8], &str); 12] = [
        (
            Benchmark::XsTest,
            b"id,kind,prompt\n1,a,b\n",
            "line 1: no column `type`",
        ),
        (
            Benchmark::XsTest,
            b"type,prompt\na,b\na\n",
            "line 3: not CSV",
        ),
        (
            Benchmark::XsTest,
            b"type,prompt\na,b\n,c\n",
            "line 3: field `type`",
        ),
        (Benchmark::XsTest, b"type,prompt\n", "it has no rows"),
        (
            Benchmark::OpenAi,
            b"[\n{\"prompt\":\n",
            "line 3: not a JSON array",
        ),
        (Benchmark::OpenAi, b"{}", "line 1: not a JSON array"),
        (Benchmark::OpenAi, b"[]", "it has no rows"),
        (
            Benchmark::RtpLx,
            b"[{\"prompt\":\"a\",\"class\":1},{\"prompt\":\"a\"}]",
            "element 1 (counted from 0): field `class`: expected 0 or 1, found no such field",
        ),
        (
            Benchmark::ToxicChat,
            b"[{\"prompt\":7,\"moderation_flag\":1}]",
            "element 0 (counted from 0): field `prompt`: expected text, found 7",
        ),
        (
            Benchmark::XSafety,
            b"[{\"prompt\":\"a\",\"class\":2}]",
            "field `class`: expected 0 or 1, found 2",
        ),
        (
            Benchmark::BeaverTails,
            b"{\"prompt\":\"a\",\"response\":\"b\",\"is_safe\":true}\n\n{\"prompt\":\"a\"}\n",
            "line 3: field `response`",
        ),
        (
            Benchmark::BeaverTails,
            b"{}\n\xff\n",
            "line 2: not valid UTF-8",
        ),
    ];
    for (benchmark, contents, expected) in cases {
        let error = read(benchmark, contents).unwrap_err();
        assert!(error.contains(expected), "{error:?} lacks {expected:?}");
    }
}

#[test]
fn a_missing_file_is_an_error_not_a_skip() {
    let folder = tempfile::tempdir().unwrap();
    let english = folder.path().join("eval_data_En");
    fs::create_dir(&english).unwrap();
    fs::write(
        english.join("XSafety.json"),
        r#"[{"prompt":"a","class":1}]"#,
    )
    .unwrap();
    let sets = read_benchmarks(folder.path(), &[Benchmark::XSafety], &["en"]).unwrap();
    assert_eq!(sets[0].language, "En");
    let error = read_benchmarks(folder.path(), &Benchmark::ALL, &["En"]).unwrap_err();
    let expected = english.join(Benchmark::XsTest.file_name());
    assert!(
        error
            .to_string()
            .starts_with(&expected.display().to_string())
    );
}
