//! The disk as one process sees it.

use std::io;

use redb::StorageBackend;

use crate::SimDisk;

/// What a process has open. Once the process is gone (it was killed, the power went, or another one opened the disk)
/// every operation fails and nothing changes any more.
#[derive(Debug)]
pub struct SimFile {
    pub(crate) disk: SimDisk,
    pub(crate) epoch: u64,
}

impl StorageBackend for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.on_behalf_of(self.epoch)?.len())
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.on_behalf_of(self.epoch)?.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.on_behalf_of(self.epoch)?.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.disk.on_behalf_of(self.epoch)?.sync()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.on_behalf_of(self.epoch)?.write(offset, data)
    }
}
