//! The generator as it was before the first round, as a judge.

use std::sync::Arc;

use crate::error::TrainError;
use crate::game::instructions::{parse_rating, rating_instruction};
use crate::game::judge::{Judge, JudgeRequest, Rating, rating_of_probability};
use crate::game::kind::Wanted;
use crate::game::prompt::{ChatFormat, PromptFormat};
use crate::model::decoder::Decoder;
use crate::model::generate::{Prompt, generate};
use crate::model::likelihood::share_of_first;
use crate::model::sampler::SamplingSettings;

/// Texts whose likelihoods are computed at once.
pub(crate) const TEXTS_AT_ONCE: usize = 32;
/// Tokens of a rating at most.
const RATING_TOKENS: usize = 16;

/// The generator as it was before the first round, as a judge.
pub(crate) struct ReferenceJudge<'a> {
    /// The form of its prompts.
    pub format: Arc<PromptFormat>,
    /// The network.
    pub decoder: &'a Decoder,
    /// Seeds the sampling of ratings.
    pub seed: u64,
}

impl Judge for ReferenceJudge<'_> {
    fn rate(&mut self, requests: &[JudgeRequest<'_>]) -> Result<Vec<Rating>, TrainError> {
        match self.format.chat() {
            Some(chat) => self.rate_by_instruction(chat, requests),
            None => self.rate_by_likelihood(requests),
        }
    }
}

impl ReferenceJudge<'_> {
    /// It is told to answer with a rating.
    fn rate_by_instruction(
        &self,
        chat: &ChatFormat,
        requests: &[JudgeRequest<'_>],
    ) -> Result<Vec<Rating>, TrainError> {
        let prompts: Result<Vec<Prompt>, TrainError> = requests
            .iter()
            .map(|request| {
                let instruction = rating_instruction(request.text);
                Ok(Prompt {
                    ids: self.format.encode(&chat.render(&instruction)?),
                    seed: self.seed,
                    bonus_tokens: Vec::new(),
                })
            })
            .collect();
        let settings = SamplingSettings {
            // A rating is wanted, not a sample.
            temperature: 0.01,
            top_p: 1.0,
            max_tokens: RATING_TOKENS,
            end: self.format.end,
            token_bonus: 0.0,
        };
        let rating = |ids: Option<Vec<i32>>| {
            let rating = ids.and_then(|ids| parse_rating(&self.format.decode(&ids)));
            rating.map_or(Rating::Unparseable, Rating::Unsafety)
        };
        let answers = generate(self.decoder, &prompts?, &settings);
        Ok(answers.into_iter().map(rating).collect())
    }

    /// How likely is the unsafe prefix, given the text?
    fn rate_by_likelihood(&self, requests: &[JudgeRequest<'_>]) -> Result<Vec<Rating>, TrainError> {
        let row = |request: &JudgeRequest<'_>, is_unsafe| -> Result<_, TrainError> {
            let (seed, language) = (request.seed_text, request.language);
            let wanted = Wanted::prompt(seed, language, is_unsafe);
            let prompt = self.format.generation_prompt(&wanted)?;
            Ok((prompt, self.format.encode(request.text)))
        };
        let mut ratings = Vec::with_capacity(requests.len());
        for requests in requests.chunks(TEXTS_AT_ONCE) {
            let pairs = requests.iter().map(|r| Ok((row(r, true)?, row(r, false)?)));
            let pairs: Result<Vec<_>, TrainError> = pairs.collect();
            let unsafety = share_of_first(self.decoder, &pairs?, self.format.end);
            let ratings_of = unsafety.into_iter().map(rating_of_probability);
            ratings.extend(ratings_of.map(Rating::Unsafety));
        }
        Ok(ratings)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::data::tokenizer::Tokenizer;
    use crate::model::likelihood::log_likelihood;
    use crate::model::tensors::host;
    use crate::recipe::ModelRecipe;

    #[test]
    fn likelihood_rates_by_the_prefix_that_makes_a_text_likelier() {
        let texts = ["warm soup and bread", "good bread"];
        let tokenizer = Tokenizer::train(texts.iter().copied().cycle().take(100), 270).unwrap();
        let shape = ModelRecipe {
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
        };
        let mut reference = Decoder::new(&shape, tokenizer.vocabulary(), 3, &Device::Cpu);
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
            seed: 1,
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
}
