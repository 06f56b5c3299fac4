//! From totals that start anew, and processes that come and go, to a count that only grows.

use super::page::{Classes, OwnPolls, Page};

/// Processes that are remembered: an old and a new one while a server upgrades itself, and some more.
const MAX_LINEAGES: usize = 4;

/// Requests that a server counted since it was asked for the first time, without those that asked.
#[derive(Clone, Debug, Default)]
pub struct Count {
    /// The one that was read last is the last.
    lineages: Vec<Lineage>,
    counted: Classes,
    /// Polls since the last reading that may have reached the server, and of which no answer came.
    unanswered: u64,
}

/// Totals that belong together: those of one process between two starts.
#[derive(Clone, Debug)]
struct Lineage {
    name: Option<u64>,
    last: Classes,
}

impl Count {
    /// What was counted so far, by class.
    pub fn counted(&self) -> Classes {
        self.counted
    }

    /// A poll that the server may have counted, but not answered in time.
    pub fn missed(&mut self) {
        self.unanswered += 1;
    }

    /// Takes in what a server says. `same_connection` tells that the same process wrote the page before.
    pub fn record(&mut self, page: &Page, same_connection: bool) {
        let known = self.lineage_of(page, same_connection);
        let unanswered = std::mem::take(&mut self.unanswered);
        let (mut lineage, is_new) = match known {
            Some(at) => (self.lineages.remove(at), false),
            None if self.lineages.is_empty() => {
                // What came before is not known to foobar.
                self.lineages.push(Lineage { name: page.lineage, last: page.totals });
                return;
            }
            // A process that began after the last reading: all of its requests are new.
            None => (Lineage { name: page.lineage, last: Classes::default() }, true),
        };
        let mut own = match page.own {
            OwnPolls::Included => 1 + unanswered,
            OwnPolls::CountedLater(_) if is_new => 0,
            OwnPolls::CountedLater(_) => 1 + unanswered,
            OwnPolls::Apart => 0,
        };
        let own_class = match page.own {
            OwnPolls::CountedLater(class) => class,
            OwnPolls::Included | OwnPolls::Apart => 0,
        };
        for (class, count) in self.counted.iter_mut().enumerate() {
            let mut more = page.totals[class].saturating_sub(lineage.last[class]);
            if class == own_class {
                let taken = more.min(own);
                more -= taken;
                own -= taken;
            }
            *count += more;
        }
        lineage.last = page.totals;
        self.lineages.push(lineage);
        if self.lineages.len() > MAX_LINEAGES {
            self.lineages.remove(0);
        }
    }

    /// Which totals these continue. A server that does not name its process may be two of them on one port while it upgrades
    /// itself: over a new connection, either may answer, and its totals are those nearest below.
    fn lineage_of(&self, page: &Page, same_connection: bool) -> Option<usize> {
        if page.lineage.is_some() {
            return self.lineages.iter().position(|lineage| lineage.name == page.lineage);
        }
        let current = self.lineages.len().checked_sub(1)?;
        let continues = |at: usize| {
            let last = &self.lineages[at].last;
            last.iter().zip(&page.totals).all(|(last, now)| last <= now)
        };
        if same_connection && continues(current) {
            return Some(current);
        }
        let sum = |at: &usize| self.lineages[*at].last.iter().sum::<u64>();
        (0..=current).filter(|&at| continues(at)).max_by_key(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::page::Server, *};

    fn nginx(total: u64) -> Page {
        let totals = [total, 0, 0, 0, 0, 0];
        Page { server: Server::Nginx, lineage: None, totals, own: OwnPolls::Included }
    }

    /// The sum after each reading: total, and whether it came over the connection of the one before.
    fn sums(readings: &[(u64, bool)]) -> Vec<u64> {
        let mut count = Count::default();
        let record = |(total, same): &(u64, bool)| {
            count.record(&nginx(*total), *same);
            count.counted()[0]
        };
        readings.iter().map(record).collect()
    }

    #[test]
    fn what_was_before_does_not_count_nor_do_polls() {
        assert_eq!(sums(&[(100, false), (101, true), (112, true)]), [0, 0, 10]);
    }

    #[test]
    fn a_restart_begins_at_0() {
        assert_eq!(sums(&[(100, false), (3, false), (4, true), (15, true)]), [0, 2, 2, 12]);
        // Grown past the old total within the same connection: no return to the old process.
        assert_eq!(sums(&[(10, false), (9, false), (21, true), (22, false)]), [0, 8, 19, 19]);
    }

    #[test]
    fn two_processes_on_one_port_are_told_apart() {
        let readings =
            [(1000, false), (5, false), (1011, false), (7, false), (8, true), (1013, false)];
        assert_eq!(sums(&readings), [0, 4, 14, 15, 15, 16]);
    }

    #[test]
    fn polls_without_an_answer_were_counted_by_the_server() {
        let mut count = Count::default();
        count.record(&nginx(10), false);
        count.missed();
        count.missed();
        count.record(&nginx(18), false);
        assert_eq!(count.counted()[0], 5);
    }

    #[test]
    fn a_named_process_is_itself_whatever_its_totals() {
        let page = |pid, ok, failed| Page {
            server: Server::Haproxy,
            lineage: Some(pid),
            totals: [0, 0, ok, 0, 0, failed],
            own: OwnPolls::Apart,
        };
        let mut count = Count::default();
        count.record(&page(1, 50, 5), false);
        count.record(&page(2, 60, 6), false);
        assert_eq!(count.counted(), [0, 0, 60, 0, 0, 6]);
        count.record(&page(1, 53, 5), false);
        assert_eq!(count.counted(), [0, 0, 63, 0, 0, 6]);
    }

    #[test]
    fn a_poll_that_is_counted_later_is_taken_off_then() {
        let page =
            |total| Page { own: OwnPolls::CountedLater(0), lineage: Some(1), ..nginx(total) };
        let mut count = Count::default();
        count.record(&page(0), false);
        count.record(&page(1), false);
        count.record(&page(7), false);
        assert_eq!(count.counted()[0], 5);
        count.record(&Page { lineage: Some(2), ..page(3) }, false);
        assert_eq!(count.counted()[0], 8);
    }
}
