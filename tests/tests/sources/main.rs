//! What web servers tell of themselves, against the servers' own logs and openssl: certificates, statistics.

mod certificates;
mod probed;
mod probes_apache;
mod probes_libssl;
mod probes_life;
mod probes_nginx;
mod servers;
mod statistics;
mod table;
mod workloads;
