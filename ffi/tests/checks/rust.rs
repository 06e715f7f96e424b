//! The Rust door.

use runtime::{
    CheckOptions, Coverage, EngineChoice, ErrorKind, Input, Join, Model, Session, SessionOptions,
    Span, Stream, StreamOptions, Verdict, engine_names,
};

use crate::bundle;
use crate::case::{Case, JoinName, Options};
use crate::outcome::{Found, OneSide, Outcome, Side};

/// What the Rust API says to each case.
pub fn check(cases: &[&Case]) -> Vec<Outcome> {
    let model = Model::open(bundle()).unwrap();
    let embedded = engine_names().next().expect("every build has an engine");
    let mut session = model
        .session(&SessionOptions {
            engine: EngineChoice::Named(embedded.to_owned()),
            ..SessionOptions::default()
        })
        .unwrap();
    cases
        .iter()
        .map(|case| outcome(&mut session, case))
        .collect()
}

fn outcome(session: &mut Session, case: &Case) -> Outcome {
    let options = options(&case.options);
    let prompt = case.prompt.as_ref().map(|text| text.utf8());
    let response = case.response.as_ref().map(|text| text.utf8());
    let input = Input {
        prompt: prompt.as_deref().unwrap_or_default(),
        response: response.as_deref(),
        language: case.language.as_deref(),
    };
    match session.check_with(&input, &options) {
        Ok(verdict) => {
            assert_eq!(
                stream(session, &input, options),
                verdict,
                "{}: a stream",
                case.name
            );
            Outcome::Found(found(&verdict, session.model().categories()))
        }
        Err(error) => Outcome::Refused {
            kind: kind(error.kind()).to_owned(),
            message: error.to_string(),
        },
    }
}

/// The verdict at the end of a stream of the same text.
fn stream(session: &mut Session, input: &Input<'_>, check: CheckOptions) -> Verdict {
    let options = StreamOptions {
        check,
        prompt: input.response.map(|_| input.prompt.to_owned()),
        language: input.language.map(str::to_owned),
        debounce_bytes: usize::MAX,
        ..StreamOptions::default()
    };
    let mut stream = Stream::new(session, options);
    let piece = input.response.unwrap_or(input.prompt);
    assert_eq!(stream.push(session, piece.as_bytes()).unwrap(), None);
    stream.finish(session).unwrap()
}

fn options(given: &Options) -> CheckOptions {
    CheckOptions {
        coverage: match given.max_tokens {
            Some(max_tokens) => Coverage::Partial { max_tokens },
            None => Coverage::Full,
        },
        join: match given.join {
            None | Some(JoinName::Space) => Join::Space,
            Some(JoinName::Newline) => Join::Newline,
            Some(JoinName::Separate) => Join::Separate,
        },
        normalize: !given.literal,
        thresholds: given.thresholds.clone(),
        target_fpr: given.target_fpr,
        ..CheckOptions::default()
    }
}

fn found(verdict: &Verdict, categories: &[String]) -> Found {
    let views = &verdict.views;
    Found {
        flagged: verdict.flagged,
        category: verdict.category.map(|index| categories[index].clone()),
        score: verdict.score.to_bits(),
        scores: verdict.scores.iter().map(|score| score.to_bits()).collect(),
        tokens: verdict.tokens as u64,
        tokens_scored: verdict.tokens_scored as u64,
        windows: verdict.windows as u64,
        language: verdict.language.clone(),
        span: one_side(&verdict.span.clone().unwrap_or_default()),
        partial: views.iter().any(|view| view.tokens_scored != view.tokens),
    }
}

/// The header's rule: the side that holds more of the window; the prompt, if as much.
fn one_side(span: &Span) -> OneSide {
    let (side, range) = match span.prompt.len() >= span.response.len() {
        true => (Side::Prompt, &span.prompt),
        false => (Side::Response, &span.response),
    };
    OneSide {
        side,
        begin: range.start as u64,
        end: range.end as u64,
    }
}

/// The kind as the header has it, without `DUOGUARD_`.
fn kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidArgument => "INVALID_ARGUMENT",
        ErrorKind::Io => "IO",
        ErrorKind::InvalidModel => "INVALID_MODEL",
        ErrorKind::Unsupported => "UNSUPPORTED",
        ErrorKind::OutOfMemory => "OUT_OF_MEMORY",
        _ => "ENGINE",
    }
}
