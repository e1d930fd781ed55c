//! Events that the backend refuses for good.

use livestore_backend_memory::MemoryBackend;
use livestore_engine::NotConfirmed;
use livestore_eventlog_memory::MemoryStorage;
use livestore_integration::{draft, line, notebook, read};
use livestore_traits::{Push, PushError, RejectCode, Rejection};

use crate::support::{LIMIT, Tampered, client};

fn no_swearing(push: &Push) -> Result<(), PushError> {
    match push.events.iter().position(|event| event.args.as_str().contains("damn")) {
        Some(index) => Err(PushError::Rejected(Rejection {
            index,
            code: RejectCode::Policy("no-swearing".into()),
            message: "mind your language".into(),
        })),
        None => Ok(()),
    }
}

#[tokio::test]
async fn its_unit_is_dropped_everywhere_and_the_rest_goes_on() {
    let backend = MemoryBackend::new();
    let storage = MemoryStorage::default();
    let store = notebook(&storage)
        .upstream(Tampered::new(backend.clone()).on_push(no_swearing))
        .start()
        .await
        .unwrap();
    let beside = store.open_session(Default::default()).await.unwrap();
    let before = store.commit([line("before")]).unwrap();
    let refused = store.commit([line("half of it"), draft("aside"), line("damn")]).unwrap();
    let after = store.commit([line("after")]).unwrap();
    before.confirmed().await.unwrap();
    assert_eq!(
        refused.confirmed().await.unwrap_err(),
        NotConfirmed::Rejected("no-swearing: mind your language".into())
    );
    assert_eq!(after.confirmed().await.unwrap().global.0, 2);
    store.synced().await.unwrap();
    for session in [store.session(), &beside] {
        assert_eq!(read(session).lines, ["before", "after"]);
        assert!(read(session).drafts.is_empty(), "a part of the unit is left");
    }
    store.shutdown(LIMIT).await.unwrap();
    let again = notebook(&storage).start().await.unwrap();
    assert_eq!(read(&again).lines, ["before", "after"], "the log has it still");
    let other = client(backend).await;
    other.synced().await.unwrap();
    assert_eq!(read(&other).lines, ["before", "after"]);
}
