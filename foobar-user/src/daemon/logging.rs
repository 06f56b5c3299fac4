//! The log: standard error, readable in a terminal and in the journal.

use std::{
    env, fmt,
    io::{self, IsTerminal},
};

use anyhow::{Result, anyhow};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext,
        format::{self, Format, FormatEvent, FormatFields, Writer},
    },
    registry::LookupSpan,
};

/// Set by systemd for a process whose standard error is the journal (systemd.exec(5)); the journal has a clock of its own.
const JOURNAL: &str = "JOURNAL_STREAM";

/// Starts the log. `RUST_LOG` chooses which lines are written, `info` and worse by default.
///
/// # Errors
/// `RUST_LOG` cannot be understood.
pub fn start(json: bool) -> Result<()> {
    let filter = match env::var(EnvFilter::DEFAULT_ENV) {
        Ok(wanted) => EnvFilter::try_new(&wanted).map_err(|error| {
            anyhow!(
                "the environment variable {} cannot be understood ({wanted:?}): {error}; write for example debug, or foobar_user::daemon=debug",
                EnvFilter::DEFAULT_ENV
            )
        })?,
        Err(_) => EnvFilter::new("info"),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false);
    if json {
        log.json().flatten_event(true).init();
    } else if env::var_os(JOURNAL).is_some() {
        log.with_ansi(false)
            .event_format(Journal(
                Format::default().without_time().with_target(false).with_level(false),
            ))
            .init();
    } else {
        log.with_ansi(io::stderr().is_terminal()).init();
    }
    Ok(())
}

/// A line with its priority in front, as the journal reads it (sd-daemon(3)).
struct Journal(Format<format::Full, ()>);

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        self.0.format_event(context, writer, event)
    }
}
