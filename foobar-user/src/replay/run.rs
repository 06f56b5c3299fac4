//! The replay itself: frame by frame, in the capture's order.

use anyhow::{Context as _, Result};

use super::{
    capture::{Capture, Frame},
    clock::Clock,
    direction::Local,
    endpoints::Endpoints,
    judge::{Finding, Judge},
    record::Line,
    tally::{Summary, Tally},
};
use crate::kernel::Direction;

/// Who says what becomes of a frame: a [`Judge`], or a test.
pub trait Verdicts {
    /// See [`Judge::judge`].
    ///
    /// # Errors
    /// Those of [`Judge::judge`].
    fn judge(&self, direction: Direction, frame: &mut Vec<u8>, jiffies: u64)
    -> Result<Finding<'_>>;
}

impl Verdicts for Judge {
    fn judge(
        &self,
        direction: Direction,
        frame: &mut Vec<u8>,
        jiffies: u64,
    ) -> Result<Finding<'_>> {
        self.judge(direction, frame, jiffies)
    }
}

/// What to replay by.
pub struct Replay<'r, V> {
    /// The configuration in question.
    pub judge: &'r V,
    /// Another one to compare with: then only frames are told of which the two think differently.
    pub against: Option<&'r V>,
    /// The server's own addresses.
    pub local: &'r Local,
    /// The mode of the configuration in question is `audit`.
    pub audit: bool,
    /// The kernel's ticks a second.
    pub hz: u64,
}

/// What the caller does with each frame that is told. `false` ends the replay.
pub type Tell<'t> = dyn FnMut(&Line<'_>, &dyn std::fmt::Display) -> Result<bool> + 't;

