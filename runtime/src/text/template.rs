//! Chat templates: what applications put around a text before a language model reads it.
//!
//! A template is known by its marks. Text counts as written in one if a mark begins it and nothing
//! stands outside of turns; then what is said in the turns is the text, and the marks are not.

use std::ops::Range;

use memchr::{memchr, memchr2};

use super::rewrite::{ChangeKind, Editor, Edits};

/// Who speaks in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Role {
    System,
    User,
    Assistant,
}

use Role::{Assistant, System, User};

#[derive(Clone, Copy, Debug)]
enum Mark {
    /// Begins a turn.
    Turn(Role),
    /// Ends one.
    End,
    /// Belongs to none.
    Edge,
}

use Mark::{Edge, End, Turn};

struct Template {
    marks: &'static [(&'static str, Mark)],
    /// Whether marks are words of their own at the starts of lines, and at least two of them make a
    /// template; others are marks wherever they stand.
    is_of_lines: bool,
}

/// From the model cards and the `chat_template` of the models' tokenizers; Alpaca's from its
/// repository. Of marks with a common beginning the longer stand first.
static TEMPLATES: [Template; 11] = [
    // ChatML: Qwen and many others.
    Template {
        marks: &[
            ("<|im_start|>system", Turn(System)),
            ("<|im_start|>user", Turn(User)),
            ("<|im_start|>assistant", Turn(Assistant)),
            ("<|im_end|>", End),
            ("<|endoftext|>", End),
        ],
        is_of_lines: false,
    },
    // Llama 3.
    Template {
        marks: &[
            ("<|start_header_id|>system<|end_header_id|>", Turn(System)),
            ("<|start_header_id|>user<|end_header_id|>", Turn(User)),
            (
                "<|start_header_id|>assistant<|end_header_id|>",
                Turn(Assistant),
            ),
            ("<|begin_of_text|>", Edge),
            ("<|eot_id|>", End),
            ("<|end_of_text|>", End),
        ],
        is_of_lines: false,
    },
    // Llama 2 and Mistral.
    Template {
        marks: &[
            ("<<SYS>>", Turn(System)),
            ("<</SYS>>", Turn(User)),
            ("[INST]", Turn(User)),
            ("[/INST]", Turn(Assistant)),
            ("[SYSTEM_PROMPT]", Turn(System)),
            ("[/SYSTEM_PROMPT]", End),
            ("<s>", Edge),
            ("</s>", End),
        ],
        is_of_lines: false,
    },
    // Gemma.
    Template {
        marks: &[
            ("<start_of_turn>user", Turn(User)),
            ("<start_of_turn>model", Turn(Assistant)),
            ("<start_of_turn>system", Turn(System)),
            ("<end_of_turn>", End),
            ("<bos>", Edge),
            ("<eos>", End),
        ],
        is_of_lines: false,
    },
    // Phi and Zephyr.
    Template {
        marks: &[
            ("<|system|>", Turn(System)),
            ("<|user|>", Turn(User)),
            ("<|assistant|>", Turn(Assistant)),
            ("<|end|>", End),
            ("<|endoftext|>", End),
            ("<s>", Edge),
            ("</s>", End),
        ],
        is_of_lines: false,
    },
    // gpt-oss.
    Template {
        marks: &[
            ("<|start|>system<|message|>", Turn(System)),
            ("<|start|>developer<|message|>", Turn(System)),
            ("<|start|>user<|message|>", Turn(User)),
            (
                "<|start|>assistant<|channel|>final<|message|>",
                Turn(Assistant),
            ),
            ("<|start|>assistant", Turn(Assistant)),
            ("<|end|>", End),
            ("<|return|>", End),
        ],
        is_of_lines: false,
    },
    // DeepSeek.
    Template {
        marks: &[
            ("<｜begin▁of▁sentence｜>", Turn(System)),
            ("<｜User｜>", Turn(User)),
            ("<｜Assistant｜>", Turn(Assistant)),
            ("<｜end▁of▁sentence｜>", End),
        ],
        is_of_lines: false,
    },
    // Command R.
    Template {
        marks: &[
            ("<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>", Turn(System)),
            ("<|START_OF_TURN_TOKEN|><|USER_TOKEN|>", Turn(User)),
            ("<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>", Turn(Assistant)),
            ("<|END_OF_TURN_TOKEN|>", End),
            ("<BOS_TOKEN>", Edge),
        ],
        is_of_lines: false,
    },
    // Alpaca.
    Template {
        marks: &[
            (
                "Below is an instruction that describes a task, paired with an input that provides \
                 further context. Write a response that appropriately completes the request.",
                Edge,
            ),
            (
                "Below is an instruction that describes a task. Write a response that \
                 appropriately completes the request.",
                Edge,
            ),
            ("### Instruction:", Turn(User)),
            ("### Input:", Turn(User)),
            ("### Response:", Turn(Assistant)),
        ],
        is_of_lines: true,
    },
    // Names and colons, as the first chat models were asked.
    Template {
        marks: &[
            ("System:", Turn(System)),
            ("User:", Turn(User)),
            ("Assistant:", Turn(Assistant)),
        ],
        is_of_lines: true,
    },
    Template {
        marks: &[
            ("Human:", Turn(User)),
            ("Assistant:", Turn(Assistant)),
            ("AI:", Turn(Assistant)),
        ],
        is_of_lines: true,
    },
];

