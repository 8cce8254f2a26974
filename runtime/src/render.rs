//! Templates: which there are, which version a notification is tied to, and what they make of its data.
//!
//! *Flow:* [`TemplateRegistry`] reads a folder and has each template checked by its engine; accept asks it to
//! [`pin`](TemplateRegistry::pin) a version, which the store keeps; a worker asks [`Renderer`] for the content of a
//! notification before it calls the channel.
//!
//! *Invariants:* a template that is broken never replaces one that works. A notification is rendered from the version
//! that was current at its accept, whatever happened to the files since, once for each locale and time zone, and all
//! of its deliveries share the result. Sources and results held in memory have a limit each.
//!
//! *Not here:* an engine (those are plugins, asked through [`TemplateCaller`](crate::call::TemplateCaller)), a watcher
//! of files (the folder is looked at again when a template is asked for), judgement of a failed call
//! (`domain::settle`).
//!
//! # The folder
//!
//! | file | is |
//! |---|---|
//! | `welcome.j2` | part `text` of template `welcome` |
//! | `welcome.title.j2`, `welcome.html.j2` | parts `title` and `html` of the same template |
//! | `welcome/text.j2`, `welcome/html.j2` | the same in a folder of its own; here a name may have dots: `welcome.v2/` |
//! | `welcome/_row.j2` | an include of `welcome`: `{% include "_row" %}` |
//! | `_footer.html.j2` | an include of every template: `{% include "_footer.html" %}` |
//!
//! The last extension picks the engine. Files whose name starts with `.` or ends with `~` are not looked at.

mod content;
mod folder;
mod html;
mod recent;
mod registry;
mod renderer;
mod template;

pub use content::derive_text;
pub use registry::{TemplateOptions, TemplateRegistry};
pub use renderer::Renderer;
pub use template::{PinError, Template, TemplateError};

#[cfg(test)]
mod tests;
