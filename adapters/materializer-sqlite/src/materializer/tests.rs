//! Failures of the storage, which only somebody with the connection at hand can cause.

use livestore_traits::{
    Args, ClientId, Event, EventKind, EventName, EventSet, GlobalSeq, OnFailure, Position, RebaseGeneration,
    SessionId,
};

use super::*;

fn event(number: u64, bytes: usize) -> Event {
    Event {
        num: SeqNum::new(Position::synced(GlobalSeq(number)), RebaseGeneration(0)),
        name: EventName::new("add").unwrap(),
        args: Args::from_value(&bytes).unwrap(),
        client_id: ClientId::new("c1").unwrap(),
        session_id: SessionId::new("s1").unwrap(),
        commit: None,
        unit_end: true,
        is_own: false,
    }
}

fn apply(materializer: &mut SqliteMaterializer, events: &[Event]) -> Result<Applied, MaterializeError> {
    let base = materializer.head().unwrap();
    materializer.apply(MaterializeBatch {
        base,
        rollback_to: None,
        events,
        settled: Position::ROOT,
        on_failure: OnFailure::Quarantine,
    })
}

/// The event is sound; to quarantine it for a full disk would lose its effect for good.
#[test]
fn a_full_disk_is_an_error_even_if_the_materializer_hides_it() {
    let directory = tempfile::tempdir().unwrap();
    for hides_it in [false, true] {
        let events = EventSet::builder().named("add", EventKind::Synced).build().unwrap();
        let schema = SqliteSchema::builder(events).table("CREATE TABLE t (v)").on_raw(
            "add",
            move |state, args, _cx| match state
                .execute("INSERT INTO t VALUES (zeroblob(?1))", [args.to_value::<i64>()?])
            {
                Err(error) if !hides_it => Err(error.into()),
                _ => Ok(()),
            },
        );
        let path = directory.path().join(format!("{hides_it}.sqlite"));
        let mut materializer = SqliteMaterializer::open(path, schema.build().unwrap()).unwrap();
        apply(&mut materializer, &[event(1, 10)]).unwrap();
        let limit = |materializer: &SqliteMaterializer, pages: i64| {
            let _own = materializer.view.database.own();
            let connection = &materializer.view.database.connection;
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), (), |_| Ok(())).unwrap();
        };
        limit(&materializer, 30);
        let result = apply(&mut materializer, &[event(2, 10), event(3, 1_000_000)]);
        assert!(matches!(result, Err(MaterializeError::Full(_))), "hidden: {hides_it}: {result:?}");
        assert_eq!(materializer.head().unwrap().to_string(), "e1");
        assert_eq!(materializer.quarantined().unwrap(), []);
        limit(&materializer, 100_000);
        apply(&mut materializer, &[event(2, 10), event(3, 1_000_000)]).unwrap();
        let rows =
            materializer.view.query_row("SELECT count(*) FROM t", (), |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(rows, 3);
    }
}
