//! Request bodies: of the right type, within their limit, within their time.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use serde_json::value::RawValue;

use super::failure::Failure;

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

/// The whole body, at most `limit` bytes.
pub(super) async fn read(headers: &HeaderMap, body: Body, limit: u64) -> Result<Bytes, Failure> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    // Whoever asks first has not begun to write.
    if announced.is_some_and(|length| length > limit) && headers.contains_key(EXPECT) {
        return Err(Failure::TooLarge { limit });
    }
    match tokio::time::timeout(BODY_TIMEOUT, collect(body, limit)).await {
        Ok(bytes) => bytes,
        Err(_) => Err(Failure::TooSlow(BODY_TIMEOUT)),
    }
}

async fn collect(body: Body, limit: u64) -> Result<Bytes, Failure> {
    let mut chunks = body.into_data_stream();
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    let mut length = 0_u64;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Failure::Broken)?;
        length += chunk.len() as u64;
        if length > limit {
            drain(chunks).await;
            return Err(Failure::TooLarge { limit });
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
