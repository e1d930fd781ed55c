//! The end of the story: is everything the same everywhere, event by event and row by row?

use livestore_eventlog_redb::RedbEventlog;
use livestore_traits::{BoxError, Event, EventlogReader as _, Position, ReadLimit, SyncedEvent};

use super::app::Item;
use super::client::Files;

/// A client's log and state, as they are on its disk.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) name: &'static str,
    pub(super) events: Vec<Event>,
    pub(super) items: Vec<Item>,
}

/// The log that nobody has open.
pub(super) fn read_log(files: &Files) -> Result<Vec<Event>, BoxError> {
    // Far more than the demo commits.
    let limit = ReadLimit::events(10_000);
    let log = RedbEventlog::open(&files.eventlog)?;
    Ok(livestore_traits::Eventlog::reader(&log)?.read(Position::ROOT, limit)?)
}

/// Every difference between the server's log and the replicas, each as a sentence.
pub(super) fn differences(server: &[SyncedEvent], replicas: &[Replica]) -> Vec<String> {
    let mut found = Vec::new();
    for replica in replicas {
        if replica.events.len() != server.len() {
            let (here, there) = (replica.events.len(), server.len());
            found.push(format!("{} has {here} events, the server {there}", replica.name));
        }
        for (theirs, ours) in server.iter().zip(&replica.events) {
            if !is_same(theirs, ours) {
                found.push(format!("{} has another event than the server's {}", replica.name, theirs.seq));
            }
        }
    }
    if let Some((first, others)) = replicas.split_first() {
        for other in others.iter().filter(|other| other.items != first.items) {
            found.push(format!("the databases of {} and {} differ", first.name, other.name));
        }
    }
    found
}

fn is_same(theirs: &SyncedEvent, ours: &Event) -> bool {
    ours.num.position() == Position::synced(theirs.seq)
        && ours.name == theirs.name
        && ours.client_id == theirs.client_id
        && ours.session_id == theirs.session_id
        && ours.commit == theirs.commit
        && ours.unit_end == theirs.unit_end
        && ours.args.js_eq(&theirs.args)
}

#[cfg(test)]
mod tests {
    use super::*;
    use livestore_traits::{Args, ClientId, EventName, GlobalSeq, RebaseGeneration, SeqNum, SessionId};

    fn on_server(seq: u64, args: &'static str) -> SyncedEvent {
        SyncedEvent {
            seq: GlobalSeq(seq),
            parent: GlobalSeq(seq - 1),
            name: EventName::new("v1.ItemAdded").unwrap(),
            args: Args::parse(args).unwrap(),
            client_id: ClientId::new("anna").unwrap(),
            session_id: SessionId::new("main").unwrap(),
            commit: None,
            unit_end: true,
            created_at: None,
        }
    }

    fn replica(name: &'static str, server: &[SyncedEvent]) -> Replica {
        let events = server.iter().map(|event| Event {
            // The generation is a replica's own and no difference.
            num: SeqNum::new(Position::synced(event.seq), RebaseGeneration(3)),
            name: event.name.clone(),
            args: event.args.clone(),
            client_id: event.client_id.clone(),
            session_id: event.session_id.clone(),
            commit: None,
            unit_end: true,
            is_own: false,
        });
        let items = vec![Item { place: 1, id: "milk".into(), text: "milk".into() }];
        Replica { name, events: events.collect(), items }
    }

    #[test]
    fn every_difference_is_found_and_named() {
        let server = [on_server(1, r#"{"a":1,"b":2}"#), on_server(2, "1")];
        let same = || replica("anna", &server);
        assert_eq!(differences(&server, &[same(), replica("ben", &server)]), Vec::<String>::new());

        let shorter = replica("ben", &server[..1]);
        assert_eq!(differences(&server, &[same(), shorter]), ["ben has 1 events, the server 2"]);

        let mut other = replica("ben", &server);
        other.events[1].args = Args::parse("2").unwrap();
        assert_eq!(differences(&server, &[same(), other]), ["ben has another event than the server's e2"]);

        let mut swapped = replica("ben", &server);
        swapped.events.swap(0, 1);
        assert_eq!(differences(&server, &[same(), swapped]).len(), 2);

        let mut row = replica("ben", &server);
        row.items[0].text = "oat milk".into();
        assert_eq!(differences(&server, &[same(), row]), ["the databases of anna and ben differ"]);
    }
}
