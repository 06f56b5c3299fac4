//! The status page in a real browser: it shows what happens, and asks nobody but foobar.

use std::time::Duration;

use foobar_tests::harness::{Chromium, Daemon, Lan, Leaks, Nginx, Process, eventually, holds_for};

const CONFIGURATION: &str = r#"
interfaces = ["eth0"]
[metrics]
listen = "127.0.0.1:9898"
[allowlists.admins]
entries = ["192.0.2.10"]
[blocklists.abuse]
[[rules]]
name = "web"
ports = [80, 443]
from = "any"
[[rules]]
name = "ssh"
ports = [22]
from = ["admins"]
"#;

const PATIENCE: Duration = Duration::from_secs(60);

/// Connections to port 80 and packets that no rule allows, some dozens a second.
const LOAD: &str = "
import http.client, socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    try:
        c = http.client.HTTPConnection('192.0.2.1', timeout=5)
        c.request('GET', '/'); c.getresponse().read(); c.close()
    except OSError: pass
    for i in range(5): s.sendto(b'x' * 50, ('192.0.2.1', 9999))
    time.sleep(0.05)
";

/// Every text against what it stands on: the least contrast (WCAG 2.2, 1.4.3), and whose it is.
const CONTRAST: &str = "
(() => {
  const parts = colour => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const over = (top, under) => { const a = top[3] ?? 1; return [0, 1, 2].map(i => top[i] * a + under[i] * (1 - a)); };
  const ground = at => {
    if (!at) return [255, 255, 255];
    const own = parts(getComputedStyle(at).backgroundColor);
    return own.length && (own[3] ?? 1) > 0 ? over(own, ground(at.parentElement)) : ground(at.parentElement);
  };
  const light = c => { const l = c.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2]; };
  let least = [99, ''];
  for (const at of document.querySelectorAll('body *')) {
    if (['SCRIPT', 'NOSCRIPT'].includes(at.tagName) || !at.checkVisibility()) continue;
    if (![...at.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())) continue;
    const under = ground(at), ink = over(parts(getComputedStyle(at).color), under);
    const [a, b] = [light(ink), light(under)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least[0]) least = [ratio, at.tagName + '.' + at.className + ': ' + at.textContent.trim().slice(0, 40)];
  }
  return least;
})()";

/// The line of the first chart.
const FIRST_LINE: &str = "document.querySelector('.port path.line')?.getAttribute('d') ?? ''";

fn awaits(page: &mut Chromium, selector: &str, what: &str, wanted: impl Fn(&str) -> bool) {
    eventually(what, PATIENCE, || {
        let text = page.text(selector);
        if wanted(&text) { Ok(()) } else { Err(text) }
    });
}

#[test]
fn the_page_shows_what_happens_and_asks_nobody_else() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let client = lan.client(66);
    let _nginx = Nginx::start(&lan.server);
    let mut daemon = Daemon::start(&lan.server, CONFIGURATION);
    let mut page = Chromium::start(&lan.server);
    page.open(&format!("http://{}/", Daemon::METRICS));
    awaits(&mut page, "#state-text", "the page to be up", |state| state == "healthy");

    let mut command = client.command("python3");
    command.args(["-c", LOAD]);
    let load = Process::start(command, &daemon.folder().join("load.log"));
    awaits(&mut page, "#connections", "connections to be shown", |text| {
        text.parse().is_ok_and(|rate: f64| rate > 0.0)
    });
    awaits(&mut page, "#reasons", "the reason of drops", |text| text.contains("no_rule"));
    let before = page.evaluate(FIRST_LINE);
    // At first it has a point or two.
    eventually("the chart to move", PATIENCE, || {
        let now = page.evaluate(FIRST_LINE);
        let lines = now.as_str().expect("a path").matches('L').count();
        if now != before && lines > 1 { Ok(()) } else { Err(now) }
    });
    assert_eq!(page.text(".port h3"), "Port 80");
    assert_eq!(page.text("#mode"), "enforce");
    assert!(page.text("#interfaces").contains("eth0"));
    assert!(page.text("#lists").contains("admins") && page.text("#lists").contains("abuse"));
    let label = page.evaluate("document.querySelector('.port svg').getAttribute('aria-label')");
    assert!(label.as_str().expect("a label").contains("/s on port 80: "), "{label}");

    for (width, height) in [(390, 844), (1280, 800)] {
        page.resize(width, height);
        for scheme in ["light", "dark"] {
            page.prefer(scheme);
            let wide = page.evaluate("document.documentElement.scrollWidth");
            assert!(wide.as_u64() <= Some(width.into()), "{wide} is wider than {width}");
            let least = page.evaluate(CONTRAST);
            assert!(least[0].as_f64() >= Some(4.5), "{scheme}: {least}");
        }
    }

    let asked = page.requested();
    assert!(asked.iter().any(|url| url.contains("/api/live?")), "{asked:?}");
    let own = |url: &&String| url.starts_with("http://127.0.0.1:9898/") || url.starts_with("data:");
    let others: Vec<_> = asked.iter().filter(|url| !own(url)).collect();
    assert!(others.is_empty(), "asked for {others:?}");
    let complaints = page.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");

    // Nobody else's script runs, whatever gets into the page.
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.foreign = 1' }))");
    assert_eq!(page.evaluate("window.foreign ?? 0"), 0);
    assert!(!page.complaints().is_empty(), "the browser tells that it refused");

    drop(load);
    daemon.process().stop();
    awaits(&mut page, "#state-text", "the daemon to be missed", |state| state == "no answer");
    assert!(page.text("#notices").contains("stays so without its daemon"));
    daemon.launch();
    awaits(&mut page, "#state-text", "the daemon to be back", |state| state == "healthy");
    assert_eq!(page.text("#notices"), "");
}

#[test]
fn slow_a_page_that_nobody_sees_asks_nothing() {
    let _leaks = Leaks::watch();
    let lan = Lan::new();
    let daemon = Daemon::start(&lan.server, CONFIGURATION);
    let mut page = Chromium::start(&lan.server);
    page.open(&format!("http://{}/", Daemon::METRICS));
    awaits(&mut page, "#state-text", "the page to be up", |state| state == "healthy");
    let see = |page: &mut Chromium, hidden: bool| {
        page.evaluate(&format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }}); \
             document.dispatchEvent(new Event('visibilitychange')); 0"
        ));
    };
    see(&mut page, true);
    // One that was under way may still come to its end.
    std::thread::sleep(Duration::from_millis(500));
    page.requested();
    holds_for("silence while hidden", Duration::from_secs(3), || match page.requested() {
        asked if asked.is_empty() => Ok(()),
        asked => Err(asked),
    });
    see(&mut page, false);
    eventually("the page to go on", PATIENCE, || match page.requested() {
        asked if asked.is_empty() => Err("nothing was asked for"),
        _ => Ok(()),
    });
    drop(daemon);
}
