//! How fast the rules of Prometheus look and wait.
//!
//! What an alert waits for in production (minutes) is too long for a demonstration. Its copy of the rules is the same but for
//! every window, offset and waiting time, which are shorter by one factor.

/// Which time the rules are to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tempo {
    /// As written.
    Production,
    /// Twenty times faster: a minute becomes three seconds.
    Demonstration,
}

/// Words behind which a duration stands.
const BEFORE: [&str; 3] = ["[", "for: ", "offset "];

impl Tempo {
    const fn factor(self) -> u64 {
        match self {
            Tempo::Production => 1,
            Tempo::Demonstration => 20,
        }
    }

    /// The rules in this tempo.
    pub fn apply(self, rules: &str) -> String {
        if self == Tempo::Production {
            return rules.to_owned();
        }
        let lines = rules.lines().map(|line| {
            if line.trim_start().starts_with('#') {
                line.to_owned()
            } else {
                BEFORE.iter().fold(line.to_owned(), |line, before| self.faster(&line, before))
            }
        });
        lines.map(|line| line + "\n").collect()
    }

    fn faster(self, line: &str, before: &str) -> String {
        let mut parts = line.split(before);
        let mut faster = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            faster.push_str(before);
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, rest) = part.split_at(digits);
            let unit = match rest.as_bytes().first() {
                Some(b's') => 1,
                Some(b'm') => 60,
                Some(b'h') => 3600,
                _ => 0,
            };
            match number.parse::<u64>() {
                Ok(number) if unit > 0 => {
                    faster.push_str(&format!("{}s{}", number * unit / self.factor(), &rest[1..]));
                }
                _ => faster.push_str(part),
            }
        }
        faster
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_offsets_and_waiting_times_are_shorter_and_names_stay() {
        let rules = "# for: 5m\nrecord: a:rate5m\nexpr: rate(a[5m] offset 15m) > b[1h:1m]\nfor: 2m\nfor: 0s\n";
        assert_eq!(
            Tempo::Demonstration.apply(rules),
            "# for: 5m\nrecord: a:rate5m\nexpr: rate(a[15s] offset 45s) > b[180s:1m]\nfor: 6s\nfor: 0s\n"
        );
    }
}
