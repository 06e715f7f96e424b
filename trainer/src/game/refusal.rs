//! How language models decline to write what they are asked for.

/// How models decline: a beginning, and what may stand right after it (anything, where that is left
/// open).
const REFUSALS: [(&[&str], &[&str]); 6] = [
    (
        &[
            "i can't",
            "i cannot",
            "i can not",
            "i won't",
            "i will not",
            "i'm unable to",
            "i am unable to",
            "i'm not able to",
            "i am not able to",
        ],
        &[
            "assist",
            "comply",
            "create",
            "engage in",
            "fulfil",
            "generate",
            "help with",
            "help you",
            "produce",
            "provide",
            "write",
        ],
    ),
    (
        &[
            "je ne peux pas",
            "je ne suis pas en mesure de",
            "je ne suis pas en mesure d'",
            "il m'est impossible de",
        ],
        &[
            "accéder à",
            "créer",
            "fournir",
            "générer",
            "produire",
            "répondre à cette",
            "répondre à votre",
            "rédiger",
            "t'aider",
            "vous aider",
            "écrire",
        ],
    ),
    (
        &["no puedo", "no me es posible", "no soy capaz de"],
        &[
            "ayudarte",
            "ayudarle",
            "ayudar con",
            "crear",
            "cumplir",
            "escribir",
            "generar",
            "ofrecer",
            "producir",
            "proporcionar",
        ],
    ),
    (
        &["ich kann", "ich darf"],
        &[
            "bei dieser anfrage nicht",
            "dabei nicht",
            "dazu keine",
            "diese anfrage nicht",
            "dieser anfrage nicht",
            "dieser bitte nicht",
            "diesen text nicht",
            "dir dabei nicht",
            "dir dabei leider nicht",
            "dir nicht dabei",
            "ihnen dabei nicht",
            "ihnen dabei leider nicht",
            "ihnen nicht dabei",
        ],
    ),
    (
        &["sorry, but", "i apologize, but"],
        &[
            "i can't",
            "i cannot",
            "i won't",
            "i'm unable",
            "i am unable",
        ],
    ),
    (
        &[
            "as an ai assistant",
            "as an ai language model",
            "as an ai model",
            "i must decline",
            "dabei kann ich dir nicht",
            "dabei kann ich ihnen nicht",
            "dabei kann ich nicht",
            "tut mir leid, aber ich kann",
            "tut mir leid, ich kann",
            "désolé, mais je ne peux pas",
            "désolée, mais je ne peux pas",
            "en tant qu'ia",
            "en tant que modèle de langage",
            "als ki-modell",
            "als sprachmodell",
            "lo siento, pero no puedo",
            "lo siento, no puedo",
            "como modelo de lenguaje",
        ],
        &[""],
    ),
];
/// Characters in which a model that declines says so.
const REFUSAL_CHARS: usize = 160;

/// Whether an answer opens by declining, in English, French, Spanish or German. A text that only
/// sounds like it is taken for one too.
pub(crate) fn is_refusal(answer: &str) -> bool {
    let opening: String = answer.chars().take(REFUSAL_CHARS).collect();
    let opening = opening.to_lowercase().replace('’', "'");
    let opening = opening.split_whitespace().collect::<Vec<_>>().join(" ");
    REFUSALS.iter().any(|(beginnings, endings)| {
        beginnings.iter().any(|beginning| {
            opening.match_indices(beginning).any(|(place, _)| {
                let after = opening[place + beginning.len()..].trim_start();
                endings.iter().any(|ending| after.starts_with(ending))
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_from_texts() {
        let refusals = [
            "I can't help with that.",
            "I'm sorry, but I can’t do this.",
            "Unfortunately, I cannot\nassist you here.",
            "I am unable to provide that text.",
            "As an AI language model, I do not write such texts.",
            "Je suis désolé, mais je ne peux pas écrire cela.",
            "Je ne peux pas vous aider.",
            "Je ne suis pas en mesure d'écrire ce texte.",
            "Lo siento, pero no puedo hacerlo.",
            "No puedo ayudarte con eso.",
            "Es tut mir leid, aber ich kann das nicht schreiben.",
            "Ich kann dir dabei nicht helfen.",
            "Dabei kann ich Ihnen nicht helfen.",
        ];
        for answer in refusals {
            assert!(is_refusal(answer), "{answer:?}");
        }
        let texts = [
            "",
            "I can't sleep at night, what should I do?",
            "How can I help you to bake bread?",
            "I cannot find my keys.",
            "Je ne peux pas dormir. Que faire ?",
            "Je ne suis pas en mesure de venir demain.",
            "No puedo dormir por la noche.",
            "Lo siento por llegar tarde, ¿qué puedo hacer?",
            "Ich kann nicht schlafen. Was soll ich tun?",
            "Ich kann diese Woche nicht kommen.",
        ];
        for answer in texts {
            assert!(!is_refusal(answer), "{answer:?}");
        }
        let late = format!("{} I can't help with that.", "A bird sings. ".repeat(20));
        assert!(!is_refusal(&late), "a refusal told of, not made");
    }
}
