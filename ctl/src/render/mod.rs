//! How an answer is shown: as a text for people, or as the JSON it came as.

pub mod json;
pub mod text;
