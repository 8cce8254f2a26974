//! The sandbox's side: bindings made from the WIT files, and the way between their values and the plain ones.
//!
//! Exports are made in the plugin's own crate by `export_channel!` and `export_template_engine!`; what they call stands
//! here. Public for those macros alone.

mod arena;
mod convert;
pub(crate) mod host;
pub mod stdio;

pub use std::{string::String, vec::Vec};

pub use arena::Arena;
pub use channel_world::exports::campanile::plugin::channel;
pub use configure_world::exports::campanile::plugin::configure;
pub use health_world::exports::campanile::plugin::health;
pub use imports::campanile::plugin::types;
pub use poll_world::exports::campanile::plugin::poll;
pub use supports_world::exports::campanile::plugin::supports;
pub use template_world::exports::campanile::plugin::template_engine;

use crate::{Channel, Config, Context, Failure, Health, Receipt, Recipient, RenderOptions, TemplateEngine};

mod imports {
    #![allow(missing_docs, unused_qualifications, clippy::all, reason = "generated; the WIT files hold the docs")]
    wit_bindgen::generate!({ path: "../wit", world: "plugin-imports", generate_all, generate_unused_types: true });
}

/// One module for each world of exports; all share the types of the imports.
macro_rules! world {
    ($module:ident, $world:literal, $export:literal) => {
        world!($module, $world, $export, { "campanile:plugin/types@0.1.1": crate::guest::types });
    };
    ($module:ident, $world:literal, $export:literal, { $($with:tt)* }) => {
        pub mod $module {
            #![allow(missing_docs, unused_qualifications, clippy::all, reason = "generated; the WIT files hold the docs")]
            wit_bindgen::generate!({
                path: "../wit",
                world: $world,
                export_macro_name: $export,
                pub_export_macro: true,
                default_bindings_module: "campanile_plugin_sdk::guest",
                with: { $($with)* },
            });
        }
    };
}

world!(channel_world, "channel-plugin", "__export_channel");
world!(template_world, "template-plugin", "__export_template");
world!(configure_world, "with-configure", "__export_configure", {});
world!(supports_world, "with-supports", "__export_supports");
world!(health_world, "with-health", "__export_health");
world!(poll_world, "with-poll", "__export_poll");

/// The descriptor of a channel that exports these abilities.
pub fn describe_channel<C: Channel>(abilities: &[&str]) -> channel::Descriptor {
    convert::descriptor(&C::ABOUT, C::schema_document(), C::secrets(), abilities)
}

/// One attempt.
pub fn send<C: Channel>(context: types::Context, delivery: types::Delivery) -> types::Outcome {
    let call = convert::call(context, delivery);
    host::set_now_ms(call.context.now_ms);
    let outcome = configured::<C>(&call.context).and_then(|channel| Channel::send(&channel, &call));
    convert::outcome(outcome)
}

/// The channel as its config makes it. The host has checked the config, so a problem here means that host and plugin
/// disagree about the schema.
fn configured<C: Config>(context: &Context) -> Result<C, Failure> {
    C::from_json(&context.config).map_err(|problem| Failure::channel("config", problem.to_string()))
}

/// Checks a config.
pub fn run_configure<C: Channel>(config: &str) -> Vec<configure::ConfigProblem> {
    let problems = match C::from_json(config) {
        Ok(channel) => channel.configure(),
        Err(problem) => vec![problem],
    };
    let lower = |problem: crate::ConfigProblem| configure::ConfigProblem { at: problem.at, message: problem.message };
    problems.into_iter().map(lower).collect()
}

/// Checks a recipient.
pub fn run_supports<C: Channel>(context: types::Context, recipient: types::Recipient) -> Result<(), String> {
    let context: Context = context.into();
    let recipient: Recipient = recipient.into();
    host::set_now_ms(context.now_ms);
    let channel = C::from_json(&context.config).map_err(|problem| problem.to_string())?;
    channel.supports(&context, &recipient)
}

/// Asks for a final word.
pub fn run_poll<C: Channel>(context: types::Context, receipt: types::Receipt) -> types::Outcome {
    let context: Context = context.into();
    let types::Receipt { provider_id, facts } = receipt;
    host::set_now_ms(context.now_ms);
    let receipt = Receipt { provider_id, facts };
    convert::outcome(configured::<C>(&context).and_then(|channel| channel.poll(&context, &receipt)))
}

/// Probes the provider.
pub fn run_health<C: Channel>(context: types::Context) -> health::State {
    let context: Context = context.into();
    host::set_now_ms(context.now_ms);
    let state = match C::from_json(&context.config) {
        Ok(channel) => channel.health(&context),
        Err(problem) => Health::Down(problem.to_string()),
    };
    match state {
        Health::Ok(why) => health::State::Ok(why),
        Health::Degraded(why) => health::State::Degraded(why),
        Health::Down(why) => health::State::Down(why),
    }
}

/// The descriptor of a template engine.
pub fn describe_engine<E: TemplateEngine>() -> template_engine::Descriptor {
    convert::engine_descriptor(&E::ABOUT)
}

/// Checks a template.
pub fn check<E: TemplateEngine>(
    template: template_engine::Template,
) -> Result<template_engine::Info, Vec<template_engine::Problem>> {
    match E::check(&template.into()) {
        Ok(info) => Ok(info.into()),
        Err(problems) => Err(problems.into_iter().map(Into::into).collect()),
    }
}

/// Renders a template.
pub fn render<E: TemplateEngine>(
    template: template_engine::Template,
    data: &str,
    options: template_engine::Options,
) -> Result<Vec<types::Part>, template_engine::Problem> {
    let options: RenderOptions = options.into();
    host::set_now_ms(options.now_ms);
    match E::render(&template.into(), data, &options) {
        Ok(parts) => Ok(parts.into_iter().map(Into::into).collect()),
        Err(problem) => Err(problem.into()),
    }
}
