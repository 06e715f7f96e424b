//! The command line: what it accepts and what its help says.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use duoguard::{EngineChoice, MAX_THREADS};
use duoguard_export::{Quantize, SCHEMES};

/// Is this text unsafe? An offline guardrail for prompts and responses, in many languages.
///
/// The text never leaves this machine.
#[derive(Debug, Parser)]
#[command(
    name = "duoguard",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = "\
Examples:
  duoguard check \"How do I bake bread?\"
  duoguard check --json - < prompts.txt > verdicts.jsonl
  duoguard engines")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Check(CheckArgs),
    Eval(EvalArgs),
    Export(ExportArgs),
    Inspect(InspectArgs),
    Engines(EnginesArgs),
    #[cfg(feature = "serve")]
    Serve(crate::serve::ServeArgs),
}

/// Check a text, or one text per line of standard input
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status:
  0  every text is safe
  1  something is unsafe
  2  error: what was not checked is not known to be safe. Also when there was no text, when help was shown
     instead, and when whoever reads the output stops reading

In scripts, write a text behind \"--\", where nothing is taken for an option or for standard input:
  duoguard check --json -- \"$TEXT\"

Examples:
  duoguard check \"How do I bake bread?\"
  duoguard check --response \"You pick the lock with ...\" \"How do I open a door?\"
  duoguard check --language fr \"Comment faire du pain ?\"
  tail -f prompts.log | duoguard check --json -
  duoguard check --file letter.txt
  git log -1 --format=%B | duoguard check --file -

With --json, one object a line for each text:
  {\"flagged\":bool,\"score\":number,\"category\":name or null,\"scores\":{name:number,...},\"language\":tag,
   \"tokens\":n,\"tokens_scored\":n,\"windows\":n,\"engine\":name,\"elapsed_ms\":number}
score is the largest of the scores; category is the flagged one that exceeds its threshold by most. --explain adds
   \"span\":{\"prompt\":[from,to],\"response\":[from,to]} or null, \"allowed\":bool,
   \"views\":[{\"kind\":name,\"score\":number,\"tokens\":n,\"tokens_scored\":n,\"windows\":n},...],
   \"changes\":[{\"kind\":name,\"prompt\":[from,to],\"response\":[from,to],\"count\":n},...],\"changes_total\":n
from and to are bytes of the text given. With --keep-going, a line that cannot be checked is {\"error\":message}.")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// The response to judge together with the prompt TEXT (with "-": with every line)
    #[arg(long, value_name = "TEXT")]
    pub(crate) response: Option<String>,
    /// The language of the text, as a BCP-47 tag such as "fr"; identified from the text when absent
    #[arg(long, value_name = "TAG")]
    pub(crate) language: Option<String>,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Say where the score comes from: the part of the text, and the disguises that were taken off
    /// it
    #[arg(long)]
    pub(crate) explain: bool,
    #[command(flatten)]
    pub(crate) how: HowArgs,
    /// Check all of FILE as one text, whatever its lines; "-" is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["text", "literal_text"])]
    pub(crate) file: Option<PathBuf>,
    /// Report a line that cannot be checked and go on with the next; the exit status is 2 then
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// The text to check; "-" checks each line of standard input as it arrives
    #[arg(value_name = "TEXT | -")]
    pub(crate) text: Option<String>,
    /// The text to check, whatever it looks like
    #[arg(last = true, value_name = "TEXT", conflicts_with = "text")]
    pub(crate) literal_text: Option<String>,
}

/// How texts are checked.
#[derive(Debug, Args)]
pub(crate) struct HowArgs {
    /// Score at most the first N tokens of a text; the verdict then says nothing about the rest
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<usize>,
    /// How prompt and response become one text
    #[arg(long, value_enum, default_value = "space")]
    pub(crate) join: JoinArg,
    /// Score the text only as it is written, without taking disguises off it
    #[arg(long)]
    pub(crate) literal: bool,
    /// The score above which CATEGORY counts as unsafe, in every language; may be repeated
    #[arg(long, value_name = "CATEGORY=SCORE", value_parser = parse_threshold)]
    pub(crate) threshold: Vec<(String, f32)>,
    /// Use the model's thresholds for a false positive rate of at most RATE, such as 0.02
    #[arg(long, value_name = "RATE")]
    pub(crate) target_fpr: Option<f32>,
    /// Texts that are never flagged, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) allow: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum JoinArg {
    /// With a space between them: the rule of the benchmarks
    Space,
    /// With a line break between them
    Newline,
    /// Not at all: they are scored one by one
    Separate,
}

