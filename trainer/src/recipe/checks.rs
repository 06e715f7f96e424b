//! The range that every value of a recipe must be in.

use super::{HEAD_SIZE_STEP, ModelRecipe, PretrainRecipe, Recipe, Start, TokenizerRecipe};

/// A key, whether its value is possible, and what is expected.
pub(super) type Check = (&'static str, bool, &'static str);

impl Recipe {
    /// Every range a value must be in: (key, whether it holds, what is expected).
    pub(super) fn checks(&self) -> Vec<Check> {
        let classifier = &self.classifier;
        // A checkpoint's own limit is known when it is opened.
        let max_position = self.model.as_ref().map_or(usize::MAX, |m| m.max_position);
        let sampling = &classifier.sampling;
        let teacher = classifier.teacher.as_ref();
        let named = !self.name.is_empty()
            && self
                .name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        let windows = |window: usize| window > 0 && window <= max_position;
        let mut checks = vec![
            ("name", named, "letters, digits, - and _ only"),
            (
                "data.seed",
                !self.data.seed.is_empty(),
                "at least one file or folder",
            ),
            (
                "data.languages",
                !self.data.languages.is_empty(),
                "at least one language",
            ),
            (
                "data.seed_languages",
                self.data.seed_languages.as_ref().is_none_or(|seed| {
                    !seed.is_empty() && seed.iter().all(|l| self.data.languages.contains(l))
                }),
                "at least one language, each of them among data.languages",
            ),
            (
                "data.validation_fraction",
                self.data.validation_fraction > 0.0 && self.data.validation_fraction <= 0.5,
                "a fraction in (0, 0.5]",
            ),
            ("classifier.steps", classifier.steps > 0, "at least 1"),
            (
                "classifier.window_tokens",
                windows(classifier.window_tokens),
                "1 to model.max_position",
            ),
            (
                "classifier.overlap_tokens",
                classifier.overlap_tokens < classifier.window_tokens,
                "less than classifier.window_tokens",
            ),
            (
                "classifier.batch_tokens",
                classifier.batch_tokens >= classifier.window_tokens,
                "at least classifier.window_tokens",
            ),
            (
                "classifier.learning_rate",
                positive(classifier.learning_rate),
                "a positive number",
            ),
            (
                "classifier.warmup",
                below_one(classifier.warmup),
                "a fraction in [0, 1)",
            ),
            (
                "classifier.weight_decay",
                share(classifier.weight_decay),
                "0 to 1",
            ),
            (
                "classifier.max_gradient_norm",
                positive(classifier.max_gradient_norm),
                "a positive number",
            ),
            (
                "classifier.accumulation",
                classifier.accumulation > 0,
                "at least 1",
            ),
            (
                "classifier.token_dropout",
                below_one(classifier.token_dropout),
                "a probability in [0, 1)",
            ),
            (
                "classifier.label_smoothing",
                (0.0..0.5).contains(&classifier.label_smoothing),
                "0 to less than 0.5",
            ),
            (
                "classifier.checkpoint_every",
                classifier.checkpoint_every > 0,
                "at least 1",
            ),
            (
                "compute.read_every",
                self.compute
                    .read_every
                    .is_none_or(|n| (1..=1000).contains(&n)),
                "1 to 1000",
            ),
            (
                "classifier.ema",
                below_one(classifier.ema),
                "a decay in [0, 1)",
            ),
            (
                "classifier.sampling.language_power",
                share(sampling.language_power),
                "0 to 1",
            ),
            (
                "classifier.sampling.source_power",
                share(sampling.source_power),
                "0 to 1",
            ),
            (
                "classifier.sampling.code_switch",
                share(sampling.code_switch),
                "a probability in [0, 1]",
            ),
            (
                "classifier.sampling.benign_parallel",
                below_one(sampling.benign_parallel),
                "a share in [0, 1)",
            ),
            (
                "classifier.sampling.join",
                below_one(sampling.join),
                "a probability in [0, 1)",
            ),
            (
                "classifier.teacher.share",
                teacher.is_none_or(|t| share(t.share)),
                "a share in [0, 1]",
            ),
            (
                "classifier.teacher.folds",
                teacher.is_none_or(|t| (2..=64).contains(&t.folds)),
                "2 to 64",
            ),
            (
                "classifier.teacher.texts",
                teacher.is_none_or(|t| t.texts > 0),
                "at least 1",
            ),
            (
                "classifier.teacher.learning_rate",
                teacher.is_none_or(|t| positive(t.learning_rate)),
                "a positive number",
            ),
            (
                "classifier.sampling.source_weight",
                sampling.source_weight.values().all(|&w| positive(w)),
                "positive numbers",
            ),
            (
                "classifier.sampling.source_smoothing",
                sampling
                    .source_smoothing
                    .values()
                    .all(|&s| (0.0..0.5).contains(&s)),
                "0 to less than 0.5",
            ),
        ];
        match self.start() {
            Some(Start::Scratch(tokenizer, model, pretrain)) => {
                checks.extend(scratch_checks(tokenizer, model, pretrain));
            }
            Some(Start::Checkpoint(_)) => {}
            None => checks.push((
                "base",
                false,
                "either [base] alone, or [tokenizer], [model] and [pretrain]",
            )),
        }
        if let Some(game) = &self.game {
            checks.extend(game.checks(max_position, teacher.is_some()));
            checks.push((
                "game.languages",
                game.languages
                    .iter()
                    .all(|l| self.data.languages.contains(l)),
                "languages that data.languages has too",
            ));
        }
        checks
    }
}

