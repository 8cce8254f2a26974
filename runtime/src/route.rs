//! Who gets what: recipients × channels, made into deliveries.
//!
//! *Flow:* intake looks the named channels up and asks [`route`]; what comes back is written with the notification.
//!
//! *Invariants:* pure. A channel that needs no address gets one delivery however many recipients there are; any other
//! one for each recipient with an address of its kind; the same channel and address twice is one delivery. Nobody who
//! was named is left out in silence.
//!
//! *Not here:* looking channels up, limits of single fields (`intake`), when something is due (`domain`).

use std::collections::HashSet;
use std::sync::Arc;

use regex::Regex;

use crate::call::{AddressNeed, ChannelFacts};
use crate::domain::{ChannelName, Recipient, Timestamp};
use crate::store::{DELIVERIES_MAX, PlannedDelivery};

/// Recipients whom no channel reaches make a submission of up to so many recipients bad; of a larger one they are
/// skipped, and named.
pub const STRICT_RECIPIENTS_MAX: usize = 100;

/// Who gets what.
#[derive(Clone, Debug, Default)]
pub struct Routed {
    /// One for each channel and address.
    pub deliveries: Vec<PlannedDelivery>,
    /// Places in `to` of those whom no channel reaches, or whose address is none.
    pub skipped: Vec<usize>,
}

/// One entry of `to`: who is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// An address; which kind it is, the channels' patterns say.
    Address(String),
    /// A person with addresses by kind.
    Contact(Contact),
}

impl From<&str> for To {
    fn from(address: &str) -> Self {
        Self::Address(address.to_owned())
    }
}

/// A person with addresses by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// Kind and address, such as `email` and `ada@example.com`. A kind has one address.
    pub addresses: Vec<(String, String)>,
    /// Display name.
    pub name: Option<String>,
    /// BCP 47.
    pub locale: Option<String>,
    /// IANA name.
    pub time_zone: Option<String>,
}

/// Why there are no deliveries. Recipients are named by their place in `to`, in messages from 1: an address is personal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteProblem {
    /// No channel is named.
    #[error("no channel is named, and there are no preferences to choose one by")]
    NoChannels,
    /// A channel needs somebody to send to.
    #[error("channel `{channel}` needs a recipient with an address of kind `{kind}`, and none is named")]
    NoRecipients {
        /// Which channel.
        channel: ChannelName,
        /// What it needs.
        kind: String,
    },
    /// No named channel can reach this recipient.
    #[error("the {} recipient can be reached through none of the named channels: {needs}", ordinal(*.recipient))]
    Unreachable {
        /// Its place in `to`, from 0.
        recipient: usize,
        /// Every named channel with the kind of address it needs.
        needs: String,
    },
    /// The recipient has an address of the kind that a channel needs, and it is not one.
    #[error(
        "the {} recipient has an address of kind `{kind}` that channel `{channel}` does not take: all of it has to match \
         `{pattern}`",
        ordinal(*.recipient)
    )]
    BadAddress {
        /// Its place in `to`, from 0.
        recipient: usize,
        /// Of which kind.
        kind: String,
        /// Which channel refused it.
        channel: ChannelName,
        /// What an address of this kind looks like.
        pattern: String,
    },
    /// More deliveries than one notification may have.
    #[error(
        "{deliveries} deliveries would come of this, the limit is {DELIVERIES_MAX}: send it as several notifications"
    )]
    TooMany {
        /// How many there would be.
        deliveries: usize,
    },
}

/// A named channel and what is known of it.
pub type NamedChannel = (ChannelName, Arc<ChannelFacts>);

/// The deliveries of one notification: channel by channel as they are named, recipient by recipient.
///
/// # Errors
///
/// Every reason why somebody who was named would not be told, and [`RouteProblem::TooMany`].
///
/// ```
/// use campanile::call::ChannelFacts;
/// use campanile::domain::{ChannelName, PluginName, Timestamp};
/// use campanile::route::{To, route};
///
/// let plugin = PluginName::new("console")?;
/// let console = ChannelFacts { plugin, address: None, priority: None, has_fallback: false };
/// let channels = [(ChannelName::new("console")?, console.into())];
/// let recipients = [To::from("ada"), To::from("bob")];
/// let routed = route(&recipients, &channels, Timestamp::from_millis(0)).expect("the console reaches everybody");
/// assert_eq!(routed.deliveries.len(), 1);
/// # Ok::<(), campanile::domain::NameError>(())
/// ```
pub fn route(recipients: &[To], channels: &[NamedChannel], due: Timestamp) -> Result<Routed, Vec<RouteProblem>> {
    if channels.is_empty() {
        return Err(vec![RouteProblem::NoChannels]);
    }
    let mut planning = Planning { due, deliveries: Vec::new(), seen: HashSet::new(), problems: Vec::new() };
    let mut reached = vec![false; recipients.len()];
    for (name, facts) in channels {
        match &facts.address {
            None => planning.add(name, "", || only_one(recipients, facts)),
            Some(need) if recipients.is_empty() => {
                planning.problems.push(RouteProblem::NoRecipients { channel: name.clone(), kind: need.kind.clone() });
            }
            Some(need) => planning.add_each(recipients, (name, facts), need, &mut reached),
        }
    }
    planning.find_unreached(channels, &reached);
    planning.finish(recipients.len() > STRICT_RECIPIENTS_MAX)
}

