//! Recipes that must be refused, with the line and key that the error names.

use super::*;
use crate::recipe::Precision;

const MINI: &str = include_str!("../../../../recipes/mini-linear.toml");
const STUDENT: &str = include_str!("../../../../recipes/mini.toml");

fn error(text: &str) -> String {
    Recipe::parse(Path::new("r.toml"), text)
        .unwrap_err()
        .to_string()
}

#[test]
fn every_recipe_of_the_project_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes");
    let mut names = Vec::new();
    for folder in [folder.clone(), folder.join("ablations")] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_recipe = !path.ends_with("sources.toml");
            if is_recipe && path.extension().is_some_and(|e| e == "toml") {
                names.push(Recipe::load(&path).unwrap_or_else(|e| panic!("{e}")).name);
            }
        }
    }
    names.sort();
    let expected = [
        "base",
        "demo",
        "duoguard-0_5b",
        "game",
        "game-gpu",
        "game-mini",
        "mini",
        "mini-linear",
        "seed-all",
        "seed-en",
        "seed-en-fr",
    ];
    assert_eq!(names, expected);
}

#[test]
fn computing_is_said_in_one_table() {
    let with = |table: &str| format!("{MINI}\n[compute]\n{table}\n");
    let compute = Recipe::parse(Path::new("r.toml"), MINI).unwrap().compute;
    assert_eq!(compute.precision, Precision::F32);
    assert!(!compute.recompute_layers && compute.read_every.is_none());
    let paper = include_str!("../../../../recipes/duoguard-0.5b.toml");
    let compute = Recipe::parse(Path::new("r.toml"), paper).unwrap().compute;
    assert_eq!(compute.precision, Precision::Bf16);
    assert!(compute.recompute_layers);
    assert!(error(&with("read_every = 0")).contains("compute.read_every: expected 1 to 1000"));
    assert!(error(&with("precision = \"f16\"")).contains("f16"));
}

#[test]
fn a_run_starts_from_a_checkpoint_or_from_nothing() {
    let both = format!("{MINI}\n[base]\ncheckpoint = \"Qwen2.5-0.5B\"\n");
    assert!(error(&both).contains("either [base] alone"));
    let start = MINI.find("[tokenizer]").unwrap();
    let neither = format!(
        "{}{}",
        &MINI[..start],
        &MINI[MINI.find("[model]").unwrap()..]
    );
    assert!(error(&neither).contains("either [base] alone"));
}

#[test]
fn what_is_for_encoders_alone_is_refused_elsewhere() {
    let share = MINI.replacen("ema =", "base_share = 0.2\nema =", 1);
    assert!(error(&share).contains("classifier.base_share: expected 0 without"));
    let probe = format!("{MINI}\n[classifier.linear_probe]\nsteps = 1\nlearning_rate = 0.1\n");
    assert!(error(&probe).contains("classifier.linear_probe: expected no table without"));
}

#[test]
fn a_teacher_is_for_a_decoder_that_starts_from_nothing() {
    let recipe = Recipe::parse(Path::new("r.toml"), STUDENT).unwrap();
    assert!(recipe.distill.is_some());
    for (from, to, mention) in [
        (
            "\nshare = 0.8",
            "\nshare = 1.1",
            "distill.share: expected a share",
        ),
        (
            "cropped = 0.12",
            "cropped = 1.0",
            "distill.cropped: expected a share",
        ),
        (
            "text_bytes = 600",
            "text_bytes = 3",
            "distill.text_bytes: expected 64 to",
        ),
        (
            "logit_error = 0.01",
            "logit_error = -1.0",
            "distill.logit_error: expected 0 or",
        ),
        (
            "bytes = 600000",
            "bytes = 0",
            "tokenizer.balance.bytes: expected 1 to",
        ),
    ] {
        assert!(STUDENT.contains(from), "{from}");
        let found = error(&STUDENT.replacen(from, to, 1));
        assert!(found.contains(mention), "{found}");
    }
    let linear = "\n[classifier.teacher]\nshare = 0.5\nfolds = 2\ntexts = 9\nlearning_rate = 0.2\n";
    let found = error(&format!("{STUDENT}{linear}"));
    assert!(
        found.contains("neither [game] nor [classifier.teacher]"),
        "{found}"
    );
    // A path in a recipe's folder, whatever the working directory is.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/mini.toml");
    let teacher = Recipe::load(&path).unwrap().distill.unwrap().teacher;
    assert!(
        teacher.join("manifest.json").exists(),
        "{}",
        teacher.display()
    );
}

