//! What each counter stands for.
//!
//! The numbers below [`FIXED`] belong to a reason and a transport. Those behind are handed out here, once and for ever: a label
//! keeps its number over reloads, restarts and upgrades, so that no counter ever changes its meaning. They are stored in the
//! map `COUNTER_LABELS` beside the counters.

use std::collections::HashMap;

use foobar_common::{
    counters::{FIXED, PER_RULE_CELL, RULE_ATTEMPTS, RULE_LIMITED, RULE_PASSED, Transport, fixed},
    reason::{Reason, Verdict},
};

/// Bytes of a stored label.
pub const RECORD_BYTES: usize = 128;

/// A label as it is stored: see [`Labels::records`].
pub type Record = [u8; RECORD_BYTES];

/// Format of a record; 0 is a counter that stands for nothing yet.
const RECORD_VERSION: u8 = 1;
/// Where the rule's name starts in a record.
const RECORD_NAME: usize = 8;

/// What a counter counts of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CounterKind {
    /// Packets that pass, except those of [`CounterKind::Attempt`].
    Passed,
    /// TCP segments that pass with SYN and without ACK.
    Attempt,
    /// Packets over the rule's limit, which are dropped.
    Limited,
    /// Packets that are dropped.
    Dropped,
}

/// What a counter stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterMeaning<'l> {
    /// What happened to the packets (in audit mode: would have happened).
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The rule that decided, if one did.
    pub rule: Option<&'l str>,
    /// The destination port, if it has counters of its own.
    pub port: Option<u16>,
    /// The transport.
    pub transport: Transport,
    /// Which of them.
    pub kind: CounterKind,
}

/// What a pair of (rule or reason, port) is counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Label {
    pub(super) rule: Option<String>,
    pub(super) reason: Reason,
    pub(super) port: Option<u16>,
    pub(super) transport: Transport,
}

impl Label {
    /// How many counters in a row it has: what passes is told apart further.
    fn counters(&self) -> u16 {
        match self.reason.verdict() {
            Verdict::Pass => PER_RULE_CELL,
            Verdict::Drop => 1,
        }
    }
}

/// A stored label that cannot be read, or does not fit the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("counter {counter} has a label that cannot be read: {problem}")]
pub struct LabelError {
    /// Number of the counter.
    pub counter: u16,
    /// What is wrong.
    pub problem: String,
}

/// All labels that were ever handed out.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// By counter number less [`FIXED`]: the label, and which of its counters.
    counters: Vec<(Label, u16)>,
    numbers: HashMap<Label, u16>,
}

impl Labels {
    /// No labels but the fixed ones.
    pub fn new() -> Self {
        Labels::default()
    }

    /// Number of counters in use, the fixed ones included: the next label gets this number.
    pub fn len(&self) -> u32 {
        u32::from(FIXED) + self.counters.len() as u32
    }

    /// Never true: the fixed ones are always there.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The first counter of a label, a new one if it has none yet; `None` if all numbers are taken.
    pub(super) fn number(&mut self, label: Label) -> Option<u16> {
        if label.rule.is_none() && label.port.is_none() && label.reason.verdict() == Verdict::Drop {
            return Some(fixed(label.reason, label.transport));
        }
        if let Some(number) = self.numbers.get(&label) {
            return Some(*number);
        }
        let number = u16::try_from(self.len()).ok()?;
        number.checked_add(label.counters() - 1)?;
        self.counters.extend((0..label.counters()).map(|part| (label.clone(), part)));
        self.numbers.insert(label, number);
        Some(number)
    }

