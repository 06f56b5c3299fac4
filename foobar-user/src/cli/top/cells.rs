//! Short texts, and their colours.

use std::env;

use ratatui::{
    style::{Color, Style},
    text::Span,
};

/// Which colours to use: the terminal's own sixteen, so that both light and dark ones stay readable.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    colours: bool,
}

impl Palette {
    /// No colours, as the variable `NO_COLOR` asks for (<https://no-color.org>).
    pub const fn plain() -> Self {
        Self { colours: false }
    }

    /// What the environment asks for.
    pub fn of_the_environment() -> Self {
        Self { colours: env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    fn colour(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    pub fn quiet(self) -> Style {
        Style::new().dim()
    }

    pub fn strong(self) -> Style {
        Style::new().bold()
    }

    pub fn good(self) -> Style {
        self.colour(Color::Green)
    }

    pub fn warn(self) -> Style {
        self.colour(Color::Yellow)
    }

    pub fn bad(self) -> Style {
        self.colour(Color::Red).bold()
    }

    pub fn rate(self) -> Style {
        self.colour(Color::Cyan)
    }

    pub fn time(self) -> Style {
        self.colour(Color::Yellow)
    }

    pub fn drop(self) -> Style {
        self.colour(Color::Red)
    }
}

/// A text that ends at the right edge of its cell; one that is too long is cut and says so.
pub fn right(text: &str, width: usize, style: Style) -> Span<'static> {
    Span::styled(format!("{:>width$} ", cut(text, width)), style)
}

/// A text that begins at the left edge.
pub fn left(text: &str, width: usize, style: Style) -> Span<'static> {
    Span::styled(format!("{:<width$} ", cut(text, width)), style)
}

/// At most `width` characters.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept + if width > 0 { "…" } else { "" }
}

/// A rate with five characters at most: 0, 1.2, 340, 12.3k, 4.5M.
pub fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 99_950_000.0 => format!("{:.0}M", rate / 1e6),
        rate if rate >= 999_950.0 => format!("{:.1}M", rate / 1e6),
        rate if rate >= 99_950.0 => format!("{:.0}k", rate / 1e3),
        rate if rate >= 9_999.5 => format!("{:.1}k", rate / 1e3),
        rate if rate >= 99.95 => format!("{rate:.0}"),
        rate if rate >= 0.05 => format!("{rate:.1}"),
        rate if rate > 0.0 => "<0.1".to_owned(),
        _ => "0".to_owned(),
    }
}

/// A count with five characters at most: as [`rate`], but whole.
pub fn count(count: u64) -> String {
    if count < 10_000 { count.to_string() } else { rate(count as f64) }
}

/// Milliseconds with six characters at most: 50µs, 1.8ms, 340ms, 1.2s; `-` if there is none.
pub fn time(milliseconds: Option<f64>) -> String {
    match milliseconds {
        None => "-".to_owned(),
        Some(ms) if ms >= 9_995.0 => format!("{:.0}s", ms / 1e3),
        Some(ms) if ms >= 999.5 => format!("{:.1}s", ms / 1e3),
        Some(ms) if ms >= 99.5 => format!("{ms:.0}ms"),
        Some(ms) if ms >= 0.95 => format!("{ms:.1}ms"),
        Some(ms) => format!("{:.0}µs", ms * 1e3),
    }
}

/// A time in its largest unit: 12s, 5min, 7h, 40d.
pub fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}min", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fit_their_cells() {
        let rates = [0.0, 0.01, 7.25, 340.4, 9_999.0, 12_345.0, 123_456.0, 4.56e6, 1.2e8].map(rate);
        assert_eq!(rates, ["0", "<0.1", "7.2", "340", "9999", "12.3k", "123k", "4.6M", "120M"]);
        let times =
            [None, Some(0.05), Some(1.84), Some(99.7), Some(340.0), Some(1_240.0), Some(60_000.0)];
        assert_eq!(times.map(time), ["-", "50µs", "1.8ms", "100ms", "340ms", "1.2s", "60s"]);
        assert_eq!([5, 61, 7_300, 90_000].map(age), ["5s", "1min", "2h", "1d"]);
        assert_eq!(
            (cut("source_not_allowed", 10), cut("ssh", 3)),
            ("source_no…".to_owned(), "ssh".to_owned())
        );
    }
}
