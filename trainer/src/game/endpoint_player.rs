//! Players that sit behind an OpenAI-compatible endpoint.

use std::path::PathBuf;

use crate::endpoint::{ChatRequest, Completion, Endpoint, EndpointSettings};
use crate::error::TrainError;
use crate::game::answer::text_of;
use crate::game::generator::{Generator, GeneratorRequest};
use crate::game::instructions::{generation_instruction, parse_rating, rating_instruction};
use crate::game::judge::{Judge, JudgeRequest, Rating};
use crate::recipe::EndpointRecipe;

/// A language model behind an endpoint. What it answered is in its journal, so a resumed run does
/// not ask again.
pub(crate) struct EndpointPlayer {
    endpoint: Endpoint,
    journal: PathBuf,
}

impl EndpointPlayer {
    /// Nothing is sent yet. `journal` belongs to one player in one round.
    ///
    /// # Errors
    /// A setting out of range, or no key in the environment.
    pub(crate) fn new(
        recipe: &EndpointRecipe,
        (temperature, top_p): (f64, f64),
        seed: u64,
        journal: PathBuf,
    ) -> Result<Self, TrainError> {
        let endpoint = Endpoint::new(EndpointSettings {
            base_url: recipe.base_url.clone(),
            model: recipe.model.clone(),
            api_key_variable: recipe.api_key_variable.clone(),
            concurrency: recipe.concurrency,
            timeout_s: recipe.timeout_s,
            retries: recipe.retries,
            backoff_s: recipe.backoff_s,
            stop_after_failures: recipe.stop_after_failures,
            temperature,
            top_p,
            max_tokens: recipe.max_tokens,
            seed,
            extra_body: recipe.extra_body.clone(),
        })?;
        Ok(Self { endpoint, journal })
    }

    fn ask(&self, requests: &[ChatRequest]) -> Result<Vec<Completion>, TrainError> {
        let completions =
            self.endpoint
                .complete_all(requests, Some(&self.journal), &mut |_, _| ())?;
        Ok(completions)
    }
}

impl Generator for EndpointPlayer {
    fn write(
        &mut self,
        requests: &[GeneratorRequest<'_>],
    ) -> Result<Vec<Option<String>>, TrainError> {
        let requests: Vec<ChatRequest> = requests
            .iter()
            .map(|r| ChatRequest {
                prompt: generation_instruction(&r.wanted),
                randomness: r.randomness,
            })
            .collect();
        let text = |completion| match completion {
            Completion::Finished { text } => Some(text.trim().to_owned()),
            Completion::Cut { .. } | Completion::Refused { .. } | Completion::Failed { .. } => None,
        };
        Ok(self.ask(&requests)?.into_iter().map(text).collect())
    }
}

impl Judge for EndpointPlayer {
    fn rate(&mut self, requests: &[JudgeRequest<'_>]) -> Result<Vec<Rating>, TrainError> {
        let requests: Vec<ChatRequest> = requests
            .iter()
            .map(|request| ChatRequest {
                prompt: rating_instruction(request.text),
                randomness: 0,
            })
            .collect();
        let rating_of = |completion| match completion {
            Completion::Finished { text } => {
                let rating = text_of(&text).text.and_then(|text| parse_rating(&text));
                rating.map_or(Rating::Unparseable, Rating::Unsafety)
            }
            Completion::Cut { .. } | Completion::Refused { .. } | Completion::Failed { .. } => {
                Rating::Unparseable
            }
        };
        Ok(self.ask(&requests)?.into_iter().map(rating_of).collect())
    }
}
