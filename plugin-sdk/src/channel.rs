//! The trait a channel implements.

use crate::{About, Call, Config, ConfigProblem, Context, Outcome, Recipient};

/// A way to reach people.
///
/// The implementing type is the channel's config: it is read anew for each call, because nothing survives between
/// calls. Optional abilities have a default; name them in [`export_channel!`](crate::export_channel) to export them.
///
/// ```
/// use campanile_plugin_sdk::{export_channel, http, About, Call, Channel, Config, Need, Outcome};
/// use campanile_plugin_sdk::json;
///
/// /// Where to post.
/// #[derive(Config)]
/// pub struct Chat {
///     /// URL of the room's webhook.
///     #[config(format = "uri")]
///     url: String,
/// }
///
/// impl Channel for Chat {
///     const ABOUT: About = About {
///         name: "chat",
///         version: "0.1.0",
///         summary: "Posts to a chat room",
///         needs: &[Need::http(&["config:/url"], "posts to the room's webhook")],
///         ..About::NONE
///     };
///
///     fn send(&self, call: &Call) -> Outcome {
///         http::post(&self.url).json(&json!({ "text": call.content().text })).send()?.judge()
///     }
/// }
///
/// export_channel!(Chat);
/// ```
pub trait Channel: Config {
    /// What the channel says of itself.
    const ABOUT: About;

    /// One attempt for one delivery.
    ///
    /// # Errors
    ///
    /// What the attempt means, in the words of [`Failure`](crate::Failure): the host decides what happens, and when.
    fn send(&self, call: &Call) -> Outcome;

    /// Meaning checks beyond the schema, at load and reload. Empty is good.
    fn configure(&self) -> Vec<ConfigProblem> {
        Vec::new()
    }

    /// What the descriptor's address pattern cannot say; run just before `send`, in the same instance.
    ///
    /// # Errors
    ///
    /// Says why this recipient cannot be reached; the delivery is then rejected.
    fn supports(&self, context: &Context, recipient: &Recipient) -> Result<(), String> {
        let _ = (context, recipient);
        Ok(())
    }

    /// A cheap probe that reaches nobody.
    fn health(&self, context: &Context) -> Health {
        let _ = context;
        Health::Ok(String::new())
    }
}

/// What a probe found, with a sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Works.
    Ok(String),
    /// Works in part or slowly.
    Degraded(String),
    /// Does not work.
    Down(String),
}
