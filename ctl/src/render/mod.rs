//! How an answer is shown: as a text for people, by a template, or as the JSON it came as.

pub mod json;
pub mod template;
pub mod text;
