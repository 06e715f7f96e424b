//! Signatures of bundles, in minisign's format (<https://jedisct1.github.io/minisign/>).
//!
//! What is signed is `manifest.json`, which holds the SHA-256 of every other file.

use std::str::FromStr;

use minisign_verify::Signature;

use crate::error::{Error, Result};

/// Whose signature a bundle must have: the public half of a minisign key.
///
/// ```
/// let text = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
/// let key: duoguard::PublicKey = text.parse()?;
/// # Ok::<(), duoguard::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(minisign_verify::PublicKey);

impl FromStr for PublicKey {
    type Err = Error;

    /// Reads a key as minisign writes it: all of `minisign.pub`, or only its second line.
    ///
    /// # Errors
    /// Text that is no such key.
    fn from_str(text: &str) -> Result<Self> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let key = match *lines.collect::<Vec<_>>() {
            [key] => key,
            [comment, key] if comment.starts_with("untrusted comment:") => key,
            _ => return Err(no_key("expected one line, or minisign's two")),
        };
        minisign_verify::PublicKey::from_base64(key)
            .map(Self)
            .map_err(|cause| no_key(&cause.to_string()))
    }
}

fn no_key(cause: &str) -> Error {
    Error::argument(format!(
        "public key: {cause}; give the text of minisign.pub, which `minisign -G` writes, or the \
         line in it that begins with RW"
    ))
}

impl PublicKey {
    /// Checks that `signature`, the bytes of the file `name`, is this key's signature of
    /// `manifest`.
    pub(crate) fn verify(&self, manifest: &[u8], name: &str, signature: &[u8]) -> Result<()> {
        let refused = |cause: String| {
            Error::model(format!(
                "{name}: {cause}; the bundle was altered, or was not signed by the holder of the \
                 public key that was given: get it again from them"
            ))
        };
        let text = std::str::from_utf8(signature)
            .map_err(|_| refused("not text; expected a signature in minisign's format".into()))?;
        let signature = Signature::decode(text).map_err(|cause| refused(cause.to_string()))?;
        // The older kind of signature, of the file itself and not of its hash, is not taken.
        self.0
            .verify(manifest, &signature, false)
            .map_err(|cause| refused(cause.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    #[test]
    fn a_key_is_read_from_a_file_s_text_and_alone() {
        let alone: PublicKey = KEY.parse().unwrap();
        let file = format!("untrusted comment: minisign public key\r\n{KEY}\r\n");
        assert_eq!(file.parse::<PublicKey>().unwrap(), alone);
        assert_eq!(format!(" {KEY}\n").parse::<PublicKey>().unwrap(), alone);
    }

    #[test]
    fn what_is_no_key_is_refused_with_what_to_do() {
        let cut = &KEY[..KEY.len() - 4];
        let two = format!("{KEY}\n{KEY}");
        for text in ["", "no key", cut, &two] {
            let error = text.parse::<PublicKey>().unwrap_err().to_string();
            assert!(error.contains("minisign -G"), "{error}");
        }
    }
}
