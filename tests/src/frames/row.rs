//! A row of the table.

use foobar_common::reason::{Reason, Verdict};

use super::packet::Packet;

/// Which program a frame runs through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// To the server.
    Ingress,
    /// From the server.
    Egress,
}

/// A frame on its way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// To or from the server.
    pub direction: Direction,
    /// From the Ethernet header on, without checksum.
    pub frame: Vec<u8>,
}

/// A frame at its time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Seconds since some beginning.
    pub time: u64,
    /// The frame.
    pub step: Step,
}

/// A frame, what went before it, and what has to happen to it.
#[derive(Clone, Debug)]
pub struct Row {
    /// Unique in the table.
    pub name: String,
    /// Frames that run before, in this order, from second 0 on.
    pub setup: Vec<Moment>,
    /// When the frame comes that is judged.
    pub time: u64,
    /// The frame that is judged.
    pub step: Step,
    /// Whether it passes.
    pub verdict: Verdict,
    /// By which reason.
    pub reason: Reason,
    /// Why it must be so.
    pub why: &'static str,
}

impl Row {
    /// This frame runs through the egress program first.
    pub fn after_egress(self, packet: Packet) -> Self {
        self.after(Direction::Egress, packet)
    }

    /// This frame runs through the ingress program first.
    pub fn after_ingress(self, packet: Packet) -> Self {
        self.after(Direction::Ingress, packet)
    }

    /// Time that passes before the next frame of the set-up, or before the frame itself.
    pub fn wait(mut self, seconds: u64) -> Self {
        self.time += seconds;
        self
    }

    /// The frame leaves the server instead of reaching it.
    pub fn outgoing(mut self) -> Self {
        self.step.direction = Direction::Egress;
        self
    }

    fn after(mut self, direction: Direction, packet: Packet) -> Self {
        let step = Step { direction, frame: packet.bytes() };
        self.setup.push(Moment { time: self.time, step });
        self
    }
}

/// A row whose frame passes for this reason.
pub fn passes(name: impl Into<String>, reason: Reason, packet: Packet, why: &'static str) -> Row {
    row(name.into(), Verdict::Pass, reason, packet, why)
}

/// A row whose frame is dropped for this reason.
pub fn drops(name: impl Into<String>, reason: Reason, packet: Packet, why: &'static str) -> Row {
    row(name.into(), Verdict::Drop, reason, packet, why)
}

fn row(name: String, verdict: Verdict, reason: Reason, packet: Packet, why: &'static str) -> Row {
    assert_eq!(reason.verdict(), verdict, "{name}: {} does not {}", reason.name(), verdict.name());
    let step = Step { direction: Direction::Ingress, frame: packet.bytes() };
    Row { name, setup: Vec::new(), time: 0, step, verdict, reason, why }
}
