//! Questions for the final word on what a provider took, and what they have to fit to.

use std::collections::BTreeMap;

use campanile::call::Question;
use campanile::domain::{Awaited, DeliveryId};

use super::{Ledger, Standing};

/// What was asked and not told yet. An answer that says nothing new is never told.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// With what the provider said, once it has.
    open: BTreeMap<DeliveryId, Option<&'static str>>,
    /// As they stood when the process last ended: what was settled in its last moment may be learned after it.
    cut_off: BTreeMap<DeliveryId, Option<&'static str>>,
}

impl Questions {
    pub(super) fn answered(&mut self, id: DeliveryId, end: &'static str) {
        if let Some(answer) = self.open.get_mut(&id) {
            *answer = Some(end);
        }
    }

    /// The process is gone.
    pub(super) fn cut_off(&mut self) {
        self.cut_off = std::mem::take(&mut self.open);
    }

    /// Whether a question can have ended as it is told to have.
    pub(super) fn ends(&mut self, id: DeliveryId, end: &str, is_stopping: bool) -> bool {
        let asked = self.open.remove(&id).or_else(|| self.cut_off.remove(&id));
        asked.is_some_and(|answer| answer == Some(end) || (answer.is_none() && end == "shutdown" && is_stopping))
    }
}

impl Ledger {
    /// The provider of a delivery is asked for its final word.
    pub(crate) fn question_begins(&mut self, question: &Question) {
        let Question { delivery, awaited, now, .. } = question;
        let Awaited { since, polls, .. } = **awaited;
        self.note(format!("  question {delivery} after {polls} others"));
        let standing = self.deliveries.entry(*delivery).or_default().standing;
        if standing != Standing::Accepted {
            self.breaks("I2", format!("{delivery} is asked for and stands at {standing:?}"));
        }
        if since > *now {
            self.breaks("I8", format!("{delivery} is asked for at {now:?}, and was taken at {since:?}"));
        }
        match self.questions.open.insert(*delivery, None) {
            None | Some(Some("accepted")) => {}
            Some(before) => {
                let line = format!("{delivery} is asked for, and the question before ended as {before:?}");
                self.breaks("I6", line);
            }
        }
    }
}
