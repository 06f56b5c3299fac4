//! A series of points, one a reading, as long as the history.

use std::collections::VecDeque;

/// Points that are kept: five minutes.
pub const POINTS: usize = 300;

/// The last [`POINTS`] points of something.
#[derive(Clone, Debug)]
pub struct Track<T>(VecDeque<T>);

impl<T: Copy> Track<T> {
    /// A track of something that is first seen now, at the reading behind `earlier` other ones, of which it knows `nothing`.
    pub fn new(earlier: usize, nothing: T) -> Self {
        Self(vec![nothing; earlier.min(POINTS)].into())
    }

    /// Adds the newest.
    pub fn push(&mut self, point: T) {
        self.0.push_back(point);
        if self.0.len() > POINTS {
            self.0.pop_front();
        }
    }

    /// The newest `count`, the oldest of them first.
    pub fn newest(&self, count: usize) -> Vec<T> {
        self.0.iter().skip(self.0.len().saturating_sub(count)).copied().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Two decimals are more than anybody sees, and short on the wire.
pub fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
