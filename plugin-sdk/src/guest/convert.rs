//! Between the contract's values and the plain ones. Strings are moved, never copied.

use std::time::Duration;

use super::{channel, template_engine, types};
use crate::{
    About, Action, ActionStyle, Call, Content, Context, EngineAbout, Failure, FailureKind, Finality, LengthUnit, Need,
    Notification, Outcome, Pairs, Part, Places, Priority, Recipient, RenderOptions, Scope, Sent, Template,
    TemplateInfo, TemplateProblem, Trouble,
};

pub(super) fn call(context: types::Context, delivery: types::Delivery) -> Call {
    Call {
        context: context.into(),
        delivery_id: delivery.id,
        attempt: delivery.attempt,
        recipient: delivery.recipient.into(),
        notification: delivery.notification.into(),
    }
}

impl From<types::Context> for Context {
    fn from(context: types::Context) -> Self {
        let types::Context { channel, config, now_ms, timeout_ms, extra } = context;
        Self { channel, config, now_ms, timeout_ms, extra }
    }
}

impl From<types::Recipient> for Recipient {
    fn from(recipient: types::Recipient) -> Self {
        let types::Recipient { address, id, name, locale, time_zone, attributes } = recipient;
        Self { address, id, name, locale, time_zone, attributes }
    }
}

impl From<types::Notification> for Notification {
    fn from(notification: types::Notification) -> Self {
        Self {
            id: notification.id,
            kind: notification.kind,
            priority: match notification.priority {
                types::Priority::Low => Priority::Low,
                types::Priority::Normal => Priority::Normal,
                types::Priority::High => Priority::High,
                types::Priority::Critical => Priority::Critical,
            },
            content: notification.content.into(),
            actions: notification.actions.into_iter().map(Into::into).collect(),
            data: notification.data,
            metadata: notification.metadata,
            correlation_id: notification.correlation_id,
            group_key: notification.group_key,
            created_ms: notification.created_ms,
            expires_ms: notification.expires_ms,
        }
    }
}

impl From<types::Content> for Content {
    fn from(content: types::Content) -> Self {
        let types::Content { title, text, html, markdown, parts } = content;
        Self { title, text, html, markdown, parts: parts.into_iter().map(Into::into).collect() }
    }
}

impl From<types::Part> for Part {
    fn from(part: types::Part) -> Self {
        let types::Part { name, value } = part;
        Self { name, value }
    }
}

impl From<Part> for types::Part {
    fn from(part: Part) -> Self {
        let Part { name, value } = part;
        Self { name, value }
    }
}

impl From<types::Action> for Action {
    fn from(action: types::Action) -> Self {
        let types::Action { id, label, url, style } = action;
        let style = match style {
            types::ActionStyle::Plain => ActionStyle::Plain,
            types::ActionStyle::Primary => ActionStyle::Primary,
            types::ActionStyle::Danger => ActionStyle::Danger,
        };
        Self { id, label, url, style }
    }
}

pub(super) fn outcome(outcome: Outcome) -> types::Outcome {
    match outcome {
        Ok(Sent { provider_id, facts, finality }) => {
            let receipt = types::Receipt { provider_id, facts };
            match finality {
                Finality::Sent => types::Outcome::Sent(receipt),
                Finality::Accepted { check_after } => {
                    types::Outcome::Accepted(types::Pending { receipt, check_after_ms: check_after.map(milliseconds) })
                }
            }
        }
        Err(failure) => lower_failure(failure),
    }
}

fn lower_failure(failure: Failure) -> types::Outcome {
    let Failure { kind, code, reason } = failure;
    match kind {
        FailureKind::Retry { after, trouble } => types::Outcome::Retry(types::Retry {
            after_ms: after.map(milliseconds),
            trouble: match trouble {
                Trouble::Unreachable => types::Trouble::Unreachable,
                Trouble::Server => types::Trouble::Server,
                Trouble::Timeout => types::Trouble::Timeout,
                Trouble::Other => types::Trouble::Other,
            },
            code,
            reason,
        }),
        FailureKind::RateLimited { after, scope } => types::Outcome::RateLimited(types::RateLimit {
            after_ms: after.map(milliseconds),
            scope: match scope {
                Scope::Recipient => types::Scope::Recipient,
                Scope::Channel => types::Scope::Channel,
                Scope::Account => types::Scope::Account,
            },
            code,
            reason,
        }),
        FailureKind::Message => {
            types::Outcome::Rejected(types::Rejection { blame: types::Blame::Message, code, reason })
        }
        FailureKind::Channel => {
            types::Outcome::Rejected(types::Rejection { blame: types::Blame::Channel, code, reason })
        }
        FailureKind::Gone { new_address } => types::Outcome::RecipientGone(types::Gone { new_address, code, reason }),
    }
}

