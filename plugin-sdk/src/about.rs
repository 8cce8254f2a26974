//! What a plugin says of itself.

/// What a channel says of itself: the constant from which its descriptor is made.
///
/// Name the fields that matter and take the rest from [`About::NONE`].
///
/// ```
/// use campanile_plugin_sdk::{About, LengthUnit, Need};
///
/// const ABOUT: About = About {
///     name: "chat",
///     version: "1.2.0",
///     summary: "Posts to a chat room",
///     needs: &[Need::http(&["config:/url"], "posts to the room's webhook")],
///     body: Some((4096, LengthUnit::Chars)),
///     ..About::NONE
/// };
/// assert!(ABOUT.address.is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// `[a-z][a-z0-9-]{0,63}`.
    pub name: &'static str,
    /// Of the plugin; semantic. Usually `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Where people read more.
    pub homepage: Option<&'static str>,
    /// SPDX expression.
    pub license: Option<&'static str>,
    /// Host abilities asked for.
    pub needs: &'static [Need],
    /// The kind of address a recipient must have; none: the config says where to.
    pub address: Option<Address>,
    /// What it uses: `html`, `markdown`, `actions`, `data`, names of parts. `export_channel!` adds
    /// `checks-recipient` by itself where `supports` is exported.
    pub features: &'static [&'static str],
    /// The longest title; the host shortens or refuses before the call.
    pub title: Option<(u32, LengthUnit)>,
    /// The longest body; the host shortens or refuses before the call.
    pub body: Option<(u32, LengthUnit)>,
    /// What the provider allows: so many per so many milliseconds, and of what (`channel`, `account`, …). The
    /// operator's word wins.
    pub rate: Option<(u32, u32, &'static str)>,
    /// Room for later versions of the contract.
    pub extra: &'static [(&'static str, &'static str)],
}

impl About {
    /// Nothing said yet: the base for struct update.
    pub const NONE: Self = Self {
        name: "",
        version: "",
        summary: "",
        homepage: None,
        license: None,
        needs: &[],
        address: None,
        features: &[],
        title: None,
        body: None,
        rate: None,
        extra: &[],
    };
}

/// What a template engine says of itself.
///
/// ```
/// use campanile_plugin_sdk::EngineAbout;
///
/// const ABOUT: EngineAbout = EngineAbout {
///     name: "mustache",
///     version: "0.1.0",
///     summary: "Mustache templates",
///     extensions: &["mustache"],
///     ..EngineAbout::NONE
/// };
/// assert_eq!(ABOUT.extensions.len(), 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineAbout {
    /// `[a-z][a-z0-9-]{0,63}`.
    pub name: &'static str,
    /// Of the plugin; semantic. Usually `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Where people read more.
    pub homepage: Option<&'static str>,
    /// SPDX expression.
    pub license: Option<&'static str>,
    /// Of template files, without the dot, such as `j2`.
    pub extensions: &'static [&'static str],
    /// What the engine can do, in its own words.
    pub features: &'static [&'static str],
    /// Room for later versions of the contract.
    pub extra: &'static [(&'static str, &'static str)],
}

impl EngineAbout {
    /// Nothing said yet: the base for struct update.
    pub const NONE: Self = Self {
        name: "",
        version: "",
        summary: "",
        homepage: None,
        license: None,
        extensions: &[],
        features: &[],
        extra: &[],
    };
}

/// A host ability that a plugin asks for; the operator grants it or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// A host interface, such as `http`.
    pub capability: &'static str,
    /// Of `http`: host patterns such as `hooks.slack.com` and `*.example.com`, or `config:/url` for the host that
    /// stands in the config at that JSON Pointer.
    pub scope: &'static [&'static str],
    /// Not granted: the plugin is not loaded (true), or its calls answer `denied` (false).
    pub required: bool,
    /// One sentence for the operator.
    pub reason: &'static str,
}

impl Need {
    /// HTTP to `scope`, without which the plugin is of no use.
    ///
    /// ```
    /// # use campanile_plugin_sdk::Need;
    /// const NEEDS: &[Need] = &[Need::http(&["api.example.com"], "sends the message")];
    /// assert!(NEEDS[0].required);
    /// ```
    pub const fn http(scope: &'static [&'static str], reason: &'static str) -> Self {
        Self { capability: "http", scope, required: true, reason }
    }

    /// `sign` with these algorithms, required.
    pub const fn sign(algorithms: &'static [&'static str], reason: &'static str) -> Self {
        Self { capability: "sign", scope: algorithms, required: true, reason }
    }

    /// `cache`, required.
    pub const fn cache(reason: &'static str) -> Self {
        Self { capability: "cache", scope: &[], required: true, reason }
    }

    /// `kv`, required.
    pub const fn kv(reason: &'static str) -> Self {
        Self { capability: "kv", scope: &[], required: true, reason }
    }

    /// The plugin works without it, if less well.
    #[must_use]
    pub const fn optional(self) -> Self {
        Self { required: false, ..self }
    }
}

/// The address a channel needs of each recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// `email`, `phone`, `slack-user`, …
    pub kind: &'static str,
    /// A regular expression that the whole address must match.
    pub pattern: Option<&'static str>,
}

/// What a length counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthUnit {
    /// Of UTF-8.
    Bytes,
    /// Unicode scalar values.
    Chars,
    /// UTF-16 code units.
    Utf16,
    /// SMS segments.
    Segments,
}
