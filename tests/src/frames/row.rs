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

/// A frame, what went before it, and what has to happen to it.
#[derive(Clone, Debug)]
pub struct Row {
    /// Unique in the table.
    pub name: String,
    /// Frames that run before, in this order.
    pub setup: Vec<Step>,
    /// Seconds between the set-up and the frame.
    pub wait_s: u64,
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

    /// Time that passes between the set-up and the frame.
    pub fn wait(mut self, seconds: u64) -> Self {
        self.wait_s = seconds;
        self
    }

    /// The frame leaves the server instead of reaching it.
    pub fn outgoing(mut self) -> Self {
        self.step.direction = Direction::Egress;
        self
    }

    fn after(mut self, direction: Direction, packet: Packet) -> Self {
        self.setup.push(Step { direction, frame: packet.bytes() });
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
    Row { name, setup: Vec::new(), wait_s: 0, step, verdict, reason, why }
}
