//! Names and folders of one site, so that several live side by side on one machine.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use crate::plan::Host;

/// What names of namespaces and of folders for pins start with.
const PREFIX: &str = "foobar-site-";
/// Where the folders of all sites are; in memory, so that databases of a demonstration wait for no disk.
const FOLDERS: &str = "/run/foobar-site";
/// Where the kernel keeps names of namespaces.
const NAMESPACES: &str = "/run/netns";
/// Where the BPF file system is mounted.
const BPFFS: &str = "/sys/fs/bpf";
/// The name of the router's namespace.
const ROUTER: &str = "router";

/// One site: its name is in everything that it makes outside of its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    name: String,
}

impl Instance {
    /// The site of this name.
    ///
    /// # Errors
    /// If the name is not made of lower-case letters and digits, 20 at most.
    pub fn new(name: &str) -> Result<Self> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        ensure!(
            (1..=20).contains(&name.len()) && name.bytes().all(plain),
            "\"{name}\" cannot name a site: it takes 1 to 20 lower-case letters and digits"
        );
        Ok(Instance { name: name.to_owned() })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folder: configurations, logs, data.
    pub fn folder(&self) -> PathBuf {
        Path::new(FOLDERS).join(&self.name)
    }

    /// The folder of one host.
    pub fn host_folder(&self, host: Host) -> PathBuf {
        self.folder().join(host.name())
    }

    /// The name of a host's namespace.
    pub fn namespace(&self, host: Host) -> String {
        format!("{PREFIX}{}-{}", self.name, host.name())
    }

    /// The name of the router's namespace.
    pub fn router(&self) -> String {
        format!("{PREFIX}{}-{ROUTER}", self.name)
    }

    /// A host's folder of pins.
    pub fn pins(&self, host: Host) -> PathBuf {
        Path::new(BPFFS).join(format!("{PREFIX}{}-{}", self.name, host.name()))
    }

    /// The namespaces of this site that exist.
    pub fn namespaces(&self) -> Vec<String> {
        entries(Path::new(NAMESPACES), &format!("{PREFIX}{}-", self.name))
    }

    /// The folders of pins of this site that exist.
    pub fn pin_folders(&self) -> Vec<PathBuf> {
        let names = entries(Path::new(BPFFS), &format!("{PREFIX}{}-", self.name));
        names.into_iter().map(|name| Path::new(BPFFS).join(name)).collect()
    }

    /// Everything of this site that exists: namespaces, pins, its folder. Processes live in the namespaces.
    pub fn remains(&self) -> Vec<String> {
        let namespaces = self.namespaces().into_iter().map(|name| format!("namespace {name}"));
        let pins = self.pin_folders().into_iter().map(|path| path.display().to_string());
        let folder = Some(self.folder()).filter(|path| path.exists());
        namespaces.chain(pins).chain(folder.map(|path| path.display().to_string())).collect()
    }

    /// Removes its folder.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove_folder(&self) -> Result<()> {
        let folder = self.folder();
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", folder.display()))
            }
            _ => {
                // The folder of all sites goes with the last of them.
                let _ = fs::remove_dir(FOLDERS);
                Ok(())
            }
        }
    }

    /// The names of all sites of which something exists.
    pub fn all() -> Vec<Instance> {
        let mut names: Vec<String> = entries(Path::new(FOLDERS), "");
        for name in entries(Path::new(NAMESPACES), PREFIX) {
            let name = name.trim_start_matches(PREFIX);
            names.extend(name.rsplit_once('-').map(|(site, _)| site.to_owned()));
        }
        names.sort();
        names.dedup();
        names.iter().filter_map(|name| Instance::new(name).ok()).collect()
    }
}

/// The file of a namespace of this name, for `nsenter --net=`.
pub fn namespace_file(name: &str) -> PathBuf {
    Path::new(NAMESPACES).join(name)
}

fn entries(folder: &Path, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_taken_for_another_site_are_refused() {
        for name in ["", "a-b", "Demo", "../x", "a b", "aaaaaaaaaaaaaaaaaaaaa"] {
            assert!(Instance::new(name).is_err(), "{name}");
        }
        assert_eq!(Instance::new("demo").unwrap().namespace(Host::Web1), "foobar-site-demo-web1");
    }
}
