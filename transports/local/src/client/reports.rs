//! What is heard of the leader, and that nothing is heard of it.

use futures::StreamExt as _;
use livestore_traits::{BoxStream, LeaderReport, LeaderStatus};
use tokio::time::timeout;

use super::{Connection, note};
use crate::LocalError;
use crate::frame::decode;
use crate::message::Report;

impl Connection {
    pub(super) fn reports(self) -> BoxStream<'static, LeaderReport> {
        let reports = Reports { connection: self, last: None, is_silent: false };
        let next = |mut reports: Reports| async move {
            match reports.next().await {
                Ok(report) => Some((report?, reports)),
                Err(error) => {
                    note(error);
                    None
                }
            }
        };
        futures::stream::unfold(reports, next).boxed()
    }
}

struct Reports {
    connection: Connection,
    last: Option<Box<LeaderStatus>>,
    is_silent: bool,
}

impl Reports {
    /// The next report; `None` when the leader is gone.
    async fn next(&mut self) -> Result<Option<LeaderReport>, LocalError> {
        loop {
            let Some(report) = self.receive().await? else { return Ok(None) };
            match report {
                Report::Status(status) => {
                    self.is_silent = false;
                    self.last = Some(status.clone());
                    return Ok(Some(LeaderReport::Status(status)));
                }
                Report::Silent if !self.is_silent => {
                    self.is_silent = true;
                    return Ok(Some(LeaderReport::Silent));
                }
                // It goes on where it was.
                Report::Heartbeat if self.is_silent => {
                    self.is_silent = false;
                    if let Some(status) = self.last.clone() {
                        return Ok(Some(LeaderReport::Status(status)));
                    }
                }
                Report::Silent | Report::Heartbeat => {}
            }
        }
    }

    async fn receive(&mut self) -> Result<Option<Report>, LocalError> {
        let frames = &mut self.connection.frames;
        let frame = if self.is_silent {
            frames.next().await?
        } else {
            match timeout(self.connection.config.silence_after, frames.next()).await {
                Ok(frame) => frame?,
                Err(_) => return Ok(Some(Report::Silent)),
            }
        };
        frame.map(|frame| decode(&frame)).transpose()
    }
}
