//! One table of the configuration: keys are taken out one by one, and what is left over in the end is unknown.

use std::{
    cell::RefCell,
    ops::{Range, RangeInclusive},
    time::Duration,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{reader::Reader, values};
use crate::policy::diagnostic::did_you_mean;

/// A value with its place in the file.
pub(super) type Value<'t> = Spanned<DeValue<'t>>;

/// A table that is being read.
pub(super) struct Section<'r, 't> {
    reader: &'r Reader<'t>,
    /// How messages call it, such as `[metrics]`.
    title: String,
    span: Range<usize>,
    table: DeTable<'t>,
    /// Every key that was asked for: the known ones.
    asked: RefCell<Vec<&'static str>>,
}

impl<'r, 't> Section<'r, 't> {
    pub(super) fn new(
        reader: &'r Reader<'t>,
        title: impl Into<String>,
        span: Range<usize>,
        table: DeTable<'t>,
    ) -> Self {
        Section { reader, title: title.into(), span, table, asked: RefCell::default() }
    }

    pub(super) fn reader(&self) -> &'r Reader<'t> {
        self.reader
    }

    pub(super) fn title(&self) -> &str {
        &self.title
    }

    /// Where the table starts.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    pub(super) fn error(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.reader.error(span, message, help);
    }

    pub(super) fn has_errors(&self) -> bool {
        self.reader.has_errors()
    }

    /// Takes the value of a key.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value<'t>> {
        self.asked.borrow_mut().push(key);
        self.table.remove(key)
    }

    /// Takes the value of a key that must be there.
    pub(super) fn required(&mut self, key: &'static str, help: &str) -> Option<Value<'t>> {
        let value = self.take(key);
        if value.is_none() {
            self.error(
                self.span(),
                format!("{} has no `{key}`", self.title),
                format!("add {help}"),
            );
        }
        value
    }

    /// Takes one of a few words; the default if the key is missing or wrong.
    pub(super) fn word<T: Copy + Default>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> T {
        self.take(key).and_then(|value| values::word(self, &value, key, words)).unwrap_or_default()
    }

    /// Takes one of a few words that must be there.
    pub(super) fn required_word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        help: &str,
    ) -> Option<T> {
        self.required(key, help).and_then(|value| values::word(self, &value, key, words))
    }

    /// Takes a whole number.
    pub(super) fn integer(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<i64>,
    ) -> Option<i64> {
        self.take(key).and_then(|value| values::integer(self, &value, key, bounds))
    }

    /// Takes a time such as `"90s"` or `"2h"`.
    pub(super) fn duration(&mut self, key: &'static str) -> Option<Duration> {
        self.take(key).and_then(|value| values::duration(self, &value, key))
    }

    /// Takes a table of its own, `[key]`.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Section<'r, 't>> {
        let value = self.take(key)?;
        values::table(self.reader, value, format!("[{}]", self.path_of(key)))
    }

    /// A key with the names of the tables that it is in.
    fn path_of(&self, key: &str) -> String {
        match self.title.strip_prefix('[') {
            Some(title) => format!("{}.{key}", title.trim_end_matches(']')),
            None => key.to_owned(),
        }
    }

    /// Takes an array of tables, `[[key]]`.
    pub(super) fn sections(&mut self, key: &'static str) -> Option<Vec<Section<'r, 't>>> {
        let value = self.take(key)?;
        let span = value.span();
        let path = self.path_of(key);
        match value.into_inner() {
            DeValue::Array(items) => Some(
                items
                    .into_iter()
                    .filter_map(|item| values::table(self.reader, item, format!("[[{path}]]")))
                    .collect(),
            ),
            DeValue::Table(_) => {
                self.error(
                    span,
                    format!("[{path}] must be an array of tables"),
                    format!("write [[{path}]], with double brackets"),
                );
                None
            }
            other => {
                let message =
                    format!("`{key}` must be an array of tables, not {}", values::article(&other));
                self.error(span, message, format!("write [[{path}]] and its keys below"));
                None
            }
        }
    }

    /// Takes all keys, for tables whose keys are names.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (Spanned<String>, Value<'t>)> {
        self.table
            .into_iter()
            .map(|(key, value)| (Spanned::new(key.span(), key.into_inner().into_owned()), value))
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.into_inner();
        for (key, _) in &self.table {
            let help = match did_you_mean(key.get_ref(), asked.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!(
                    "known keys are {}",
                    asked.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
                ),
            };
            let message = format!("unknown key `{}` in {}", key.get_ref(), self.title);
            self.reader.error(key.span(), message, help);
        }
    }
}
