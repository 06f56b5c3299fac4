//! The table of true against counted, in docs/accuracy.md.

use std::{fs, io::ErrorKind, path::PathBuf};

/// Rows of one source.
pub struct Table {
    source: &'static str,
    rows: String,
}

impl Table {
    pub fn new(source: &'static str) -> Self {
        Table { source, rows: String::new() }
    }

    pub fn row(&mut self, name: &str, truth: u64, counted: u64) {
        self.rows.push_str(&format!("| {name} | {truth} | {counted} |\n"));
    }

    /// Writes the rows between this source's marks if `UPDATE_DOCS` is set, and prints them otherwise.
    ///
    /// # Panics
    /// If the document has no such marks.
    pub fn write(&self) {
        let table = format!("| workload | logged | counted |\n|---|---|---|\n{}", self.rows);
        println!("{}:\n{table}", self.source);
        if std::env::var_os("UPDATE_DOCS").is_none() {
            return;
        }
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/accuracy.md"));
        let document = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("{} is missing", path.display())
            }
            document => document.expect("docs/accuracy.md"),
        };
        let begin = format!("<!-- table of {} -->\n", self.source);
        let end = format!("<!-- end of table of {} -->", self.source);
        let (before, rest) = document.split_once(&begin).expect("the table begins somewhere");
        let (_, after) = rest.split_once(&end).expect("the table ends somewhere");
        fs::write(&path, format!("{before}{begin}{table}{end}{after}")).expect("docs/accuracy.md");
    }
}
