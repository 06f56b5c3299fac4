//! The site www.foobar.com on this machine, as a demonstration; docs/site.md tells what it is.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use foobar_site::{
    attack::attack,
    instance::Instance,
    load::{Load, Version, together},
    plan::{Host, NAME},
    site::Site,
    tempo::Tempo,
};

use crate::{build, setup};

/// Arguments of `cargo xtask site`.
#[derive(clap::Args)]
pub struct Args {
    /// Name of the site, so that several live side by side
    #[arg(long, global = true, default_value = "demo")]
    name: String,
    /// Another foobar than that of this source tree
    #[arg(long, global = true, value_name = "FILE")]
    foobar: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Brings load balancer, web servers, database and monitor up, foobar on each
    Up {
        /// Keeps the waiting times of alerts as they are in production, in minutes instead of seconds
        #[arg(long)]
        slow_alerts: bool,
        /// Leaves everything as it is if something fails
        #[arg(long)]
        keep: bool,
    },
    /// Takes all of it down
    Down,
    /// Says what runs where, and whether visitors get their page
    Status,
    /// Lets visitors ask for pages
    Load {
        /// For how many seconds
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=300))]
        seconds: u32,
        /// Requests a second, in all
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(12..=2000))]
        rate: u32,
    },
    /// Attacks the site while visitors ask for pages; exit code 1 if anything gets through
    Attack,
}

/// Does what is asked.
pub fn site(args: &Args) -> Result<()> {
    let instance = Instance::new(&args.name)?;
    let binary = || match &args.foobar {
        Some(path) => {
            path.canonicalize().with_context(|| format!("there is no {}", path.display()))
        }
        None => build::release(),
    };
    match &args.action {
        Action::Up { slow_alerts, keep } => {
            setup::site_tools()?;
            let tempo = if *slow_alerts { Tempo::Production } else { Tempo::Demonstration };
            let site =
                Site::up(instance, &binary()?, tempo, *keep, &|step| eprintln!("site: {step}"))?;
            print!("{}", site.status()?);
            print!("{}", ways_in(&site));
        }
        Action::Down => down(instance, binary)?,
        Action::Status => print!("{}", running(instance)?.status()?),
        Action::Load { seconds, rate } => {
            let site = running(instance)?;
            // Of 12 parts, 6 by HTTP/1.1, 4 by HTTP/2, 2 in clear.
            let load = |version, connections| Load {
                version,
                connections,
                rate: rate / 12,
                seconds: *seconds,
            };
            let loads = [load(Version::Http1, 6), load(Version::Http2, 4), load(Version::Plain, 2)];
            let names = ["HTTP/1.1", "HTTP/2", "in clear"];
            eprintln!("site: visitors ask for {seconds} seconds");
            for (name, served) in names.iter().zip(together(&site.instance, &loads)?) {
                println!("{name:9} {served}");
            }
        }
        Action::Attack => {
            let site = running(instance)?;
            eprintln!("site: fourteen attacks, half a minute in all");
            let report = attack(&site.instance, &|attempt| println!("{attempt}"))?;
            println!("{report}");
            if report.through() > 0 {
                bail!("something got through");
            }
        }
    }
    Ok(())
}

/// Takes a site down, or what is left of one that was taken down by half.
fn down(instance: Instance, binary: impl Fn() -> Result<PathBuf>) -> Result<()> {
    if instance.remains().is_empty() {
        println!("no site \"{}\" is up: nothing to take down", instance.name());
        return Ok(());
    }
    let site = match Site::find(instance.clone()) {
        Some(site) => site,
        None => Site { instance, binary: binary()? },
    };
    site.down()?;
    println!("the site \"{}\" is gone: processes, namespaces, pins, folder", site.instance.name());
    Ok(())
}

/// The site of this name, if it is up.
fn running(instance: Instance) -> Result<Site> {
    let name = instance.name().to_owned();
    Site::find(instance).with_context(|| {
        let others: Vec<_> = Instance::all().iter().map(|one| one.name().to_owned()).collect();
        let others = if others.is_empty() { "none is".to_owned() } else { others.join(", ") };
        format!("no site \"{name}\" is up ({others}); `cargo xtask site up` brings it up")
    })
}

/// How to look at the site from this machine.
fn ways_in(site: &Site) -> String {
    let enter = |host| format!("nsenter --net=/run/netns/{}", site.instance.namespace(host));
    format!(
        "\nAs a visitor:          {} curl --insecure --resolve {NAME}:443:{} https://{NAME}/\n\
         As an administrator:   {} curl http://{}:9090/api/v1/alerts\n\
         foobar on the load balancer:\n  {} {} --runtime-dir {} top\n",
        enter(Host::Client),
        Host::Lb.ipv4(),
        enter(Host::Admin),
        Host::Monitor.ipv4(),
        enter(Host::Lb),
        site.binary.display(),
        site.instance.host_folder(Host::Lb).join("run").display(),
    )
}
