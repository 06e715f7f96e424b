//! API keys: a file of their SHA-256 hashes.

use std::path::Path;

use axum::http::{HeaderMap, header};
use data_encoding::HEXLOWER_PERMISSIVE;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::ServeError;

/// The keys that open the server, hashed. Keys are long random strings, so that a plain hash
/// cannot be searched.
pub(crate) struct Keys(Vec<[u8; 32]>);

impl Keys {
    /// Reads a file with the SHA-256 of one key a line, in hexadecimal digits; a name may follow
    /// after a space. Empty lines and lines that begin with `#` are skipped.
    pub(crate) fn load(path: &Path) -> Result<Self, ServeError> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|cause| ServeError::new(format!("{shown}: cannot read: {cause}")))?;
        let mut keys = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let Some(word) = line.split_whitespace().next() else {
                continue;
            };
            if word.starts_with('#') {
                continue;
            }
            let hash = HEXLOWER_PERMISSIVE.decode(word.as_bytes()).ok();
            let hash = hash.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            // The line itself is not told: it may be a key that was meant to be secret.
            keys.push(hash.ok_or_else(|| {
                ServeError::new(format!(
                    "{shown}, line {number}: expected the SHA-256 of a key in 64 hexadecimal \
                     digits, as `printf %s KEY | sha256sum` prints it"
                ))
            })?);
        }
        match keys.is_empty() {
            true => Err(ServeError::new(format!(
                "{shown}: has no key, so that nobody could use the server; add one, or leave \
                 the option away"
            ))),
            false => Ok(Self(keys)),
        }
    }

    /// Whether a request has one of the keys, as `Authorization: Bearer KEY` or `x-api-key: KEY`.
    /// All hashes are compared, each in constant time.
    pub(crate) fn open(&self, headers: &HeaderMap) -> bool {
        let bearer = headers.get(header::AUTHORIZATION).map(|v| v.as_bytes());
        let bearer = bearer.and_then(|value| match value.split_at_checked(7) {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"bearer ") => Some(key),
            _ => None,
        });
        let key = bearer.or_else(|| headers.get("x-api-key").map(|v| v.as_bytes()));
        let hash: [u8; 32] = Sha256::digest(key.unwrap_or_default()).into();
        let mut found = Choice::from(0);
        for known in &self.0 {
            found |= known.ct_eq(&hash);
        }
        key.is_some() && bool::from(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Result<Keys, ServeError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, text).unwrap();
        Keys::load(&path)
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            axum::http::HeaderName::from_static(name),
            value.parse().unwrap(),
        )])
    }

    #[test]
    fn only_a_listed_key_opens() {
        // printf %s first | sha256sum
        let first = "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e";
        let keys = keys(&format!("# ours\n\n{first} laptop\n")).unwrap();
        assert!(keys.open(&headers("authorization", "Bearer first")));
        assert!(keys.open(&headers("authorization", "bearer first")));
        assert!(keys.open(&headers("x-api-key", "first")));
        assert!(!keys.open(&headers("authorization", "Bearer second")));
        assert!(!keys.open(&headers("authorization", "Bearer ")));
        assert!(!keys.open(&headers("authorization", "first")));
        assert!(!keys.open(&headers("authorization", &format!("Bearer {first}"))));
        assert!(!keys.open(&HeaderMap::new()));
    }

    #[test]
    fn a_file_with_a_key_in_plain_is_refused_without_telling_it() {
        let error = keys("secret\n").err().unwrap().to_string();
        assert!(error.contains("line 1: expected the SHA-256"), "{error}");
        assert!(!error.contains("secret"), "{error}");
        let error = keys("# none\n").err().unwrap().to_string();
        assert!(error.contains("has no key"), "{error}");
    }
}
