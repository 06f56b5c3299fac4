//! What can go wrong between the daemon and the kernel.

use std::{error::Error, fmt, io};

/// What kind of failure it is, for callers that act differently on some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A capability is missing (CAP_BPF, CAP_NET_ADMIN).
    NotRoot,
    /// No BPF file system where the pins should go.
    NoBpffs,
    /// Another process works with the same folder of pins.
    Busy,
    /// Something is pinned under our names that is not ours, or was made by another layout.
    ForeignPin,
    /// Another XDP program is attached to the interface.
    ForeignProgram,
    /// The interface does not exist.
    NoSuchInterface,
    /// The interface takes the program in no mode.
    Refused,
    /// This kernel lacks what is needed.
    Unsupported,
    /// Anything else that a system call answered.
    Kernel,
}

/// A failed operation: what failed, on which object and why (`Display` and the source chain), and what to do ([`Self::help`]).
pub struct KernelError {
    kind: ErrorKind,
    what: String,
    help: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl KernelError {
    pub(super) fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        KernelError { kind, what: what.into(), help: None, source: None }
    }

    /// A system call failed; a missing capability is told apart and comes with its remedy.
    pub(super) fn call(what: impl Into<String>, source: io::Error) -> Self {
        let error = KernelError::new(ErrorKind::Kernel, what);
        let error =
            if source.raw_os_error() == Some(libc::EPERM) { error.not_root() } else { error };
        error.because(source)
    }

    pub(super) fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(super) fn advise(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn not_root(mut self) -> Self {
        self.kind = ErrorKind::NotRoot;
        self.advise(
            "run it as root, or with the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
        )
    }

    fn because_and_remedy(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        self.help.iter().try_for_each(|help| write!(f, "; {help}"))
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the operator can do about it.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for KernelError {
    /// What failed, on which object; the alternate form (`{:#}`) goes on with the causes and the remedy, in one line for the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if f.alternate() { self.because_and_remedy(f) } else { Ok(()) }
    }
}

impl fmt::Debug for KernelError {
    /// As `main` would print it: the whole chain and the remedy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.what, self.kind)?;
        self.because_and_remedy(f)
    }
}

impl Error for KernelError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
