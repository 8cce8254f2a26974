//! What is good and cannot be meant.

use super::{Finding, Findings};
use crate::config::Config;

/// What of a good configuration does nothing.
pub(in crate::config) fn in_vain(config: &Config) -> Vec<Finding> {
    let mut findings = Findings::default();
    for (name, channel) in config.channels.iter().filter(|(_, channel)| channel.enabled) {
        for other in &channel.gates.fallback {
            if config.channels.get(other).is_some_and(|other| !other.enabled) {
                let message = format!("names `{other}`, which is disabled: nothing goes there until it is enabled");
                let hint = format!("set `enabled = true` in [channels.{other}], or take it out of `fallback`");
                findings.add(format!("channels.{name}.fallback"), message).hint(hint);
            }
        }
    }
    findings.0
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Source};

    const TEXT: &str = "[channels.ops]\nplugin = 'null'\nfallback = ['mail', 'phone']\n\
                        [channels.mail]\nplugin = 'null'\nenabled = false\nfallback = ['fax']\n\
                        [channels.phone]\nplugin = 'null'\n[channels.fax]\nplugin = 'null'\nenabled = false\n";

    fn warnings(text: &str) -> Vec<String> {
        let examined = Source::new().text("campanile.toml", text).examine();
        assert_eq!(examined.problems, []);
        examined.warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_channel_that_is_disabled_stands_in_for_nobody() {
        let told = "`channels.ops.fallback` names `mail`, which is disabled: nothing goes there until it is enabled; set \
                    `enabled = true` in [channels.mail], or take it out of `fallback`";
        assert_eq!(warnings(TEXT), [format!("campanile.toml:3: {told}")], "and who is disabled needs nobody");
        assert_eq!(warnings(&TEXT.replace("enabled = false", "")), [""; 0]);
    }

    #[test]
    fn what_a_program_made_is_looked_at_too() {
        let config = Source::new().text("campanile.toml", TEXT).load().expect("it is good").config;
        let keys: Vec<_> = config.warnings().into_iter().map(|warning| warning.key).collect();
        assert_eq!(keys, ["channels.ops.fallback"]);
        assert_eq!(Config::default().warnings(), []);
    }
}
