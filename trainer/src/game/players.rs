//! The two players of a game and its judge, as the recipe names them.

use std::path::PathBuf;
use std::sync::Arc;

use crate::data::lexicon::Lexicon;
use crate::error::TrainError;
use crate::game::endpoint_player::EndpointPlayer;
use crate::game::ensemble::{Ensemble, EnsembleJudge};
use crate::game::generator::Generator;
use crate::game::judge::{ConsistencyJudge, Judge};
use crate::game::local_generator::LocalGenerator;
use crate::game::prompt::PromptFormat;
use crate::game::reference_judge::ReferenceJudge;
use crate::model::decoder::Decoder;
use crate::model::teacher::Teacher;
use crate::recipe::{EndpointRecipe, GameRecipe, JudgeRecipe, PlayersRecipe};
use crate::setup::{RoundClassifier, Setup};

/// Who writes proposals.
#[derive(Clone)]
pub(crate) enum GeneratorPlayer {
    /// A decoder that runs here.
    Local(Box<LocalGenerator>),
    /// A language model behind an endpoint, and its temperature and top-p.
    Endpoint(EndpointRecipe, (f64, f64)),
}

/// Who rates them.
pub(crate) enum JudgePlayer<N> {
    /// The linear teacher and the lexicon.
    Consistency {
        /// Trained on the seed data.
        teacher: Arc<Teacher>,
        /// English and the game's languages.
        lexicon: Arc<Lexicon>,
        /// Least share of a proposal's words that must translate a word of the seed.
        least_agreement: f64,
    },
    /// The generator as it was before the first round: the form of its prompts, and the network.
    Reference(Arc<PromptFormat>, Box<Decoder>),
    /// Classifiers of the seed data's folds, and the generator as it was.
    Ensemble(Ensemble<N>),
    /// A language model behind an endpoint.
    Endpoint(EndpointRecipe),
}

/// Trains or reads the players of a game, as they are before the first round.
///
/// # Errors
/// A stage or a file that failed.
pub(crate) fn prepare<N: RoundClassifier>(
    setup: &Setup<'_, N>,
    game: &GameRecipe,
) -> Result<(GeneratorPlayer, JudgePlayer<N>), TrainError> {
    match &game.players {
        PlayersRecipe::Endpoint { generator, judge } => {
            let sampling = (game.temperature, game.top_p);
            let generator = GeneratorPlayer::Endpoint(generator.clone(), sampling);
            Ok((generator, JudgePlayer::prepare(setup, judge, None)?))
        }
        PlayersRecipe::Local { generator, judge } => {
            let generator = LocalGenerator::prepare(setup, game, generator)?;
            let judge = match judge {
                Some(judge) => JudgePlayer::prepare(setup, judge, Some(&generator))?,
                None => JudgePlayer::Reference(
                    generator.format.clone(),
                    Box::new(generator.decoder.clone()),
                ),
            };
            Ok((GeneratorPlayer::Local(Box::new(generator)), judge))
        }
    }
}

impl GeneratorPlayer {
    /// Whether it runs here, in every process.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::Local(..))
    }

    /// Whether it is told what to write, and may put more around a text than was asked for.
    pub(crate) fn follows_instructions(&self) -> bool {
        match self {
            Self::Local(local) => local.format.chat().is_some(),
            Self::Endpoint(..) => true,
        }
    }

    /// The generator, ready to write; `journal` keeps the completions of an endpoint.
    ///
    /// # Errors
    /// An endpoint's settings that are out of range, or no key in the environment.
    pub(crate) fn open(
        &mut self,
        seed: u64,
        journal: PathBuf,
    ) -> Result<Box<dyn Generator + '_>, TrainError> {
        Ok(match self {
            Self::Local(local) => Box::new(local.as_mut()),
            Self::Endpoint(recipe, sampling) => {
                Box::new(EndpointPlayer::new(recipe, *sampling, seed, journal)?)
            }
        })
    }
}

impl<N: RoundClassifier> JudgePlayer<N> {
    /// Whether it runs here, in every process.
    pub(crate) fn is_local(&self) -> bool {
        !matches!(self, Self::Endpoint(..))
    }

    fn prepare(
        setup: &Setup<'_, N>,
        recipe: &JudgeRecipe,
        generator: Option<&LocalGenerator>,
    ) -> Result<Self, TrainError> {
        Ok(match recipe {
            JudgeRecipe::Ensemble(ensemble) => {
                let generator = generator.map(|local| (local.format.clone(), &local.decoder));
                Self::Ensemble(Ensemble::prepare(setup, ensemble, generator)?)
            }
            JudgeRecipe::Consistency {
                least_agreement,
                teacher,
            } => Self::Consistency {
                teacher: setup.teacher(teacher),
                lexicon: setup.lexicon()?,
                least_agreement: *least_agreement,
            },
            JudgeRecipe::Endpoint(endpoint) => Self::Endpoint(endpoint.clone()),
        })
    }

    /// The judge, ready to rate; `journal` keeps the completions of an endpoint.
    ///
    /// # Errors
    /// An endpoint's settings that are out of range, or no key in the environment.
    pub(crate) fn open<'j>(
        &'j self,
        setup: &'j Setup<'_, N>,
        seed: u64,
        journal: PathBuf,
    ) -> Result<Box<dyn Judge + 'j>, TrainError> {
        Ok(match self {
            Self::Ensemble(ensemble) => {
                let window = setup.recipe.classifier.window_tokens;
                Box::new(EnsembleJudge::new(ensemble, (&setup.tokenizer, window)))
            }
            Self::Consistency {
                teacher,
                lexicon,
                least_agreement,
            } => Box::new(ConsistencyJudge {
                teacher,
                lexicon,
                least_agreement: *least_agreement,
            }),
            Self::Reference(format, decoder) => Box::new(ReferenceJudge {
                format: format.clone(),
                decoder,
            }),
            // A rating is wanted, not a sample.
            Self::Endpoint(recipe) => {
                Box::new(EndpointPlayer::new(recipe, (0.0, 1.0), seed, journal)?)
            }
        })
    }
}