/// Longer than 49 days is as good as for ever.
fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

pub(super) fn descriptor(
    about: &About,
    config_schema: String,
    secrets: Vec<crate::SecretKey>,
    abilities: &[&str],
) -> channel::Descriptor {
    let length = |limit: Option<(u32, LengthUnit)>| limit.map(|(max, unit)| channel::Length { max, unit: unit.into() });
    let mut features: Vec<String> = about.features.iter().map(|&feature| feature.into()).collect();
    if abilities.contains(&"supports") {
        features.push("checks-recipient".into());
    }
    channel::Descriptor {
        about: types::About {
            name: about.name.into(),
            version: about.version.into(),
            summary: about.summary.into(),
            homepage: about.homepage.map(Into::into),
            license: about.license.map(Into::into),
            config_schema,
            secrets: secrets.into_iter().map(Into::into).collect(),
            needs: about.needs.iter().map(Into::into).collect(),
            extra: pairs(about.extra),
        },
        address: about
            .address
            .map(|address| channel::Address { kind: address.kind.into(), pattern: address.pattern.map(Into::into) }),
        features,
        limits: channel::Limits {
            title: length(about.title),
            body: length(about.body),
            attachments: Some(0),
            attachment_size: None,
            attachments_size: None,
            batch: None,
        },
        rate: about.rate.map(|(count, per_ms, scope)| channel::Rate { count, per_ms, scope: scope.into() }),
    }
}

pub(super) fn engine_descriptor(about: &EngineAbout) -> template_engine::Descriptor {
    template_engine::Descriptor {
        about: types::About {
            name: about.name.into(),
            version: about.version.into(),
            summary: about.summary.into(),
            homepage: about.homepage.map(Into::into),
            license: about.license.map(Into::into),
            // An engine has no config; its schema allows the empty object alone.
            config_schema: r#"{"type":"object","additionalProperties":false}"#.into(),
            secrets: Vec::new(),
            needs: Vec::new(),
            extra: pairs(about.extra),
        },
        extensions: about.extensions.iter().map(|&extension| extension.into()).collect(),
        features: about.features.iter().map(|&feature| feature.into()).collect(),
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    pairs.iter().map(|&(name, value)| (name.into(), value.into())).collect()
}

impl From<crate::SecretKey> for types::SecretKey {
    fn from(secret: crate::SecretKey) -> Self {
        let Places { url, headers, body, auth, sign } = secret.places;
        let mut places = types::Places::empty();
        places.set(types::Places::URL, url);
        places.set(types::Places::HEADERS, headers);
        places.set(types::Places::BODY, body);
        places.set(types::Places::AUTH, auth);
        places.set(types::Places::SIGN, sign);
        Self { key: secret.key, places }
    }
}

impl From<&Need> for types::Need {
    fn from(need: &Need) -> Self {
        Self {
            capability: need.capability.into(),
            scope: need.scope.iter().map(|&scope| scope.into()).collect(),
            required: need.required,
            reason: need.reason.into(),
        }
    }
}

impl From<LengthUnit> for channel::LengthUnit {
    fn from(unit: LengthUnit) -> Self {
        match unit {
            LengthUnit::Bytes => Self::Bytes,
            LengthUnit::Chars => Self::Chars,
            LengthUnit::Utf16 => Self::Utf16,
            LengthUnit::Segments => Self::Segments,
        }
    }
}

impl From<template_engine::Template> for Template {
    fn from(template: template_engine::Template) -> Self {
        Self {
            name: template.name,
            parts: template.parts.into_iter().map(Into::into).collect(),
            includes: template.includes.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<template_engine::Options> for RenderOptions {
    fn from(options: template_engine::Options) -> Self {
        let template_engine::Options { locale, time_zone, now_ms, strict, extra } = options;
        Self { locale, time_zone, now_ms, strict, extra }
    }
}

impl From<TemplateInfo> for template_engine::Info {
    fn from(info: TemplateInfo) -> Self {
        let lower =
            |variable: crate::Variable| template_engine::Variable { name: variable.name, required: variable.required };
        Self { variables: info.variables.into_iter().map(lower).collect() }
    }
}

impl From<TemplateProblem> for template_engine::Problem {
    fn from(problem: TemplateProblem) -> Self {
        let TemplateProblem { part, line, column, message } = problem;
        Self { part, line, column, message }
    }
}