impl<V: Verdicts> Replay<'_, V> {
    /// Runs the whole capture.
    ///
    /// # Errors
    /// The capture cannot be read to its end, the kernel refuses to run a frame, or `tell` fails.
    pub fn run(&self, capture: &mut Capture, tell: &mut Tell<'_>) -> Result<Summary> {
        let mut clock = Clock::new(self.hz);
        let mut tally = Tally::default();
        let mut changed = 0;
        while let Some(frame) = capture.next_frame()? {
            let direction = self.local.direction(&frame);
            let jiffies = clock.jiffies(frame.time_ns);
            let Frame { index, mut bytes, truncated, .. } = frame;
            let failed = || format!("frame {index} of the capture cannot be judged");
            let finding = self.judge.judge(direction, &mut bytes, jiffies).with_context(failed)?;
            tally.count(&finding);
            let against = match self.against {
                None => None,
                Some(other) => {
                    Some(other.judge(direction, &mut bytes, jiffies).with_context(failed)?)
                }
            };
            if against == Some(finding) {
                continue;
            }
            changed += 1;
            let line = Line {
                index,
                direction: direction.name(),
                told: finding.into(),
                audited: self.audit && finding.verdict == foobar_common::reason::Verdict::Drop,
                truncated,
                against: against.map(Into::into),
            };
            if !tell(&line, &Endpoints(&bytes))? {
                break;
            }
        }
        Ok(tally.summary(self.against.map(|_| changed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{capture, direction::Address};
    use etherparse::PacketBuilder;
    use foobar_common::reason::Reason;
    use std::{cell::RefCell, path::Path};

    /// Lets everything out, and in what comes from a frame of even length.
    #[derive(Default)]
    struct Even {
        lenient: bool,
        seen: RefCell<Vec<(Direction, usize, u64)>>,
    }

    impl Verdicts for Even {
        fn judge(
            &self,
            direction: Direction,
            frame: &mut Vec<u8>,
            jiffies: u64,
        ) -> Result<Finding<'_>> {
            self.seen.borrow_mut().push((direction, frame.len(), jiffies));
            let (reason, rule) = match direction {
                Direction::Egress => (Reason::Egress, None),
                Direction::Ingress if frame.len().is_multiple_of(2) || self.lenient => {
                    (Reason::Rule, Some("even"))
                }
                Direction::Ingress => (Reason::NoRule, None),
            };
            Ok(Finding { verdict: reason.verdict(), reason, rule })
        }
    }

    /// One frame a second, of an IPv4 UDP packet from this last octet with so many bytes in it.
    fn capture(frames: &[(u8, usize)]) -> Capture {
        let mut file: Vec<u8> = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        for (second, &(host, bytes)) in frames.iter().enumerate() {
            let mut frame = Vec::new();
            let packet = PacketBuilder::ethernet2([2; 6], [4; 6])
                .ipv4([192, 0, 2, host], [192, 0, 2, 1], 64)
                .udp(53, 5353);
            packet.write_to_vec(&mut frame, &vec![0; bytes]).unwrap();
            let head = [second as u32 + 1, 0, frame.len() as u32, frame.len() as u32];
            file.extend(head.iter().flat_map(|word| word.to_le_bytes()));
            file.extend(frame);
        }
        capture::Capture::read(std::io::Cursor::new(file), Path::new("test")).unwrap()
    }

    fn replay(replay: &Replay<'_, Even>, frames: &[(u8, usize)]) -> (Vec<String>, Summary) {
        let mut lines = Vec::new();
        let mut tell = |line: &Line<'_>, frame: &dyn std::fmt::Display| {
            lines.push(format!("{} {frame}", serde_json::to_string(line).unwrap()));
            Ok(true)
        };
        let summary = replay.run(&mut capture(frames), &mut tell).unwrap();
        (lines, summary)
    }

    #[test]
    fn frames_go_their_way_in_order_and_in_time() {
        let judge = Even::default();
        let local = Local::new([Address::Ip([192, 0, 2, 1].into())]);
        let run = Replay { judge: &judge, against: None, local: &local, audit: false, hz: 100 };
        let (lines, summary) = replay(&run, &[(1, 0), (7, 0), (7, 1)]);
        let expected = [
            r#"{"index":0,"direction":"egress","verdict":"pass","reason":"egress"} udp 192.0.2.1:53 > 192.0.2.1:5353"#,
            r#"{"index":1,"direction":"ingress","verdict":"pass","reason":"rule","rule":"even"} udp 192.0.2.7:53 > 192.0.2.1:5353"#,
            r#"{"index":2,"direction":"ingress","verdict":"drop","reason":"no_rule"} udp 192.0.2.7:53 > 192.0.2.1:5353"#,
        ];
        assert_eq!(lines, expected);
        assert_eq!(
            (summary.frames, summary.passed, summary.dropped, summary.changed),
            (3, 2, 1, None)
        );
        let seen = judge.seen.into_inner();
        assert_eq!(
            [seen[1].2 - seen[0].2, seen[2].2 - seen[1].2],
            [100, 100],
            "a second is 100 jiffies"
        );
    }

    #[test]
    fn in_audit_mode_it_is_told_what_would_be_dropped() {
        let run = Replay {
            judge: &Even::default(),
            against: None,
            local: &Local::default(),
            audit: true,
            hz: 100,
        };
        let (lines, _) = replay(&run, &[(7, 0), (7, 1)]);
        assert!(!lines[0].contains("audited"), "{}", lines[0]);
        assert!(
            lines[1].contains(r#""verdict":"drop","reason":"no_rule","audited":true}"#),
            "{}",
            lines[1]
        );
    }

    #[test]
    fn against_another_configuration_only_differences_are_told() {
        let (strict, lenient) = (Even::default(), Even { lenient: true, ..Even::default() });
        let run = Replay {
            judge: &strict,
            against: Some(&lenient),
            local: &Local::default(),
            audit: false,
            hz: 100,
        };
        let (lines, summary) = replay(&run, &[(7, 0), (7, 1), (7, 2)]);
        let [line] = lines.try_into().unwrap();
        let told = r#"{"index":1,"direction":"ingress","verdict":"drop","reason":"no_rule","against":{"verdict":"pass","reason":"rule","rule":"even"}}"#;
        assert!(line.starts_with(told), "{line}");
        assert_eq!((summary.frames, summary.changed), (3, Some(1)));
        assert_eq!(lenient.seen.into_inner().len(), 3, "both remember every frame");
    }
}