    /// What a counter stands for; `None` if for nothing.
    pub fn describe(&self, counter: u16) -> Option<CounterMeaning<'_>> {
        if counter < FIXED {
            let transports = Transport::ALL.len() as u16;
            let reason = Reason::try_from((counter / transports) as u8).ok()?;
            let transport = Transport::ALL[usize::from(counter % transports)];
            let kind = match reason.verdict() {
                Verdict::Pass => CounterKind::Passed,
                Verdict::Drop => CounterKind::Dropped,
            };
            return Some(CounterMeaning {
                verdict: reason.verdict(),
                reason,
                rule: None,
                port: None,
                transport,
                kind,
            });
        }
        let (label, part) = self.counters.get(usize::from(counter - FIXED))?;
        let (verdict, reason, kind) = match (label.reason.verdict(), *part) {
            (Verdict::Drop, _) => (Verdict::Drop, label.reason, CounterKind::Dropped),
            (Verdict::Pass, RULE_ATTEMPTS) => (Verdict::Pass, label.reason, CounterKind::Attempt),
            (Verdict::Pass, RULE_LIMITED) => {
                (Verdict::Drop, Reason::ConnectionLimit, CounterKind::Limited)
            }
            (Verdict::Pass, _) => (Verdict::Pass, label.reason, CounterKind::Passed),
        };
        let Label { rule, port, transport, .. } = label;
        Some(CounterMeaning {
            verdict,
            reason,
            rule: rule.as_deref(),
            port: *port,
            transport: *transport,
            kind,
        })
    }

    /// All counters that stand for something.
    pub fn iter(&self) -> impl Iterator<Item = (u16, CounterMeaning<'_>)> {
        (0..=u16::MAX)
            .take(self.len() as usize)
            .filter_map(|counter| Some((counter, self.describe(counter)?)))
    }

    /// The labels of the counters from number `from` on, to be stored before a policy that uses them is put in force.
    pub fn records(&self, from: u32) -> Vec<(u16, Record)> {
        let skipped = from.saturating_sub(u32::from(FIXED)) as usize;
        let all = (FIXED..=u16::MAX).zip(&self.counters);
        all.skip(skipped)
            .map(|(counter, (label, part))| (counter, to_record(label, *part)))
            .collect()
    }

    /// The labels that were stored, in the order of their numbers. Empty records are skipped.
    ///
    /// # Errors
    /// A record cannot be read, or is not where [`Labels::records`] puts it.
    pub fn from_records(
        records: impl IntoIterator<Item = (u16, Record)>,
    ) -> Result<Self, LabelError> {
        let mut labels = Labels::new();
        for (counter, record) in records {
            if record[0] == 0 {
                continue;
            }
            let error = |problem: &str| LabelError { counter, problem: problem.to_owned() };
            let (label, part) = from_record(&record).map_err(error)?;
            if u32::from(counter) != labels.len() {
                return Err(error("there is a gap before it"));
            }
            let continues = part == 0 || labels.counters.last() == Some(&(label.clone(), part - 1));
            if !continues || part >= label.counters() {
                return Err(error("it is not the counter that should follow"));
            }
            if part == RULE_PASSED && labels.numbers.insert(label.clone(), counter).is_some() {
                return Err(error("another counter has the same label"));
            }
            labels.counters.push((label, part));
        }
        labels.drop_unfinished();
        Ok(labels)
    }

    /// A daemon that died while it stored labels leaves the counters of the last one incomplete. No policy uses them yet.
    fn drop_unfinished(&mut self) {
        let Some((label, part)) = self.counters.last().cloned() else { return };
        if part + 1 < label.counters() {
            self.counters.truncate(self.counters.len() - usize::from(part) - 1);
            self.numbers.remove(&label);
        }
    }
}

/// `[version, reason, transport, part, has port, length of the name, port (little-endian), name]`.
fn to_record(label: &Label, part: u16) -> Record {
    let mut record = [0; RECORD_BYTES];
    let name = label.rule.as_deref().unwrap_or_default().as_bytes();
    record[0] = RECORD_VERSION;
    record[1] = label.reason as u8;
    record[2] = label.transport as u8;
    record[3] = part as u8;
    record[4] = u8::from(label.port.is_some());
    record[5] = name.len() as u8;
    record[6..8].copy_from_slice(&label.port.unwrap_or(0).to_le_bytes());
    record[RECORD_NAME..][..name.len()].copy_from_slice(name);
    record
}

