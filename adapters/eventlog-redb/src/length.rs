//! A file is as long as redb's header says, before the header says so.
//!
//! redb 4.1 makes a file longer and writes the new length into its header without a sync in between. A power cut
//! that keeps the header but not the length leaves a file that redb refuses, with all that was ever committed in it. So a
//! change of length is synced by itself; files grow in large steps, which makes it rare. (redb 4.2 and later do the same.)

use std::io;

use redb::StorageBackend;

/// Storage whose changes of length are durable at once.
#[derive(Debug)]
pub(crate) struct DurableLength<B>(pub(crate) B);

#[deny(clippy::missing_trait_methods)]
impl<B: StorageBackend> StorageBackend for DurableLength<B> {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)?;
        self.0.sync_data()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}
