//! The certificates that observed ports really serve: read at the start, after each reload, and every hour.

use std::{
    collections::BTreeMap,
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::shared::{Shared, lock};
use crate::{
    kernel,
    metrics::PortCertificates,
    policy::{Config, config::ObservedProtocol},
    servers::certificate::{expiry, targets},
};

/// Time between two readings.
const PERIOD: Duration = Duration::from_secs(3600);
/// Time to the next attempt after one that failed; it doubles up to [`PERIOD`]. A web server may start later than this daemon.
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// How soon a reload is noticed.
const TICK: Duration = Duration::from_secs(1);

/// What was read last. A scrape takes a copy of a pointer, and never waits for a server.
#[derive(Default)]
pub struct Certificates(Mutex<Arc<Vec<PortCertificates>>>);

impl Certificates {
    /// By port.
    pub fn get(&self) -> Arc<Vec<PortCertificates>> {
        Arc::clone(&lock(&self.0))
    }
}

/// A port and a name to ask for.
type Question = (u16, Option<String>);
/// What is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    /// When the certificate expires that was read last, in seconds since 1970.
    expiry: Option<i64>,
    /// Why the last attempt failed.
    problem: Option<String>,
}

/// Reads until `shutdown`.
pub async fn run(shared: Arc<Shared>, shutdown: impl Future<Output = ()>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reader = Reader::default();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            _ = ticks.tick() => {}
        }
        let config = Arc::clone(&shared.published().intent.config);
        if !reader.is_due(&config) {
            continue;
        }
        tokio::select! {
            () = &mut shutdown => return,
            () = reader.read(&config) => {}
        }
        *lock(&shared.certificates.0) = Arc::new(reader.told());
        reader.config = Some(config);
    }
}

#[derive(Default)]
struct Reader {
    /// The configuration that was read for last.
    config: Option<Arc<Config>>,
    next: Option<Instant>,
    retry: Option<Duration>,
    known: BTreeMap<Question, Known>,
    failures: BTreeMap<u16, u64>,
}

impl Reader {
    fn is_due(&self, config: &Arc<Config>) -> bool {
        let is_new = self.config.as_ref().is_none_or(|last| !Arc::ptr_eq(last, config));
        is_new || self.next.is_some_and(|next| next <= Instant::now())
    }

    async fn read(&mut self, config: &Config) {
        let questions = questions(config);
        self.known.retain(|question, _| questions.contains(question));
        self.failures.retain(|port, _| questions.iter().any(|(asked, _)| asked == port));
        for (port, _) in &questions {
            self.failures.entry(*port).or_default();
        }
        if questions.is_empty() {
            self.next = None;
            return;
        }
        let listeners = match tokio::task::spawn_blocking(kernel::listen_queues).await {
            Ok(Ok(queues)) => {
                queues.into_iter().map(|queue| (queue.address, queue.port)).collect::<Vec<_>>()
            }
            Ok(Err(problem)) => return self.put_off(&problem.to_string()),
            Err(panicked) => return self.put_off(&panicked.to_string()),
        };
        let answers = questions.iter().map(|question| ask(question, &listeners));
        let mut failed = false;
        for (question, answer) in questions.iter().zip(join_all(answers).await) {
            failed |= answer.is_err();
            self.learn(question, answer);
        }
        let wait = if failed {
            let wait = self.retry.map_or(FIRST_RETRY, |last| (last * 2).min(PERIOD));
            *self.retry.insert(wait)
        } else {
            self.retry = None;
            PERIOD
        };
        self.next = Some(Instant::now() + wait);
    }

    /// The kernel does not say who listens.
    fn put_off(&mut self, problem: &str) {
        warn!("certificates are not read: {problem}");
        self.next = Some(Instant::now() + FIRST_RETRY);
    }

