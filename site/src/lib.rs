//! The site www.foobar.com on one machine: each of its servers in a network namespace of its own, with the real programs and
//! with foobar in its role. `cargo xtask site` shows it, `tests/tests/site.rs` holds it to what it promises, and
//! `docs/site.md` tells what each part is for.
//!
//! - [`plan`]: hosts, addresses, and who may reach whom; pure.
//! - [`instance`]: names and folders, so that a demonstration and tests live side by side.
//! - [`site`]: brings all up and takes all down.
//! - [`load`], [`attack`], [`scan`]: traffic, wanted and unwanted.
//! - [`ask`], [`logs`]: what Prometheus, Alertmanager and the servers' own logs say.

pub mod ask;
pub mod attack;
pub mod health;
pub mod instance;
pub mod load;
pub mod logs;
pub mod meanwhile;
pub mod network;
pub mod plan;
pub mod run;
pub mod scan;
pub mod services;
pub mod site;
pub mod tempo;
