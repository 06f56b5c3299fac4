//! Reading a page in Prometheus's text format.

use std::collections::BTreeMap;

/// A series: name and labels.
type Series = (String, BTreeMap<String, String>);

/// The samples of a page in Prometheus's text format 0.0.4.
#[derive(Clone, Debug)]
pub struct Scrape {
    text: String,
    samples: Vec<(Series, f64)>,
}

impl Scrape {
    /// Reads a page.
    ///
    /// # Panics
    /// If a line is no sample.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Scrape { text: text.to_owned(), samples: lines.map(sample).collect() }
    }

    /// The page as it came.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.samples.len()
    }

    /// Sum of all series of this name that have at least these labels.
    ///
    /// # Panics
    /// If there is none: all that can exist is exported from the start.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels)
            .unwrap_or_else(|| panic!("no series {name} with {labels:?} in:\n{}", self.text))
    }

    /// The same, nothing if there is none.
    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |series: &Series| {
            series.0 == name
                && labels.iter().all(|(key, value)| series.1.get(*key).is_some_and(|v| v == value))
        };
        let values = self.samples.iter().filter(|(series, _)| has(series)).map(|(_, value)| *value);
        values.reduce(|sum, value| sum + value)
    }
}

fn sample(line: &str) -> (Series, f64) {
    let read = || {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}')?),
            None => (series, ""),
        };
        let labels = labels
            .split_terminator("\",")
            .map(|label| {
                let (key, value) = label.split_once("=\"")?;
                Some((key.to_owned(), value.trim_end_matches('"').to_owned()))
            })
            .collect::<Option<_>>()?;
        Some(((name.to_owned(), labels), value.parse().ok()?))
    };
    read().unwrap_or_else(|| panic!("no sample: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_select_and_the_selected_are_added() {
        let page = Scrape::parse(
            "# HELP a text\n# TYPE a counter\na{port=\"80\",transport=\"tcp\"} 2\na{port=\"443\",transport=\"tcp\"} 3\nb 1.5\n",
        );
        assert_eq!(page.series(), 3);
        assert_eq!(page.sum("a", &[]), 5.0);
        assert_eq!(page.sum("a", &[("port", "443")]), 3.0);
        assert_eq!(page.sum("b", &[]), 1.5);
        assert_eq!(page.find("a", &[("port", "22")]), None);
    }
}
