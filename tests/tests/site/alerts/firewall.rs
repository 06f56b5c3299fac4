//! What goes wrong with the filter itself: its configuration, its interfaces.

use std::fs;

use anyhow::ensure;
use foobar_site::{network::ip, plan::Host};

use crate::up::Up;

/// A change of the load balancer's policy on trial.
pub struct Trial {
    before: String,
}

impl Trial {
    /// Blocks an address, unless nobody confirms it.
    pub fn begin(up: &Up) -> Self {
        let lb = up.site.foobar(Host::Lb);
        let before = fs::read_to_string(lb.configuration()).expect("the configuration");
        let blocked = before.replace("entries = []", "entries = [\"198.51.100.66\"]");
        assert_ne!(blocked, before);
        fs::write(lb.configuration(), &blocked).expect("a changed configuration");
        lb.ask(&["reload", "--confirm", "10m"]).expect("a reload on trial");
        Trial { before }
    }

    /// The administrator confirms.
    pub fn confirm(&self, up: &Up) {
        up.site.foobar(Host::Lb).ask(&["confirm"]).expect("a confirmation");
    }

    /// What was confirmed stays until it is taken back.
    pub fn end(self, up: &Up) {
        let lb = up.site.foobar(Host::Lb);
        assert!(lb.ask(&["block", "list", "abuse"]).expect("a list").contains("198.51.100.66"));
        fs::write(lb.configuration(), self.before).expect("the configuration as it was");
        lb.ask(&["reload"]).expect("a reload");
    }
}

/// A mistake in the database's configuration.
pub struct Mistake {
    before: String,
}

impl Mistake {
    /// A port that does not exist.
    pub fn make(up: &Up) -> Self {
        let db = up.site.foobar(Host::Db);
        let before = fs::read_to_string(db.configuration()).expect("the configuration");
        let wrong = before.replace("3306", "33060606");
        fs::write(db.configuration(), wrong).expect("a mistake");
        let refused = db.ask(&["reload"]).expect_err("a mistake is refused").to_string();
        assert!(refused.contains("33060606"), "{refused}");
        Mistake { before }
    }

    /// The file is as it was.
    pub fn mend(self, up: &Up) {
        let db = up.site.foobar(Host::Db);
        fs::write(db.configuration(), self.before).expect("no mistake");
        db.ask(&["reload"]).expect("a reload");
    }
}

/// A further interface of the first web server, whose driver knows no native XDP: a bridge.
pub struct Spare {
    before: String,
}

const SPARE: &str = "spare0";

impl Spare {
    /// Adds it, and has it filtered.
    pub fn add(up: &Up) -> Self {
        let web1 = up.site.foobar(Host::Web1);
        let namespace = up.instance().namespace(Host::Web1);
        ip(&namespace, &format!("link add {SPARE} up type bridge")).expect("an interface");
        let before = fs::read_to_string(web1.configuration()).expect("the configuration");
        let both = format!("interfaces = [\"eth0\", \"{SPARE}\"]");
        let wanted = before.replace("interfaces = \"default\"", &both);
        assert_ne!(wanted, before);
        fs::write(web1.configuration(), wanted).expect("a changed configuration");
        let said = web1.ask(&["reload"]).expect("a reload");
        assert!(said.contains(SPARE), "{said}");
        Spare { before }
    }

    /// The device goes away, while the configuration names it.
    pub fn vanish(&self, up: &Up) {
        let namespace = up.instance().namespace(Host::Web1);
        ip(&namespace, &format!("link delete {SPARE}")).expect("no interface");
    }

    /// The configuration names it no more.
    pub fn forget(self, up: &Up) {
        let web1 = up.site.foobar(Host::Web1);
        fs::write(web1.configuration(), self.before).expect("the configuration as it was");
        web1.ask(&["reload"]).expect("a reload");
        up.eventually("the interface to be forgotten", || {
            let status = web1.ask(&["status"])?;
            ensure!(!status.contains(SPARE), "{status}");
            Ok(())
        });
    }
}