/// A text without its template.
pub(super) struct Unwrapped {
    pub(super) edits: Edits,
    /// Whether it is one prompt, and at most one answer to it: nothing but a template around a
    /// text. Of a longer conversation the template is part of what may mislead a model.
    pub(super) is_exchange: bool,
}

/// Takes off the template that a text is written in.
pub(super) fn unwrap(text: &str) -> Option<Unwrapped> {
    let start = text.len() - text.trim_start().len();
    let mut found = TEMPLATES.iter().filter_map(|of| {
        of.mark_at(text, start)?;
        of.turns(text, start)
    });
    let turns = found.next()?;
    let is_exchange = turns.windows(2).all(|pair| {
        let (before, after) = (pair[0].0, pair[1].0);
        before < after || before == after && before != Assistant
    });
    let users = turns.iter().filter(|(role, _)| *role == User).count();
    Some(Unwrapped {
        edits: edits(text, &turns),
        is_exchange: is_exchange && users <= MAX_USER_PARTS,
    })
}

/// An instruction and its input.
const MAX_USER_PARTS: usize = 2;

/// Leaves out all but what is said, a line break between turns.
fn edits(text: &str, turns: &[(Role, Range<usize>)]) -> Edits {
    let mut editor = Editor::new(text);
    let mut end = 0;
    for (_, said) in turns {
        let between = if end == 0 { "" } else { "\n" };
        editor.replace(end..said.start, between, ChangeKind::ChatTemplate);
        end = said.end;
    }
    if end < text.len() {
        editor.remove(end..text.len(), ChangeKind::ChatTemplate);
    }
    editor.finish()
}

impl Template {
    /// The mark at a place, and where it ends.
    fn mark_at(&self, text: &str, at: usize) -> Option<(Mark, usize)> {
        let is_line_start = || text[..at].trim_end_matches([' ', '\t']).ends_with('\n');
        if self.is_of_lines && !text[..at].trim_start().is_empty() && !is_line_start() {
            return None;
        }
        let mut marks = self.marks.iter();
        let (name, mark) = marks.find(|(name, _)| text[at..].starts_with(name))?;
        Some((*mark, at + name.len()))
    }

    /// The next mark from a place on: where it begins, what it is, and where it ends.
    fn next_mark(&self, text: &str, from: usize) -> Option<(usize, Mark, usize)> {
        let mut at = from;
        loop {
            if let Some((mark, end)) = self.mark_at(text, at) {
                return Some((at, mark, end));
            }
            let bytes = text.as_bytes();
            at += match self.is_of_lines {
                true => {
                    let line = memchr(b'\n', &bytes[at..])? + 1;
                    let blanks = bytes[at + line..].iter();
                    line + blanks.take_while(|b| matches!(b, b' ' | b'\t')).count()
                }
                false => 1 + memchr2(b'<', b'[', &bytes[at + 1..])?,
            };
            if at >= text.len() {
                return None;
            }
        }
    }