    /// Each change is told once.
    fn learn(&mut self, question: &Question, answer: Result<i64, String>) {
        let (port, name) = question;
        let what = match name {
            Some(name) => format!("the certificate of port {port} for {name}"),
            None => format!("the certificate of port {port} for clients that ask for no name"),
        };
        let known = self.known.entry(question.clone()).or_default();
        match answer {
            Ok(expiry) => {
                let date = humantime::format_rfc3339_seconds(moment(expiry));
                if known.expiry != Some(expiry) {
                    info!("{what} expires on {date}");
                } else if known.problem.is_some() {
                    info!("{what} is read again, it expires on {date}");
                }
                *known = Known { expiry: Some(expiry), problem: None };
            }
            Err(problem) => {
                *self.failures.entry(*port).or_default() += 1;
                if known.problem.as_ref() == Some(&problem) {
                    debug!("{what} is still not read: {problem}");
                } else {
                    warn!("{what} is not read: {problem}");
                    known.problem = Some(problem);
                }
            }
        }
    }

    /// For the metrics.
    fn told(&self) -> Vec<PortCertificates> {
        let of_port = |(&number, &failures): (&u16, &u64)| {
            let known = self.known.iter().filter(|((port, _), _)| *port == number);
            let expiries = known
                .filter_map(|((_, name), known)| Some((name.clone(), known.expiry?)))
                .collect();
            PortCertificates { number, expiries, failures }
        };
        self.failures.iter().map(of_port).collect()
    }
}

/// Every port that speaks TLS, with each of its names and without one.
fn questions(config: &Config) -> Vec<Question> {
    let ports = config.observe.iter().filter(|port| port.protocol == ObservedProtocol::Https);
    ports
        .flat_map(|port| {
            let names = port.server_names.iter().cloned().map(Some).chain([None]);
            names.map(|name| (port.port, name))
        })
        .collect()
}

/// The first of the port's certificates to expire, where several addresses have different ones.
async fn ask(question: &Question, listeners: &[(IpAddr, u16)]) -> Result<i64, String> {
    let (port, name) = question;
    let targets: Vec<SocketAddr> = targets(*port, listeners.iter().copied());
    if targets.is_empty() {
        return Err(format!("nobody listens on port {port}"));
    }
    let answers = join_all(targets.iter().map(|&target| expiry(target, name.as_deref()))).await;
    let first = answers.iter().filter_map(|answer| answer.as_ref().ok()).min().copied();
    let problem = answers.into_iter().find_map(Result::err);
    match (first, problem) {
        (Some(first), _) => Ok(first),
        (None, Some(problem)) => Err(problem.to_string()),
        (None, None) => Err("nobody was asked".to_owned()),
    }
}

/// Before 1970 is as good as 1970: it expired.
fn moment(seconds: i64) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(text, Path::new("test.toml")).unwrap().config
    }

    #[test]
    fn every_name_and_no_name_is_asked_for() {
        let config = config(
            "[[observe]]\nport = 443\nprotocol = \"https\"\nserver_names = [\"a.example\", \"b.example\"]\n\
             [[observe]]\nport = 8443\nprotocol = \"https\"\n[[observe]]\nport = 80\nprotocol = \"http\"\n",
        );
        let found: Vec<_> = questions(&config)
            .into_iter()
            .map(|(port, name)| format!("{port} {}", name.unwrap_or_default()))
            .collect();
        assert_eq!(found, ["443 a.example", "443 b.example", "443 ", "8443 "]);
    }

    #[test]
    fn what_was_read_stays_while_later_attempts_fail() {
        let mut reader = Reader::default();
        let name = |name: &str| (443, Some(name.to_owned()));
        reader.learn(&name("a.example"), Ok(1_900_000_000));
        reader.learn(&name("a.example"), Err("refused".to_owned()));
        reader.learn(&name("b.example"), Err("refused".to_owned()));
        let expected = PortCertificates {
            number: 443,
            expiries: vec![(Some("a.example".to_owned()), 1_900_000_000)],
            failures: 2,
        };
        assert_eq!(reader.told(), [expected]);
    }
}
