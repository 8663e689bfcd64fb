//! Talking to nodes: the cluster file, arguments, connection strings, password files, TLS, connecting with deadlines,
//! roles, LSNs, waiting.
//!
//! Nothing here owns a node: whatever it does, any client could do.

pub mod args;
pub mod auth;
mod authority;
pub mod blocking;
pub mod catch_up;
pub mod connect;
pub mod conninfo;
pub mod file;
pub mod guard;
pub mod ident;
pub mod identity;
mod of_lab;
pub mod own;
pub mod passfile;
pub mod peer;
pub mod protection;
pub mod secret;
pub mod server_error;
pub mod service;
pub mod session;
pub mod socket;
pub mod sql;
pub mod stranger;
pub mod tls;
pub mod topology;
pub mod wait;