struct Planning<'a> {
    due: Timestamp,
    deliveries: Vec<PlannedDelivery>,
    seen: HashSet<(&'a str, &'a str)>,
    problems: Vec<RouteProblem>,
}

impl<'a> Planning<'a> {
    fn add(&mut self, channel: &'a ChannelName, address: &'a str, recipient: impl FnOnce() -> Recipient) {
        if self.seen.insert((channel.as_str(), address)) {
            self.deliveries.push(PlannedDelivery::new(channel.clone(), recipient(), self.due));
        }
    }

    fn add_each(
        &mut self,
        recipients: &'a [To],
        (channel, facts): (&'a ChannelName, &ChannelFacts),
        need: &AddressNeed,
        reached: &mut [bool],
    ) {
        for (place, to) in recipients.iter().enumerate() {
            match address_of(to, need) {
                Found::Address(address) => {
                    reached[place] = true;
                    self.add(channel, address, || recipient_of(to, address, facts));
                }
                Found::Bad => {
                    reached[place] = true;
                    let (kind, channel) = (need.kind.clone(), channel.clone());
                    // One that no pattern refuses is empty.
                    let pattern = need.pattern.as_ref().map_or(".+", Regex::as_str).to_owned();
                    self.problems.push(RouteProblem::BadAddress { recipient: place, kind, channel, pattern });
                }
                Found::Nothing => {}
            }
        }
    }

    /// Where every channel says by itself where to, whoever is named is reached; where one does not, somebody whom it
    /// cannot reach would be left out.
    fn find_unreached(&mut self, channels: &[NamedChannel], reached: &[bool]) {
        let needs: Vec<String> = channels
            .iter()
            .filter_map(|(name, facts)| Some((name, facts.address.as_ref()?)))
            .map(|(name, need)| {
                let pattern = need.pattern.as_ref().map(|pattern| format!(", all of which matches `{pattern}`"));
                format!("`{name}` needs an address of kind `{}`{}", need.kind, pattern.unwrap_or_default())
            })
            .collect();
        if needs.is_empty() {
            return;
        }
        let needs = needs.join(", ");
        let unreached = reached.iter().enumerate().filter(|(_, reached)| !**reached);
        self.problems
            .extend(unreached.map(|(recipient, _)| RouteProblem::Unreachable { recipient, needs: needs.clone() }));
    }

    /// With `may_skip`, those who cannot be told do not keep the others from it.
    fn finish(mut self, may_skip: bool) -> Result<Routed, Vec<RouteProblem>> {
        if self.deliveries.len() > DELIVERIES_MAX {
            self.problems.push(RouteProblem::TooMany { deliveries: self.deliveries.len() });
        }
        let mut skipped = Vec::new();
        if may_skip && !self.deliveries.is_empty() {
            self.problems.retain(|problem| match problem {
                RouteProblem::Unreachable { recipient, .. } | RouteProblem::BadAddress { recipient, .. } => {
                    skipped.push(*recipient);
                    false
                }
                RouteProblem::NoChannels | RouteProblem::NoRecipients { .. } | RouteProblem::TooMany { .. } => true,
            });
            skipped.sort_unstable();
            skipped.dedup();
        }
        if self.problems.is_empty() { Ok(Routed { deliveries: self.deliveries, skipped }) } else { Err(self.problems) }
    }
}

/// `1st` of what has place 0.
fn ordinal(place: usize) -> String {
    let number = place + 1;
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

enum Found<'a> {
    Address(&'a str),
    /// There is one of the kind, and the pattern does not match.
    Bad,
    Nothing,
}

fn address_of<'a>(to: &'a To, need: &AddressNeed) -> Found<'a> {
    match to {
        To::Address(address) if need.takes(address) => Found::Address(address),
        To::Address(_) => Found::Nothing,
        To::Contact(contact) => match contact.addresses.iter().find(|(kind, _)| *kind == need.kind) {
            Some((_, address)) if need.takes(address) => Found::Address(address),
            Some(_) => Found::Bad,
            None => Found::Nothing,
        },
    }
}

fn recipient_of(to: &To, address: &str, facts: &ChannelFacts) -> Recipient {
    let others = if facts.has_fallback { others_of(to, facts.address.as_ref()) } else { Vec::new() };
    let address = address.to_owned();
    match to {
        To::Address(_) => Recipient { address, others, ..Recipient::default() },
        To::Contact(Contact { addresses: _, name, locale, time_zone }) => Recipient {
            address,
            others,
            name: name.clone(),
            locale: locale.clone(),
            time_zone: time_zone.clone(),
            ..Recipient::default()
        },
    }
}

/// What a channel that stands in may need, besides the address that `used` stands for.
fn others_of(to: &To, used: Option<&AddressNeed>) -> Vec<(String, String)> {
    match (to, used) {
        (To::Address(_), Some(_)) => Vec::new(),
        // Whoever names no kind leaves it to the patterns of channels.
        (To::Address(address), None) => vec![(String::new(), address.clone())],
        (To::Contact(contact), _) => {
            let is_other = |(kind, _): &&(String, String)| used.is_none_or(|need| need.kind != *kind);
            contact.addresses.iter().filter(is_other).cloned().collect()
        }
    }
}

/// A channel that needs no address still speaks to the one person that is named, in their language.
fn only_one(recipients: &[To], facts: &ChannelFacts) -> Recipient {
    match recipients {
        [one] => recipient_of(one, "", facts),
        _ => Recipient::default(),
    }
}

#[cfg(test)]
mod tests;
