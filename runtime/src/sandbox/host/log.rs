//! `campanile:plugin/log`: lines of a guest as tracing events of ours, capped per call.

use std::sync::PoisonError;

use wasmtime::component::HasData;

use crate::capability::log::clean;

use super::super::bindings::campanile::plugin::log::{Host, Level, Pairs};
use super::super::state::CallState;

pub(super) struct LogAbility;

impl HasData for LogAbility {
    type Data<'a> = &'a mut CallState;
}

pub(super) fn view(state: &mut CallState) -> &mut CallState {
    state.pulse.host_call();
    state
}

impl Host for CallState {
    fn log(&mut self, level: Level, message: String, fields: Pairs) -> wasmtime::Result<()> {
        let of_fields: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        let bytes = (message.len() + of_fields) as u64;
        let output = self.output();
        let mut captured = output.lock().unwrap_or_else(PoisonError::into_inner);
        let room = captured.admit_line(bytes)?;
        if matches!(level, Level::Error) && message.contains("panicked at ") {
            captured.keep_panic(&message);
        }
        drop(captured);
        if room {
            self.emit(level, &message, &fields);
        }
        Ok(())
    }
}

impl CallState {
    fn emit(&self, level: Level, message: &str, fields: &[(String, String)]) {
        let fields = fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
        let (message, fields) = (clean(message), clean(&fields));
        let plugin = self.subject.plugin.as_deref().map(tracing::field::display);
        let channel = self.subject.channel.as_ref().map(tracing::field::display);
        let delivery = self.subject.delivery.as_ref().map(tracing::field::display);
        // A level is part of a tracing call site, so each needs its own.
        macro_rules! emit {
            ($level:ident) => {
                tracing::$level!(plugin, channel, delivery, text = &*message, fields = &*fields, "a plugin logged")
            };
        }
        match level {
            Level::Trace => emit!(trace),
            Level::Debug => emit!(debug),
            Level::Info => emit!(info),
            Level::Warn => emit!(warn),
            Level::Error => emit!(error),
        }
    }
}
