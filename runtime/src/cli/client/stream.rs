//! A stream of events, as long as its connection holds.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::anyhow;
use reqwest::Response;
use reqwest::header::ACCEPT;

use super::wire::Problem;
use super::{ANSWER_LIMIT, Client, refusal};
use crate::cli::failure::{Exit, Failure};
use crate::events::sse::{Block, Reader};

/// A server gives a sign of life every 15 s: one that was silent for so long is gone, or what lies between is.
const SILENCE_LIMIT: Duration = Duration::from_secs(45);

/// What a server streams.
#[derive(Debug)]
pub(in crate::cli) struct Streaming {
    response: Response,
    reader: Reader,
    read: VecDeque<Block>,
}

impl Client {
    /// The events that these parameters ask for, behind the id `after`.
    pub(in crate::cli) async fn events(
        &self,
        query: &[(&str, String)],
        after: Option<&str>,
    ) -> Result<Streaming, Failure> {
        let mut request = self.http.get(self.url_with(&["events"], query)).header(ACCEPT, "text/event-stream");
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        let response =
            tokio::time::timeout(ANSWER_LIMIT, request.send()).await.map_err(|_| self.silent(ANSWER_LIMIT))?;
        let response = response.map_err(|error| self.unreachable(error, ANSWER_LIMIT))?;
        let status = response.status();
        if status.is_success() {
            return Ok(Streaming { response, reader: Reader::default(), read: VecDeque::new() });
        }
        match tokio::time::timeout(ANSWER_LIMIT, response.json::<Problem>()).await {
            Ok(Ok(problem)) => Err(refusal(status, problem)),
            _ => Err(self.stranger(status)),
        }
    }

    /// What comes next; none where the stream has ended.
    pub(in crate::cli) async fn next_block(&self, stream: &mut Streaming) -> Result<Option<Block>, Failure> {
        while stream.read.is_empty() {
            let chunk = tokio::time::timeout(SILENCE_LIMIT, stream.response.chunk()).await;
            let chunk = chunk.map_err(|_| self.silent(SILENCE_LIMIT))?;
            let Some(bytes) = chunk.map_err(|error| self.unreachable(error, SILENCE_LIMIT))? else { return Ok(None) };
            let blocks = stream.reader.read(&bytes).map_err(|error| {
                let context = format!("`{}` gave an answer of another shape", self.base);
                Failure::new(Exit::Internal, anyhow::Error::new(error).context(context))
            })?;
            stream.read.extend(blocks);
        }
        Ok(stream.read.pop_front())
    }

    fn silent(&self, limit: Duration) -> Failure {
        let message = format!("the server at `{}` said nothing for {} s", self.base, limit.as_secs());
        Failure::new(Exit::TimedOut, anyhow!(message))
    }
}

impl Streaming {
    /// Whether what comes next has to be waited for.
    pub(in crate::cli) fn is_drained(&self) -> bool {
        self.read.is_empty()
    }
}
