//! Who of several processes may write a client's log.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{BoxError, Term};

/// Chooses one leader among the candidates of a client.
///
/// # Contract
/// - At most one leadership that has not been lost exists at a time.
/// - Terms grow: each leadership has a term greater than every earlier one, also across restarts.
/// - Dropping a [`Leadership`] gives it up at once, and the next candidate is chosen without waiting for a time-out.
#[async_trait]
pub trait LeaderElection: Debug + Send + Sync + 'static {
    /// Waits until this candidate leads.
    ///
    /// # Errors
    /// [`LeaderError::Storage`] if the place where leadership is kept cannot be used.
    ///
    /// # Cancel safety
    /// Cancel safe: a candidate that stops waiting is none.
    async fn acquire(&self) -> Result<Box<dyn Leadership>, LeaderError>;

    /// Leads if nobody else does.
    ///
    /// # Errors
    /// As [`Self::acquire`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn try_acquire(&self) -> Result<Option<Box<dyn Leadership>>, LeaderError>;

    /// Who leads at the moment, in words for people; `None` if nobody does or it is not known. By the time this returns
    /// it may be somebody else.
    ///
    /// # Errors
    /// As [`Self::acquire`].
    fn led_by(&self) -> Result<Option<String>, LeaderError>;
}

/// Being the leader. Dropping it gives leadership up.
#[async_trait]
pub trait Leadership: Debug + Send + Sync + 'static {
    /// The fencing token of this leadership, to be given with every write.
    fn term(&self) -> Term;

    /// Resolves when leadership is gone without having been given up; never, if it cannot be lost.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn lost(&self) -> LostLeadership;
}

/// Why leadership was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LostLeadership {
    /// It was not renewed in time.
    #[error("leadership expired")]
    Expired,
    /// Somebody with a higher term leads.
    #[error("another leader took over")]
    Superseded,
}

/// Why leadership could not be sought.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaderError {
    /// The place where leadership is kept cannot be used.
    #[error("leadership could not be acquired")]
    Storage(#[source] BoxError),
}

macro_rules! forward_leader_election {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: LeaderElection + ?Sized> LeaderElection for $pointer<T> {
            async fn acquire(&self) -> Result<Box<dyn Leadership>, LeaderError> {
                (**self).acquire().await
            }
            async fn try_acquire(&self) -> Result<Option<Box<dyn Leadership>>, LeaderError> {
                (**self).try_acquire().await
            }
            fn led_by(&self) -> Result<Option<String>, LeaderError> {
                (**self).led_by()
            }
        }
    };
}

forward_leader_election!(Box);
forward_leader_election!(Arc);
