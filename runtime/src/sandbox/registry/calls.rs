//! The registry as the rest of the house sees it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Registry;
use super::quarantine::{Rule, Verdict};
use super::snapshot::Served;
use super::version::Version;
use crate::call::{
    Call, Caller, ChannelDirectory, ChannelFacts, ChannelUnavailable, Question, RenderCall, RenderFailure, Report,
    TemplateCaller, TemplateCheckError, TemplateVariable,
};
use crate::domain::{AttemptEnd, ChannelName, Interruption, NotificationId, PluginName};

#[async_trait]
impl Caller for Registry {
    async fn call(&self, call: Call) -> Report {
        self.by_its_plugin(&call.channel, call.notification.id, Asked::ToSend(&call)).await
    }

    async fn ask(&self, question: Question) -> Report {
        self.by_its_plugin(&question.channel, question.delivery.notification(), Asked::ToPoll(&question)).await
    }
}

/// What a channel's plugin is called for.
enum Asked<'a> {
    ToSend(&'a Call),
    ToPoll(&'a Question),
}

impl Registry {
    /// Has the call made by the version that serves `channel` for this notification, and learns from how it ends.
    async fn by_its_plugin(&self, channel: &ChannelName, notification: NotificationId, asked: Asked<'_>) -> Report {
        // The one look-up: whatever is swapped from here on, this call ends on the version it began with.
        let Some(served) = self.served(channel).await else {
            return no_plugin(self.channel(channel).err());
        };
        let way = served.way(notification);
        let version = &way.ready.version;
        if version.is_stopped() {
            // It was taken before its channel was held.
            return not_called(
                Interruption::Quarantined,
                format!(
                    "plugin `{name}` is quarantined; `campanile plugins release {name}` lets it be called again",
                    name = version.name()
                ),
            );
        }
        let (plugin, channel) = (&version.plugin, &way.ready.prepared);
        let report = match asked {
            Asked::ToSend(call) => plugin.send(channel, call).await,
            Asked::ToPoll(question) => plugin.ask(channel, question).await,
        };
        let rule = if way.on_trial { Rule::TRIAL } else { Rule::SERVING };
        self.ended(version, rule, notification, Verdict::of(&report.end)).await;
        report
    }

    pub(super) async fn served(&self, name: &ChannelName) -> Option<Served> {
        let served = self.current.load().served(name).cloned();
        if served.is_some() {
            return served;
        }
        // After a restart the first to ask for a bundled plugin may be a delivery that was waiting.
        self.make_ready(name.as_str()).await;
        self.current.load().served(name).cloned()
    }

    async fn engine(&self, name: &PluginName) -> Option<Arc<Version>> {
        let engine = self.current.load().engines.get(name).cloned();
        if engine.is_some() {
            return engine;
        }
        self.make_ready(name.as_str()).await;
        self.current.load().engines.get(name).cloned()
    }
}

fn no_plugin(why: Option<ChannelUnavailable>) -> Report {
    // A swap may have made the channel ready between the two looks; then the next attempt finds it.
    let message = why.map_or_else(|| "the channel was not ready".to_owned(), |why| why.to_string());
    not_called(Interruption::NoPlugin, message)
}

fn not_called(interruption: Interruption, message: String) -> Report {
    Report {
        end: AttemptEnd::Interrupted { interruption, message },
        duration: Duration::ZERO,
        plugin: None,
        fuel: 0,
        memory_bytes: 0,
    }
}

#[async_trait]
impl ChannelDirectory for Registry {
    async fn make_ready(&self, name: &str) {
        let wanted = {
            let current = self.current.load();
            current.available.get(name).cloned()
        };
        if let Some(plugin) = wanted {
            self.ensure(&plugin).await;
        }
    }

    fn channel(&self, name: &ChannelName) -> Result<Arc<ChannelFacts>, ChannelUnavailable> {
        self.current.load().facts(name)
    }
}

#[async_trait]
impl TemplateCaller for Registry {
    async fn check(&self, call: &RenderCall) -> Result<Vec<TemplateVariable>, TemplateCheckError> {
        match self.engine(&call.engine).await {
            Some(engine) if engine.is_stopped() => {
                let reason =
                    format!("it is quarantined; `campanile plugins release {}` lets it be called", call.engine);
                Err(TemplateCheckError::Engine { engine: call.engine.to_string(), reason })
            }
            Some(engine) => engine.plugin.check(call, &self.settings().plugins.defaults).await,
            None => Err(TemplateCheckError::Engine { engine: call.engine.to_string(), reason: NO_ENGINE.to_owned() }),
        }
    }

    async fn render(
        &self,
        notification: NotificationId,
        call: &RenderCall,
    ) -> Result<Vec<(String, String)>, RenderFailure> {
        let Some(engine) = self.engine(&call.engine).await else {
            let message = format!("template engine `{}`: {NO_ENGINE}", call.engine);
            let end = AttemptEnd::Interrupted { interruption: Interruption::NoPlugin, message };
            return Err(RenderFailure::End(end, None));
        };
        if engine.is_stopped() {
            return Err(RenderFailure::Held { engine: call.engine.clone() });
        }
        let rendered = engine.plugin.render(call, &self.settings().plugins.defaults).await;
        let verdict = match &rendered {
            // A template's problem is an answer as good as any.
            Ok(_) | Err(RenderFailure::Problem(_)) => Verdict::Good,
            Err(RenderFailure::End(end, _)) => Verdict::of(end),
            Err(RenderFailure::Held { .. }) => Verdict::None,
        };
        self.ended(&engine, Rule::SERVING, notification, verdict).await;
        rendered
    }

    async fn engine_for(&self, extension: &str) -> Option<PluginName> {
        let known = |registry: &Self| registry.current.load().extensions.get(extension).cloned();
        let name = known(self);
        if name.is_some() {
            return name;
        }
        self.ensure_engines().await;
        known(self)
    }
}

const NO_ENGINE: &str = "no plugin of that name serves; `campanile plugins list` shows which do";
