//! What the leader's status is, and that it is there.

use std::time::Duration;

use futures::StreamExt as _;
use livestore_traits::{BoxStream, LeaderReport};
use tokio::time::{sleep, timeout};

use super::{Connection, Server};
use crate::LocalError;
use crate::message::{Answer, Report};

/// A status follows the one before it not sooner: in a burst of commits it changes with each.
const LEAST_INTERVAL: Duration = Duration::from_millis(20);

impl Server {
    pub(super) async fn reports(&self, mut connection: Connection) -> Result<(), LocalError> {
        let Some(reports) = connection.ask(self.link.reports()).await? else { return Ok(()) };
        connection.send(&Answer::Reporting).await?;
        connection.report(reports).await
    }
}

impl Connection {
    async fn report(&mut self, mut reports: BoxStream<'static, LeaderReport>) -> Result<(), LocalError> {
        loop {
            let report = tokio::select! {
                // It says nothing more; this is how it ends.
                _ = self.frames.next() => return Ok(()),
                next = timeout(self.config.heartbeat_interval, reports.next()) => match next {
                    Ok(Some(LeaderReport::Status(status))) => Report::Status(status),
                    Ok(Some(LeaderReport::Silent)) => Report::Silent,
                    Ok(None) => return Ok(()),
                    Err(_) => Report::Heartbeat,
                },
            };
            self.send(&report).await?;
            sleep(LEAST_INTERVAL).await;
        }
    }
}
