//! MiniJinja without a sandbox: the engine that the plugin is made of.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use campanile_plugin_sdk as sdk;
use campanile_plugin_sdk::TemplateEngine;
use minijinja::Minijinja;

use crate::call::{RenderCall, RenderFailure, TemplateCaller, TemplateCheckError, TemplateProblem, TemplateVariable};
use crate::domain::{AttemptEnd, Fault, Interruption, NotificationId, PluginName};

/// What the engine does with the next calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mood {
    #[default]
    Serving,
    Absent,
    Faulty,
}

#[derive(Default)]
pub(super) struct Native {
    pub(super) mood: Mutex<Mood>,
    pub(super) checks: AtomicUsize,
    pub(super) renders: AtomicUsize,
}

impl Native {
    fn mood(&self) -> Mood {
        *self.mood.lock().unwrap()
    }
}

fn template(call: &RenderCall) -> sdk::Template {
    let parts = |parts: &[(String, String)]| {
        parts.iter().map(|(name, value)| sdk::Part { name: name.clone(), value: value.clone() }).collect()
    };
    sdk::Template { name: call.template.clone(), parts: parts(&call.parts), includes: parts(&call.includes) }
}

fn problem(problem: sdk::TemplateProblem) -> TemplateProblem {
    let sdk::TemplateProblem { part, line, column, message } = problem;
    TemplateProblem { part, line, column, message }
}

#[async_trait]
impl TemplateCaller for Native {
    async fn check(&self, call: &RenderCall) -> Result<Vec<TemplateVariable>, TemplateCheckError> {
        self.checks.fetch_add(1, Ordering::Relaxed);
        match Minijinja::check(&template(call)) {
            Ok(info) => Ok(info
                .variables
                .into_iter()
                .map(|variable| TemplateVariable { name: variable.name, required: variable.required })
                .collect()),
            Err(problems) => Err(TemplateCheckError::Problems(problems.into_iter().map(problem).collect())),
        }
    }

    async fn render(&self, _: NotificationId, call: &RenderCall) -> Result<Vec<(String, String)>, RenderFailure> {
        self.renders.fetch_add(1, Ordering::Relaxed);
        // Others come while this one is under way.
        tokio::task::yield_now().await;
        let end = match self.mood() {
            Mood::Serving => {
                let options = sdk::RenderOptions {
                    locale: call.locale.clone(),
                    time_zone: call.time_zone.clone(),
                    now_ms: call.now.as_millis(),
                    strict: call.strict,
                    ..sdk::RenderOptions::default()
                };
                return match Minijinja::render(&template(call), &call.data, &options) {
                    Ok(parts) => Ok(parts.into_iter().map(|part| (part.name, part.value)).collect()),
                    Err(found) => Err(RenderFailure::Problem(problem(found))),
                };
            }
            Mood::Absent => {
                AttemptEnd::Interrupted { interruption: Interruption::NoPlugin, message: "no engine".to_owned() }
            }
            Mood::Faulty => AttemptEnd::Fault { fault: Fault::Trap, message: "unreachable".to_owned() },
        };
        Err(RenderFailure::End(end, None))
    }

    async fn engine_for(&self, extension: &str) -> Option<PluginName> {
        let known = Minijinja::ABOUT.extensions.contains(&extension) && self.mood() != Mood::Absent;
        known.then(|| PluginName::new(Minijinja::ABOUT.name).unwrap())
    }
}
