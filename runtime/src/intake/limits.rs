//! How large anything that comes from outside may be. Sizes are in bytes of UTF-8.

use std::time::Duration;

/// Entries in `to`. Each is at most one delivery for each channel, and [`DELIVERIES_MAX`](crate::store::DELIVERIES_MAX)
/// holds for all of them. Over HTTP the limit of the body comes first: 4 MiB are some 100,000 addresses.
pub const RECIPIENTS_MAX: usize = 1_000_000;

/// Channels of one notification. Nobody reads the same news in more places.
pub const CHANNELS_MAX: usize = 32;

/// Addresses of one recipient: one for each kind that any plugin asks for.
pub const ADDRESSES_MAX: usize = 16;

/// One address. The longest in use are Web Push endpoints and webhook URLs; 2,048 is what browsers and proxies take.
pub const ADDRESS_BYTES_MAX: usize = 2_048;

/// A display name.
pub const PERSON_NAME_BYTES_MAX: usize = 256;

/// A language tag. RFC 5646, 4.4.1: 35 characters hold every tag in use.
pub const LOCALE_BYTES_MAX: usize = 35;

/// A time zone. The longest name of the IANA database has 32 characters.
pub const TIME_ZONE_BYTES_MAX: usize = 64;

/// The title. RFC 5322 caps a header line at 998; channels shorten to what their provider takes.
pub const TITLE_BYTES_MAX: usize = 1_024;

/// The text, and each other form but HTML. Providers take 4 to 40 kB; mail takes more.
pub const TEXT_BYTES_MAX: usize = 256 << 10;

/// The HTML form. Mail programs clip at 102 kB; inlined styles and images may take more.
pub const HTML_BYTES_MAX: usize = 1 << 20;

/// Parts for kinds of channel.
pub const PARTS_MAX: usize = 16;

/// `data`, as JSON text. It is stored with the notification and handed to every call.
pub const DATA_BYTES_MAX: usize = 256 << 10;

/// Nesting of `data`. Guests parse it by recursion on a stack of 64 KiB.
pub const DATA_DEPTH_MAX: usize = 32;

/// Actions. Android and desktop notifications show three, Slack 25.
pub const ACTIONS_MAX: usize = 25;

/// What stands on an action. Slack takes 75 characters.
pub const ACTION_LABEL_BYTES_MAX: usize = 256;

/// Where an action leads: as long as an address.
pub const ACTION_URL_BYTES_MAX: usize = 2_048;

/// Where an action may lead. What a reader clicks is opened by their own program: no `javascript:`, `data:` or `file:`.
pub const ACTION_SCHEMES: [&str; 4] = ["https", "http", "mailto", "tel"];

/// Pairs of metadata.
pub const METADATA_MAX: usize = 64;

/// A key of metadata.
pub const METADATA_KEY_BYTES_MAX: usize = 128;

/// A value of metadata: it is for finding and joining, not for content.
pub const METADATA_VALUE_BYTES_MAX: usize = 1_024;

/// `kind`, names of parts, ids of actions, kinds of address: words, as long as names of channels.
pub const WORD_BYTES_MAX: usize = 64;

/// `correlation_id` and `group_key`. Holds a W3C `traceparent`, a URL, a path.
pub const KEY_BYTES_MAX: usize = 255;

/// `idempotency_key`: 1 to 255 visible ASCII characters, as the header `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// How long an idempotency key holds. A caller that could not tell for a day whether it was heard has other worries.
pub const IDEMPOTENCY_HOLDS: Duration = Duration::from_hours(24);

/// How far ahead `scheduled_at` may lie: a year, and a month to spare.
pub const SCHEDULED_AHEAD_MAX: Duration = Duration::from_hours(400 * 24);

/// How far back `scheduled_at` may lie and still mean now. A caller that was down over night still gets through; one
/// whose clock or unit is wrong is told.
pub const SCHEDULED_PAST_MAX: Duration = Duration::from_hours(24);

/// Notifications in one batch: one answer lists them all.
pub const BATCH_MAX: usize = 10_000;

/// Deliveries in one batch: it is one transaction, and the others wait for it. At 150,000 rows a second, a third of one.
pub const BATCH_DELIVERIES_MAX: usize = 50_000;

/// Problems that are listed for one notification. Whoever has so many looks at the first ones.
pub const PROBLEMS_MAX: usize = 100;
