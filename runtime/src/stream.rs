//! A text that is checked while it is still being written.

mod cache;
mod memory;
mod tail;

use self::memory::Memory;
pub use self::memory::StreamWork;
use self::tail::{Layout, Tail};
use crate::check::{How, check};
use crate::error::{Error, Result};
use crate::input::Input;
use crate::model::Model;
use crate::options::{CheckOptions, Join};
use crate::session::Session;
use crate::tally::Window;
use crate::text::MAX_TEXT_BYTES;
use crate::text::window::LastWindow;
use crate::verdict::Verdict;

/// How a [`Stream`] works.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamOptions {
    /// How its verdicts are drawn.
    pub check: CheckOptions,
    /// The prompt that the streamed response answers; `None` if the stream is itself a prompt.
    pub prompt: Option<String>,
    /// The BCP-47 tag of the text's language, as
    /// [`parse_language_tag`](crate::parse_language_tag) reads it; identified from the text when
    /// absent. On the way it is identified again when 256 bytes or an eighth of the text are new.
    pub language: Option<String>,
    /// New bytes after which a push draws a new verdict; 0 draws one at every push. With a cache
    /// each costs what is new; without, about one window of the network, so that less than a
    /// window's stride of text between two verdicts multiplies the cost of the whole.
    pub debounce_bytes: usize,
    /// Whether verdicts on the way go on from the keys and values that were computed before, where
    /// the bundle and the engine can; see [`Stream::uses_cache`]. Without, they score whole
    /// windows, as the verdict at the end always does.
    pub cache: bool,
}

impl Default for StreamOptions {
    /// A verdict about every 64 tokens of English.
    fn default() -> Self {
        Self {
            check: CheckOptions::default(),
            prompt: None,
            language: None,
            debounce_bytes: 256,
            cache: true,
        }
    }
}

/// A text fed piece by piece, as a language model emits it, and checked on the way.
///
/// It is state alone: a session computes, and one session may serve many streams by turns.
/// [`Stream::finish`] gives exactly the verdict that [`Session::check_with`] gives on the whole
/// text, whatever the pieces were. Verdicts on the way are early looks: they score the windows that
/// are complete and the last one as far as it has come, so that they may flag what the finished
/// text does not, and the other way round where a disguise shows only as a whole. With a cache
/// ([`Stream::uses_cache`]) the last one begins a stride after the one before it, and int8
/// activations are scaled over the new tokens: its logits differ from those of a whole window by
/// about what quantising changes.
#[derive(Clone, Debug)]
pub struct Stream {
    model: Model,
    engine: String,
    options: StreamOptions,
    /// What is scored: the prompt before it, where they are joined, included.
    text: String,
    layout: Layout,
    uses_cache: bool,
    /// The bytes of a character whose rest has not come yet.
    unfinished: Vec<u8>,
    tail: Option<Tail>,
    /// Bytes of text at the last verdict.
    judged: usize,
    flagged_at: Option<usize>,
    memory: Memory,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.model.keeps_text(false);
    }
}

impl Stream {
    /// Begins a text that sessions of the same model on the same engine will score.
    pub fn new(session: &Session, options: StreamOptions) -> Self {
        let prompt = options
            .prompt
            .as_deref()
            .filter(|prompt| !prompt.is_empty());
        let before = match (prompt, options.check.join.separator()) {
            (Some(prompt), Some(separator)) => format!("{prompt}{separator}"),
            _ => String::new(),
        };
        Self {
            model: session.model().clone(),
            engine: session.engine().to_owned(),
            uses_cache: options.cache && session.has_cache(),
            layout: Layout {
                prompt: 0..before.len().saturating_sub(1),
                stream_start: before.len(),
                is_response: options.prompt.is_some(),
            },
            judged: before.len(),
            text: before,
            unfinished: Vec::new(),
            tail: None,
            options,
            flagged_at: None,
            memory: Memory::default(),
        }
    }

    /// Takes the next bytes, which may end inside a character, and gives a verdict on what has come
    /// so far if enough is new.
    ///
    /// # Errors
    /// Bytes that are not UTF-8 and text over [`MAX_TEXT_BYTES`]; the stream is then as it was
    /// before. Another model's session.
    pub fn push(&mut self, session: &mut Session, piece: &[u8]) -> Result<Option<Verdict>> {
        self.accept(session)?;
        self.append(piece)?;
        let new = self.text.len() - self.judged;
        if new == 0 || new < self.options.debounce_bytes {
            return Ok(None);
        }
        self.peek(session).map(Some)
    }

