//! The suite for materializers.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

use std::collections::BTreeMap;

use livestore_conformance::materializer::{MaterializerFixture, kv};
use livestore_materializer_memory::{MemoryMaterializer, MemorySchema, MemorySchemaBuilder};
use livestore_traits::{EventSet, MaterializeError, Materializer};

type Map = BTreeMap<String, i64>;

fn schema(events: EventSet) -> MemorySchemaBuilder<Map> {
    MemorySchema::builder(events)
        .on::<kv::Set>(|map: &mut Map, event, _cx| {
            map.insert(event.key, event.value);
            Ok(())
        })
        .on::<kv::Add>(|map, event, _cx| {
            *map.entry(event.key).or_default() += event.by;
            Ok(())
        })
        .on::<kv::Del>(|map, event, _cx| {
            map.remove(&event.key);
            Ok(())
        })
        .on::<kv::Copy>(|map, event, _cx| {
            let value = map.get(&event.from).copied().unwrap_or_default();
            map.insert(event.to, value);
            Ok(())
        })
        .on::<kv::Fail>(|map, event, _cx| {
            map.insert(event.key, -1);
            Err(kv::FAILURE.into())
        })
}

struct Fixture;

impl MaterializerFixture for Fixture {
    type Storage = ();
    type Materializer = MemoryMaterializer<Map>;
    const REOPENS: bool = false;

    fn storage(&self) {}
    fn open(&self, (): &()) -> Result<Self::Materializer, MaterializeError> {
        Ok(MemoryMaterializer::new(schema(kv::events()).build()?))
    }
    fn open_later(&self, (): &()) -> Result<Self::Materializer, MaterializeError> {
        let later = schema(kv::later_events()).on::<kv::Later>(|map, event, _cx| {
            map.insert(event.key, event.value);
            Ok(())
        });
        Ok(MemoryMaterializer::new(later.build()?))
    }
    fn dump(&self, materializer: &dyn Materializer) -> BTreeMap<String, i64> {
        materializer.view().downcast_ref::<Map>().unwrap().clone()
    }
}

livestore_conformance::materializer!(Fixture);
