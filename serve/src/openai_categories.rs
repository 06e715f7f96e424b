//! OpenAI's categories, and which of ours feed each.

/// Each of OpenAI's 13 keys with our categories that feed it: it is flagged when one of them is,
/// and its score is the largest of theirs. A key without any is false and 0. Ours that feed none
/// (advice, privacy, intellectual property, jailbreak) stand under their own names only, and count
/// in `flagged` all the same.
pub(crate) const OPENAI_CATEGORIES: &[(&str, &[&str])] = &[
    ("harassment", &[]),
    ("harassment/threatening", &[]),
    ("hate", &["hate"]),
    ("hate/threatening", &[]),
    (
        "illicit",
        &["non_violent_crimes", "violent_crimes", "weapons"],
    ),
    ("illicit/violent", &["violent_crimes", "weapons"]),
    ("self-harm", &["self_harm"]),
    ("self-harm/instructions", &[]),
    ("self-harm/intent", &[]),
    ("sexual", &["sexual_content", "sex_crimes"]),
    ("sexual/minors", &["child_exploitation"]),
    ("violence", &["violent_crimes"]),
    ("violence/graphic", &[]),
];
