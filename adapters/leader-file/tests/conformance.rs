//! The suite for leader elections, in directories.

use async_trait::async_trait;
use livestore_conformance::leader::LeaderFixture;
use livestore_leader_file::FileElection;
use livestore_traits::LeaderError;
use tempfile::TempDir;

struct Directory;

#[async_trait]
impl LeaderFixture for Directory {
    type Place = TempDir;
    type Election = FileElection;

    fn place(&self) -> TempDir {
        tempfile::tempdir().expect("a directory")
    }

    fn candidate(&self, place: &TempDir) -> Result<FileElection, LeaderError> {
        Ok(FileElection::new(place.path()))
    }

    async fn expire(&self, _: &TempDir) -> bool {
        false
    }
}

livestore_conformance::leader!(Directory);