fn from_record(record: &Record) -> Result<(Label, u16), &'static str> {
    let [version, reason, transport, part, has_port, length, port_low, port_high, ..] = *record;
    if version != RECORD_VERSION {
        return Err("it is of another version");
    }
    let name =
        record.get(RECORD_NAME..RECORD_NAME + usize::from(length)).ok_or("its name is too long")?;
    let name = std::str::from_utf8(name).map_err(|_| "its name is not text")?;
    let transport = Transport::ALL.get(usize::from(transport)).ok_or("its transport is unknown")?;
    let label = Label {
        rule: (!name.is_empty()).then(|| name.to_owned()),
        reason: Reason::try_from(reason).map_err(|_| "its reason is unknown")?,
        port: (has_port != 0).then_some(u16::from_le_bytes([port_low, port_high])),
        transport: *transport,
    };
    Ok((label, u16::from(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Stored = Vec<(u16, Record)>;

    fn label(rule: Option<&str>, reason: Reason, port: Option<u16>) -> Label {
        Label { rule: rule.map(str::to_owned), reason, port, transport: Transport::Tcp }
    }

    fn some() -> Labels {
        let mut labels = Labels::new();
        labels.number(label(Some("web"), Reason::Rule, Some(80))).unwrap();
        labels.number(label(None, Reason::Blocklist, Some(80))).unwrap();
        labels.number(label(Some("out"), Reason::EgressDenied, None)).unwrap();
        labels
    }

    #[test]
    fn a_label_keeps_its_number() {
        let mut labels = some();
        assert_eq!(labels.number(label(Some("web"), Reason::Rule, Some(80))), Some(FIXED));
        assert_eq!(labels.number(label(None, Reason::Blocklist, Some(80))), Some(FIXED + 3));
        assert_eq!(
            labels.number(label(None, Reason::NoRule, None)),
            Some(fixed(Reason::NoRule, Transport::Tcp))
        );
        assert_eq!(labels.len(), u32::from(FIXED) + 5);
        assert_eq!(labels.number(label(Some("web"), Reason::Rule, None)), Some(FIXED + 5));
    }

    #[test]
    fn every_number_says_what_it_counts() {
        let labels = some();
        let kinds: Vec<_> = (FIXED..)
            .map_while(|counter| labels.describe(counter))
            .map(|it| (it.verdict, it.reason, it.kind))
            .collect();
        assert_eq!(
            kinds,
            [
                (Verdict::Pass, Reason::Rule, CounterKind::Passed),
                (Verdict::Pass, Reason::Rule, CounterKind::Attempt),
                (Verdict::Drop, Reason::ConnectionLimit, CounterKind::Limited),
                (Verdict::Drop, Reason::Blocklist, CounterKind::Dropped),
                (Verdict::Drop, Reason::EgressDenied, CounterKind::Dropped),
            ]
        );
        assert_eq!(labels.describe(FIXED + 1).unwrap().rule, Some("web"));
        assert_eq!(labels.describe(FIXED + 1).unwrap().port, Some(80));
        let fixed_one = labels.describe(fixed(Reason::Truncated, Transport::Other)).unwrap();
        assert_eq!(
            (fixed_one.reason, fixed_one.transport, fixed_one.port),
            (Reason::Truncated, Transport::Other, None)
        );
        assert_eq!(labels.iter().count(), Reason::ALL.len() * 4 + 5);
    }

    #[test]
    fn labels_survive_storage() {
        let labels = some();
        let records = labels.records(0);
        assert_eq!(records.len(), 5);
        let mut restored =
            Labels::from_records(records.into_iter().chain([(FIXED + 5, [0; RECORD_BYTES])]))
                .unwrap();
        assert!(restored.iter().eq(labels.iter()));
        let before = restored.len();
        let new = restored.number(label(Some("new"), Reason::Rule, None)).unwrap();
        let records = restored.records(before);
        assert_eq!(
            records.iter().map(|(counter, _)| *counter).collect::<Vec<_>>(),
            [new, new + 1, new + 2]
        );
        let name: String = "n".repeat(64);
        let long = labels_of(label(Some(&name), Reason::Rule, Some(u16::MAX)));
        assert_eq!(
            Labels::from_records(long.records(0)).unwrap().describe(FIXED).unwrap().rule,
            Some(&*name)
        );
    }

    fn labels_of(label: Label) -> Labels {
        let mut labels = Labels::new();
        labels.number(label).unwrap();
        labels
    }

    #[test]
    fn a_store_that_was_interrupted_is_continued() {
        let mut records = some().records(0);
        records.truncate(2);
        let mut labels = Labels::from_records(records).unwrap();
        assert_eq!(labels.len(), u32::from(FIXED), "the rule's three counters were not complete");
        assert_eq!(labels.number(label(Some("web"), Reason::Rule, Some(80))), Some(FIXED));
    }

    #[test]
    fn records_that_do_not_fit_are_refused() {
        let records = some().records(0);
        let broken = |change: &dyn Fn(&mut Stored)| {
            let mut records = records.clone();
            change(&mut records);
            Labels::from_records(records).unwrap_err().problem
        };
        assert_eq!(broken(&|records| records[0].1[0] = 9), "it is of another version");
        assert_eq!(broken(&|records| records[0].1[1] = 200), "its reason is unknown");
        assert_eq!(broken(&|records| records[0].1[2] = 9), "its transport is unknown");
        assert_eq!(broken(&|records| records[0].1[5] = 200), "its name is too long");
        assert_eq!(broken(&|records| records[0].1[8] = 0xff), "its name is not text");
        assert_eq!(
            broken(&|records| records.retain(|(counter, _)| *counter != FIXED + 3)),
            "there is a gap before it"
        );
        assert_eq!(broken(&|records| records.swap(0, 1)), "there is a gap before it");
        assert_eq!(
            broken(&|records| records[1].1[3] = 2),
            "it is not the counter that should follow"
        );
        assert_eq!(
            broken(&|records| records[4].1 = records[3].1),
            "another counter has the same label"
        );
    }

    #[test]
    fn numbers_come_to_an_end() {
        let mut labels = Labels::new();
        let numbers: Vec<u16> = (0..)
            .map_while(|i: u32| labels.number(label(Some(&i.to_string()), Reason::Rule, None)))
            .collect();
        assert_eq!(numbers.len(), (usize::from(u16::MAX) + 1 - usize::from(FIXED)) / 3);
        assert!(labels.len() <= 1 << 16);
    }
}
