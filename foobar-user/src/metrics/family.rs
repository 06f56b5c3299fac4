//! A metric family under construction: the values of one row of the catalogue.

use foobar_common::observe;
use prometheus::proto;

use super::catalogue::{Kind, Row};

/// Samples of one [`Row`].
pub struct Family {
    row: &'static Row,
    metrics: Vec<proto::Metric>,
}

impl Family {
    /// A family without samples.
    pub fn new(row: &'static Row) -> Self {
        Family { row, metrics: Vec::new() }
    }

    /// A family of one sample without labels.
    pub fn single(row: &'static Row, value: f64) -> Self {
        let mut family = Family::new(row);
        family.add(&[], value);
        family
    }

    /// Adds a counter or a gauge. `values` are those of the row's labels, in its order; each combination may come once.
    ///
    /// # Panics
    /// If the number of values is not that of the row's labels, or if the row is a histogram.
    pub fn add(&mut self, values: &[&str], value: f64) {
        let mut metric = self.metric(values);
        match self.row.kind {
            Kind::Counter => {
                let mut counter = proto::Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
            Kind::Histogram => panic!("{} is a histogram and has no single value", self.row.name),
        }
        self.metrics.push(metric);
    }

    /// Adds a histogram, whose buckets have the upper bounds `bounds_us` in microseconds; the page shows seconds.
    ///
    /// # Panics
    /// As [`Family::add`], or if the row is no histogram.
    pub fn add_histogram(
        &mut self,
        values: &[&str],
        bounds_us: &[u64; 10],
        observed: &observe::Histogram,
    ) {
        assert_eq!(self.row.kind, Kind::Histogram, "{} is no histogram", self.row.name);
        let mut cumulative = 0;
        let buckets = bounds_us.iter().zip(&observed.buckets).map(|(&bound, &count)| {
            cumulative += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(seconds(bound));
            bucket.set_cumulative_count(cumulative);
            bucket
        });
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(observed.buckets.iter().sum());
        histogram.set_sample_sum(seconds(observed.sum_us));
        let mut metric = self.metric(values);
        metric.set_histogram(histogram);
        self.metrics.push(metric);
    }

    fn metric(&self, values: &[&str]) -> proto::Metric {
        assert_eq!(values.len(), self.row.labels.len(), "labels of {}", self.row.name);
        let pairs = self.row.labels.iter().zip(values).map(|(label, &value)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name(label.name.to_owned());
            pair.set_value(value.to_owned());
            pair
        });
        proto::Metric::from_label(pairs.collect())
    }

    /// As the prometheus crate wants it.
    pub fn into_proto(self) -> proto::MetricFamily {
        let mut family = proto::MetricFamily::default();
        family.set_name(self.row.name.to_owned());
        family.set_help(self.row.help.to_owned());
        family.set_field_type(match self.row.kind {
            Kind::Counter => proto::MetricType::COUNTER,
            Kind::Gauge => proto::MetricType::GAUGE,
            Kind::Histogram => proto::MetricType::HISTOGRAM,
        });
        family.set_metric(self.metrics);
        family
    }
}

fn seconds(microseconds: u64) -> f64 {
    // A division is exact to the last digit, which a product with 1e-6 is not.
    microseconds as f64 / 1e6
}
