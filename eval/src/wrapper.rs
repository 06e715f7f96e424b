//! What applications put around a text before it reaches a guard: chat templates and blanks.

/// A wrapper of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapper {
    /// `<|im_start|>user`, as Qwen and others.
    ChatMl,
    /// `[INST]` with a start token, as Llama 2.
    Llama2,
    /// Header blocks, as Llama 3.
    Llama3,
    /// `[INST]` with a system prompt in it, as Llama 2.
    Llama2System,
    /// `[INST]`, as Mistral.
    Mistral,
    /// `<start_of_turn>`, as Gemma.
    Gemma,
    /// `<|user|>`, as Phi and Zephyr.
    Phi,
    /// `### Instruction:`, as Alpaca.
    Alpaca,
    /// `User:` and `Assistant:`.
    Plain,
    /// `Human:` and `Assistant:` between blank lines.
    Human,
    /// Line breaks before the text.
    BreaksBefore,
    /// Line breaks behind the text.
    BreaksAfter,
    /// Blanks and tabulators on both sides.
    Blanks,
}

impl Wrapper {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::ChatMl,
        Self::Llama2,
        Self::Llama3,
        Self::Llama2System,
        Self::Mistral,
        Self::Gemma,
        Self::Phi,
        Self::Alpaca,
        Self::Plain,
        Self::Human,
        Self::BreaksBefore,
        Self::BreaksAfter,
        Self::Blanks,
    ];

    /// The name in tables and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChatMl => "chatml",
            Self::Llama2 => "llama2",
            Self::Llama3 => "llama3",
            Self::Llama2System => "llama2_system",
            Self::Mistral => "mistral",
            Self::Gemma => "gemma",
            Self::Phi => "phi",
            Self::Alpaca => "alpaca",
            Self::Plain => "user_assistant",
            Self::Human => "human_assistant",
            Self::BreaksBefore => "breaks_before",
            Self::BreaksAfter => "breaks_after",
            Self::Blanks => "blanks",
        }
    }

    /// The text as the user's turn of this wrapper.
    pub fn wrap(self, text: &str) -> String {
        const ASSISTANT: &str = "You are a helpful assistant.";
        match self {
            Self::ChatMl => format!(
                "<|im_start|>system\n{ASSISTANT}<|im_end|>\n<|im_start|>user\n{text}<|im_end|>\n\
                 <|im_start|>assistant\n"
            ),
            Self::Llama2 => format!("<s>[INST] {text} [/INST]"),
            Self::Llama3 => format!(
                "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{text}<|eot_id|>\
                 <|start_header_id|>assistant<|end_header_id|>\n\n"
            ),
            Self::Llama2System => {
                format!("<s>[INST] <<SYS>>\n{ASSISTANT}\n<</SYS>>\n\n{text} [/INST]")
            }
            Self::Mistral => format!("[INST]{text}[/INST]"),
            Self::Gemma => {
                format!("<bos><start_of_turn>user\n{text}<end_of_turn>\n<start_of_turn>model\n")
            }
            Self::Phi => format!("<|user|>\n{text}<|end|>\n<|assistant|>\n"),
            Self::Alpaca => format!(
                "Below is an instruction that describes a task. Write a response that \
                 appropriately completes the request.\n\n### Instruction:\n{text}\n\n### Response:\n"
            ),
            Self::Plain => format!("User: {text}\nAssistant:"),
            Self::Human => format!("\n\nHuman: {text}\n\nAssistant:"),
            Self::BreaksBefore => format!("{}{text}", "\n".repeat(10)),
            Self::BreaksAfter => format!("{text}{}", "\n".repeat(50)),
            Self::Blanks => format!(" \t  {text} \t\n  \r\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrapper_holds_the_text_as_it_is() {
        for wrapper in Wrapper::ALL {
            let wrapped = wrapper.wrap("Wie wird das Wetter?");
            assert!(wrapped.contains("Wie wird das Wetter?"), "{wrapped}");
            assert!(wrapped.len() > 22, "{}", wrapper.name());
        }
        assert_eq!(Wrapper::Llama2.wrap("a"), "<s>[INST] a [/INST]");
    }
}
