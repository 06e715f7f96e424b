//! The form of a generator's prompts, and how its tokens become text.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use duoguard_export::checkpoint::Chat;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, context};

use crate::data::lexicon::Lexicon;
use crate::data::tokenizer::{END, Tokenizer};
use crate::error::TrainError;
use crate::game::instructions::generation_instruction;
use crate::game::kind::Wanted;

/// A generator's tokenizer, the token that ends its texts, and the form of its prompts.
pub(crate) struct PromptFormat {
    /// Of the generator, which may be another than the classifier's.
    pub tokenizer: Tokenizer,
    /// Ends a text.
    pub end: i32,
    kind: PromptKind,
}

/// The form of prompts.
enum PromptKind {
    /// A gloss of the seed, and a prefix.
    Gloss(Arc<Lexicon>),
    /// An instruction, in the template of a model that was trained to follow them.
    Chat(ChatFormat),
}

/// The template of a model that was trained to follow instructions.
pub(crate) struct ChatFormat {
    template: String,
    path: PathBuf,
    /// The token that begins a text; empty where there is none.
    bos: String,
    /// The token that ends a turn.
    eos: String,
}

impl PromptFormat {
    /// Of our own generator: see [`gloss_prompt`].
    pub(crate) fn gloss(tokenizer: Tokenizer, lexicon: Arc<Lexicon>) -> Self {
        Self {
            tokenizer,
            end: END,
            kind: PromptKind::Gloss(lexicon),
        }
    }

    /// Of an instructed checkpoint: its tokenizer, its chat template and the token that ends its
    /// turn.
    ///
    /// # Errors
    /// A file that is missing or is not what it must be; a template that cannot be rendered.
    pub(crate) fn of_checkpoint(checkpoint: &Path) -> Result<Self, TrainError> {
        let found = Chat::open(checkpoint)?;
        let tokenizer = Tokenizer::from_bytes(&found.tokenizer, checkpoint)?;
        let eos = found.eos.unwrap_or_default();
        let end = tokenizer.id(&eos).ok_or_else(|| {
            let reason = format!("eos_token is {eos:?}, which is no token of its tokenizer");
            TrainError::invalid(checkpoint, reason)
        })?;
        let template = found.template.ok_or_else(|| {
            let reason = "has no chat template; expected a model that was trained to follow \
                          instructions";
            TrainError::invalid(&found.path, reason)
        })?;
        let chat = ChatFormat {
            template,
            path: found.path,
            bos: found.bos.unwrap_or_default(),
            eos,
        };
        chat.render("Is this template sound?")?;
        Ok(Self {
            tokenizer,
            end: end as i32,
            kind: PromptKind::Chat(chat),
        })
    }

    /// The template of a model that can be told what to do.
    pub(crate) fn chat(&self) -> Option<&ChatFormat> {
        match &self.kind {
            PromptKind::Chat(chat) => Some(chat),
            PromptKind::Gloss(_) => None,
        }
    }

    /// What the generator is given to continue with a text that is wanted.
    ///
    /// # Errors
    /// The chat template fails on these words.
    pub(crate) fn generation_prompt(&self, wanted: &Wanted<'_>) -> Result<Vec<i32>, TrainError> {
        match &self.kind {
            PromptKind::Chat(chat) => {
                Ok(self.encode(&chat.render(&generation_instruction(wanted))?))
            }
            PromptKind::Gloss(lexicon) => Ok(gloss_prompt(
                (&self.tokenizer, lexicon),
                wanted.seed_text,
                wanted.language,
                wanted.is_unsafe(),
            )),
        }
    }

    /// The tokens of a prompt that the text should have: those of the gloss.
    pub(crate) fn gloss_tokens<'a>(&self, prompt: &'a [i32]) -> &'a [i32] {
        match &self.kind {
            PromptKind::Chat(_) => &[],
            PromptKind::Gloss(_) => match prompt.iter().position(|id| *id == END) {
                Some(end) => &prompt[..end],
                None => prompt,
            },
        }
    }

    /// The text of tokens, without white space around it.
    pub(crate) fn decode(&self, ids: &[i32]) -> String {
        let ids: Vec<u32> = ids.iter().map(|&id| id as u32).collect();
        self.tokenizer.decode(&ids).trim().to_owned()
    }

    /// The tokens of a text that is written.
    pub(crate) fn encode(&self, text: &str) -> Vec<i32> {
        signed(&self.tokenizer.encode(text))
    }
}

