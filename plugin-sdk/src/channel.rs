//! The trait a channel implements.

use crate::{About, Call, Config, ConfigProblem, Context, Outcome, Receipt, Recipient, Sent};

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

    /// The final word on what [`send`](Self::send) said was [`accepted`](Sent::accepted): asked for later, in a call of its
    /// own, with what `send` put into [`Sent`]. It sends nothing.
    ///
    /// `Sent` and a failure that blames message, channel or recipient are final. [`Sent::accepted`] says that it is not
    /// known yet; what it carries is asked with next time, what it leaves out stays. After a retry or a rate limit the
    /// host asks again, too: no question uses up a retry, and none makes it send once more.
    ///
    /// ```
    /// use campanile_plugin_sdk::{export_channel, http, json};
    /// use campanile_plugin_sdk::{About, Call, Channel, Config, Context, Failure, Need, Outcome, Receipt, Sent};
    /// use std::time::Duration;
    ///
    /// /// Text messages, by a provider that takes them at once and delivers them by and by.
    /// #[derive(Config)]
    /// pub struct Sms {
    ///     /// URL of the account.
    ///     #[config(format = "uri")]
    ///     url: String,
    /// }
    ///
    /// impl Channel for Sms {
    ///     const ABOUT: About = About {
    ///         name: "sms",
    ///         version: "0.1.0",
    ///         summary: "Sends text messages",
    ///         needs: &[Need::http(&["config:/url"], "hands messages to the provider, and asks for them")],
    ///         ..About::NONE
    ///     };
    ///
    ///     fn send(&self, call: &Call) -> Outcome {
    ///         let reply = http::post(&self.url).json(&json!({ "text": call.content().text })).send()?;
    ///         reply.judge()?;
    ///         Ok(Sent::accepted(Some(Duration::from_secs(60))).provider_id(reply.text()))
    ///     }
    ///
    ///     fn poll(&self, _: &Context, receipt: &Receipt) -> Outcome {
    ///         let id = receipt.provider_id.as_deref().unwrap_or_default();
    ///         let reply = http::get(format!("{}/{id}", self.url)).send()?;
    ///         reply.judge()?;
    ///         match &*reply.text() {
    ///             "delivered" => Ok(Sent::now()),
    ///             "undelivered" => Err(Failure::message("undelivered", "the provider gave up")),
    ///             _ => Ok(Sent::accepted(None)),
    ///         }
    ///     }
    /// }
    ///
    /// export_channel!(Sms: poll);
    /// ```
    ///
    /// # Errors
    ///
    /// As of [`send`](Self::send).
    fn poll(&self, context: &Context, receipt: &Receipt) -> Outcome {
        let _ = (context, receipt);
        Ok(Sent::accepted(None))
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
