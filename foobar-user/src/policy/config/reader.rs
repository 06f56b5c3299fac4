//! The text of a configuration, and what was found in it so far.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use crate::policy::diagnostic::{Diagnostic, Severity};

/// Collects findings while the configuration is read.
pub(super) struct Reader<'t> {
    text: &'t str,
    file: &'t Path,
    /// Where each line starts, in bytes.
    lines: Vec<usize>,
    diagnostics: RefCell<Vec<Diagnostic>>,
    /// List files that were kept, to be read instead of those on disk.
    kept: Option<&'t BTreeMap<PathBuf, Vec<u8>>>,
    /// List files that were read.
    files: RefCell<BTreeMap<PathBuf, Vec<u8>>>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(
        text: &'t str,
        file: &'t Path,
        kept: Option<&'t BTreeMap<PathBuf, Vec<u8>>>,
    ) -> Self {
        let starts =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Reader {
            text,
            file,
            lines: std::iter::once(0).chain(starts).collect(),
            diagnostics: RefCell::default(),
            kept,
            files: RefCell::default(),
        }
    }

    pub(super) fn file(&self) -> &'t Path {
        self.file
    }

    /// Line and column in characters, both from 1, of a byte of the text.
    pub(super) fn place(&self, at: usize) -> (u32, u32) {
        let at = at.min(self.text.len());
        let line = self.lines.partition_point(|start| *start <= at);
        let before = self.text.get(self.lines[line - 1]..at).unwrap_or_default();
        (line as u32, 1 + before.chars().count() as u32)
    }

    pub(super) fn report(
        &self,
        severity: Severity,
        span: Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let (line, column) = self.place(span.start);
        self.push(Diagnostic {
            severity,
            file: self.file.to_owned(),
            line,
            column,
            message: message.into(),
            help,
        });
    }

    pub(super) fn error(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.report(Severity::Error, span, message, Some(help.into()));
    }

    pub(super) fn note(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.report(Severity::Note, span, message, help);
    }

    /// What a list file holds.
    pub(super) fn list_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.kept {
            Some(kept) => kept.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into()),
            None if !fs::metadata(path)?.is_file() => {
                Err(io::Error::other("it is not a regular file"))
            }
            None => fs::read(path),
        }
    }

    /// Notes what a list file held.
    pub(super) fn keep(&self, path: &Path, content: Vec<u8>) {
        self.files.borrow_mut().insert(path.to_owned(), content);
    }

    /// The list files that were read.
    pub(super) fn take_files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        self.files.take()
    }

    /// A finding in another file, such as a list file.
    pub(super) fn push(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    pub(super) fn has_errors(&self) -> bool {
        self.diagnostics.borrow().iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// All findings: those of the configuration itself first, in the order of their places.
    pub(super) fn into_diagnostics(self) -> Vec<Diagnostic> {
        let mut diagnostics = self.diagnostics.into_inner();
        diagnostics.sort_by_key(|diagnostic| {
            (
                diagnostic.file != self.file,
                diagnostic.file.clone(),
                diagnostic.line,
                diagnostic.column,
            )
        });
        diagnostics
    }
}
