//! What each server writes about itself, and what of it is a count of requests.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    fmt,
    hash::{Hash as _, Hasher as _},
};

use thiserror::Error;

/// Classes of status codes, as [`foobar_common::http::stats::CLASSES`] orders them: unknown, then 1xx to 5xx.
pub type Classes = [u64; 6];

/// Which server wrote a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// nginx, `stub_status`.
    Nginx,
    /// Apache, `mod_status` with `?auto`.
    Apache,
    /// HAProxy, `show stat` or its page as CSV.
    Haproxy,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Server::Nginx => "nginx",
            Server::Apache => "Apache",
            Server::Haproxy => "HAProxy",
        })
    }
}

/// Whether the requests for this page are among those that it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnPolls {
    /// The answer counts the request that it answers.
    Included,
    /// The next answer counts it, under this class.
    CountedLater(usize),
    /// They are not counted, or nobody can tell.
    Apart,
}

/// Totals of a server, since it began to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Whose they are.
    pub server: Server,
    /// Which process (or which start of it) counts, where the server says so.
    pub lineage: Option<u64>,
    /// Requests, by class where the server tells them apart.
    pub totals: Classes,
    /// What to take off.
    pub own: OwnPolls,
}

/// Why a page tells no count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PageError {
    /// None of the three.
    #[error("this is no statistics of nginx, Apache or HAProxy: \"{0}\"")]
    Unknown(String),
    /// The server's own switch is off.
    #[error("{0}")]
    Incomplete(String),
    /// HAProxy has others.
    #[error("HAProxy has no frontend \"{0}\" that speaks HTTP; it has {1}")]
    NoFrontend(String, String),
}

/// Characters of a page that errors quote.
const QUOTED: usize = 60;

impl Page {
    /// Reads what a server wrote. `frontend` chooses among those of HAProxy; `over_http` says how it was asked.
    ///
    /// # Errors
    /// It tells no count.
    pub fn parse(text: &str, frontend: Option<&str>, over_http: bool) -> Result<Self, PageError> {
        if text.starts_with("Active connections:") {
            return nginx(text);
        }
        if let Some(at) = text.find("# pxname,") {
            return haproxy(&text[..at], &text[at + 2..], frontend, over_http);
        }
        if text.contains("Scoreboard:") && text.contains("Uptime:") {
            return apache(text);
        }
        if text.contains("Apache Server Status") {
            return Err(PageError::Incomplete(
                "this is Apache's page for people; write \"?auto\" behind its path".to_owned(),
            ));
        }
        Err(PageError::Unknown(quoted(text)))
    }
}

fn quoted(text: &str) -> String {
    text.chars().take(QUOTED).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `ngx_http_stub_status_module`: three lines, of which the third holds accepts, handled, requests.
fn nginx(text: &str) -> Result<Page, PageError> {
    let requests = text.lines().nth(2).and_then(|line| line.split_whitespace().nth(2));
    let requests = requests
        .and_then(|count| count.parse().ok())
        .ok_or_else(|| PageError::Unknown(quoted(text)))?;
    Ok(Page {
        server: Server::Nginx,
        lineage: None,
        totals: [requests, 0, 0, 0, 0, 0],
        own: OwnPolls::Included,
    })
}

/// `mod_status?auto`: a key and a value a line.
fn apache(text: &str) -> Result<Page, PageError> {
    let values: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once(": ")).collect();
    let Some(total) = values.get("Total Accesses").and_then(|count| count.trim().parse().ok())
    else {
        return Err(PageError::Incomplete(
            "Apache does not count requests; write \"ExtendedStatus On\" in its configuration"
                .to_owned(),
        ));
    };
    // A restart begins all counts anew; a graceful one does not, and leaves the time as it is.
    let lineage = values.get("RestartTime").map(|time| {
        let mut hasher = DefaultHasher::new();
        time.trim().hash(&mut hasher);
        hasher.finish()
    });
    Ok(Page {
        server: Server::Apache,
        lineage,
        totals: [total, 0, 0, 0, 0, 0],
        own: OwnPolls::CountedLater(0),
    })
}

