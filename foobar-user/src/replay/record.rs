//! What is told of a frame: one JSON object, or one line for people.

use std::fmt;

use serde::Serialize;

use super::judge::Finding;

/// A verdict and its reason, as JSON tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Told<'j> {
    /// `pass` or `drop`.
    pub verdict: &'static str,
    /// [`foobar_common::reason::Reason::name`].
    pub reason: &'static str,
    /// The rule that decided; absent if none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'j str>,
}

impl<'j> From<Finding<'j>> for Told<'j> {
    fn from(finding: Finding<'j>) -> Self {
        Told { verdict: finding.verdict.name(), reason: finding.reason.name(), rule: finding.rule }
    }
}

impl fmt::Display for Told<'_> {
    /// `pass rule web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = self.rule.map_or_else(String::new, |rule| format!(" {rule}"));
        f.pad(&format!("{} {}{rule}", self.verdict, self.reason))
    }
}

/// A line of the replay. Fields that would say nothing are absent, so most lines have four or five.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Line<'j> {
    /// Position of the frame in the capture, from 0.
    pub index: u64,
    /// [`crate::kernel::Direction::name`].
    pub direction: &'static str,
    /// What the configuration does with it.
    #[serde(flatten)]
    pub told: Told<'j>,
    /// The configuration's mode is `audit`: the frame would pass nevertheless, and be counted as one that `enforce` drops.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub audited: bool,
    /// The capture holds only the beginning of the frame; the verdict is that of the beginning with zeros behind it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// What the other configuration does with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Told<'j>>,
}

impl Line<'_> {
    /// The line for people, with what the frame is at its end.
    pub fn text(&self, frame: &dyn fmt::Display) -> String {
        let Line { index, direction, told, audited, truncated, against } = self;
        let mut text = format!("{index:>7}  {direction:<7}  {told:<30}");
        if let Some(against) = against {
            text.push_str(&format!("  against: {against:<30}"));
        }
        text.push_str(&format!("  {frame}"));
        if *audited {
            text.push_str("  (audit: it passes)");
        }
        if *truncated {
            text.push_str("  (truncated)");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foobar_common::reason::{Reason, Verdict};

    fn line(finding: Finding<'_>) -> Line<'_> {
        Line {
            index: 0,
            direction: "ingress",
            told: finding.into(),
            audited: false,
            truncated: false,
            against: None,
        }
    }

    const PASSED: Finding<'_> =
        Finding { verdict: Verdict::Pass, reason: Reason::Rule, rule: Some("web") };
    const DROPPED: Finding<'_> =
        Finding { verdict: Verdict::Drop, reason: Reason::NoRule, rule: None };

    #[test]
    fn json_lines_are_what_the_design_gives() {
        let json = |line: Line<'_>| serde_json::to_string(&line).unwrap();
        assert_eq!(
            json(line(PASSED)),
            r#"{"index":0,"direction":"ingress","verdict":"pass","reason":"rule","rule":"web"}"#
        );
        assert_eq!(
            json(line(DROPPED)),
            r#"{"index":0,"direction":"ingress","verdict":"drop","reason":"no_rule"}"#
        );
        let everything = Line {
            index: 7,
            audited: true,
            truncated: true,
            against: Some(PASSED.into()),
            ..line(DROPPED)
        };
        assert_eq!(
            json(everything),
            r#"{"index":7,"direction":"ingress","verdict":"drop","reason":"no_rule","audited":true,"truncated":true,"against":{"verdict":"pass","reason":"rule","rule":"web"}}"#
        );
    }

    #[test]
    fn lines_for_people_stand_in_columns() {
        let text = line(PASSED).text(&"tcp");
        assert_eq!(text, "      0  ingress  pass rule web                   tcp");
        let against =
            Line { against: Some(PASSED.into()), audited: true, ..line(DROPPED) }.text(&"tcp");
        assert_eq!(
            against,
            "      0  ingress  drop no_rule                    against: pass rule web                   tcp  (audit: it passes)"
        );
    }
}