/// Measure a model on the six benchmarks of the DuoGuard paper
///
/// Prints, per language and benchmark, F1 beside the F1 of flagging everything, AUROC,
/// false-positive rate, recall, calibration error and the time of a check. Rows are scored one at a
/// time, and the guard has to identify their language itself.
#[derive(Debug, Args)]
#[command(after_help = "\
DIR is laid out as in the authors' repository: eval_data_En, eval_data_Fr, ..., each with
  xstest_v2_completions_gpt4_gpteval.csv  openai.json  toxic_chat.json
  beavertail_test.jsonl  rtp_lx_prompt.json  XSafety.json
All six must be there for every language asked for.

Examples:
  duoguard eval --benchmarks DIR
  duoguard eval --benchmarks DIR --report report.html
  duoguard eval --sentences tests/data/first-impressions.tsv
  duoguard eval --benchmarks DIR --languages De --json report.json --scores scores.jsonl

A line of the score file:
  {\"benchmark\":name,\"language\":name,\"row\":n,\"score\":number,\"flagged\":bool,\"label\":0|1}
row counts the benchmark file's rows from 0; label 1 is unsafe.")]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// The folder that holds eval_data_En and its siblings
    #[arg(long, value_name = "DIR", required_unless_present = "sentences")]
    pub(crate) benchmarks: Option<PathBuf>,
    /// Check labelled sentences instead, and list those that are judged wrongly: a table of set,
    /// lang, unsafe and text between tabs, with these names in its first line
    #[arg(
        long,
        value_name = "FILE.tsv",
        conflicts_with_all = ["benchmarks", "report", "scores", "robustness"]
    )]
    pub(crate) sentences: Option<PathBuf>,
    /// The languages, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "En,Fr,Es,De", value_parser = parse_folder_language)]
    pub(crate) languages: Vec<String>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the report as a page with figures, in one file that loads nothing
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
    /// Write the score of every row, one JSON object a line
    #[arg(long, value_name = "FILE.jsonl")]
    pub(crate) scores: Option<PathBuf>,
    /// Measure what disguises cost instead: how much of what is flagged in plain is flagged in
    /// disguise
    #[arg(long, conflicts_with = "scores")]
    pub(crate) robustness: bool,
    /// With --robustness: harmless texts, one JSON object with text and lang a line, plain or
    /// gzipped
    #[arg(long, value_name = "FILE", requires = "robustness")]
    pub(crate) benign: Option<PathBuf>,
    /// With --robustness: texts of each language and of each kind that is made up, at most
    #[arg(
        long,
        value_name = "N",
        requires = "robustness",
        default_value_if("robustness", "true", "500")
    )]
    pub(crate) texts: Option<usize>,
}

