//! What is probed in an executable, and where.

use std::{fmt, path::Path};

use thiserror::Error;

use super::{
    Executable, ExecutableError, PointError,
    libssl::{self, UnknownShape},
    nginx::{self, StatusOffsets, UnknownLayout},
    point,
};

/// Servers whose functions are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Server {
    /// nginx, and what is built from it.
    Nginx,
    /// Apache httpd 2.4.
    Apache,
    /// Whatever uses OpenSSL's library, 1.1.1 or 3.
    Libssl,
}

impl Server {
    /// Where distributions put it.
    pub fn usual_path(self) -> &'static Path {
        Path::new(match self {
            Server::Nginx => "/usr/sbin/nginx",
            Server::Apache => "/usr/sbin/apache2",
            Server::Libssl => "/usr/lib/x86_64-linux-gnu/libssl.so.3",
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Server::Nginx => "nginx",
            Server::Apache => "Apache",
            Server::Libssl => "programs with libssl",
        })
    }
}

/// A kernel program and where it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanPoint {
    /// Name of the program in the kernel object.
    pub program: &'static str,
    /// Byte of the file at which the probed instruction begins.
    pub file_offset: u64,
}

/// What is probed in one executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whose functions these are.
    pub server: Server,
    /// To be attached in this order.
    pub points: Vec<PlanPoint>,
    /// Where nginx keeps the status; `None` where that cannot be told, so that all requests are of class `unknown`. Apache's place is known.
    pub status: Option<StatusOffsets>,
}

/// Why nothing can be probed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// Another kind of file, or another program.
    #[error(transparent)]
    Executable(#[from] ExecutableError),
    /// A function whose beginning offers no place.
    #[error(transparent)]
    Point(#[from] PointError),
    /// Structures that are not known.
    #[error(transparent)]
    Layout(#[from] UnknownLayout),
    /// A function of a library that works in another way.
    #[error(transparent)]
    Shape(#[from] UnknownShape),
}

impl Plan {
    /// Finds out what to probe in the executable of a server.
    ///
    /// # Errors
    /// It is another program, or it cannot be probed at a reasonable cost.
    pub fn of(server: Server, executable: &[u8]) -> Result<Self, PlanError> {
        let executable = Executable::parse(executable)?;
        let at = |program, name, arguments| -> Result<PlanPoint, PlanError> {
            let function = executable.function(name)?;
            let within = point::choose(&function, arguments)?;
            Ok(PlanPoint { program, file_offset: function.file_offset + within })
        };
        match server {
            Server::Nginx => {
                let status = nginx::status_offsets(
                    &executable.function("ngx_http_send_header")?,
                    &executable.function("ngx_http_free_request")?,
                )?;
                let points = vec![
                    at("nginx_begin", "ngx_http_create_request", 1)?,
                    at("nginx_end", "ngx_http_free_request", 2)?,
                ];
                Ok(Plan { server, points, status })
            }
            Server::Apache => {
                let points = vec![at("apache_end", "ap_run_log_transaction", 1)?];
                Ok(Plan { server, points, status: None })
            }
            Server::Libssl => {
                let mut points = Vec::new();
                for (name, behind) in [("SSL_read", "libssl_read"), ("SSL_write", "libssl_written")]
                {
                    let function = executable.function(name)?;
                    let around = libssl::around(&function)?;
                    let point = |program, within| PlanPoint {
                        program,
                        file_offset: function.file_offset + within,
                    };
                    points.push(point(behind, around.result));
                    points.push(point("libssl_begin", around.call));
                }
                points.extend(at("libssl_shake", "SSL_do_handshake", 1));
                // What goes this way is not read, but said to be there.
                points.extend(at("libssl_begin", "SSL_read_ex", 4));
                points.extend(at("libssl_unread", "SSL_write_ex", 4));
                points.push(at("libssl_free", "SSL_free", 1)?);
                Ok(Plan { server, points, status: None })
            }
        }
    }

    /// Whether classes of status are told apart.
    pub fn tells_classes(&self) -> bool {
        self.server != Server::Nginx || self.status.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_is_refused() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        for server in [Server::Nginx, Server::Apache, Server::Libssl] {
            let error = Plan::of(server, &bytes).unwrap_err();
            assert!(
                matches!(error, PlanError::Executable(ExecutableError::NoFunction(_))),
                "{error}"
            );
        }
    }
}
