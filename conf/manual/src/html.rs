//! All pages as one HTML page, which needs nothing but itself.

use crate::pages::Page;
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};
use std::collections::HashMap;

/// Dark where the reader's system is; a table of contents beside the text where there is room.
const STYLE: &str = include_str!("style.css");

/// The page.
pub(crate) fn render(pages: &[Page]) -> String {
    let (mut contents, mut body) = (String::new(), String::new());
    let mut taken = HashMap::new();
    for page in pages {
        let title = format!("{}({})", page.name, page.section);
        let id = anchor(&title, &mut taken);
        contents.push_str(&format!("<li class=\"page\"><a href=\"#{id}\">{title}</a></li>\n"));
        body.push_str(&format!(
            "<h1 id=\"{id}\" class=\"page\">{title} <small>{}</small></h1>\n",
            page.about
        ));
        let events: Vec<Event<'_>> = Parser::new_ext(&page.text, Options::ENABLE_TABLES).collect();
        let events = with_anchors(events, &mut taken, &mut contents);
        html::push_html(&mut body, events.into_iter());
    }
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>ounce {version}: manual</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<nav>\n<p><strong>ounce</strong> {version}</p>\n<ul>\n{contents}</ul>\n\
         </nav>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// Gives each heading a name that links can go to, and the large ones a line in the table of contents.
fn with_anchors<'a>(
    events: Vec<Event<'a>>,
    taken: &mut HashMap<String, usize>,
    contents: &mut String,
) -> Vec<Event<'a>> {
    let mut out: Vec<Event<'a>> = Vec::with_capacity(events.len());
    let mut heading: Option<usize> = None;
    for event in events {
        match (&event, heading) {
            (Event::Start(Tag::Heading { .. }), _) => heading = Some(out.len()),
            (Event::End(TagEnd::Heading(level)), Some(from)) => {
                let text: String = out[from + 1..].iter().map(words).collect();
                // A directive is linked to by its name alone.
                let by = if *level == HeadingLevel::H3 {
                    text.split(' ').next().unwrap_or_default()
                } else {
                    &text
                };
                let id = anchor(by, taken);
                if *level == HeadingLevel::H1 {
                    contents.push_str(&format!("<li><a href=\"#{id}\">{}</a></li>\n", html_text(&text)));
                }
                if let Event::Start(Tag::Heading { id: place, .. }) = &mut out[from] {
                    *place = Some(CowStr::from(id));
                }
                heading = None;
            }
            _ => {}
        }
        out.push(event);
    }
    // Below the title of a page, chapters are of the second order.
    out.into_iter().map(lowered).collect()
}

fn words(event: &Event<'_>) -> String {
    match event {
        Event::Text(text) | Event::Code(text) => text.to_string(),
        _ => String::new(),
    }
}

fn lowered(event: Event<'_>) -> Event<'_> {
    let lower = |level| match level {
        HeadingLevel::H1 => HeadingLevel::H2,
        HeadingLevel::H2 => HeadingLevel::H3,
        _ => HeadingLevel::H4,
    };
    match event {
        Event::Start(Tag::Heading { level, id, classes, attrs }) => {
            Event::Start(Tag::Heading { level: lower(level), id, classes, attrs })
        }
        Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(lower(level))),
        other => other,
    }
}

/// A name for a place, another one each time.
fn anchor(text: &str, taken: &mut HashMap<String, usize>) -> String {
    let mut id: String =
        text.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    id = id.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    let count = taken.entry(id.clone()).or_insert(0);
    *count += 1;
    if *count > 1 { format!("{id}-{count}") } else { id }
}

fn html_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
