//! What the GPU engine leaves behind, in a process and at a time of its own: whatever else ran in
//! it would be counted too.
#![cfg(target_os = "linux")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use duoguard::{Input, Model};
use duoguard_tests::{mini, session_on};

/// Held by the test that measures.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Memory of this process that is in use, in bytes. Lavapipe's buffers are among it.
fn memory_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: usize = line
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kib << 10
}

/// Any error scope that hears something makes a check fail, so that this shows them silent too.
#[test]
fn a_thousand_checks_leave_nothing_behind() {
    const GROWTH_BYTES: usize = 4 << 20;
    let _alone = alone();
    let model = Model::open(mini()).unwrap();
    let mut session = session_on(&model, "wgpu");
    let text = "The soup is warm and the bread is fresh. ";
    let texts: Vec<String> = [1, 2, 4].iter().map(|n| text.repeat(*n)).collect();
    let first = session.check(&Input::prompt(&texts[0])).unwrap();
    let mut check = |count: usize| {
        for text in texts.iter().cycle().take(count) {
            session.check(&Input::prompt(text)).unwrap();
        }
        memory_bytes()
    };
    let before = check(200);
    let after = check(1000);
    println!("{before} bytes, {after} after 1,000 checks more");
    assert!(after < before + GROWTH_BYTES, "{before} {after}");
    assert_eq!(session.check(&Input::prompt(&texts[0])).unwrap(), first);
}

/// Every model has a device of its own; with the last session they go.
#[test]
fn models_that_are_closed_leave_nothing_behind() {
    // A device's own caches and the allocator's settle slowly.
    const GROWTH_BYTES: usize = 16 << 20;
    let _alone = alone();
    let cycle = |count: usize| {
        for _ in 0..count {
            let model = Model::open(mini()).unwrap();
            let mut session = session_on(&model, "wgpu");
            session
                .check(&Input::prompt("How do I bake bread?"))
                .unwrap();
        }
        memory_bytes()
    };
    let before = cycle(5);
    let after = cycle(20);
    println!("{before} bytes, {after} after 20 models more");
    assert!(after < before + GROWTH_BYTES, "{before} {after}");
}
