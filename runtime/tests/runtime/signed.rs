//! A bundle whose signature is asked for is opened when every byte is as it was signed, and
//! refused otherwise.

use std::collections::BTreeMap;

use duoguard::{BUNDLE_FILES, Bundle, ErrorKind, Model, ModelOptions};
use minisign::KeyPair;

use crate::support::{Files, write};

const SIGNATURE: &str = "manifest.json.minisig";

fn key() -> KeyPair {
    KeyPair::generate_unencrypted_keypair().unwrap()
}

fn signature(key: &KeyPair, bytes: &[u8]) -> Vec<u8> {
    let signed = minisign::sign(Some(&key.pk), &key.sk, bytes, None, None).unwrap();
    signed.to_string().into_bytes()
}

/// A bundle that `key` signed.
fn signed(key: &KeyPair) -> BTreeMap<String, Vec<u8>> {
    let mut files = Files::new().seal();
    let signature = signature(key, &files["manifest.json"]);
    files.insert(SIGNATURE.to_owned(), signature);
    files
}

fn asking(key: &KeyPair) -> ModelOptions {
    ModelOptions {
        public_key: Some(key.pk.to_box().unwrap().to_string().parse().unwrap()),
        ..ModelOptions::default()
    }
}

/// Opens the files from memory and from a folder, each of which must be refused with this in the
/// message.
#[track_caller]
fn refused(files: &BTreeMap<String, Vec<u8>>, options: &ModelOptions, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), files);
    for opened in [
        Bundle::from_memory_with(files.clone(), options),
        Bundle::open_with(folder.path(), options),
    ] {
        let error = opened.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidModel, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn what_the_key_signed_opens_and_a_signature_may_be_ignored() {
    let key = key();
    let files = signed(&key);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &files);
    for map_weights in [false, true] {
        let options = ModelOptions {
            map_weights,
            ..asking(&key)
        };
        Model::open_with(folder.path(), &options).unwrap();
        Bundle::from_memory_with(files.clone(), &options).unwrap();
    }
    Model::open(folder.path()).unwrap();
}

#[test]
fn an_unsigned_bundle_is_refused() {
    refused(&Files::new().seal(), &asking(&key()), "not signed");
}

#[test]
fn the_signature_of_another_key_is_refused() {
    refused(&signed(&key()), &asking(&key()), "different key");
}

#[test]
fn any_other_byte_is_refused() {
    let key = key();
    let files = signed(&key);
    for name in BUNDLE_FILES {
        let mut files = files.clone();
        let bytes = files.get_mut(name).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let expected = match name {
            "manifest.json" => "signature verification failed",
            name => name,
        };
        refused(&files, &asking(&key), expected);
    }
}

#[test]
fn a_manifest_with_new_hashes_is_refused() {
    // What whoever changes another file must do as well.
    let key = key();
    let mut files = signed(&key);
    let mut other = Files::new();
    other.manifest["name"] = "another".into();
    files.extend(other.seal());
    refused(&files, &asking(&key), "signature verification failed");
}

#[test]
fn what_is_no_signature_is_refused() {
    let key = key();
    let whole = signed(&key);
    for bytes in [
        &b""[..],
        b"\xff\xfe",
        b"untrusted comment: none\nAAAA\ntrusted comment: none\nAAAA\n",
        &[b'a'; 5000],
    ] {
        let mut files = whole.clone();
        files.insert(SIGNATURE.to_owned(), bytes.to_vec());
        refused(&files, &asking(&key), SIGNATURE);
    }
}
