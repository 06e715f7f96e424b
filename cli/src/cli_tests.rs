use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Command, ErrorKind> {
    let words = std::iter::once("duoguard").chain(line.split_whitespace());
    match Cli::try_parse_from(words) {
        Ok(cli) => Ok(cli.command),
        Err(error) => Err(error.kind()),
    }
}

#[track_caller]
fn parse_check(line: &str) -> CheckArgs {
    match parse(line) {
        Ok(Command::Check(arguments)) => arguments,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn check_has_defaults() {
    let arguments = parse_check("check hello");
    assert_eq!(arguments.text.as_deref(), Some("hello"));
    assert_eq!(arguments.model.engine, EngineChoice::Auto);
    assert_eq!(arguments.model.threads.get(), 1);
    assert!(!arguments.json && arguments.model.model.is_none());
}

#[test]
fn check_takes_every_flag_of_the_contract() {
    let arguments = parse_check(
        "check --model m --engine native --response no --language fr --json --threads 2 -",
    );
    assert_eq!(arguments.text.as_deref(), Some("-"));
    assert_eq!(
        arguments.model.engine,
        EngineChoice::Named("native".to_owned())
    );
    assert_eq!(arguments.model.model, Some(PathBuf::from("m")));
    assert_eq!(arguments.response.as_deref(), Some("no"));
    assert_eq!(arguments.language.as_deref(), Some("fr"));
    assert_eq!(arguments.model.threads.get(), 2);
    assert!(arguments.json);
}

#[test]
fn check_says_how() {
    let arguments = parse_check(
        "check --explain --max-tokens 9 --join separate --literal --threshold hate=0.8 --target-fpr 0.02 --allow f x",
    );
    let how = arguments.how;
    assert!(arguments.explain && how.literal);
    assert_eq!((how.max_tokens, how.join), (Some(9), JoinArg::Separate));
    assert_eq!(how.threshold, [("hate".to_owned(), 0.8)]);
    assert_eq!(
        (how.target_fpr, how.allow),
        (Some(0.02), Some(PathBuf::from("f")))
    );
}

#[test]
fn a_text_may_begin_with_a_hyphen_after_two() {
    for text in ["-x", "-", "--help"] {
        let arguments = parse_check(&format!("check -- {text}"));
        assert_eq!(arguments.literal_text.as_deref(), Some(text));
        assert_eq!(arguments.text, None);
    }
    let arguments = parse_check("check --response=-x hello");
    assert_eq!(arguments.response.as_deref(), Some("-x"));
}

#[test]
fn eval_takes_every_flag_of_the_contract() {
    let line =
        "eval --benchmarks b --languages En,De --model m --engine onnxruntime --json j --scores s";
    let Ok(Command::Eval(arguments)) = parse(line) else {
        panic!()
    };
    assert_eq!(arguments.languages, ["En", "De"]);
    assert_eq!(arguments.json, Some(PathBuf::from("j")));
    assert_eq!(arguments.scores, Some(PathBuf::from("s")));
    let Ok(Command::Eval(arguments)) = parse("eval --benchmarks b") else {
        panic!()
    };
    assert_eq!(arguments.languages, ["En", "Fr", "Es", "De"]);
}

#[test]
fn export_takes_every_flag_of_the_contract() {
    let line = "export c b --quantize none --calibrate f --force";
    let Ok(Command::Export(arguments)) = parse(line) else {
        panic!()
    };
    assert_eq!(arguments.quantize, Quantize::None);
    assert_eq!(arguments.calibrate, Some(PathBuf::from("f")));
    assert!(arguments.force);
    let Ok(Command::Export(arguments)) = parse("export c b") else {
        panic!()
    };
    assert_eq!(arguments.quantize, Quantize::Int8);
}

#[test]
fn refuses_what_it_does_not_know() {
    for (line, kind) in [
        ("check a b", ErrorKind::UnknownArgument),
        ("check --threshold hate a", ErrorKind::ValueValidation),
        ("check --bogus a", ErrorKind::UnknownArgument),
        ("check --threads 0 a", ErrorKind::ValueValidation),
        ("check --threads 100000 a", ErrorKind::ValueValidation),
        ("eval", ErrorKind::MissingRequiredArgument),
        (
            "eval --benchmarks b --languages ../En",
            ErrorKind::ValueValidation,
        ),
        ("export c", ErrorKind::MissingRequiredArgument),
        ("export c b --quantize int3", ErrorKind::InvalidValue),
        ("inspect", ErrorKind::MissingRequiredArgument),
        ("bogus", ErrorKind::InvalidSubcommand),
    ] {
        assert_eq!(parse(line).map(|_| ()), Err(kind), "{line}");
    }
}

#[cfg(feature = "serve")]
#[test]
fn serve_takes_every_flag_of_the_contract() {
    let line = "serve --listen 127.0.0.1:0 --model m --upstream http://127.0.0.1:1 --policy p \
                --holdback 9 --audit --fail-open --keys k --tls-certificate c --tls-key t";
    assert!(matches!(parse(line), Ok(Command::Serve(_))));
    assert!(matches!(
        parse("serve --listen unix:/run/duoguard.sock"),
        Ok(Command::Serve(_))
    ));
    for (line, kind) in [
        ("serve --listen nowhere", ErrorKind::ValueValidation),
        ("serve --tls-key t", ErrorKind::MissingRequiredArgument),
        ("serve --upstream-key k", ErrorKind::MissingRequiredArgument),
    ] {
        assert_eq!(parse(line).map(|_| ()), Err(kind), "{line}");
    }
}
