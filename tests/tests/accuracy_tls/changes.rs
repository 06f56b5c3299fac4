//! Handshake after handshake while something changes: the daemon restarts, nginx reloads, packets are lost.

use std::{fs, time::Duration};

use foobar_tests::harness::{Process, eventually};

use super::{
    Site,
    cases::{curl, full, hellos, times},
    counts::{Expected, read},
    servers::NGINX,
};

pub fn changes(site: &mut Site<'_>) {
    case(site, "nginx reloads in the middle", |site| site.servers.reload_nginx());
    case(site, "foobar restarts in the middle", |site| {
        site.daemon.process().stop();
        site.daemon.launch();
    });
}

/// A client that connects anew for each request, until the change is done and was followed by some more of them, says how many there were.
fn case(site: &mut Site<'_>, name: &str, change: impl FnOnce(&mut Site<'_>)) {
    let before = read(&site.daemon.scrape(), NGINX);
    let (stop, done) = (site.servers.file("stop"), site.servers.file("done"));
    let script = format!(
        "n=0; while [ ! -e $DIR/stop ]; do {} || exit 1; n=$((n+1)); done; echo $n",
        curl(NGINX)
    );
    let mut client = Process::start(site.command(&script), &done);
    let more = |site: &Site<'_>| {
        let goal = site.servers.nginx_requests(NGINX) + 20;
        eventually("more requests", Duration::from_secs(60), || {
            match site.servers.nginx_requests(NGINX) {
                requests if requests >= goal => Ok(()),
                requests => Err(format!("{requests} of {goal}")),
            }
        });
    };
    more(site);
    change(site);
    more(site);
    fs::write(&stop, "").expect("stop");
    assert!(client.wait(Duration::from_secs(60)).success(), "{}", client.log());
    let count = client.log().trim().parse().expect("a number");
    for file in [stop, done] {
        fs::remove_file(file).expect("a file of the client");
    }
    let expected = Expected { port: NGINX, handshakes: full(count), ..hellos(count, "h2") };
    site.table.compare(name, &site.daemon, &before, &expected);
}

/// Behind it every packet of the client's and to the client is lost with a probability of 3 %.
pub fn loss(site: &mut Site<'_>) {
    site.ok("nft 'table inet loss {
        chain i { type filter hook input priority 0; numgen random mod 100 < 3 drop; };
        chain o { type filter hook output priority 0; numgen random mod 100 < 3 drop; }; }'");
    site.case("3 % loss", NGINX, |site| {
        site.ok(&times(30, &curl(NGINX)));
        Expected { handshakes: full(30), ..hellos(30, "h2") }
    });
    site.ok("nft delete table inet loss");
}
