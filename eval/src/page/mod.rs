//! A page of figures and tables in one HTML file: nothing is loaded from anywhere, and every figure
//! can be read as a table.
//!
//! [`Figure`] draws, [`Page`] puts figures, tables and paragraphs together. Neither knows what is
//! measured, so that other programs can report with them.

mod figure;

pub use figure::{Axis, Figure, Series};
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");
/// Forbids every request, whatever the page may hold.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// Columns and rows of text; the first column names the row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The column titles.
    pub columns: Vec<String>,
    /// The cells of each row, as many as there are columns.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Self {
            columns: columns.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    fn markup(&self) -> Markup {
        html! {
            div.wide tabindex="0" {
                table {
                    thead { tr { @for column in &self.columns { th scope="col" { (column) } } } }
                    tbody {
                        @for row in &self.rows {
                            tr {
                                @for (index, cell) in row.iter().enumerate() {
                                    @if index == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A page being put together, from the top down.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    body: Vec<Markup>,
}

impl Page {
    /// An empty page.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            body: Vec::new(),
        }
    }

    /// Adds a heading.
    pub fn heading(&mut self, text: &str) {
        self.body.push(html! { h2 { (text) } });
    }

    /// Adds a paragraph.
    pub fn paragraph(&mut self, text: &str) {
        self.body.push(html! { p { (text) } });
    }

    /// Adds a table.
    pub fn table(&mut self, table: &Table) {
        self.body.push(table.markup());
    }

    /// Adds a figure with its caption, its description for those who do not see it, and its numbers
    /// as a table.
    pub fn figure(&mut self, figure: &Figure) {
        self.body.push(html! {
            figure {
                figcaption { strong { (figure.title()) } " " (figure.caption()) }
                div role="img" aria-label=(figure.description()) { (PreEscaped(figure.svg())) }
                details { summary { "The numbers" } (figure.table().markup()) }
            }
        });
    }

    /// The page as HTML.
    pub fn html(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(POLICY);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    link rel="icon" href="data:,";
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) }
                }
                body { main { h1 { (self.title) } @for part in &self.body { (part) } } }
            }
        };
        page.into_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_every_figure_has_its_alternatives() {
        let mut page = Page::new("a <b> & c");
        page.paragraph("1 < 2");
        let series = [Series::new("s", vec![Some(1.0), None])];
        let axis = Axis::new("share", 0.0, 2.0);
        page.figure(&Figure::bars("T", "c", &["x", "<y>"], &series, &axis).unwrap());
        let html = page.html();
        assert!(html.contains("<title>a &lt;b&gt; &amp; c</title>") && html.contains("1 &lt; 2"));
        assert_eq!(
            html.matches("<svg").count(),
            html.matches("role=\"img\" aria-label=").count()
        );
        assert!(
            html.contains("<th scope=\"row\">&lt;y&gt;</th><td>-</td>"),
            "{html}"
        );
        assert!(!html.contains("<y>") && !html.contains("src=") && !html.contains("url("));
    }
}
