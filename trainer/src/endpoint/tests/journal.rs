//! What a killed run leaves behind, and what the next one makes of it.

use std::fs;

use super::*;
use crate::endpoint::journal::Journal;

#[test]
fn a_killed_run_asks_only_for_what_is_missing() {
    let server = Server::start(echo);
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.jsonl");
    let requests = requests(12);
    let mut settings = settings(&server);
    settings.concurrency = 1;
    ask(settings.clone(), &requests, Some(&journal)).unwrap();
    let whole = fs::read(&journal).unwrap();

    // Killed after any byte: what stands on a whole line is not asked for again.
    for length in (0..=whole.len()).step_by(97).chain([whole.len()]) {
        fs::write(&journal, &whole[..length]).unwrap();
        let kept = whole[..length].iter().filter(|&&b| b == b'\n').count();
        let server = Server::start(echo);
        settings.base_url = server.url.clone();
        let mut told = Vec::new();
        let completions = Endpoint::new(settings.clone())
            .unwrap()
            .complete_all(&requests, Some(&journal), &mut |done, all| {
                told.push((done, all));
            })
            .unwrap();
        assert_eq!(completions, echoed(&requests));
        let mut missing: Vec<&str> = requests[kept..].iter().map(|r| &*r.prompt).collect();
        missing.sort_unstable();
        assert_eq!(server.prompts(), missing, "killed after {length} bytes");
        assert_eq!(told[0], (kept, 12));
        assert!(fs::read(&journal).unwrap() == whole, "the journal mends");
    }

    // Another model or setting gives another text, another machine does not.
    settings.temperature = 0.8;
    let before = server.asked().len();
    settings.base_url = server.url.clone();
    ask(settings, &requests, Some(&journal)).unwrap();
    assert_eq!(server.asked().len(), before + 12);
}

#[test]
fn a_journal_that_is_not_one_is_refused() {
    let server = Server::start(echo);
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.jsonl");
    ask(settings(&server), &requests(2), Some(&journal)).unwrap();

    let held = Journal::open(&journal).unwrap();
    let error = ask(settings(&server), &requests(3), Some(&journal)).unwrap_err();
    assert!(error.to_string().contains("another run"), "{error}");
    drop(held);

    let whole = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, format!("{whole}a poem\n{whole}")).unwrap();
    let error = ask(settings(&server), &requests(3), Some(&journal)).unwrap_err();
    let place = format!("{}:3: expected", journal.display());
    assert!(error.to_string().starts_with(&place), "{error}");

    let error = ask(settings(&server), &requests(3), Some(folder.path())).unwrap_err();
    let place = format!("{}: cannot open", folder.path().display());
    assert!(error.to_string().starts_with(&place), "{error}");
    assert_eq!(
        server.asked().len(),
        2,
        "nothing is asked before the journal is known"
    );
}
