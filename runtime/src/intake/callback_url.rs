//! Where a submission has what happens to it told: whether that is a URL, and one that may be called.

use super::problem::{Problem, ProblemCode, Problems};
use crate::domain::{CallbackUrl, CallbackUrlError};

const AT: &str = "/callback_url";

/// Judges which URLs may be called.
pub trait CallbackUrls: Send + Sync + 'static {
    /// Whether `url` may be called, as far as that can be said without resolving its host.
    ///
    /// # Errors
    ///
    /// [`CallbackUrlRefusal`], which says why not.
    fn permits(&self, url: &CallbackUrl) -> Result<(), CallbackUrlRefusal>;
}

/// Why a URL is not called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallbackUrlRefusal {
    /// Nobody is called: the configuration has no key to sign calls with.
    Off,
    /// Calls do not go there.
    NotPermitted {
        /// To be read after the field's name. No secret.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// For a place where nothing is ever called.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCallbackUrls;

impl CallbackUrls for NoCallbackUrls {
    fn permits(&self, _: &CallbackUrl) -> Result<(), CallbackUrlRefusal> {
        Err(CallbackUrlRefusal::Off)
    }
}

/// The URL that `text` is, or nothing and a problem.
pub(super) fn read(text: &str, urls: &dyn CallbackUrls, problems: &mut Problems) -> Option<CallbackUrl> {
    let url = match CallbackUrl::new(text) {
        Ok(url) => url,
        Err(error) => {
            let code = match error {
                CallbackUrlError::TooLong { .. } => ProblemCode::TooLong,
                _ => ProblemCode::BadValue,
            };
            problems.add(AT, code, error.to_string());
            return None;
        }
    };
    let (code, message, hint) = match urls.permits(&url) {
        Ok(()) => return Some(url),
        Err(CallbackUrlRefusal::Off) => {
            let message = "is not called: this server has no key to sign calls with, `[callbacks] secret`";
            let hint = "write `secret = \"env:NAME\"` under `[callbacks]`, and a key in that variable, such as `whsec_` \
                        and what `openssl rand -base64 32` prints";
            (ProblemCode::CallbacksOff, message.to_owned(), Some(hint.to_owned()))
        }
        Err(CallbackUrlRefusal::NotPermitted { message, hint }) => (ProblemCode::BadValue, message, hint),
    };
    problems.push(Problem { at: AT.to_owned(), code, message, hint });
    None
}