impl ChatFormat {
    /// One message of a user, and the beginning of the answer.
    ///
    /// # Errors
    /// The template fails on these words.
    pub(crate) fn render(&self, message: &str) -> Result<String, TrainError> {
        let failed = |e: minijinja::Error| {
            TrainError::invalid(&self.path, format!("the chat template fails: {e:#}"))
        };
        let mut environment = Environment::new();
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        // The settings that templates are written for.
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.map_err(failed)?);
        environment.add_function(
            "raise_exception",
            |message: String| -> Result<String, minijinja::Error> {
                Err(minijinja::Error::new(
                    minijinja::ErrorKind::InvalidOperation,
                    message,
                ))
            },
        );
        environment
            .add_template("chat", &self.template)
            .map_err(failed)?;
        environment
            .get_template("chat")
            .and_then(|template| {
                template.render(context! {
                    messages => [context! { role => "user", content => message }],
                    add_generation_prompt => true,
                    bos_token => &self.bos,
                    eos_token => &self.eos,
                })
            })
            .map_err(failed)
    }
}

/// What our own generator continues: the seed's words in the language that is wanted, one by one,
/// end of text, and a control prefix such as `de unsafe:`. A small network that is given the words
/// has only to put them into a sentence, and keeps the sense; given the English text it writes
/// sentences about something else.
fn gloss_prompt(
    (tokenizer, lexicon): (&Tokenizer, &Lexicon),
    seed: &str,
    language: &str,
    is_unsafe: bool,
) -> Vec<i32> {
    let label = if is_unsafe { "unsafe" } else { "safe" };
    let mut ids = signed(&tokenizer.encode(&lexicon.gloss(seed, language)));
    ids.push(END);
    ids.extend(signed(&tokenizer.encode(&format!("{language} {label}:"))));
    ids
}

fn signed(ids: &[u32]) -> Vec<i32> {
    ids.iter().map(|&id| id as i32).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(template: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let texts = ["one and two", "three and four"];
        let tokenizer = Tokenizer::train(texts.iter().copied().cycle().take(100), 270).unwrap();
        tokenizer
            .save(&folder.path().join("tokenizer.json"))
            .unwrap();
        let config = serde_json::json!({
            "eos_token": {"content": "<|endoftext|>"},
            "bos_token": null,
            "chat_template": template,
        });
        fs::write(
            folder.path().join("tokenizer_config.json"),
            config.to_string(),
        )
        .unwrap();
        folder
    }

    #[test]
    fn a_chat_template_is_rendered_as_its_model_knows_it() {
        let folder = folder(
            "{%- for message in messages %}\n{{ '[' + message.role + ']' + \
             message['content'].strip() + eos_token }}\n{%- endfor %}\n{%- if \
             add_generation_prompt %}{{ '[assistant]' }}{% endif %}",
        );
        let format = PromptFormat::of_checkpoint(folder.path()).unwrap();
        let chat = format.chat().unwrap();
        let ids = format.encode(&chat.render("two and one").unwrap());
        // The special token is one token, not its letters.
        assert_eq!(ids.iter().filter(|&&id| id == format.end).count(), 1);
        let text = format.decode(&ids);
        assert!(
            text.starts_with("[user]")
                && text.contains("two and one")
                && text.ends_with("[assistant]"),
            "{text}"
        );
        assert_ne!(
            format
                .generation_prompt(&Wanted::prompt("one", "de", true))
                .unwrap(),
            format
                .generation_prompt(&Wanted::prompt("one", "de", false))
                .unwrap()
        );
    }

    #[test]
    fn a_broken_template_is_named() {
        let folder = folder("{{ raise_exception('no') }}");
        let error = PromptFormat::of_checkpoint(folder.path())
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("tokenizer_config.json") && error.contains("chat template"),
            "{error}"
        );
    }
}