/// `show info` where it was asked for, and the CSV of `show stat` (HAProxy management guide, section 9.1).
fn haproxy(
    info: &str,
    csv: &str,
    frontend: Option<&str>,
    over_http: bool,
) -> Result<Page, PageError> {
    const CLASSES: [&str; 6] =
        ["hrsp_other", "hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx"];
    let broken = || PageError::Unknown(quoted(csv));
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(csv.as_bytes());
    let headers = reader.headers().map_err(|_| broken())?.clone();
    let column = |name: &str| headers.iter().position(|header| header == name);
    let of = |name: &str| column(name).ok_or_else(broken);
    let (name, kind, mode) = (of("pxname")?, of("svname")?, of("mode")?);
    let mut classes = [0; 6];
    for (column, class) in classes.iter_mut().zip(CLASSES) {
        *column = of(class)?;
    }
    let mut totals = Classes::default();
    let mut names = Vec::new();
    let mut found = false;
    for record in reader.records() {
        let record = record.map_err(|_| broken())?;
        let field = |at: usize| record.get(at).unwrap_or_default();
        if field(kind) != "FRONTEND" || field(mode) != "http" {
            continue;
        }
        names.push(format!("\"{}\"", field(name)));
        if frontend.is_some_and(|wanted| wanted != field(name)) {
            continue;
        }
        found = true;
        for (total, column) in totals.iter_mut().zip(classes) {
            *total += field(column).parse::<u64>().unwrap_or(0);
        }
    }
    if !found {
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(PageError::NoFrontend(frontend.unwrap_or("any").to_owned(), names));
    }
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid: "));
    Ok(Page {
        server: Server::Haproxy,
        lineage: pid.and_then(|pid| pid.trim().parse().ok()),
        totals,
        // Where one frontend is chosen, it is not known whether that is the one that was asked.
        own: if over_http && frontend.is_none() {
            OwnPolls::CountedLater(2)
        } else {
            OwnPolls::Apart
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_counts_the_request_itself() {
        let text = "Active connections: 2 \nserver accepts handled requests\n 16 15 130 \nReading: 0 Writing: 1 Waiting: 1 \n";
        let page = Page::parse(text, None, true).unwrap();
        assert_eq!(
            (page.server, page.totals[0], page.own),
            (Server::Nginx, 130, OwnPolls::Included)
        );
        assert!(Page::parse("Active connections: 2 \n", None, true).is_err());
    }

    #[test]
    fn apache_says_when_it_began_to_count() {
        let text = "127.0.0.1\nServerVersion: Apache/2.4\nRestartTime: Wednesday, 25-Nov-2026 20:00:00 UTC\nTotal Accesses: 7\nUptime: 3\nScoreboard: __W\n";
        let page = Page::parse(text, None, true).unwrap();
        assert_eq!((page.server, page.totals[0]), (Server::Apache, 7));
        let later = Page::parse(&text.replace("20:00:00", "20:00:01"), None, true).unwrap();
        assert_ne!(page.lineage, later.lineage);
        let off = text.replace("Total Accesses: 7\n", "");
        let error = Page::parse(&off, None, true).unwrap_err().to_string();
        assert!(error.contains("ExtendedStatus On"), "{error}");
        let html = "<!DOCTYPE HTML><html><head><title>Apache Status</title></head><body><h1>Apache Server Status for x";
        let error = Page::parse(html, None, true).unwrap_err().to_string();
        assert!(error.contains("?auto"), "{error}");
    }

    const CSV: &str = "# pxname,svname,req_tot,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,mode,\n\
        www,FRONTEND,9,0,5,1,2,1,0,http,\nraw,FRONTEND,,,,,,,,tcp,\nwww,one,9,0,5,1,2,1,0,http,\napi,FRONTEND,3,1,1,0,0,0,1,http,\n";

    #[test]
    fn haproxy_counts_by_frontend() {
        let text = format!("Name: HAProxy\nPid: 4711\n\n{CSV}");
        let page = Page::parse(&text, Some("www"), false).unwrap();
        assert_eq!((page.lineage, page.totals), (Some(4711), [0, 0, 5, 1, 2, 1]));
        let all = Page::parse(CSV, None, true).unwrap();
        assert_eq!(
            (all.lineage, all.totals, all.own),
            (None, [1, 1, 6, 1, 2, 1], OwnPolls::CountedLater(2))
        );
        let error = Page::parse(CSV, Some("raw"), false).unwrap_err().to_string();
        assert!(error.contains("it has \"www\", \"api\""), "{error}");
    }

    #[test]
    fn something_else_is_quoted() {
        let error = Page::parse("<html>\nIt works!", None, true).unwrap_err().to_string();
        assert!(error.contains("\"<html> It works!\""), "{error}");
    }
}