    /// A verdict on what has come so far, without its unfinished character.
    pub fn peek(&mut self, session: &mut Session) -> Result<Verdict> {
        self.accept(session)?;
        self.memory.next_look();
        let (model, options) = (&self.model, &self.options);
        let last = match self.uses_cache {
            true => LastWindow::Growing,
            false => LastWindow::Full,
        };
        let tail = match &mut self.tail {
            Some(tail) => tail,
            // A prompt that is scored on its own is whole, and is scored once.
            none => none.insert(match (&options.prompt, options.check.join) {
                (Some(prompt), Join::Separate) if !prompt.is_empty() => {
                    let input = Input {
                        language: options.language.as_deref(),
                        ..Input::prompt(prompt)
                    };
                    let score = &mut |windows: &[Window<'_>]| self.memory.score(session, windows);
                    let verdict = check(model, &input, &options.check, How::WHOLE, score)?;
                    Tail::after(Some(verdict))
                }
                _ => Tail::after(None),
            }),
        };
        let mut score = |windows: &[Window<'_>]| match last {
            LastWindow::Growing => self.memory.score_grown(session, windows),
            LastWindow::Full => self.memory.score(session, windows),
        };
        let how = (&options.check, options.language.as_deref(), last);
        let verdict = tail.check(model, (&self.text, &self.layout), how, &mut score)?;
        self.judged = self.text.len();
        if verdict.flagged && self.flagged_at.is_none() {
            self.flagged_at = Some(self.text().len());
        }
        Ok(verdict)
    }

    /// The verdict on the whole text: equal to that of [`Session::check_with`]. More may be pushed
    /// afterwards.
    ///
    /// # Errors
    /// Text that ends inside a character.
    pub fn finish(&mut self, session: &mut Session) -> Result<Verdict> {
        self.accept(session)?;
        if !self.unfinished.is_empty() {
            return Err(Error::argument(format!(
                "the stream ends inside a character, after {} of its bytes; push the rest",
                self.unfinished.len()
            )));
        }
        let text = &self.text[self.layout.stream_start..];
        let input = Input {
            prompt: self.options.prompt.as_deref().unwrap_or(text),
            response: self.options.prompt.is_some().then_some(text),
            language: self.options.language.as_deref(),
        };
        let memory = &mut self.memory;
        let mut score = |windows: &[Window<'_>]| memory.score(session, windows);
        let options = &self.options.check;
        check(&self.model, &input, options, How::WHOLE, &mut score)
    }

    /// The streamed text so far, without its unfinished character.
    pub fn text(&self) -> &str {
        &self.text[self.layout.stream_start..]
    }

    /// The length of the streamed text, in bytes, when a verdict on the way first flagged it; it
    /// stays, whatever comes later.
    pub fn flagged_at(&self) -> Option<usize> {
        self.flagged_at
    }

    /// Whether verdicts on the way cost what is new of the text, and not a whole window each: the
    /// options ask for it, the bundle has the graph `stream.onnx`, and the engine can run it. All
    /// engines of this crate can but `wgpu`.
    pub fn uses_cache(&self) -> bool {
        self.uses_cache
    }

    /// What the verdicts so far have cost.
    pub fn work(&self) -> StreamWork {
        self.memory.work()
    }

    fn accept(&self, session: &Session) -> Result<()> {
        if self.model.is_same(session.model()) && self.engine == session.engine() {
            return Ok(());
        }
        Err(Error::argument(format!(
            "a stream begun on engine {} is continued by a session on {} of another model or \
             engine; use the one it was begun with",
            self.engine,
            session.engine()
        )))
    }

    /// Appends the whole characters of the bytes that wait and those that come.
    fn append(&mut self, piece: &[u8]) -> Result<()> {
        let alone = match self.options.check.join {
            Join::Separate => self.options.prompt.as_ref().map_or(0, String::len),
            Join::Space | Join::Newline => 0,
        };
        let length = alone + self.text.len() + self.unfinished.len() + piece.len();
        if length > MAX_TEXT_BYTES {
            return Err(Error::argument(format!(
                "a stream of {length} bytes, its prompt included; at most {MAX_TEXT_BYTES} are \
                 checked as one text"
            )));
        }
        let bytes = match self.unfinished.is_empty() {
            true => piece.to_vec(),
            false => [&self.unfinished[..], piece].concat(),
        };
        let whole = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(cause) if cause.error_len().is_none() => {
                // Valid as far as it goes, which is what was asked.
                std::str::from_utf8(&bytes[..cause.valid_up_to()]).unwrap_or_default()
            }
            Err(cause) => {
                let byte = self.text().len() + cause.valid_up_to();
                return Err(Error::argument(format!(
                    "the stream is not valid UTF-8 at byte {byte}"
                )));
            }
        };
        self.text += whole;
        self.unfinished = bytes[whole.len()..].to_vec();
        Ok(())
    }
}
