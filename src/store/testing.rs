//! A disk in memory that fails, forgets or is slow on demand, and outlives the store on it.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use redb::{Builder, StorageBackend, backends::InMemoryBackend};

use super::{
    FILE_NAME, Loaded, Store,
    file::{Disk, initialise},
};

/// The disk. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Flaky {
    memory: Arc<InMemoryBackend>,
    /// What the system says to whatever is written; none: it is written.
    failing: Arc<Mutex<Option<io::ErrorKind>>>,
    /// It takes everything and keeps nothing, as ext4 does after a forced remount.
    read_only: Arc<AtomicBool>,
    /// How long each flush takes, in milliseconds.
    slow: Arc<AtomicU64>,
}

impl Flaky {
    /// One with an empty store on it.
    pub(crate) fn new() -> Self {
        let (failing, read_only, slow) = (Arc::default(), Arc::default(), Arc::default());
        let flaky = Self { memory: Arc::new(InMemoryBackend::new()), failing, read_only, slow };
        initialise(&Builder::new().create_with_backend(flaky.clone()).unwrap()).unwrap();
        flaky
    }

    /// Opens the store on it.
    pub(crate) fn open(&self) -> (Store, Loaded) {
        Store::start(self.disk()).unwrap()
    }

    /// From now on nothing can be written, for this reason; none: it can.
    pub(crate) fn fail(&self, kind: Option<io::ErrorKind>) {
        *self.failing.lock().unwrap() = kind;
    }

    /// See `read_only`.
    pub(crate) fn make_read_only(&self, on: bool) {
        self.read_only.store(on, Ordering::SeqCst);
    }

    /// Each flush takes so long from now on.
    pub(crate) fn slow_down(&self, flush: Duration) {
        self.slow.store(u64::try_from(flush.as_millis()).unwrap(), Ordering::SeqCst);
    }

    fn writable(&self) -> io::Result<()> {
        self.failing.lock().unwrap().map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn disk(&self) -> Disk {
        let backend = self.clone();
        let (read_only, memory) = (self.read_only.clone(), self.memory.clone());
        Disk::custom(
            std::env::temp_dir().join(FILE_NAME),
            move || Builder::new().create_with_backend(backend.clone()),
            move || read_only.load(Ordering::SeqCst),
            move || {
                let mut content = vec![0; usize::try_from(memory.len()?).unwrap()];
                memory.read(0, &mut content).map(|()| content)
            },
        )
    }
}

impl StorageBackend for Flaky {
    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.writable().and_then(|()| self.memory.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        std::thread::sleep(Duration::from_millis(self.slow.load(Ordering::SeqCst)));
        self.writable()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.writable()?;
        if self.read_only.load(Ordering::SeqCst) { Ok(()) } else { self.memory.write(offset, data) }
    }
}
