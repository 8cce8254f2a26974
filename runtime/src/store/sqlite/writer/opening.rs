//! What a start writes, before anything else is written: that the store is open, which deliveries were in flight at a
//! crash, and the cancels that waited for them. Targets of what was never accepted go.
//!
//! *Invariants:* nothing is written and nothing is claimed before all of it is durable. A disk that refuses keeps no
//! store from being opened and read: it is tried again with each write that somebody asks for.

use tokio::sync::oneshot;

use super::Writer;
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::transaction::Operation;
use crate::store::sqlite::{read, suspects};

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Nothing is written: the file is as the process before left it.
    Owed,
    /// All but the cancels.
    Marked,
    Done,
}

impl Writer {
    /// The first try. A disk that refuses is no error.
    pub(super) fn begin_opening(&mut self) -> Result<(), Failure> {
        self.live.set_opening(true);
        match self.open_up() {
            Err(failure @ Failure::Disk(_)) => {
                self.count_refusal(&failure);
                let reason = failure.reason();
                tracing::error!(
                    reason,
                    "The store was opened and cannot be written: it is read, and takes nothing and hands nothing out for \
                     delivery until the disk takes it."
                );
                Ok(())
            }
            opened => opened,
        }
    }

    /// Does what is left of it.
    pub(super) fn open_up(&mut self) -> Result<(), Failure> {
        if self.opening == Opening::Owed {
            // In one: whether there was a crash is told by what the last part of it writes over.
            let transaction = self.db.unchecked_transaction()?;
            transaction.execute("DELETE FROM targets WHERE notification NOT IN (SELECT id FROM notifications)", [])?;
            let (crashes, after_crash) = suspects::learn(&transaction)?;
            transaction.commit()?;
            self.live.learned(crashes, after_crash);
            self.opening = Opening::Marked;
        }
        if self.opening == Opening::Marked {
            self.finish_cancels()?;
            self.opening = Opening::Done;
            self.live.set_opening(false);
        }
        Ok(())
    }

    /// Nothing is in flight any more, so what a cancel waited for can be cancelled.
    fn finish_cancels(&mut self) -> Result<(), Failure> {
        let cancelling = read::cancelling(&self.db)?;
        self.live.committed(Vec::new(), [], cancelling.iter().map(|(what, at)| (*what, Some(*at))), Vec::new());
        for (what, at) in cancelling {
            let (reply, mut answer) = oneshot::channel();
            self.carry_out(vec![(Operation::FinishCancel(what, at), reply)]);
            answer.try_recv().map_err(|_| Failure::Internal("a cancel was not finished".to_owned()))??;
        }
        Ok(())
    }
}
