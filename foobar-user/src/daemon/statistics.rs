//! The observed servers' own statistics, read once a second: what counts the requests of a port, or what another source is
//! compared with.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::shared::{Shared, lock};
use crate::{
    metrics::PortStatistics,
    policy::{
        Config,
        config::{Observed, Requests},
    },
    servers::status::{Asked, Asker, Count, Ratio, Server},
};

/// Time between two readings.
const PERIOD: Duration = Duration::from_secs(1);

/// What was read last. A scrape takes a copy of a pointer, and never waits for a server.
#[derive(Default)]
pub struct Statistics(Mutex<Arc<Vec<PortStatistics>>>);

impl Statistics {
    /// By port.
    pub fn get(&self) -> Arc<Vec<PortStatistics>> {
        Arc::clone(&lock(&self.0))
    }
}

/// Reads until `shutdown`.
pub async fn run(shared: Arc<Shared>, shutdown: impl Future<Output = ()>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pollers: Vec<Poller> = Vec::new();
    let mut config: Option<Arc<Config>> = None;
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            _ = ticks.tick() => {}
        }
        let current = Arc::clone(&shared.published().intent.config);
        if config.as_ref().is_none_or(|last| !Arc::ptr_eq(last, &current)) {
            pollers = follow(pollers, &current);
            config = Some(current);
        }
        tokio::select! {
            () = &mut shutdown => return,
            _ = join_all(pollers.iter_mut().map(Poller::poll)) => {}
        }
        if pollers.iter().any(|poller| !poller.requests.is_status_page()) {
            let observed = Arc::clone(&shared);
            let observed = tokio::task::spawn_blocking(move || observed.requests_counted());
            let observed = observed.await.unwrap_or_default();
            for poller in &mut pollers {
                poller.compare(&observed);
            }
        }
        *lock(&shared.statistics.0) = Arc::new(pollers.iter().map(Poller::told).collect());
    }
}

/// Pollers for a configuration: those that it has as before go on counting.
fn follow(mut pollers: Vec<Poller>, config: &Config) -> Vec<Poller> {
    let wanted = config.observe.iter().filter(|port| port.status.is_some());
    wanted
        .filter_map(|port| match pollers.iter().position(|poller| poller.is_for(port)) {
            Some(at) => Some(pollers.swap_remove(at)),
            None => Poller::new(port),
        })
        .collect()
}

/// Reads the statistics of one port's server.
struct Poller {
    port: u16,
    requests: Requests,
    asker: Asker,
    count: Count,
    ratio: Ratio,
    /// Who answered last.
    server: Option<Server>,
    /// Why the last attempt failed; at first nobody was asked.
    problem: Option<String>,
    /// Whether there was an answer since the last attempt failed.
    fresh: bool,
}

impl Poller {
    fn new(port: &Observed) -> Option<Self> {
        Some(Poller {
            port: port.port,
            requests: port.requests,
            asker: Asker::new(port.status.clone()?),
            count: Count::default(),
            ratio: Ratio::default(),
            server: None,
            problem: Some("it was not asked yet".to_owned()),
            fresh: false,
        })
    }

    fn is_for(&self, port: &Observed) -> bool {
        self.port == port.port
            && self.requests == port.requests
            && port.status.as_ref() == Some(self.asker.page())
    }

    async fn poll(&mut self) {
        let outcome = match self.asker.ask().await {
            Ok(asked) => self.check(asked),
            Err(error) => {
                if error.may_have_counted() {
                    self.count.missed();
                }
                Err(error.to_string())
            }
        };
        self.fresh = outcome.is_ok();
        let (port, page) = (self.port, &self.asker.page().address);
        match outcome {
            Ok(asked) => {
                let server = asked.page.server;
                if self.server != Some(server) || self.problem.is_some() {
                    let use_of =
                        if self.requests.is_status_page() { "counts" } else { "is compared for" };
                    info!("{server} {use_of} the requests of port {port}: {page}");
                }
                self.count.record(&asked.page, asked.same_connection);
                self.server = Some(server);
                self.problem = None;
            }
            Err(problem) => {
                if self.problem.as_ref() != Some(&problem) {
                    warn!("the server's statistics for port {port} are missing: {problem}");
                }
                self.problem = Some(problem);
            }
        }
    }

    /// The configuration may say whose statistics these are.
    fn check(&self, asked: Asked) -> Result<Asked, String> {
        let expected = match self.requests {
            Requests::NginxStatus => Server::Nginx,
            Requests::ApacheStatus => Server::Apache,
            Requests::HaproxyStatus => Server::Haproxy,
            _ => return Ok(asked),
        };
        let found = asked.page.server;
        if found == expected {
            return Ok(asked);
        }
        let (requests, page) = (self.requests, &self.asker.page().address);
        Err(format!("{page} is of {found}, but the configuration says requests = \"{requests}\""))
    }

    /// With what another source counted, by port.
    fn compare(&mut self, observed: &[(u16, u64)]) {
        let ours = observed.iter().find(|(port, _)| *port == self.port);
        if let Some((_, ours)) = ours.filter(|_| self.fresh && !self.requests.is_status_page()) {
            self.ratio.record(Instant::now(), *ours, self.count.counted().iter().sum());
        }
    }

    fn told(&self) -> PortStatistics {
        let source = match self.requests {
            Requests::NginxStatus => Some("nginx-status"),
            Requests::ApacheStatus => Some("apache-status"),
            Requests::HaproxyStatus => Some("haproxy-status"),
            Requests::Wire
            | Requests::Turns
            | Requests::NginxProbe
            | Requests::ApacheProbe
            | Requests::LibsslProbe
            | Requests::Off => None,
        };
        PortStatistics {
            number: self.port,
            source,
            counted: self.count.counted(),
            tells_classes: self.requests == Requests::HaproxyStatus,
            observed_ratio: self.ratio.get(),
            problem: self.problem.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const PORTS: &str = "[[observe]]\nport = 443\nprotocol = \"https\"\nrequests = \"haproxy-status\"\nstatus = \"unix:/run/a.sock\"\n\
        [[observe]]\nport = 80\nprotocol = \"http\"\n[[observe]]\nport = 8080\nprotocol = \"http\"\nstatus = \"http://127.0.0.1:81/s\"\n";

    #[test]
    fn a_count_goes_on_while_its_configuration_stays() {
        let config = |text: &str| Config::parse(text, Path::new("test.toml")).unwrap().config;
        let mut pollers = follow(Vec::new(), &config(PORTS));
        assert_eq!(pollers.iter().map(|poller| poller.port).collect::<Vec<_>>(), [443, 8080]);
        for poller in &mut pollers {
            poller.problem = None;
        }
        let pollers = follow(pollers, &config(&PORTS.replace("/s\"", "/other\"")));
        let anew: Vec<_> = pollers.iter().map(|poller| poller.problem.is_some()).collect();
        assert_eq!(anew, [false, true]);
        let told: Vec<_> = pollers.iter().map(|poller| poller.told().source).collect();
        assert_eq!(told, [Some("haproxy-status"), None]);
    }
}
