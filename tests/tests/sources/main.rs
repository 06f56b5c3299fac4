//! What web servers tell of themselves, against the servers' own logs and openssl: certificates, statistics.

mod certificates;
mod servers;
mod statistics;
mod table;
mod workloads;
