//! The generator as it was before the first round, as a judge.

use std::sync::Arc;

use tch::{Kind, Tensor};

use crate::error::TrainError;
use crate::game::instructions::{SAFETY_ANSWERS, rating_instruction, safety_instruction};
use crate::game::judge::{Judge, JudgeRequest, Rating, rating_of_probability};
use crate::game::kind::Wanted;
use crate::game::prompt::{ChatFormat, PromptFormat};
use crate::model::decoder::Decoder;
use crate::model::likelihood::share_of_first;
use crate::model::tensors::host;

/// Texts whose likelihoods are computed at once.
pub(crate) const TEXTS_AT_ONCE: usize = 32;
/// Ratings are 1 to 5.
const RATINGS: usize = 5;

/// The generator as it was before the first round, as a judge.
pub(crate) struct ReferenceJudge<'a> {
    /// The form of its prompts.
    pub format: Arc<PromptFormat>,
    /// The network.
    pub decoder: &'a Decoder,
}

impl Judge for ReferenceJudge<'_> {
    fn rate(&mut self, requests: &[JudgeRequest<'_>]) -> Result<Vec<Rating>, TrainError> {
        match self.format.chat() {
            Some(chat) => self.rate_by_instruction(chat, requests),
            None => {
                let unsafety = self.unsafety(requests)?.into_iter();
                let ratings = unsafety.map(rating_of_probability);
                Ok(ratings.map(Rating::Unsafety).collect())
            }
        }
    }
}

