//! Who is next, and by which address.

use regex::Regex;

use super::*;
use crate::domain::PluginName;

fn name(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

fn need(kind: &str, pattern: Option<&str>) -> AddressNeed {
    AddressNeed { kind: kind.to_owned(), pattern: pattern.map(|pattern| Regex::new(pattern).unwrap()) }
}

fn way(steps: &[(&str, &str)]) -> Vec<Rerouted> {
    let at = Timestamp::from_millis(0);
    let rerouted = |(from, to): &(&str, &str)| Rerouted { from: name(from), to: name(to), at, reason: String::new() };
    steps.iter().map(rerouted).collect()
}

#[test]
fn the_chain_is_that_of_the_first_channel_and_goes_forward_only() {
    let chain = |names: &[&str]| names.iter().copied().map(name).collect::<Vec<_>>();
    let fallbacks = Fallbacks(BTreeMap::from([
        (name("a"), chain(&["b", "c", "d"])),
        (name("c"), chain(&["x"])),
        (name("y"), vec![]),
    ]));
    let left = |steps: &[(&str, &str)], at: &str| -> Vec<String> {
        fallbacks.left(&way(steps), &name(at)).map(ToString::to_string).collect()
    };
    assert_eq!(left(&[], "a"), ["b", "c", "d"]);
    assert_eq!(left(&[("a", "c")], "c"), ["d"], "who was passed over does not come again");
    assert_eq!(left(&[("a", "d")], "d"), [""; 0]);
    assert_eq!(left(&[], "c"), ["x"], "what is accepted for it has its own chain");
    assert_eq!(left(&[("a", "gone")], "gone"), ["b", "c", "d"], "the chain was changed meanwhile");
    assert_eq!(left(&[], "b"), [""; 0]);
    let concerned = ["a", "b", "x", "z"].map(|channel| fallbacks.concern(&name(channel)));
    assert_eq!(concerned, [true, true, true, false]);
}

/// What a recipient with these addresses is reached by, and what is left.
fn found(recipient: &Recipient, kind: Option<&str>, need: Option<&AddressNeed>) -> Option<(String, Vec<String>)> {
    let before = ChannelFacts {
        plugin: PluginName::new("plugin").unwrap(),
        address: kind.map(|kind| self::need(kind, None)),
        priority: None,
        has_fallback: true,
    };
    let found = recipient_for(recipient, Some(&before), need)?;
    let others = found.others.into_iter().map(|(kind, address)| format!("{kind}:{address}")).collect();
    Some((found.address, others))
}

#[test]
fn each_channel_gets_an_address_of_its_kind_and_the_others_are_kept() {
    let phone = ("phone".to_owned(), "+4912345".to_owned());
    let ada = Recipient { address: "ada@example.com".to_owned(), others: vec![phone], ..Recipient::default() };
    let (mail, sms) = (need("email", Some("[^@ ]+@[^@ ]+")), need("phone", None));
    let to = |address: &str, others: &[&str]| {
        Some((address.to_owned(), others.iter().map(|other| (*other).to_owned()).collect::<Vec<_>>()))
    };
    assert_eq!(found(&ada, Some("email"), Some(&sms)), to("+4912345", &["email:ada@example.com"]));
    assert_eq!(found(&ada, Some("email"), Some(&mail)), to("ada@example.com", &["phone:+4912345"]));
    assert_eq!(found(&ada, Some("email"), None), to("", &["email:ada@example.com", "phone:+4912345"]));
    assert_eq!(found(&ada, Some("email"), Some(&need("slack", None))), None, "nothing says that one would fit");
    assert_eq!(found(&ada, Some("email"), Some(&need("url", Some("https://.*")))), None);

    let bare = Recipient { others: vec![(String::new(), "bob@example.com".to_owned())], ..Recipient::default() };
    assert_eq!(found(&bare, None, Some(&mail)), to("bob@example.com", &[]), "by the pattern of the channel");
    assert_eq!(found(&bare, None, Some(&sms)), None);
    assert_eq!(found(&Recipient::default(), None, Some(&mail)), None, "there is nobody to reach");
}
