//! The manual, as man pages and as one HTML page.
//!
//! ```text
//!  chapters/*.md     written by hand
//!  grammar rows ──►  reference: one entry for each directive
//!  conf's //!   ──►  departures, log formats
//!  examples/*.cfg    the configurations that tests run
//!      │
//!    pages           Markdown, all of it in place
//!      ├─► roff      ounce.8, ounce.cfg.5, ouncectl.8
//!      └─► html      ounce.html
//! ```
//!
//! Nothing that is made is kept: `scripts/manual` makes it, so it is never older than the rows. What always holds:
//!
//! 1. Each directive has an entry, and each paragraph of `chapters/directives.md` belongs to one.
//! 2. Each block of Markdown marked `ounce` is a whole configuration; [`configurations`] gives them to a test that loads
//!    them all.
//! 3. A place for something that is made (`{{...}}`) that nobody knows fails the making.

#![forbid(unsafe_code)]

mod html;
mod pages;
mod reference;
mod roff;

pub use pages::configurations;

/// The files of the manual: names and text.
///
/// # Panics
/// When a chapter asks for something that is not there, which a test shows.
#[must_use]
pub fn files() -> Vec<(&'static str, String)> {
    let pages = pages::all();
    let mut files: Vec<(&'static str, String)> =
        pages.iter().map(|page| (page.file, roff::render(page))).collect();
    files.push(("ounce.html", html::render(&pages)));
    files
}