fn scratch_checks(
    tokenizer: &TokenizerRecipe,
    model: &ModelRecipe,
    pretrain: &PretrainRecipe,
) -> Vec<Check> {
    let heads = model.heads > 0
        && model.hidden > 0
        && model.hidden.is_multiple_of(HEAD_SIZE_STEP * model.heads);
    vec![
        (
            "tokenizer.vocabulary",
            (257..=1_000_000).contains(&tokenizer.vocabulary),
            "257 (the bytes and one special token) to 1000000",
        ),
        (
            "model.layers",
            (1..=256).contains(&model.layers),
            "1 to 256",
        ),
        (
            "model.hidden",
            heads && model.hidden <= 65_536,
            "a multiple of 16 x model.heads, at most 65536",
        ),
        (
            "model.kv_heads",
            model.kv_heads > 0 && model.heads.is_multiple_of(model.kv_heads),
            "a divisor of model.heads",
        ),
        (
            "model.intermediate",
            (1..=1_000_000).contains(&model.intermediate),
            "1 to 1000000",
        ),
        (
            "model.max_position",
            (1..=1_000_000).contains(&model.max_position),
            "1 to 1000000",
        ),
        (
            "model.rope_theta",
            positive(model.rope_theta),
            "a positive number",
        ),
        (
            "model.norm_eps",
            positive(model.norm_eps),
            "a positive number",
        ),
        (
            "pretrain.window_tokens",
            (1..=model.max_position).contains(&pretrain.window_tokens),
            "1 to model.max_position",
        ),
        (
            "pretrain.batch_tokens",
            pretrain.batch_tokens >= pretrain.window_tokens,
            "at least pretrain.window_tokens",
        ),
        (
            "pretrain.learning_rate",
            positive(pretrain.learning_rate),
            "a positive number",
        ),
        (
            "pretrain.warmup",
            below_one(pretrain.warmup),
            "a fraction in [0, 1)",
        ),
        (
            "pretrain.weight_decay",
            share(pretrain.weight_decay),
            "0 to 1",
        ),
        (
            "pretrain.max_gradient_norm",
            positive(pretrain.max_gradient_norm),
            "a positive number",
        ),
        (
            "pretrain.checkpoint_every",
            pretrain.checkpoint_every > 0,
            "at least 1",
        ),
    ]
}

pub(super) fn share(x: f64) -> bool {
    (0.0..=1.0).contains(&x)
}

pub(super) fn below_one(x: f64) -> bool {
    (0.0..1.0).contains(&x)
}

pub(super) fn positive(x: f64) -> bool {
    x.is_finite() && x > 0.0
}
