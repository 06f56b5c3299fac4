//! What the kernel programs have to say: rare lines for the log, by aya-log. Nothing per packet goes this way.

use std::sync::{Mutex, PoisonError};

use aya::Ebpf;
use aya_log::EbpfLogger;

/// The lines of one instance. The kernel keeps 128 KiB of them until they are read. The mutex is never contended: it lets those
/// share an instance who only look at it.
pub(super) struct Messages(Mutex<Option<Flush>>);

type Flush = Box<dyn FnMut() + Send>;

impl Messages {
    /// Takes the ring buffer of an instance over. Without one, nothing will ever be said.
    pub fn of(ebpf: &mut Ebpf) -> Self {
        let logger = EbpfLogger::init(ebpf).ok();
        Messages(Mutex::new(logger.map(|mut logger| Box::new(move || logger.flush()) as Flush)))
    }

    /// Writes what was said since the last call to the log.
    pub fn write(&mut self) {
        if let Some(flush) = self.0.get_mut().unwrap_or_else(PoisonError::into_inner) {
            flush();
        }
    }
}
