//! The outbox as a stream: numbered, resumable, bounded.