impl ReferenceJudge<'_> {
    /// It is told to answer with a rating: the one it would give, expected over the five that it
    /// could. A small model seldom answers with a number alone, and knows more than its likeliest
    /// word says.
    fn rate_by_instruction(
        &self,
        chat: &ChatFormat,
        requests: &[JudgeRequest<'_>],
    ) -> Result<Vec<Rating>, TrainError> {
        let answers: Vec<i32> = (1..=RATINGS)
            .filter_map(|rating| match self.format.encode(&rating.to_string())[..] {
                [id] => Some(id),
                _ => None,
            })
            .collect();
        if answers.len() != RATINGS {
            let reason = "the generator's has no single tokens for 1, 2, 3, 4 and 5, which it is to \
                          rate with; name another game.judge";
            return Err(TrainError::Tokenizer(reason.to_owned()));
        }
        let _guard = tch::no_grad_guard();
        let answers = self.decoder.indices(&answers);
        let mut ratings = Vec::with_capacity(requests.len());
        for requests in requests.chunks(TEXTS_AT_ONCE) {
            let prompt = |request: &JudgeRequest<'_>| -> Result<Vec<i32>, TrainError> {
                Ok(self
                    .format
                    .encode(&chat.render(&rating_instruction(request.text))?))
            };
            let prompts: Result<Vec<_>, TrainError> = requests.iter().map(prompt).collect();
            let prompts = prompts?;
            let tokens = prompts.iter().map(Vec::len).fold(0, usize::max);
            let (mut ids, mut last) = (Vec::new(), Vec::new());
            for (row, prompt) in prompts.iter().enumerate() {
                ids.extend_from_slice(prompt);
                ids.resize((row + 1) * tokens, self.format.end);
                last.push((row * tokens + prompt.len() - 1) as i64);
            }
            let size = [prompts.len(), tokens];
            let hidden = self.decoder.hidden(&ids, size, Some(&last));
            let logits = hidden.linear(&self.decoder.head().value, None::<&Tensor>);
            let logits = logits.to_kind(Kind::Float).index_select(1, &answers);
            let shares = host(&logits.softmax(1, Kind::Float));
            let expected = |shares: &[f32]| -> f32 {
                let shares = shares.iter().enumerate();
                shares
                    .map(|(below, share)| (below + 1) as f32 * share)
                    .sum()
            };
            let rated = shares.chunks(RATINGS).map(expected);
            ratings.extend(rated.map(|rating| Rating::Unsafety(rating.round() as u8)));
        }
        Ok(ratings)
    }

    /// How likely each text is unsafe, in [0, 1], by likelihoods alone. An instructed model is
    /// asked for a word, and the two that it may answer are compared. Our own knows two prefixes:
    /// how likely is the unsafe one, given the text?
    ///
    /// # Errors
    /// A chat template that fails on a text.
    pub(crate) fn unsafety(&self, requests: &[JudgeRequest<'_>]) -> Result<Vec<f32>, TrainError> {
        let row = |request: &JudgeRequest<'_>, is_unsafe| -> Result<_, TrainError> {
            if let Some(chat) = self.format.chat() {
                let prompt = chat.render(&safety_instruction(request.text))?;
                let answer = SAFETY_ANSWERS[usize::from(is_unsafe)];
                return Ok((self.format.encode(&prompt), self.format.encode(answer)));
            }
            let (seed, language) = (request.seed_text, request.language);
            let wanted = Wanted::prompt(seed, language, is_unsafe);
            let prompt = self.format.generation_prompt(&wanted)?;
            Ok((prompt, self.format.encode(request.text)))
        };
        let _guard = tch::no_grad_guard();
        let mut all = Vec::with_capacity(requests.len());
        for requests in requests.chunks(TEXTS_AT_ONCE) {
            let pairs = requests.iter().map(|r| Ok((row(r, true)?, row(r, false)?)));
            let pairs: Result<Vec<_>, TrainError> = pairs.collect();
            all.extend(share_of_first(self.decoder, &pairs?, self.format.end));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::data::tokenizer::Tokenizer;
    use crate::model::likelihood::log_likelihood;
    use crate::recipe::ModelRecipe;

    fn shape() -> ModelRecipe {
        ModelRecipe {
            layers: 1,
            hidden: 32,
            heads: 2,
            kv_heads: 1,
            intermediate: 24,
            max_position: 64,
            rope_theta: 10000.0,
            norm_eps: 1e-6,
            rope_scaling: None,
            tied: true,
            qkv_bias: true,
        }
    }

    #[test]
    fn likelihood_rates_by_the_prefix_that_makes_a_text_likelier() {
        let texts = ["warm soup and bread", "good bread"];
        let tokenizer = Tokenizer::train(texts.iter().copied().cycle().take(100), 270).unwrap();
        let mut reference = Decoder::new(&shape(), tokenizer.vocabulary(), 3, &Device::Cpu);
        let _ = reference.weights.flat.g_mul_scalar_(20.0);
        let format = Arc::new(PromptFormat::gloss(tokenizer, Default::default()));
        let requests: Vec<JudgeRequest<'_>> = ["good soup", "bread", "warm", "and soup and bread"]
            .iter()
            .map(|text| JudgeRequest {
                text,
                language: "de",
                seed_text: "good bread",
                seed_key: "",
            })
            .collect();
        let mut judge = ReferenceJudge {
            format: format.clone(),
            decoder: &reference,
        };
        let found = judge.rate(&requests).unwrap();
        for (request, found) in requests.iter().zip(found) {
            let likelihood = |is_unsafe| {
                let prompt = format
                    .generation_prompt(&Wanted::prompt("good bread", "de", is_unsafe))
                    .unwrap();
                let text = format.encode(request.text);
                host(&log_likelihood(&reference, &[(&prompt, &text)], format.end))[0]
            };
            let (unsafe_, safe) = (likelihood(true), likelihood(false));
            let expected = rating_of_probability(1.0 / (1.0 + (safe - unsafe_).exp()));
            assert_eq!(
                found,
                Rating::Unsafety(expected),
                "{}: {unsafe_} {safe}",
                request.text
            );
        }
    }

    #[test]
    fn an_instructed_model_rates_as_it_would_answer() {
        let folder = tempfile::tempdir().unwrap();
        let texts = ["1 2 3 4 5 warm soup", "good bread"];
        let tokenizer = Tokenizer::train(texts.iter().copied().cycle().take(100), 270).unwrap();
        let vocabulary = tokenizer.vocabulary();
        let path = folder.path().join("tokenizer.json");
        tokenizer.save(&path).unwrap();
        let config = serde_json::json!({
            "eos_token": "<|endoftext|>", "bos_token": null,
            "chat_template": "{{ messages[0].content[150:190] }}{{ messages[0].content[-4:] }}",
        });
        let path = folder.path().join("tokenizer_config.json");
        std::fs::write(path, config.to_string()).unwrap();
        let format = Arc::new(PromptFormat::of_checkpoint(folder.path()).unwrap());
        let mut reference = Decoder::new(&shape(), vocabulary, 3, &Device::Cpu);
        let _ = reference.weights.flat.g_mul_scalar_(20.0);
        let request = |text| JudgeRequest {
            text,
            language: "de",
            seed_text: "good bread",
            seed_key: "",
        };
        let requests = ["good soup", "bread", "warm and warm and warm soup"].map(request);
        let mut judge = ReferenceJudge {
            format: format.clone(),
            decoder: &reference,
        };
        let found = judge.rate(&requests).unwrap();
        // Beside others, which are padded, as alone.
        for (request, found) in requests.iter().zip(&found) {
            assert_eq!(judge.rate(&[*request]).unwrap(), [*found]);
            let chat = format.chat().unwrap();
            let prompt = format.encode(&chat.render(&rating_instruction(request.text)).unwrap());
            let rows: Vec<Vec<i32>> = (1..=RATINGS)
                .map(|rating| format.encode(&rating.to_string()))
                .collect();
            let rows: Vec<(&[i32], &[i32])> = rows.iter().map(|t| (&prompt[..], &t[..])).collect();
            // The end token after each is no part of a rating: its likelihood is taken off.
            let with_end = host(&log_likelihood(&reference, &rows, format.end));
            let ends: Vec<f32> = rows
                .iter()
                .map(|(prompt, text)| {
                    let all: Vec<i32> = prompt.iter().chain(*text).copied().collect();
                    host(&log_likelihood(
                        &reference,
                        &[(&all[..], &[][..])],
                        format.end,
                    ))[0]
                })
                .collect();
            let weights: Vec<f32> = with_end
                .iter()
                .zip(ends)
                .map(|(a, b)| (a - b).exp())
                .collect();
            let sum: f32 = weights.iter().sum();
            let expected = weights.iter().enumerate();
            let expected: f32 = expected.map(|(i, w)| (i + 1) as f32 * w / sum).sum();
            assert_eq!(
                *found,
                Rating::Unsafety(expected.round() as u8),
                "{expected}"
            );
        }
    }
}