/// Every key of an optimizer, in every stage.
#[test]
fn keys_of_an_optimizer_are_checked_like_others() {
    let demo = include_str!("../../../../recipes/game-mini.toml");
    for table in STAGE_TABLES {
        let start = demo.find(&format!("[{table}]\n")).unwrap();
        let line = demo[..start].matches('\n').count() + 1;
        let with = |from: &str, to: &str| {
            let (before, after) = demo.split_at(start);
            let at = line + after[..after.find(from).unwrap()].matches('\n').count();
            let text = format!("{before}{}", after.replacen(from, to, 1));
            (at, error(&text))
        };
        let (at, found) = with("warmup = ", "warmth = 1\nwarmup = ");
        let expected = format!("r.toml:{at}: unknown field `warmth`");
        assert!(found.starts_with(&expected), "{table}: {found}");
        let (_, found) = with("warmup = ", "warmth = ");
        assert!(found.contains("warm"), "{table}: {found}");
        let (at, found) = with("learning_rate = ", "learning_rate = \"fast\" # ");
        let expected = format!("r.toml:{at}: {table}.learning_rate: expected a number");
        assert!(found.starts_with(&expected), "{table}: {found}");
        let (at, found) = with("checkpoint_every = ", "checkpoint_every = 0 # ");
        let expected = format!("r.toml:{at}: {table}.checkpoint_every: expected at least 1");
        assert!(found.starts_with(&expected), "{table}: {found}");
    }
}

#[test]
fn players_that_do_not_fit_are_refused() {
    let demo = include_str!("../../../../recipes/demo.toml");
    let teacher = demo.find("[classifier.teacher]").unwrap();
    let game = demo.find("[game]").unwrap();
    let without = format!("{}{}", &demo[..teacher], &demo[game..]);
    let found = error(&without);
    assert!(
        found.contains("game.judge.kind: expected a [classifier.teacher]"),
        "{found}"
    );
}

#[test]
fn kinds_and_languages_fit_the_players() {
    let demo = include_str!("../../../../recipes/demo.toml");
    let with = |from: &str, to: &str| {
        assert!(demo.contains(from), "{from}");
        error(&demo.replacen(from, to, 1))
    };
    let found = with("proposals = 2", "kinds = [\"twin\"]\nproposals = 2");
    assert!(
        found.contains("game.kinds: expected prompt alone"),
        "{found}"
    );
    let found = with("proposals = 2", "kinds = []\nproposals = 2");
    assert!(
        found.contains("game.kinds: expected at least one"),
        "{found}"
    );
    let found = with("proposals = 2", "kinds = [\"poem\"]\nproposals = 2");
    assert!(found.contains("poem"), "{found}");
    let found = with("[\"de\", \"fr\", \"es\"]", "[\"de\", \"en\"]");
    assert!(found.contains("game.languages: expected no en"), "{found}");
    assert!(with("replay = 3", "replay = 0").contains("game.replay: expected 1 to 100"));
    let table = "[game.calibration]\nrows = 4\nleast_precision = 0.5\n[game.judge]";
    let found = with("[game.judge]", table);
    assert!(
        found.contains("game.calibration.rows: expected at least 8"),
        "{found}"
    );

    for (key, found) in [
        (
            "game.most_minutes",
            with("replay = 3", "replay = 3\nmost_minutes = 0"),
        ),
        (
            "game.most_megabytes",
            with("replay = 3", "replay = 3\nmost_megabytes = -1"),
        ),
    ] {
        assert!(
            found.contains(&format!("{key}: expected a positive")),
            "{found}"
        );
    }

    let game = include_str!("../../../../recipes/game.toml");
    let recipe = Recipe::parse(Path::new("r.toml"), game).unwrap();
    assert!(recipe.start.encoder().is_some() && recipe.game.is_some());
    let from = game.find("[game.generator]").unwrap();
    let to = game.find("[game.judge]").unwrap();
    let own = &demo[demo.find("[game.generator]").unwrap()..demo.find("[game.judge]").unwrap()];
    let found = error(&format!("{}{own}{}", &game[..from], &game[to..]));
    assert!(found.contains("expected"), "{found}");
}

