//! Functions of an executable, by the symbols that it exports or still has.

use object::{
    Architecture, Object as _, ObjectSegment as _, ObjectSymbol as _, SymbolKind,
    read::elf::ElfFile64,
};
use thiserror::Error;

/// Most bytes of a function that are looked at.
const MAX_FUNCTION: u64 = 64 * 1024;

/// What is wrong with an executable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExecutableError {
    /// A script, another format, or damaged.
    #[error("it is no 64-bit ELF executable: {0}")]
    NotElf(String),
    /// The instructions of another processor.
    #[error("it is for {0}; functions are probed on x86-64 alone")]
    OtherProcessor(String),
    /// Neither exported nor in a symbol table.
    #[error("it has no function {0}: another program, or one whose symbols were stripped")]
    NoFunction(&'static str),
}

/// An ELF file for x86-64.
pub struct Executable<'a>(ElfFile64<'a>);

/// A function within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function<'a> {
    /// Its symbol.
    pub name: &'static str,
    /// Where it is linked to be.
    pub address: u64,
    /// Where it is in the file.
    pub file_offset: u64,
    /// Its instructions.
    pub code: &'a [u8],
}

impl<'a> Executable<'a> {
    /// Reads the headers.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ExecutableError> {
        let file =
            ElfFile64::parse(bytes).map_err(|error| ExecutableError::NotElf(error.to_string()))?;
        match file.architecture() {
            Architecture::X86_64 => Ok(Executable(file)),
            other => Err(ExecutableError::OtherProcessor(format!("{other:?}"))),
        }
    }

    /// Finds a function, first among those that the dynamic linker sees, which stay in a stripped file.
    ///
    /// # Errors
    /// There is no such function.
    pub fn function(&self, name: &'static str) -> Result<Function<'a>, ExecutableError> {
        let missing = ExecutableError::NoFunction(name);
        let symbol = (self.0.dynamic_symbols())
            .chain(self.0.symbols())
            .find(|symbol| {
                symbol.kind() == SymbolKind::Text
                    && symbol.is_definition()
                    && symbol.name() == Ok(name)
            })
            .ok_or_else(|| missing.clone())?;
        let address = symbol.address();
        let segment = (self.0.segments())
            .find(|segment| {
                (segment.address()..segment.address() + segment.size()).contains(&address)
            })
            .ok_or_else(|| missing.clone())?;
        let within = address - segment.address();
        let code = segment.data().ok().and_then(|data| data.get(usize::try_from(within).ok()?..));
        let code = code.ok_or(missing)?;
        let size = symbol.size().min(MAX_FUNCTION).min(code.len() as u64);
        Ok(Function {
            name,
            address,
            file_offset: segment.file_range().0 + within,
            code: &code[..size as usize],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_refused_with_a_reason() {
        let error = |bytes: &[u8]| Executable::parse(bytes).err().map(|error| error.to_string());
        assert!(
            error(b"#!/bin/sh\nexec nginx\n").is_some_and(|error| error.contains("no 64-bit ELF"))
        );
        assert!(error(b"").is_some());
        // The header of an ELF file for arm64.
        let mut header = [0; 64];
        header[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
        header[16..20].copy_from_slice(&[3, 0, 183, 0]);
        header[20] = 1;
        header[52] = 64;
        assert!(
            error(&header).is_some_and(|error| error.contains("it is for Aarch64")),
            "{:?}",
            error(&header)
        );
    }

    #[test]
    fn functions_of_this_very_program_are_found() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let file = Executable::parse(&bytes).unwrap();
        let main = file.function("main").unwrap();
        let at = main.file_offset as usize;
        assert!(!main.code.is_empty() && bytes[at..].starts_with(main.code));
        let error = file.function("ngx_http_create_request").unwrap_err().to_string();
        assert!(error.contains("no function ngx_http_create_request"), "{error}");
    }

    #[test]
    fn damaged_files_are_no_harm() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        for end in (0..4096).chain([bytes.len() / 2]) {
            let _ = Executable::parse(&bytes[..end]).map(|file| file.function("main").is_ok());
        }
    }
}
