//! Calls of a template engine's exports.

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use crate::call::{RenderCall, TemplateProblem, TemplateVariable};

use super::bindings::campanile::plugin::types::PartParam;
use super::bindings::exports::campanile::plugin::template_engine::{self, GuestIndices, Options, Template};
use super::convert;
use super::invoke::Export;
use super::plugin::{Mismatch, TEMPLATE_ENGINE};
use super::state::CallState;

/// Where an engine's exports are.
pub(super) struct EngineExports(pub(super) GuestIndices);

impl EngineExports {
    pub(super) fn find(pre: &InstancePre<CallState>) -> Result<Self, Mismatch> {
        GuestIndices::new(pre).map(Self).map_err(|error| Mismatch::new(TEMPLATE_ENGINE, &error))
    }
}

/// `describe`.
pub(super) struct Describe<'a>(pub(super) &'a EngineExports);

impl Export for Describe<'_> {
    type Answer = Result<template_engine::Descriptor, Mismatch>;

    async fn call(self, store: &mut Store<CallState>, instance: &Instance) -> wasmtime::Result<Self::Answer> {
        match self.0.0.load(&mut *store, instance) {
            Ok(engine) => engine.call_describe(store).await.map(Ok),
            Err(error) => Ok(Err(Mismatch::new(TEMPLATE_ENGINE, &error))),
        }
    }
}

/// `check`.
pub(super) struct Check<'a> {
    pub(super) exports: &'a EngineExports,
    pub(super) call: &'a RenderCall,
}

impl Export for Check<'_> {
    type Answer = Result<Vec<TemplateVariable>, Vec<TemplateProblem>>;

    async fn call(self, store: &mut Store<CallState>, instance: &Instance) -> wasmtime::Result<Self::Answer> {
        let source = Source::new(self.call);
        let guest = self.exports.0.load(&mut *store, instance)?;
        Ok(match guest.call_check(store, source.template()).await? {
            Ok(info) => Ok(info.variables.into_iter().map(convert::variable).collect()),
            Err(problems) => Err(problems.iter().map(convert::template_problem).collect()),
        })
    }
}

/// `render`.
pub(super) struct Render<'a> {
    pub(super) exports: &'a EngineExports,
    pub(super) call: &'a RenderCall,
}

impl Export for Render<'_> {
    type Answer = Result<Vec<(String, String)>, TemplateProblem>;

    async fn call(self, store: &mut Store<CallState>, instance: &Instance) -> wasmtime::Result<Self::Answer> {
        let source = Source::new(self.call);
        let options = Options {
            locale: self.call.locale.as_deref(),
            time_zone: self.call.time_zone.as_deref(),
            now_ms: self.call.now.as_millis(),
            strict: self.call.strict,
            extra: &[],
        };
        let guest = self.exports.0.load(&mut *store, instance)?;
        let rendered = guest.call_render(store, source.template(), &self.call.data, options).await?;
        Ok(match rendered {
            Ok(parts) => Ok(parts.into_iter().map(|part| (part.name, part.value)).collect()),
            Err(problem) => Err(convert::template_problem(&problem)),
        })
    }
}

/// A template as the contract has it.
struct Source<'a> {
    name: &'a str,
    parts: Vec<PartParam<'a>>,
    includes: Vec<PartParam<'a>>,
}

impl<'a> Source<'a> {
    fn new(call: &'a RenderCall) -> Self {
        Self { name: &call.template, parts: named(&call.parts), includes: named(&call.includes) }
    }

    fn template(&self) -> Template<'_> {
        Template { name: self.name, parts: &self.parts, includes: &self.includes }
    }
}

fn named(sources: &[(String, String)]) -> Vec<PartParam<'_>> {
    sources.iter().map(|(name, value)| PartParam { name, value }).collect()
}