#[test]
fn an_ensemble_votes_where_it_can() {
    let game = include_str!("../../../../recipes/game.toml");
    let with = |from: &str, to: &str| {
        assert!(game.contains(from), "{from}");
        error(&game.replacen(from, to, 1))
    };
    let found = with("folds = 3", "folds = 2");
    assert!(
        found.contains("game.judge.folds: expected 3 to 16"),
        "{found}"
    );
    let found = with("generator = true", "least_agreement = 0.3");
    let says = "none but with an own generator";
    assert!(
        found.contains("game.judge.least_agreement") && found.contains(says),
        "{found}"
    );
    let found = with(
        "[game.calibration]\nrows = 100\nleast_precision = 0.6\n",
        "",
    );
    assert!(
        found.contains("game.calibration: expected a table"),
        "{found}"
    );
    let from = game.find("[game.generator]").unwrap();
    let to = game.find("[game.judge]").unwrap();
    let endpoint = "[game.generator]\nkind = \"endpoint\"\nbase_url = \"http://a/v1\"\n\
                    model = \"m\"\nconcurrency = 1\ntimeout_s = 1.0\nretries = 0\n\
                    backoff_s = 0.1\nstop_after_failures = 1\nmax_tokens = 8\n";
    let found = error(&format!("{}{endpoint}{}", &game[..from], &game[to..]));
    assert!(
        found.contains("game.judge.generator: expected false"),
        "{found}"
    );
}

#[test]
fn patience_needs_sources_that_are_held_out() {
    let found = error(&MINI.replacen("ema =", "patience = 3\nema =", 1));
    let says = "classifier.patience: expected 0 without data.held_out_sources";
    assert!(found.contains(says), "{found}");
}

#[test]
fn errors_name_line_and_key() {
    let line = |needle: &str| MINI.lines().position(|l| l.starts_with(needle)).unwrap() + 1;
    for (from, to, line_number, mention) in [
        (
            "vocabulary = 16000",
            "vocabulary = 16000\nspelling = 1",
            line("vocabulary") + 1,
            "spelling",
        ),
        (
            "vocabulary = 16000",
            "vocabulary = \"many\"",
            line("vocabulary"),
            "invalid type",
        ),
        (
            "vocabulary = 16000",
            "vocabulary = 12",
            line("vocabulary"),
            "257",
        ),
        ("kv_heads = 2", "kv_heads = 5", line("kv_heads"), "divisor"),
        (
            // 16 times as many are 16, in 64 bits.
            "heads = 4",
            "heads = 1152921504606846977",
            line("hidden"),
            "a multiple of 16 x model.heads",
        ),
        (
            "validation_fraction = 0.04",
            "validation_fraction = 0.9",
            line("validation_fraction"),
            "(0, 0.5]",
        ),
        (
            "loss = \"log_sum_exp\"",
            "loss = \"hinge\"",
            line("loss"),
            "hinge",
        ),
    ] {
        assert!(MINI.contains(from), "{from}");
        let found = error(&MINI.replacen(from, to, 1));
        assert!(
            found.starts_with(&format!("r.toml:{line_number}: ")) && found.contains(mention),
            "{found}"
        );
    }
}
