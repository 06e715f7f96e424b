//! What a language model puts around the text that it was asked for, taken off.

/// How many words a sentence that announces a text has at most.
const MAX_PREAMBLE_WORDS: usize = 16;

/// How a first line begins that announces a text and ends in a colon, in lower case.
const ANNOUNCING: [&str; 17] = [
    "here is",
    "here's",
    "here are",
    "translation",
    "text:",
    "answer:",
    "output:",
    "result:",
    "hier ist",
    "übersetzung",
    "voici",
    "traduction",
    "aquí tienes",
    "aquí está",
    "traducción",
    "ecco",
    "oto ",
];
/// Words of agreement that such a line may begin with, before a punctuation mark.
const AGREEING: [&str; 9] = [
    "sure",
    "certainly",
    "of course",
    "gerne",
    "natürlich",
    "bien sûr",
    "claro",
    "por supuesto",
    "certo",
];
/// Quotation marks that open a text, and those that then close it.
const QUOTES: [(char, char); 9] = [
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('“', '”'),
    ('„', '“'),
    ('„', '”'),
    ('«', '»'),
    ('»', '«'),
    ('「', '」'),
];
/// The marks of reasoning, as models of several makers write them.
const REASONING: [(&str, &str); 4] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
];

/// The text in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// What was asked for; `None` where all of it is reasoning, or reasoning that does not end.
    pub text: Option<String>,
    /// Whether anything was taken off.
    pub is_changed: bool,
}

/// Takes reasoning, announcements, code fences and wrapping quotation marks off an answer.
pub(crate) fn text_of(answer: &str) -> Answer {
    let answer = answer.trim();
    let Some(mut text) = without_reasoning(answer) else {
        return Answer {
            text: None,
            is_changed: true,
        };
    };
    // An announcement may stand before quotation marks, and a fence within them.
    loop {
        let before = text.len();
        text = without_quotes(without_fence(without_preamble(text)));
        if text.len() == before {
            break;
        }
    }
    Answer {
        text: Some(text.to_owned()).filter(|text| !text.is_empty()),
        is_changed: text.len() != answer.len(),
    }
}

fn without_reasoning(mut text: &str) -> Option<&str> {
    loop {
        let lower = text.to_ascii_lowercase();
        let opened = REASONING.iter().find(|(open, _)| lower.starts_with(open));
        // Some templates write the opening mark into the prompt, so that only the closing one is
        // in the answer.
        let closed = REASONING.iter().find(|(_, close)| lower.contains(close));
        match (opened, closed) {
            (Some((_, close)), _) => text = text[lower.find(close)? + close.len()..].trim_start(),
            (None, Some((_, close))) if *close != "<|end|>" => {
                text = text[lower.rfind(close)? + close.len()..].trim_start();
            }
            _ => return Some(text),
        }
    }
}

fn without_preamble(text: &str) -> &str {
    const EMPHASIS: [char; 3] = ['*', '_', '#'];
    let Some((line, rest)) = text.split_once(':') else {
        return text;
    };
    let line = line.trim_start_matches(EMPHASIS).trim_start();
    let opening = format!("{}:", line.to_lowercase().replace('’', "'"));
    let is_short = line.split_whitespace().count() <= MAX_PREAMBLE_WORDS && !line.contains('\n');
    let announces = ANNOUNCING.iter().any(|word| opening.starts_with(word));
    let agrees = AGREEING.iter().any(|word| {
        let after = opening.strip_prefix(word);
        after.is_some_and(|after| after.starts_with(['!', ',', '.', ':']))
    });
    // 10:30 is a time.
    let is_apart = rest.starts_with(|c: char| c.is_whitespace() || EMPHASIS.contains(&c));
    let rest = rest.trim_start_matches(EMPHASIS).trim_start();
    match is_short && (announces || agrees) && is_apart && !rest.is_empty() {
        true => rest,
        false => text,
    }
}

fn without_fence(text: &str) -> &str {
    let inner = text
        .strip_prefix("```")
        .and_then(|rest| rest.strip_suffix("```"));
    match inner.and_then(|inner| inner.split_once('\n')) {
        Some((language, inner)) if !language.contains(' ') && !inner.contains("```") => {
            inner.trim()
        }
        _ => text,
    }
}

fn without_quotes(text: &str) -> &str {
    let inner = QUOTES.iter().find_map(|(open, close)| {
        let inner = text.strip_prefix(*open)?.strip_suffix(*close)?;
        // "One" and "two" are two quotations, and not one in marks.
        (!inner.contains([*open, *close])).then_some(inner)
    });
    inner.map_or(text, str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_a_text_is_taken_off() {
        const TEXT: &str = "Ich suche einen ruhigen Ort am Fluss.";
        for answer in [
            format!("<think>\n\n</think>\n\n{TEXT}"),
            format!("<think>A river: quiet?</think>{TEXT}"),
            format!("It should be quiet.\n</think>\n\n{TEXT}"),
            format!("<Thinking>no</Thinking> <reasoning>yes</reasoning> {TEXT}"),
            format!("\"{TEXT}\""),
            format!("„{TEXT}“"),
            format!("« {TEXT} »"),
            format!("Here is the text: {TEXT}"),
            format!("Sure! Here's a new text in German:\n\n\"{TEXT}\""),
            format!("**Here is the text:** {TEXT}"),
            format!("Hier ist der Text:\n```\n{TEXT}\n```"),
            format!("```text\n{TEXT}\n```"),
        ] {
            let found = text_of(&answer);
            assert_eq!(found.text.as_deref(), Some(TEXT), "{answer}");
            assert!(found.is_changed, "{answer}");
        }
    }

    #[test]
    fn texts_stay_as_they_are() {
        for text in [
            "Ich suche einen ruhigen Ort am Fluss.",
            "\"Ja\", sagte er, \"gerne\".",
            "\"One\" and \"two\"",
            "Zutaten: Mehl, Wasser, Salz",
            "He said: here is the bread.",
            "Sure about that? Meet me at noon: bring bread.",
            "Gerne, aber erst um 10:30 Uhr.",
            "`a` or `b`",
        ] {
            let found = text_of(text);
            assert_eq!(found.text.as_deref(), Some(text));
            assert!(!found.is_changed, "{text}");
        }
        for nothing in ["<think>And then", "<think></think>", "\"\"", ""] {
            assert_eq!(text_of(nothing).text, None, "{nothing}");
        }
    }
}
