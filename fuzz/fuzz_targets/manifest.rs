//! Any bytes as a manifest: refused, or valid and the same after a round trip.
#![no_main]

use duoguard::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(manifest) = Manifest::from_json(data) {
        let written = serde_json::to_vec(&manifest).expect("a manifest is JSON");
        assert_eq!(
            Manifest::from_json(&written).expect("and stays one"),
            manifest
        );
        let thresholds = manifest.policy.thresholds(&manifest.categories, "pt-BR");
        assert!(thresholds.iter().all(|t| *t > 0.0 && *t <= 1.0));
    }
});
