//! A headless Chromium, driven by its DevTools protocol over a pair of pipes: JSON messages, each with a zero byte behind it
//! (<https://chromedevtools.github.io/devtools-protocol/>, `--remote-debugging-pipe`).

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use nix::{sys::stat::Mode, unistd::mkfifo};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Netns, Process};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nothing that asks the network for anything of its own.
const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--remote-debugging-pipe",
];

/// One page in a browser of its own, with an empty profile. The browser ends when dropped.
#[derive(Debug)]
pub struct Chromium {
    requests: File,
    answers: Receiver<Value>,
    /// A handle of our own on the browser's end of the pipe, to wake who reads from it.
    closing: File,
    session: String,
    calls: u64,
    events: Vec<Value>,
    process: Process,
    // Last: the profile is in use until the browser is gone.
    _folder: TempDir,
}

impl Chromium {
    /// Starts a browser in the namespace, with an empty page of 1280 by 800.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn start(namespace: &Netns) -> Self {
        let folder =
            tempfile::Builder::new().prefix("foobar-chromium-").tempdir().expect("a folder");
        let pipe = |name: &str| {
            let path = folder.path().join(name);
            mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe");
            // For both directions, so that no open waits for the other side (fifo(7)).
            File::options().read(true).write(true).open(&path).expect("the pipe")
        };
        let (requests, answered) = (pipe("requests"), pipe("answers"));
        let mut command = namespace.command("sh");
        command.arg("-c").arg("exec chromium \"$@\" 3<\"$0/requests\" 4>\"$0/answers\"");
        command.arg(folder.path()).args(FLAGS);
        command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
        let process = Process::start(command, &folder.path().join("chromium.log"));
        let closing = answered.try_clone().expect("a second handle");
        let mut browser = Chromium {
            requests,
            answers: listen(answered),
            closing,
            session: String::new(),
            calls: 0,
            events: Vec::new(),
            process,
            _folder: folder,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.resize(1280, 800);
        browser
    }

    /// Begins to load a page.
    pub fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
    }

    /// Changes the size of the window, pixels.
    pub fn resize(&mut self, width: u32, height: u32) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Prefers `light` or `dark`.
    pub fn prefer(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// What a JavaScript expression evaluates to.
    ///
    /// # Panics
    /// If it throws.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let wanted = json!({ "expression": expression, "returnByValue": true });
        let mut outcome = self.call("Runtime.evaluate", wanted);
        assert!(outcome.get("exceptionDetails").is_none(), "{expression}: {outcome}");
        outcome["result"]["value"].take()
    }

    /// The text of the element that a CSS selector finds; empty if there is none.
    pub fn text(&mut self, selector: &str) -> String {
        let text =
            self.evaluate(&format!("document.querySelector({selector:?})?.textContent ?? ''"));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// What the console says, uncaught errors and what the browser itself complains of, since the last call.
    pub fn complaints(&mut self) -> Vec<String> {
        let methods = ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"];
        self.happened(|event| {
            methods.contains(&event["method"].as_str()?).then(|| event["params"].to_string())
        })
    }

    /// Addresses that were asked for since the last call.
    pub fn requested(&mut self) -> Vec<String> {
        self.happened(|event| {
            let is_request = event["method"] == "Network.requestWillBeSent";
            is_request.then(|| event["params"]["request"]["url"].as_str().map(str::to_owned))?
        })
    }

    /// Takes those events out that `wanted` makes something of.
    fn happened<T>(&mut self, wanted: impl Fn(&Value) -> Option<T>) -> Vec<T> {
        // An answer comes after all events of what was before it.
        self.evaluate("0");
        let mut found = Vec::new();
        self.events.retain(|event| match wanted(event) {
            Some(made) => {
                found.push(made);
                false
            }
            None => true,
        });
        found
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.requests.write_all(format!("{message}\0").as_bytes()).expect("the browser's pipe");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(mut answer) = self.answers.recv_timeout(left) else {
                panic!("the browser does not answer {method}:\n{}", self.process.log());
            };
            if answer["id"] == self.calls {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        self.process.kill();
        // The thread that reads holds the pipe open itself, so nothing but a last message ends it.
        let _ = self.closing.write_all(b"\0");
    }
}

/// Reads messages on a thread of its own, up to an empty one.
fn listen(pipe: File) -> Receiver<Value> {
    let (sender, answers) = mpsc::channel();
    thread::spawn(move || {
        let messages = BufReader::new(pipe).split(0);
        for message in messages.map_while(Result::ok).take_while(|message| !message.is_empty()) {
            let message = serde_json::from_slice(&message).expect("a message of the browser");
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    answers
}