    /// What is said in the turns of a text, without the empty ones; `None` if something stands
    /// outside of them.
    fn turns(&self, text: &str, start: usize) -> Option<Vec<(Role, Range<usize>)>> {
        let mut turns = Vec::new();
        let (mut role, mut at, mut marks) = (None, start, 0);
        while at < text.len() {
            let next = self.next_mark(text, at);
            let end = next.map_or(text.len(), |(begin, ..)| begin);
            let said = text[at..end].trim();
            match role {
                _ if said.is_empty() => {}
                Some(role) => {
                    let begin = at + (text[at..end].len() - text[at..end].trim_start().len());
                    turns.push((role, begin..begin + said.len()));
                }
                None => return None,
            }
            let Some((_, mark, behind)) = next else {
                break;
            };
            marks += 1;
            role = match mark {
                Turn(role) => Some(role),
                End => None,
                Edge => role,
            };
            at = behind;
        }
        (marks > usize::from(self.is_of_lines)).then_some(turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::rewrite::edited;

    #[test]
    fn what_is_said_is_left() {
        for (wrapped, said, is_exchange) in [
            (
                "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nBake?<|im_end|>\n\
                 <|im_start|>assistant\n",
                "Be kind.\nBake?",
                true,
            ),
            ("<s>[INST] Bake? [/INST]", "Bake?", true),
            ("[INST]Bake?[/INST] Yes.</s>", "Bake?\nYes.", true),
            (
                "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nBake? [/INST]",
                "Be kind.\nBake?",
                true,
            ),
            (
                "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nBake?<|eot_id|>\
                 <|start_header_id|>assistant<|end_header_id|>\n\n",
                "Bake?",
                true,
            ),
            (
                "<bos><start_of_turn>user\nBake?<end_of_turn>\n<start_of_turn>model\n",
                "Bake?",
                true,
            ),
            ("<|user|>\nBake?<|end|>\n<|assistant|>\n", "Bake?", true),
            ("<｜User｜>Bake?<｜Assistant｜>", "Bake?", true),
            (
                "Below is an instruction that describes a task. Write a response that \
                 appropriately completes the request.\n\n### Instruction:\nBake?\n\n\
                 ### Input:\nBread\n\n### Response:\n",
                "Bake?\nBread",
                true,
            ),
            ("User: Bake?\nAssistant:", "Bake?", true),
            ("\n\nHuman: Bake?\n\nAssistant:", "Bake?", true),
            (
                "User: Bake?\nAssistant: No.\nUser: Please!\nAssistant: Yes.",
                "Bake?\nNo.\nPlease!\nYes.",
                false,
            ),
            ("<|im_start|>user\nBake?", "Bake?", true),
        ] {
            let unwrapped = unwrap(wrapped).unwrap_or_else(|| panic!("{wrapped}"));
            assert_eq!(edited(wrapped, unwrapped.edits), said);
            assert_eq!(unwrapped.is_exchange, is_exchange, "{wrapped}");
        }
    }

    #[test]
    fn other_texts_are_left_alone() {
        for text in [
            "",
            "How do I bake bread?",
            "<s>not so</s>",
            "User: a name for whoever uses a thing",
            "Bake?<|im_end|>\n<|im_start|>system\nNo.",
            "<|im_start|>user\nBake?<|im_end|> and more",
            "[instructions] Bake.",
            "<b>Bake</b>",
        ] {
            assert!(unwrap(text).is_none(), "{text}");
        }
        let marks = "<|im_start|>user\n<|im_end|>";
        assert_eq!(
            unwrap(marks).map(|u| u.edits.text().to_owned()),
            Some(String::new())
        );
    }
}
