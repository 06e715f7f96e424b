//! Why a verdict is what it is, as `check --explain` prints it.

use std::io::{self, Write};
use std::ops::Range;

use duoguard::{Change, ScoredView, Span, Verdict};
use serde::Serialize;
use serde::ser::Serializer;

/// The keys that `--explain` adds.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation<'a> {
    span: Option<JsonSpan<'a>>,
    allowed: bool,
    #[serde(serialize_with = "views")]
    views: &'a [ScoredView],
    #[serde(serialize_with = "changes")]
    changes: &'a [Change],
    changes_total: usize,
}

#[derive(Debug, Serialize)]
struct JsonSpan<'a> {
    #[serde(serialize_with = "range")]
    prompt: &'a Range<usize>,
    #[serde(serialize_with = "range")]
    response: &'a Range<usize>,
}

impl<'a> JsonSpan<'a> {
    fn new(span: &'a Span) -> Self {
        Self {
            prompt: &span.prompt,
            response: &span.response,
        }
    }
}

impl<'a> Explanation<'a> {
    pub(crate) fn new(verdict: &'a Verdict) -> Self {
        Self {
            span: verdict.span.as_ref().map(JsonSpan::new),
            allowed: verdict.allowed,
            views: &verdict.views,
            changes: &verdict.changes,
            changes_total: verdict.changes_total,
        }
    }

    /// One line for the span, one for every view but the text itself, and one for every change.
    pub(crate) fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(span) = &self.span {
            writeln!(
                out,
                "    scored highest: {}",
                place(span.prompt, span.response)
            )?;
        }
        if self.allowed {
            writeln!(out, "    on the list of allowed texts")?;
        }
        if self.views.len() > 1 {
            let views = self.views.iter();
            let views: Vec<_> = views
                .map(|view| format!("{} {:.2}", view.kind.name(), view.score))
                .collect();
            writeln!(out, "    views: {}", views.join(", "))?;
        }
        for change in self.changes {
            let place = place(&change.span.prompt, &change.span.response);
            writeln!(
                out,
                "    {} x {} in {place}",
                change.kind.name(),
                change.count
            )?;
        }
        if self.changes_total > self.changes.len() {
            writeln!(
                out,
                "    and {} more changes",
                self.changes_total - self.changes.len()
            )?;
        }
        Ok(())
    }
}

fn place(prompt: &Range<usize>, response: &Range<usize>) -> String {
    let part = |name: &str, range: &Range<usize>| {
        (!range.is_empty()).then(|| format!("{name} bytes {} to {}", range.start, range.end))
    };
    let parts = [part("prompt", prompt), part("response", response)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn range<S: Serializer>(range: &Range<usize>, serializer: S) -> Result<S::Ok, S::Error> {
    [range.start, range.end].serialize(serializer)
}

fn views<S: Serializer>(views: &[ScoredView], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Json {
        kind: &'static str,
        score: f32,
        tokens: usize,
        tokens_scored: usize,
        windows: usize,
    }
    serializer.collect_seq(views.iter().map(|view| Json {
        kind: view.kind.name(),
        score: view.score,
        tokens: view.tokens,
        tokens_scored: view.tokens_scored,
        windows: view.windows,
    }))
}

fn changes<S: Serializer>(changes: &[Change], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Json<'a> {
        kind: &'static str,
        #[serde(flatten)]
        span: JsonSpan<'a>,
        count: usize,
    }
    serializer.collect_seq(changes.iter().map(|change| Json {
        kind: change.kind.name(),
        span: JsonSpan::new(&change.span),
        count: change.count,
    }))
}
