//! Work that goes on when whoever asked for it does not wait any more.

use std::future::Future;

use crate::store::StoreError;

/// Does it in a task of its own, to its end: what was begun for a request is not left half done because its client hangs
/// up. A stop of the process ends it; what it wrote by then stays.
pub(super) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The asynchronous runtime is being taken down.
            Err(_) => Err(StoreError::Closed),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::poll;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_goes_on() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let mut asked = Box::pin(to_its_end(async move {
            let _ = gone.await;
            let _ = done.send("done");
            Ok(())
        }));
        assert!(matches!(poll!(&mut asked), Poll::Pending));
        drop(asked);
        go.send(()).expect("it waits");
        assert_eq!(is_done.await, Ok("done"));
    }
}
