//! The page in a real browser: it loads nothing from elsewhere, reports no error, and shows a
//! verdict.

#[path = "../../tests/src/browser.rs"]
mod browser;
mod common;

use common::{UNSAFE, options, start};

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_a_verdict_without_errors_or_requests_elsewhere() {
    let server = start(&options()).await;
    let text = UNSAFE.replace(' ', "%20").replace('\'', "%27");
    let url = format!("http://{}/#{text}", server.address);
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().to_owned();
    let (console, document) = tokio::task::spawn_blocking(move || browser::shown(&profile, &url))
        .await
        .unwrap();
    // The page's policy forbids requests elsewhere, and the browser would say that one was tried.
    assert!(console.is_empty(), "{console:?}");
    assert!(
        document.contains("Unsafe: non violent crimes"),
        "{document}"
    );
    assert!(
        document.contains(&format!("<mark>{UNSAFE}</mark>")),
        "{document}"
    );
    assert_eq!(document.matches("<meter ").count(), 12);
    server.stop().await;
}

#[test]
fn everything_has_a_label() {
    let page = include_str!("../src/page.html");
    for field in ["text", "language", "key"] {
        assert_eq!(
            page.matches(&format!("id=\"{field}\"")).count(),
            1,
            "{field}"
        );
        assert_eq!(
            page.matches(&format!("for=\"{field}\"")).count(),
            1,
            "{field}"
        );
    }
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("<html lang=\"en\">") && page.contains("aria-live=\"polite\""));
    assert!(page.contains("color-scheme: light dark"));
}
