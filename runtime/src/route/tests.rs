//! Who gets what, rule by rule.

use proptest::prelude::*;
use regex::Regex;

use super::*;
use crate::domain::PluginName;

const DUE: Timestamp = Timestamp::from_millis(7);

fn channel(name: &str, need: Option<(&str, Option<&str>)>) -> NamedChannel {
    let address = need.map(|(kind, pattern)| AddressNeed {
        kind: kind.to_owned(),
        pattern: pattern.map(|pattern| Regex::new(pattern).expect("a pattern")),
    });
    let plugin = PluginName::new("plugin").expect("a name");
    (
        ChannelName::new(name).expect("a name"),
        Arc::new(ChannelFacts { plugin, address, priority: None, has_fallback: false }),
    )
}

fn mail() -> NamedChannel {
    channel("mail", Some(("email", Some("[^@ ]+@[^@ ]+"))))
}

fn sms() -> NamedChannel {
    channel("sms", Some(("phone", Some(r"\+[0-9]{5,15}"))))
}

fn console() -> NamedChannel {
    channel("console", None)
}

fn contact(addresses: &[(&str, &str)]) -> To {
    let addresses = addresses.iter().map(|(kind, address)| ((*kind).to_owned(), (*address).to_owned())).collect();
    To::Contact(Contact { addresses, ..Contact::default() })
}

/// Channel and address of each delivery.
fn routed(recipients: &[To], channels: &[NamedChannel]) -> Result<Vec<(String, String)>, Vec<RouteProblem>> {
    route(recipients, channels, DUE).map(|deliveries| {
        deliveries
            .deliveries
            .into_iter()
            .map(|delivery| (delivery.channel.to_string(), delivery.recipient.address))
            .collect()
    })
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(channel, address)| ((*channel).to_owned(), (*address).to_owned())).collect()
}

#[test]
fn a_channel_without_an_address_gets_one_delivery_however_many_recipients() {
    assert_eq!(routed(&[], &[console()]), Ok(pairs(&[("console", "")])));
    assert_eq!(routed(&["ada".into(), "bob".into()], &[console()]), Ok(pairs(&[("console", "")])));
}

#[test]
fn any_other_gets_one_for_each_recipient_with_an_address_of_its_kind() {
    let ada = contact(&[("email", "ada@example.com"), ("phone", "+4912345")]);
    let bob = contact(&[("phone", "+4954321")]);
    assert_eq!(
        routed(&[ada, bob], &[mail(), sms()]),
        Ok(pairs(&[("mail", "ada@example.com"), ("sms", "+4912345"), ("sms", "+4954321")]))
    );
}

#[test]
fn a_string_is_the_address_where_the_whole_of_it_matches() {
    let to = ["ada@example.com".into(), "+4912345".into()];
    assert_eq!(routed(&to, &[mail(), sms()]), Ok(pairs(&[("mail", "ada@example.com"), ("sms", "+4912345")])));
    let inside = ["call +4912345 now".into()];
    assert!(matches!(routed(&inside, &[sms()]).unwrap_err()[..], [RouteProblem::Unreachable { recipient: 0, .. }]));
}

#[test]
fn the_same_channel_and_address_twice_is_one_delivery() {
    let to = ["a@b".into(), contact(&[("email", "a@b")]), "a@b".into()];
    assert_eq!(routed(&to, &[mail(), mail()]), Ok(pairs(&[("mail", "a@b")])));
}

#[test]
fn a_recipient_whom_no_channel_reaches_is_named_with_the_channels() {
    let problems = routed(&["a@b".into(), "nobody".into()], &[mail(), sms(), console()]).unwrap_err();
    let [RouteProblem::Unreachable { recipient: 1, needs }] = &problems[..] else { panic!("{problems:?}") };
    let expected = r"`mail` needs an address of kind `email`, all of which matches `[^@ ]+@[^@ ]+`, `sms` needs an address of kind `phone`, all of which matches `\+[0-9]{5,15}`";
    assert_eq!(needs, expected);
    let told = "the 2nd recipient can be reached through none of the named channels: ";
    assert_eq!(problems[0].to_string(), format!("{told}{expected}"));
}

#[test]
fn an_address_that_its_own_channel_does_not_take_is_a_problem_even_where_another_reaches() {
    let ada = contact(&[("email", "ada"), ("phone", "+4912345")]);
    let problems = routed(&[ada], &[mail(), sms()]).unwrap_err();
    assert!(matches!(&problems[..], [RouteProblem::BadAddress { recipient: 0, kind, .. }] if kind == "email"));
    let told = "the 1st recipient has an address of kind `email` that channel `mail` does not take: all of it has to match \
                `[^@ ]+@[^@ ]+`";
    assert_eq!(problems[0].to_string(), told);
}

