//! Real servers with configurations of the tests' own.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use foobar_tests::harness::{
    Netns, Process, eventually, nginx_folders, run, tcp_connects, try_run,
};
use tempfile::TempDir;

/// A server is given so long to start; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server in a namespace, with a folder of its own.
pub struct Server {
    process: Process,
    folder: TempDir,
}

/// A folder for a server.
pub fn folder() -> TempDir {
    tempfile::Builder::new().prefix("foobar-server-").tempdir().expect("a folder")
}

impl Server {
    /// nginx with this body of the section `http`; `FOLDER` stands for its folder.
    ///
    /// It can upgrade itself: nginx takes SIGUSR2 only once the process that started it is gone, and runs
    /// the path that it was started by.
    pub fn nginx(namespace: &Netns, folder: TempDir, http: &str, listens: &[&str]) -> Self {
        Self::nginx_from("$(command -v nginx)", namespace, folder, http, listens)
    }

    /// The same, from this program.
    pub fn nginx_from(
        program: &str,
        namespace: &Netns,
        folder: TempDir,
        http: &str,
        listens: &[&str],
    ) -> Self {
        let temporary = nginx_folders(Path::new("FOLDER"));
        let text = format!(
            "user root;\ndaemon off;\nworker_processes 2;\npid FOLDER/nginx.pid;\nerror_log FOLDER/error.log;\n\
             events {{ worker_connections 512; }}\nhttp {{\n\
             {temporary}\n{http}\n}}\n"
        );
        write(&folder, "nginx.conf", &text);
        let mut command = namespace.command("sh");
        let path = folder.path().display();
        command
            .arg("-c")
            .arg(format!("{program} -p {path} -c nginx.conf -e {path}/error.log & sleep 0.1"));
        Self::started(namespace, folder, command, listens)
    }

    /// Apache from this program (`/usr/sbin/apache2`, or a copy), prepared by [`apache_folder`]; `more` completes the command.
    pub fn apache(
        namespace: &Netns,
        folder: TempDir,
        program: &str,
        listens: &[&str],
        more: impl FnOnce(&mut std::process::Command),
    ) -> Self {
        let mut command = namespace.command(program);
        command.arg("-f").arg(folder.path().join("apache.conf")).arg("-DFOREGROUND");
        more(&mut command);
        Self::started(namespace, folder, command, listens)
    }

    /// Waits until it listens.
    pub fn started(
        namespace: &Netns,
        folder: TempDir,
        command: std::process::Command,
        listens: &[&str],
    ) -> Self {
        let process = Process::start(command, &folder.path().join("output.log"));
        let server = Server { process, folder };
        eventually("a server to listen", PATIENCE, || {
            listens
                .iter()
                .try_for_each(|address| tcp_connects(namespace, address, Duration::from_secs(1)))
                .map_err(|error| {
                    format!("{error}: {}{}", server.log("error.log"), server.process.log())
                })
        });
        server
    }

    /// A file in its folder.
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Sends a signal to the process that this file names.
    pub fn signal(&self, pid_file: &str, signal: &str) {
        let pid = self.log(pid_file);
        run("kill", &[&format!("-{signal}"), pid.trim()]);
    }
}

/// Writes a configuration, `FOLDER` being the folder.
pub fn write(folder: &TempDir, name: &str, text: &str) {
    let text = text.replace("FOLDER", &folder.path().display().to_string());
    fs::write(folder.path().join(name), text).expect("a configuration");
}

/// A folder for Apache: the configuration, whose modules and accounts are the same for all, a certificate, and a page that its own user may
/// read.
pub fn apache_folder(text: &str) -> TempDir {
    let folder = folder();
    certificate(folder.path(), "www", "www.foobar.com", 2);
    let pages = folder.path().join("pages");
    fs::create_dir(&pages).expect("a folder");
    fs::write(pages.join("index.html"), "hello\n").expect("a page");
    for path in [folder.path(), &pages] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("readable");
    }
    write(&folder, "apache.conf", &format!("{APACHE}{text}"));
    folder
}

/// What every Apache here has.
const APACHE: &str = "ServerRoot FOLDER
ServerName www.foobar.com
DefaultRuntimeDir FOLDER
PidFile FOLDER/apache.pid
ErrorLog FOLDER/error.log
User www-data
Group www-data
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
LoadModule http2_module /usr/lib/apache2/modules/mod_http2.so
MaxKeepAliveRequests 0
DocumentRoot FOLDER/pages
DirectoryIndex index.html
";

/// A folder for HAProxy: the configuration, and a certificate with its key in one file.
pub fn haproxy_folder(text: &str) -> TempDir {
    let folder = folder();
    certificate(folder.path(), "www", "www.foobar.com", 2);
    let part = |name: &str| fs::read_to_string(folder.path().join(name)).expect("made above");
    fs::write(folder.path().join("www-both.pem"), part("www.pem") + &part("www.key"))
        .expect("both");
    write(&folder, "haproxy.cfg", text);
    folder
}

/// Makes a self-signed certificate `NAME.pem` and its key `NAME.key`, for this host name, valid for so many days.
pub fn certificate(folder: &Path, name: &str, host: &str, days: u32) -> PathBuf {
    let path = |extension: &str| folder.join(format!("{name}.{extension}"));
    let (key, certificate) = (path("key"), path("pem"));
    let subject = format!("/CN={host}");
    let days = days.to_string();
    let mut command = std::process::Command::new("openssl");
    command
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args(["-subj", &subject, "-days", &days])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate);
    let output = try_run(&mut command);
    assert_eq!(output.code, Some(0), "{}", output.text());
    certificate
}
