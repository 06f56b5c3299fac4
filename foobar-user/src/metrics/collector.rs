//! From a snapshot to the page: one collector a section, gathered by a registry of the prometheus crate.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use prometheus::core::{Collector, Desc};
use prometheus::{Error, Registry, TextEncoder, proto};

use super::catalogue::{ROWS, Row, Section};
use super::family::Family;
use super::snapshot::Snapshot;
use super::{certificates, connections, filter, http, program, tables, tls};

/// The content type of a page: Prometheus text format 0.0.4, which is always UTF-8.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page that shows a snapshot.
///
/// The registry lives as long as the page: it orders the series and refuses two definitions of one name, and holds nothing
/// between scrapes, as all counts are the kernel's.
///
/// # Errors
/// If the catalogue holds an invalid or doubled name, which the tests rule out.
pub fn render(snapshot: Snapshot) -> Result<String, Error> {
    let snapshot = Arc::new(snapshot);
    let registry = Registry::new();
    for section in Section::ALL {
        registry
            .register(Box::new(SectionCollector { section, snapshot: Arc::clone(&snapshot) }))?;
    }
    TextEncoder::new().encode_to_string(&registry.gather())
}

/// The rows of one section, filled from a snapshot.
struct SectionCollector {
    section: Section,
    snapshot: Arc<Snapshot>,
}

impl Collector for SectionCollector {
    fn desc(&self) -> Vec<&Desc> {
        DESCRIPTIONS
            .iter()
            .filter(|(section, _)| *section == self.section)
            .map(|(_, description)| description)
            .collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let families = match self.section {
            Section::Filter => filter::families(&self.snapshot),
            Section::Connections => connections::families(&self.snapshot),
            Section::Http => http::families(&self.snapshot),
            Section::Tls => {
                let certificates = certificates::families(&self.snapshot);
                tls::families(&self.snapshot).into_iter().chain(certificates).collect()
            }
            Section::Tables => tables::families(&self.snapshot),
            Section::Program => program::families(&self.snapshot),
        };
        families.into_iter().map(Family::into_proto).collect()
    }
}

/// The catalogue in the terms of the prometheus crate.
static DESCRIPTIONS: LazyLock<Vec<(Section, Desc)>> = LazyLock::new(|| {
    let describe = |row: &&'static Row| {
        let labels = row.labels.iter().map(|label| label.name.to_owned()).collect();
        let description =
            Desc::new(row.name.to_owned(), row.help.to_owned(), labels, HashMap::new());
        (
            row.section,
            description.expect("the catalogue holds names and labels that Prometheus allows"),
        )
    };
    ROWS.iter().map(describe).collect()
});