/// Turn a checkpoint (a Hugging Face folder or a GGUF file) into a bundle
///
/// Writes the ONNX graph, quantises it, compares it with the checkpoint and with its unquantised
/// self, and puts what it found into the bundle's manifest. Where quantising changes the guard by
/// more than a point in any language, nothing is written.
#[derive(Debug, Args)]
#[command(after_help = "\
The architectures are Qwen2ForSequenceClassification (Qwen2, Qwen2.5) and LlamaForSequenceClassification (Llama 3).
Texts are lines of JSON: {\"text\":..,\"lang\":tag,\"unsafe\":0|1,\"categories\":[..]}; only --certify does without the last two.

Examples:
  duoguard export DuoGuard-0.5B bundle
  duoguard export --quantize auto --calibrate validation.jsonl runs/mini/checkpoint models/mini
  duoguard export --quantize none --force CHECKPOINT BUNDLE_DIR")]
pub(crate) struct ExportArgs {
    /// The checkpoint: a folder with config.json, tokenizer.json, and model.safetensors or several
    /// such files with their index; or a GGUF file
    #[arg(value_name = "CHECKPOINT")]
    pub(crate) checkpoint: PathBuf,
    /// The bundle to write
    #[arg(value_name = "BUNDLE_DIR")]
    pub(crate) bundle: PathBuf,
    /// How to store the weights
    #[arg(long, value_name = "SCHEME", default_value = "int8", value_parser = schemes())]
    pub(crate) quantize: Quantize,
    /// Labelled texts to fit probabilities and set the thresholds by
    #[arg(long, value_name = "FILE")]
    pub(crate) calibrate: Option<PathBuf>,
    /// The share of the texts labelled safe that may be flagged, in each language
    #[arg(long, value_name = "RATE", default_value = "0.1")]
    pub(crate) target_fpr: f64,
    /// Harmless everyday texts, which thresholds are raised not to flag: lines of
    /// {"text":..,"lang":tag}
    #[arg(long, value_name = "FILE", requires = "calibrate")]
    pub(crate) benign: Option<PathBuf>,
    /// The share of them that may be flagged, in each language
    #[arg(long, value_name = "RATE", default_value = "0.02")]
    pub(crate) benign_fpr: f64,
    /// Texts to measure on what quantising changes [default: those of --calibrate, else a few
    /// built-in ones]
    #[arg(long, value_name = "FILE")]
    pub(crate) certify: Option<PathBuf>,
    /// Texts of a language that are measured, at most
    #[arg(long, value_name = "N", default_value = "400")]
    pub(crate) certify_rows: usize,
    /// The categories in the order of the model's outputs, separated by commas [default: the
    /// checkpoint's own names; for 12 outputs without names, those of DuoGuard]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) labels: Option<Vec<String>>,
    /// The label that stands for harmless text, where labels exclude each other [default: the one
    /// that is named "safe", "benign" or the like]
    #[arg(long, value_name = "NAME")]
    pub(crate) safe_label: Option<String>,
    /// Replace an existing bundle, and write one even if it fails a comparison
    #[arg(long)]
    pub(crate) force: bool,
}

/// The schemes by their names, with a line of help each.
fn schemes() -> impl clap::builder::TypedValueParser<Value = Quantize> {
    use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
    let values = SCHEMES.map(|scheme| PossibleValue::new(scheme.option).help(scheme.help));
    PossibleValuesParser::new(values).try_map(|name| name.parse::<Quantize>())
}

/// Show what a bundle says about itself, and check its files
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 if the bundle is whole and opens, 2 if not.

Example:
  duoguard inspect models/mini")]
pub(crate) struct InspectArgs {
    /// The bundle
    #[arg(value_name = "BUNDLE_DIR")]
    pub(crate) bundle: PathBuf,
    /// Ask for its signature: the public key's file, such as minisign.pub
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
    /// Print all of it: every threshold, the certificate's tables, the provenance and every file
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// List the engines: which this machine can use, and how to get the others
///
/// Lists the GPUs too, each with its limits and the result of a self-test, and says which engine
/// "auto" takes for the model. The first time on a machine with a real GPU, that is measured.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  duoguard engines
  duoguard engines --time --model DIR")]
pub(crate) struct EnginesArgs {
    /// The model's bundle, as for check
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Threads that one check may use
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_threads)]
    pub(crate) threads: NonZeroUsize,
    /// Time every engine on windows of 16 to 512 tokens
    #[arg(long)]
    pub(crate) time: bool,
}

/// Which model, on what.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// The model's bundle [default: $DUOGUARD_MODEL, else models/base, else models/mini, beside
    /// the program, in a folder above it, or here]
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Take the model only if it is signed: the public key's file, such as minisign.pub
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
    /// The engine that computes: a name from `duoguard engines`, or auto for the first one
    /// available
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = parse_engine)]
    pub(crate) engine: EngineChoice,
    /// Threads that one check may use
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_threads)]
    pub(crate) threads: NonZeroUsize,
}

fn parse_engine(text: &str) -> Result<EngineChoice, std::convert::Infallible> {
    text.parse()
}

fn parse_threads(text: &str) -> Result<NonZeroUsize, String> {
    let parsed = text.parse::<NonZeroUsize>().ok();
    parsed
        .filter(|threads| threads.get() <= MAX_THREADS)
        .ok_or_else(|| format!("expected a number from 1 to {MAX_THREADS}"))
}

fn parse_threshold(text: &str) -> Result<(String, f32), String> {
    let parts = text.split_once('=');
    let parsed =
        parts.and_then(|(category, score)| Some((category.to_owned(), score.parse().ok()?)));
    parsed.ok_or_else(|| "expected a category and a score, as in hate=0.8".to_owned())
}

/// Accepts what can be the end of a folder's name, and nothing that leads out of it.
fn parse_folder_language(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !text.is_empty() && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("expected the ending of a folder eval_data_..., such as En".to_owned())
    }
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
