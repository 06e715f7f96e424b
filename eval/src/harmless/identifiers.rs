//! Identifiers of ten kinds, which look like disguised words and are none.

use data_encoding::{BASE32, BASE64, HEXLOWER, HEXUPPER};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::Part;

/// A kind of identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identifier {
    /// 8 to 40 hexadecimal digits.
    Hex,
    /// Base32 of random bytes.
    Base32,
    /// Base64 of random bytes.
    Base64,
    /// A UUID of version 4.
    Uuid,
    /// Capitals and digits, as on a name plate.
    SerialNumber,
    /// Groups of letters and digits with hyphens.
    PartNumber,
    /// A package and its version.
    Version,
    /// Groups of five.
    LicenceKey,
    /// A hash with the name of its function, or a commit.
    Hash,
    /// An order, invoice or tracking number.
    OrderNumber,
}

impl Identifier {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Hex,
        Self::Base32,
        Self::Base64,
        Self::Uuid,
        Self::SerialNumber,
        Self::PartNumber,
        Self::Version,
        Self::LicenceKey,
        Self::Hash,
        Self::OrderNumber,
    ];

    /// The name in tables and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hex => "hex",
            Self::Base32 => "base32",
            Self::Base64 => "base64",
            Self::Uuid => "uuid",
            Self::SerialNumber => "serial_number",
            Self::PartNumber => "part_number",
            Self::Version => "version",
            Self::LicenceKey => "licence_key",
            Self::Hash => "hash",
            Self::OrderNumber => "order_number",
        }
    }

    /// A random identifier of this kind.
    pub fn make(self, rng: &mut ChaCha8Rng) -> String {
        const CAPITALS: &str = "ABCDEFGHJKLMNPQRSTUVWXYZ";
        const DIGITS: &str = "0123456789";
        const BOTH: &str = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789";
        match self {
            Self::Hex => {
                let bytes = bytes(rng, 4, 20);
                match rng.random_bool(0.5) {
                    true => HEXLOWER.encode(&bytes),
                    false => HEXUPPER.encode(&bytes),
                }
            }
            Self::Base32 => BASE32.encode(&bytes(rng, 5, 25)),
            Self::Base64 => BASE64.encode(&bytes(rng, 9, 48)),
            Self::Uuid => {
                let digits = HEXLOWER.encode(&bytes(rng, 16, 16));
                let (a, b, c) = (&digits[..8], &digits[8..12], &digits[13..16]);
                format!("{a}-{b}-4{c}-a{}-{}", &digits[17..20], &digits[20..])
            }
            Self::SerialNumber => {
                let length = rng.random_range(8..=16);
                characters(rng, BOTH, length)
            }
            Self::PartNumber => {
                let family = characters(rng, CAPITALS, 3);
                let length = rng.random_range(3..=5);
                let number = characters(rng, DIGITS, length);
                let length = rng.random_range(2..=5);
                format!("{family}-{number}-{}", characters(rng, BOTH, length))
            }
            Self::Version => {
                let names = ["package-lib", "openapi", "serde", "numpy", "left-pad", "fw"];
                let name = pick(rng, &names);
                let number = rng.random_range(0..4);
                let (minor, patch) = (rng.random_range(0..60), rng.random_range(0..40));
                match rng.random_range(0..4) {
                    0 => format!("v{number}.{minor}.{patch}"),
                    1 => format!("{name} {number}.{minor}.{patch}"),
                    2 => format!("{name}=={number}.{minor}.{patch}rc{}", patch % 5),
                    _ => format!("{name}@{number}.{minor}.{patch}-beta.{}", patch % 7),
                }
            }
            Self::LicenceKey => {
                let groups: Vec<_> = (0..5).map(|_| characters(rng, BOTH, 5)).collect();
                groups.join("-")
            }
            Self::Hash => match rng.random_range(0..3) {
                0 => format!("sha256:{}", HEXLOWER.encode(&bytes(rng, 32, 32))),
                1 => HEXLOWER.encode(&bytes(rng, 20, 20)),
                _ => format!("sha512-{}", BASE64.encode(&bytes(rng, 64, 64))),
            },
            Self::OrderNumber => {
                let prefix = pick(rng, &["PO", "INV", "RMA", "AB", "1Z", "ORD"]);
                let length = rng.random_range(5..=9);
                let number = characters(rng, DIGITS, length);
                match rng.random_range(0..3) {
                    0 => format!("{prefix}-2026-{number}"),
                    1 => format!("{prefix}{number}"),
                    _ => format!("{}-{number}", characters(rng, BOTH, 3)),
                }
            }
        }
    }
}

/// An identifier alone, or after what names it, and the language of that.
pub(super) fn in_place(
    kind: Identifier,
    part: Part,
    rng: &mut ChaCha8Rng,
) -> (Option<&'static str>, String) {
    const PLACES: [(&str, &str); 15] = [
        ("en", "Serial number {}"),
        ("de", "Bitte prüfen Sie {}"),
        ("en", "Where is {} now?"),
        ("fr", "Référence {}"),
        ("en", "id: {}"),
        ("es", "El código es {}"),
        ("en", "Please replace {} by tomorrow."),
        ("de", "Seriennummer {}"),
        ("fr", "Où est {} ?"),
        ("en", "What does {} mean?"),
        ("pl", "Numer {}"),
        ("it", "Il numero è {}"),
        ("ru", "Номер {}"),
        ("zh", "编号 {}"),
        ("tr", "Numara {}"),
    ];
    let identifier = kind.make(rng);
    if rng.random_bool(0.5) {
        return (None, identifier);
    }
    let (language, place) = pick(rng, &part.of(&PLACES));
    (Some(language), place.replace("{}", &identifier))
}

fn bytes(rng: &mut ChaCha8Rng, least: usize, most: usize) -> Vec<u8> {
    let count = rng.random_range(least..=most);
    (0..count).map(|_| rng.random::<u8>()).collect()
}

pub(super) fn characters(rng: &mut ChaCha8Rng, of: &str, count: usize) -> String {
    let of = of.as_bytes();
    (0..count).map(|_| char::from(pick(rng, of))).collect()
}

/// One of the items; the first of none is a mistake of the caller.
pub(super) fn pick<T: Clone>(rng: &mut ChaCha8Rng, items: &[T]) -> T {
    items.choose(rng).unwrap_or(&items[0]).clone()
}
