//! What is told of the leader: its status, as it changes.

use futures::StreamExt;
use livestore_traits::{BoxStream, LeaderReport, LeaderStatus};

use super::{LinkFixture, join, lead};

/// Follows reports until the status is as it should be.
async fn until(
    reports: &mut BoxStream<'static, LeaderReport>,
    mut condition: impl FnMut(&LeaderStatus) -> bool,
) {
    loop {
        match reports.next().await.expect("the leader goes on") {
            LeaderReport::Status(status) if condition(&status) => return,
            // Nothing may be heard for a while on a busy machine; what was last heard comes again then.
            LeaderReport::Status(_) | LeaderReport::Silent => {}
        }
    }
}

/// The present status is told at once, and then what changes: what is committed and confirmed, and who is attached.
///
/// Verifies: "the present one first, then each change".
pub async fn the_status_is_told_and_followed<F: LinkFixture>(fixture: &F) {
    let (leader, upstream) = lead(fixture).await;
    let is_attached = |status: &LeaderStatus, id: &str| {
        status.sessions.iter().any(|session| session.session_id.as_str() == id && &*session.label == "test")
    };
    let mut one = join(fixture, &leader, "s1").await;
    one.persist(1, &["a"]).await;
    one.until_settled(1).await;
    let link = fixture.link(&leader).await;
    let mut reports = link.reports().await.expect("there is a leader");
    until(&mut reports, |status| status.local_head == one.head() && is_attached(status, "s1")).await;
    upstream.cut_off();
    one.persist(2, &["b", "draft"]).await;
    until(&mut reports, |status| status.local_head == one.head() && status.pending_events == 2).await;
    upstream.reconnect();
    one.until_settled(3).await;
    until(&mut reports, |status| status.settled_head == one.head() && status.pending_events == 0).await;
    let two = join(fixture, &leader, "s2").await;
    until(&mut reports, |status| is_attached(status, "s1") && is_attached(status, "s2")).await;
    drop(two);
    until(&mut reports, |status| !is_attached(status, "s2")).await;
}

/// Two followers of one status get it both, and one that goes takes nothing of the other.
///
/// Verifies: reports are independent of each other.
pub async fn everybody_is_told_the_status<F: LinkFixture>(fixture: &F) {
    let (leader, _) = lead(fixture).await;
    let link = fixture.link(&leader).await;
    let mut stays = link.reports().await.expect("there is a leader");
    let mut goes = link.reports().await.expect("there is a leader");
    let mut probe = join(fixture, &leader, "s1").await;
    probe.persist(1, &["a"]).await;
    until(&mut stays, |status| status.local_head == probe.head()).await;
    until(&mut goes, |status| status.local_head == probe.head()).await;
    drop(goes);
    probe.persist(2, &["b"]).await;
    until(&mut stays, |status| status.local_head == probe.head()).await;
}

/// Syncing now answers with the leader's status; when the leader stops, reports end and nothing answers any more.
///
/// Verifies: `sync_now`; "ends when the leader is gone".
pub async fn reports_end_when_the_leader_stops<F: LinkFixture>(fixture: &F) {
    let (leader, _) = lead(fixture).await;
    let mut probe = join(fixture, &leader, "s1").await;
    probe.persist(1, &["a"]).await;
    let link = fixture.link(&leader).await;
    let status = link.sync_now().await.expect("there is a leader");
    assert_eq!((status.local_head, &status.client_id), (probe.head(), &probe.client_id));
    let mut reports = link.reports().await.expect("there is a leader");
    assert!(reports.next().await.is_some());
    fixture.stop(leader).await;
    while reports.next().await.is_some() {}
    assert!(link.sync_now().await.is_err());
}
