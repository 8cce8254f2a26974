//! Request bodies: of the right type, within their limit, within their time.

use std::fmt;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use serde_json::value::RawValue;

use super::failure::Failure;
use crate::intake::Problems;

/// A caller that sends its body slower than this holds a connection for nothing. 4 MiB take 30 s at 140 kB/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of a body that is too large is still read, in bytes, before it is refused. Many clients read an answer only
/// once all is written, and see a broken connection where nobody reads on.
const DRAIN_MAX: u64 = 16 << 20;

/// What a body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One JSON text.
    Json,
    /// One JSON text a line.
    Lines,
}

/// How large a body may be, and what is said of one that is larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// Of all but a batch.
    Single {
        /// `[server] body_max`, in bytes.
        bytes: u64,
        /// `[server] batch_body_max`, in bytes.
        batch: u64,
    },
    /// Of a batch.
    Batch {
        /// `[server] batch_body_max`, in bytes.
        bytes: u64,
    },
}

impl Limit {
    const fn bytes(self) -> u64 {
        match self {
            Self::Single { bytes, .. } | Self::Batch { bytes } => bytes,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single { bytes, batch } => write!(
                f,
                "the body is over the limit of {bytes} bytes, which is `body_max` in `[server]`; a notification that is \
                 larger goes through `POST /v1/notifications/batch`, as one of an array, up to {batch} bytes, \
                 `batch_body_max`"
            ),
            Self::Batch { bytes } => write!(
                f,
                "the body is over the limit of {bytes} bytes, which is `batch_body_max` in `[server]`: send it as \
                 several batches, or raise the limit"
            ),
        }
    }
}

/// A body that has to be one JSON text.
pub(super) async fn whole(headers: &HeaderMap, body: Body, limit: Limit) -> Result<Bytes, Failure> {
    format_of(headers, false)?;
    read(headers, body, limit).await
}

/// The JSON text that a body is.
pub(super) fn document(bytes: &Bytes) -> Result<&RawValue, Failure> {
    parse(text(bytes)?).map_err(|message| Failure::Malformed { message })
}

/// The format that the headers name. A type that a browser's form can send is none of them: such a page would need the
/// permission of this server first, which it never gives.
pub(super) fn format_of(headers: &HeaderMap, lines_too: bool) -> Result<Format, Failure> {
    let expected = if lines_too {
        "`application/json` or `application/x-ndjson`, without a content encoding"
    } else {
        "`application/json`, without a content encoding"
    };
    let encoded = headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match &*essence {
        "application/json" if !encoded => Ok(Format::Json),
        "application/x-ndjson" | "application/jsonl" if lines_too && !encoded => Ok(Format::Lines),
        _ => Err(Failure::MediaType { expected }),
    }
}

/// The whole body, if it is within its limit.
pub(super) async fn read(headers: &HeaderMap, body: Body, limit: Limit) -> Result<Bytes, Failure> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    // Whoever asks first has not begun to write.
    if announced.is_some_and(|length| length > limit.bytes()) && headers.contains_key(EXPECT) {
        return Err(Failure::TooLarge(limit));
    }
    match tokio::time::timeout(BODY_TIMEOUT, collect(body, limit)).await {
        Ok(bytes) => bytes,
        Err(_) => Err(Failure::TooSlow(BODY_TIMEOUT)),
    }
}

async fn collect(body: Body, limit: Limit) -> Result<Bytes, Failure> {
    let mut chunks = body.into_data_stream();
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    let mut length = 0_u64;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Failure::Broken)?;
        length += chunk.len() as u64;
        if length > limit.bytes() {
            drain(chunks).await;
            return Err(Failure::TooLarge(limit));
        }
        // Nearly every body is one chunk, which is not copied.
        if first.is_empty() && whole.is_empty() {
            first = chunk;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&chunk);
        }
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

async fn drain(mut chunks: BodyDataStream) {
    let mut left = DRAIN_MAX;
    while let Some(Ok(chunk)) = chunks.next().await {
        left = left.saturating_sub(chunk.len() as u64);
        if left == 0 {
            return;
        }
    }
}

/// The body as text.
pub(super) fn text(body: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(body).map_err(|error| Failure::Malformed {
        message: format!("byte {} begins no character of UTF-8", error.valid_up_to()),
    })
}

/// The one JSON text in `body`, checked for syntax. An error names line and column, counted from 1.
pub(super) fn parse(body: &str) -> Result<&RawValue, String> {
    // Leading white space would not be part of what is borrowed, and shift nothing: it is skipped by the parser.
    serde_json::from_str(body).map_err(|error| error.to_string())
}

/// The same of one line of a body, by its number from 1: an error names the line of the body.
pub(super) fn parse_line(line: &str, number: usize) -> Result<&RawValue, String> {
    serde_json::from_str(line).map_err(|error| {
        let (text, column) = (error.to_string(), error.column());
        let place = format!(" at line {} column {column}", error.line());
        format!("{} at line {number} column {column}", text.strip_suffix(&place).unwrap_or(&text))
    })
}

/// Refuses a body that has problems.
pub(super) fn sound(problems: Problems) -> Result<(), Failure> {
    if problems.is_empty() { Ok(()) } else { Err(Failure::Body(problems)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_too_large_is_told_which_key_says_so_and_where_there_is_more_room() {
        let told = Failure::TooLarge(Limit::Single { bytes: 4 << 20, batch: 64 << 20 }).to_string();
        for part in
            ["4194304 bytes", "`body_max` in `[server]`", "/v1/notifications/batch", "67108864", "`batch_body_max`"]
        {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(
            Failure::TooLarge(Limit::Batch { bytes: 9 }).to_string().contains("9 bytes, which is `batch_body_max`")
        );
    }

    #[test]
    fn a_line_that_is_no_json_is_named_by_its_place_in_the_body() {
        assert_eq!(parse_line("{\"a\": }", 3).unwrap_err(), "expected value at line 3 column 7");
        assert!(parse_line("{\"a\"", 12).unwrap_err().ends_with(" at line 12 column 4"));
    }
}
