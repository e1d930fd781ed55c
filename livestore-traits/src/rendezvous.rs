//! Where the processes of one client find the one that leads.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{LeaderLink, LinkError};

/// Brings the sessions of other processes to the leader.
///
/// # Contract
/// - Only who leads opens it, so there is one open rendezvous at a time; what a leader that crashed left behind is
///   replaced.
/// - A link obtained by [`Rendezvous::connect`] is a [`LeaderLink`] with all its rules. It leads to whoever leads when it
///   is used.
/// - Only processes of the same user get through.
#[async_trait]
pub trait Rendezvous: Debug + Send + Sync + 'static {
    /// Lets sessions of other processes reach the leader behind `link`, until the answer is dropped: that ends their
    /// attachments, too.
    ///
    /// # Errors
    /// [`LinkError::Link`] if the place cannot be used.
    ///
    /// # Cancel safety
    /// Cancel safe: what was opened is closed again.
    async fn open(&self, link: Arc<dyn LeaderLink>) -> Result<Box<dyn OpenRendezvous>, LinkError>;

    /// The way to whoever leads in another process. Succeeds whether or not there is one at the moment.
    fn connect(&self) -> Arc<dyn LeaderLink>;
}

macro_rules! forward_rendezvous {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: Rendezvous + ?Sized> Rendezvous for $pointer<T> {
            async fn open(&self, link: Arc<dyn LeaderLink>) -> Result<Box<dyn OpenRendezvous>, LinkError> {
                (**self).open(link).await
            }
            fn connect(&self) -> Arc<dyn LeaderLink> {
                (**self).connect()
            }
        }
    };
}

forward_rendezvous!(Box);
forward_rendezvous!(Arc);

/// An open rendezvous. Dropping it closes it.
pub trait OpenRendezvous: Debug + Send + Sync {}