#[test]
fn nobody_to_send_to_and_nothing_to_send_through_are_problems() {
    assert_eq!(routed(&["ada".into()], &[]), Err(vec![RouteProblem::NoChannels]));
    assert!(matches!(routed(&[], &[mail()]).unwrap_err()[..], [RouteProblem::NoRecipients { .. }]));
}

#[test]
fn the_millionth_delivery_is_taken_and_the_next_is_not() {
    let to: Vec<To> = (0..=DELIVERIES_MAX).map(|n| To::Address(format!("{n}@example.com"))).collect();
    let count = |to: &[To]| route(to, &[mail()], DUE).map(|routed| routed.deliveries.len());
    assert_eq!(count(&to[1..]), Ok(DELIVERIES_MAX));
    assert_eq!(count(&to), Err(vec![RouteProblem::TooMany { deliveries: DELIVERIES_MAX + 1 }]));
}

#[test]
fn of_many_those_who_cannot_be_reached_are_skipped_and_named() {
    let mut to: Vec<To> = (0..STRICT_RECIPIENTS_MAX).map(|n| To::Address(format!("{n}@example.com"))).collect();
    to[7] = "nobody".into();
    let problems = route(&to, &[mail()], DUE).expect_err("few enough to be told one by one");
    assert!(matches!(problems[..], [RouteProblem::Unreachable { recipient: 7, .. }]));
    to.push("nowhere".into());
    let routed = route(&to, &[mail()], DUE).expect("the others are told");
    assert_eq!((routed.deliveries.len(), routed.skipped), (STRICT_RECIPIENTS_MAX - 1, vec![7, STRICT_RECIPIENTS_MAX]));
    let nobody: Vec<To> = vec!["nobody".into(); STRICT_RECIPIENTS_MAX + 1];
    assert!(route(&nobody, &[mail()], DUE).is_err(), "somebody has to be told");
}

#[test]
fn the_one_person_named_keeps_their_language_on_a_channel_without_an_address() {
    let ada = To::Contact(Contact { locale: Some("de".to_owned()), ..Contact::default() });
    let deliveries = route(std::slice::from_ref(&ada), &[console()], DUE).expect("reached").deliveries;
    assert_eq!(deliveries[0].recipient.locale.as_deref(), Some("de"));
    let two = route(&[ada, "bob".into()], &[console()], DUE).expect("reached").deliveries;
    assert_eq!(two[0].recipient, Recipient::default());
}

fn with_fallback((name, facts): NamedChannel) -> NamedChannel {
    (name, Arc::new(ChannelFacts { has_fallback: true, ..(*facts).clone() }))
}

#[test]
fn other_addresses_are_kept_where_another_channel_may_stand_in() {
    let others = |to: To, channel: NamedChannel| {
        let routed = route(&[to], &[channel], DUE).expect("it is reached");
        routed.deliveries.into_iter().map(|delivery| delivery.recipient.others).next().expect("one delivery")
    };
    let ada = || contact(&[("email", "ada@example.com"), ("phone", "+4912345")]);
    assert_eq!(others(ada(), mail()), [], "nobody needs them");
    assert_eq!(others(ada(), with_fallback(mail())), pairs(&[("phone", "+4912345")]));
    let both = pairs(&[("email", "ada@example.com"), ("phone", "+4912345")]);
    assert_eq!(others(ada(), with_fallback(console())), both);
    assert_eq!(others("ada@example.com".into(), with_fallback(mail())), []);
    assert_eq!(others("ada@example.com".into(), with_fallback(console())), pairs(&[("", "ada@example.com")]));
}

proptest! {
    #[test]
    fn deliveries_are_distinct_due_when_asked_and_everybody_named_is_reached_or_named(
        to in proptest::collection::vec("(a@b|c@d|\\+[0-9]{5}|nobody)", 0..6),
        chosen in proptest::collection::vec(0_usize..3, 0..4),
    ) {
        let all = [mail(), sms(), console()];
        let channels: Vec<NamedChannel> = chosen.iter().map(|n| all[*n].clone()).collect();
        let recipients: Vec<To> = to.iter().map(|address| To::Address(address.clone())).collect();
        match route(&recipients, &channels, DUE) {
            Ok(Routed { deliveries, .. }) => {
                let mut keys: Vec<_> = deliveries.iter().map(|d| (&d.channel, &d.recipient.address)).collect();
                let count = keys.len();
                keys.sort();
                keys.dedup();
                prop_assert_eq!(keys.len(), count);
                prop_assert!(count > 0 && deliveries.iter().all(|d| d.due == DUE));
                if chosen.iter().any(|n| *n != 2) {
                    prop_assert!(to.iter().all(|address| deliveries.iter().any(|d| d.recipient.address == *address)));
                }
            }
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }
}
