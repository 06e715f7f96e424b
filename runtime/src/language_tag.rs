//! Language tags (BCP-47), in the one form that the crate compares.

use crate::error::{Error, Result};

/// The longest tag in canonical form, in bytes: what RFC 5646, section 4.4.1, asks programs to have
/// room for.
pub const MAX_LANGUAGE_TAG_BYTES: usize = 35;

/// A BCP-47 language tag (RFC 5646) in canonical form: `pt_br` gives `pt-BR`.
///
/// - `_` reads as `-`, as in the names of locales, whose encoding and modifier are cut off:
///   `de_AT.UTF-8@euro` gives `de-AT`.
/// - Extensions and private use are cut off: what follows the first subtag of one character, such
///   as `-u-co-phonebk` and `-x-private`. They say nothing about the language of a text.
/// - The language is in lower case, a script like `Hant`, a region like `BR` (section 2.1.1). No
///   subtag is replaced by another: `iw` stays `iw`.
///
/// # Errors
/// Something that does not have the shape of a tag, which is subtags of 1 to 8 letters and digits,
/// the first of 2 to 8 letters; and a tag that is longer than [`MAX_LANGUAGE_TAG_BYTES`] in
/// canonical form.
pub fn parse_language_tag(tag: &str) -> Result<String> {
    canonical(tag).map_err(|why| {
        Error::argument(format!(
            "language {tag:?} is not a BCP-47 tag: {why}; expected one such as \"en\" or \
             \"pt-BR\", or none to identify it"
        ))
    })
}

/// The canonical form, or what is wrong with a tag.
fn canonical(tag: &str) -> std::result::Result<String, String> {
    let tag = tag.split(['.', '@']).next().unwrap_or_default();
    let mut subtags = tag.split(['-', '_']);
    let primary = subtags.next().unwrap_or_default();
    if !(2..=8).contains(&primary.len()) || !primary.bytes().all(|b| b.is_ascii_alphabetic()) {
        return Err(format!(
            "it begins with {primary:?}, not with 2 to 8 letters"
        ));
    }
    let mut canonical = primary.to_ascii_lowercase();
    // The singleton that began what is cut off, and whether anything has followed it.
    let mut extension: Option<(&str, bool)> = None;
    for subtag in subtags {
        if !(1..=8).contains(&subtag.len()) || !subtag.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(format!("{subtag:?} in it is not 1 to 8 letters and digits"));
        }
        extension = match extension {
            None if subtag.len() > 1 => {
                canonical.push('-');
                canonical += &in_case(subtag);
                None
            }
            Some((singleton, _)) if subtag.len() > 1 || singleton.eq_ignore_ascii_case("x") => {
                Some((singleton, true))
            }
            None | Some((_, true)) => Some((subtag, false)),
            Some((singleton, false)) => return Err(nothing_after(singleton)),
        };
    }
    match extension {
        Some((singleton, false)) => Err(nothing_after(singleton)),
        _ if canonical.len() > MAX_LANGUAGE_TAG_BYTES => Err(format!(
            "it has {} bytes without extensions, more than {MAX_LANGUAGE_TAG_BYTES}",
            canonical.len()
        )),
        _ => Ok(canonical),
    }
}

fn nothing_after(singleton: &str) -> String {
    format!("nothing follows the extension's {singleton:?}")
}

/// A subtag behind the first: of 2 letters, a region; of 4, a script.
fn in_case(subtag: &str) -> String {
    match subtag.len() {
        2 => subtag.to_ascii_uppercase(),
        4 => [
            subtag[..1].to_ascii_uppercase(),
            subtag[1..].to_ascii_lowercase(),
        ]
        .concat(),
        _ => subtag.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_take_their_canonical_form() {
        for (tag, expected) in [
            ("en", "en"),
            ("EN", "en"),
            ("pt-BR", "pt-BR"),
            ("pt_BR", "pt-BR"),
            ("PT_br", "pt-BR"),
            ("zh_hant_tw", "zh-Hant-TW"),
            ("zh-cmn-HANS-cn", "zh-cmn-Hans-CN"),
            ("sl-ROZAJ-biske-1994", "sl-rozaj-biske-1994"),
            ("es-419", "es-419"),
            ("und", "und"),
            ("de-DE-u-co-phonebk", "de-DE"),
            ("de_DE_u_co_phonebk", "de-DE"),
            ("en-t-jp-m0-true-u-ca-buddhist-x-a", "en"),
            ("en-x-private", "en"),
            ("en-X-a-b-c", "en"),
            ("en-GB-x-a", "en-GB"),
            ("de-1996-x-phonebk-phonebk-phonebk-phonebk", "de-1996"),
            ("en_US.UTF-8", "en-US"),
            ("de_AT@euro", "de-AT"),
        ] {
            let found = parse_language_tag(tag).unwrap();
            assert_eq!(found, expected, "{tag}");
            assert_eq!(parse_language_tag(&found).unwrap(), expected, "{tag} again");
        }
    }

    #[test]
    fn what_is_no_tag_is_an_error_that_says_what_was_expected() {
        let long = format!("en{}", "-variant1".repeat(4));
        for (tag, why) in [
            ("", "begins with \"\""),
            ("e", "begins with \"e\""),
            ("x-private", "begins with \"x\""),
            ("e1", "begins with \"e1\""),
            ("english123", "begins with"),
            ("mostly French", "begins with"),
            ("français", "begins with"),
            ("en-", "\"\" in it"),
            ("en--US", "\"\" in it"),
            ("-en", "begins with \"\""),
            ("en-variantes", "\"variantes\" in it"),
            ("en-u", "nothing follows the extension's \"u\""),
            ("en-x", "nothing follows the extension's \"x\""),
            ("en-u-x-a", "nothing follows the extension's \"u\""),
            ("en-x-private!", "\"private!\" in it"),
            (&long, "38 bytes"),
        ] {
            let error = parse_language_tag(tag).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument, "{tag}");
            let message = error.to_string();
            assert!(message.contains(why), "{tag}: {message}");
            assert!(message.contains("expected one such as \"en\""), "{message}");
            assert!(message.contains(&format!("{tag:?}")), "{message}");
        }
    }
}
