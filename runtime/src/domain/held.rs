//! What holds a delivery back from the moment it is accepted.

/// Why nothing of a channel is taken, and for how long that may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeldBy {
    /// An operator paused the channel: until it is resumed.
    Pause,
    /// Its breaker is open: until its provider has recovered.
    Breaker,
    /// It was out of order for so long that it is left alone: until an operator enables it.
    Disabled,
    /// Its plugin is stopped: until another version takes over or somebody lets it go.
    Plugin,
}

impl HeldBy {
    /// Every reason there is.
    pub const ALL: [Self; 4] = [Self::Pause, Self::Breaker, Self::Disabled, Self::Plugin];

    /// Its word in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Breaker => "breaker-open",
            Self::Disabled => "disabled",
            Self::Plugin => "plugin-held",
        }
    }
}
