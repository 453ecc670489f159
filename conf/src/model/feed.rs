//! Files that are part of a configuration and may change while it serves.

use std::path::PathBuf;

/// A file whose contents count, not its name: what follows `-file` or `-filewatch`.
///
/// What is read when the configuration is loaded is here. When the file of one that is watched changes, its contents are
/// read anew and take the place of these in every worker, by the feed's place in [`super::Config::feeds`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it.
    pub kind: FeedKind,
    /// Changes are followed.
    pub watched: bool,
    /// What was in it.
    pub bytes: Vec<u8>,
}

/// Names a feed where it is part of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedName {
    /// Its place in [`super::Config::feeds`].
    pub index: usize,
    /// Its file.
    pub path: PathBuf,
}

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedKind {
    /// Networks, one a line.
    Networks,
    /// Patterns of a condition, one a line.
    Patterns,
    /// Users and their passwords, one a line.
    Users,
    /// The certificates, keys and responses of a listener, all that is named in it. Its bytes are nowhere in a
    /// configuration: there are keys among them.
    Certificates {
        /// The place of the listener.
        listener: usize,
    },
    /// One text, which stands in others as `%[feed INDEX ENCODING]`.
    Text {
        /// White space at its end does not count.
        trim: bool,
    },
}
