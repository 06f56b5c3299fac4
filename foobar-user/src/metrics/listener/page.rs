//! One page for all who ask at the same time.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use tokio::sync::Mutex;

use super::Source;
use crate::metrics::collector::render;

/// A page, or why there is none.
pub type Page = Result<Bytes, Arc<str>>;

/// Makes pages.
pub struct Pages {
    source: Arc<dyn Source>,
    /// The page made last, and when its making began.
    last: Arc<Mutex<Option<(Instant, Page)>>>,
}

impl Pages {
    /// Pages of what `source` knows.
    pub fn new(source: Arc<dyn Source>) -> Self {
        Pages { source, last: Arc::default() }
    }

    /// Who knows what a page shows.
    pub fn source(&self) -> &dyn Source {
        &*self.source
    }

    /// A page that shows the counters as they are after this call began. Those who wait for one that is being made share
    /// the next one, so scrapes cost what one after the other costs, however many come at once.
    pub async fn current(&self) -> Page {
        let asked = Instant::now();
        let mut last = Arc::clone(&self.last).lock_owned().await;
        if let Some((_, page)) = last.as_ref().filter(|(begun, _)| *begun >= asked) {
            return page.clone();
        }
        let source = Arc::clone(&self.source);
        // The lock goes along: it is held until the page is made, also if the one who asked is gone.
        let making = tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            let was_good = last.as_ref().is_none_or(|(_, page)| page.is_ok());
            let page = make(&*source);
            match &page {
                // Said once, not with every scrape until it succeeds again.
                Err(failure) if was_good => tracing::warn!("a scrape failed: {failure}"),
                _ => {}
            }
            *last = Some((begun, page.clone()));
            page
        });
        making.await.unwrap_or_else(|panicked| Err(panicked.to_string().into()))
    }
}

fn make(source: &dyn Source) -> Page {
    let snapshot = source.snapshot().map_err(|failure| format!("{failure:#}"))?;
    let text = render(snapshot).map_err(|failure| failure.to_string())?;
    Ok(Bytes::from(text))
}
