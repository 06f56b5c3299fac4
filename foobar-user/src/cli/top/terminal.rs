//! The terminal itself. However the view ends, by a key, a signal, an error or a panic, the terminal is left as it was found.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt as _;
use ratatui::{DefaultTerminal, Frame, text::Text, widgets::Paragraph};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use super::{
    cells::Palette,
    picture,
    screen::{Screen, Wish},
};
use crate::{control::Client, live::Live};

/// Time between two attempts to reach a daemon that is gone.
const RETRY: Duration = Duration::from_secs(1);

/// The daemon has a line at least every three seconds; after this time it hangs.
const SILENCE: Duration = Duration::from_secs(8);

/// Leaves the terminal as it was found.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// What came from the daemon, or why nothing does.
type News = Result<Live>;

/// Shows until a key or a signal ends it.
pub async fn run(client: Client) -> Result<()> {
    let (sender, mut news) = mpsc::unbounded_channel();
    let follower = tokio::spawn(follow(client, sender));
    let mut screen = Screen::default();
    // Before the terminal is touched: a daemon that is not there is an error like any other.
    screen.take(news.recv().await.ok_or_else(|| anyhow!("the daemon ended the connection before it told anything; `foobar status` says whether it runs"))??);
    let mut terminal = ratatui::try_init().context("cannot use this terminal")?;
    let restored = Restored;
    let outcome = show(&mut terminal, &mut screen, &mut news).await;
    drop(restored);
    follower.abort();
    outcome
}

async fn show(
    terminal: &mut DefaultTerminal,
    screen: &mut Screen,
    news: &mut mpsc::UnboundedReceiver<News>,
) -> Result<()> {
    let palette = Palette::of_the_environment();
    let mut keys = EventStream::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut silent = Instant::now() + SILENCE;
    loop {
        terminal
            .draw(|frame| draw(frame, screen, palette))
            .context("cannot write to the terminal")?;
        tokio::select! {
            event = keys.next() => match event {
                Some(Ok(event)) => if !wish(&event).is_none_or(|wish| screen.wish(wish)) {
                    return Ok(());
                },
                Some(Err(error)) => return Err(error).context("cannot read from the terminal"),
                None => return Ok(()),
            },
            Some(told) = news.recv() => {
                silent = Instant::now() + SILENCE;
                match told {
                    Ok(live) => screen.take(live),
                    Err(error) => screen.lost = Some(format!("{error:#}")),
                }
            }
            () = sleep_until(silent) => {
                silent = Instant::now() + SILENCE;
                screen.lost.get_or_insert_with(|| "the daemon is there and says nothing".to_owned());
            }
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        }
    }
}

/// Draws a frame.
pub fn draw(frame: &mut Frame<'_>, screen: &Screen, palette: Palette) {
    let area = frame.area();
    let lines = picture::lines(screen, area.width, Some(area.height), palette);
    frame.render_widget(Paragraph::new(Text::from(lines)), area);
}

/// What a key asks for.
fn wish(event: &Event) -> Option<Wish> {
    let Event::Key(KeyEvent { code, modifiers, kind, .. }) = event else { return None };
    if *kind == KeyEventKind::Release {
        return None;
    }
    // In raw mode the terminal does not turn it into a signal.
    if *code == KeyCode::Char('c') && modifiers.contains(KeyModifiers::CONTROL) {
        return Some(Wish::Quit);
    }
    Some(match code {
        KeyCode::Char('q') | KeyCode::Esc => Wish::Quit,
        KeyCode::Char('p' | ' ') => Wish::Pause,
        KeyCode::Char('s') => Wish::SortPorts,
        KeyCode::Char('b') => Wish::SortSources,
        KeyCode::Char('w') => Wish::Over,
        KeyCode::Char('?' | 'h') => Wish::Help,
        KeyCode::Up | KeyCode::Char('k') => Wish::Up,
        KeyCode::Down | KeyCode::Char('j') => Wish::Down,
        _ => return None,
    })
}

/// Follows the daemon, also over its restarts.
async fn follow(client: Client, sender: mpsc::UnboundedSender<News>) {
    loop {
        let ended = client.live(|live| Ok(sender.send(Ok(live)).is_ok())).await;
        let error = ended
            .err()
            .unwrap_or_else(|| anyhow!("the daemon stopped; a filter that was in force stays so"));
        if sender.send(Err(error)).is_err() {
            return;
        }
        sleep(RETRY).await;
    }
}
