//! How a change is made.

use std::future::Future;

use super::error::AccountError;
use crate::store::StoreError;

/// Runs a change to its end even if whoever asked gives up: between a commit and the memory's update there is no way out, or
/// the two would differ until the next start.
pub(super) async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, AccountError>> + Send + 'static,
) -> Result<T, AccountError> {
    match tokio::spawn(change).await {
        Ok(result) => result,
        // The runtime is shutting down.
        Err(_) => Err(StoreError::Stopped.into()),
    }
}
