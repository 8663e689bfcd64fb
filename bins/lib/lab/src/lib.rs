//! Owning nodes: the seams [`power`], [`link`] and [`data_dir`] and the backends behind them, cloning, following, rewinding;
//! secrets, markers, the lock; scratch labs for tests.
//!
//! Only programs that may hurt a cluster depend on this crate, and whatever it touches bears our marker.

pub mod account;
pub mod at_once;
pub mod backend;
pub mod binaries;
pub mod chosen;
mod cluster_file;
pub mod compose;
pub mod conf;
mod converge;
pub mod data_dir;
pub mod down;
pub mod files;
mod holder;
pub mod link;
pub mod local;
pub mod lock;
pub mod lost_marker;
pub mod marker;
mod mounts;
mod neighbours;
mod new_lab;
pub mod old_timeline;
pub mod open;
pub mod pooler;
pub mod ports;
pub mod power;
pub mod primary;
mod process;
pub mod rejoin;
pub mod roles;
mod scram;
pub mod scratch;
pub mod secrets;
pub mod settings;
pub mod slots;
pub mod standby;
pub mod state;
pub mod stranger;
pub mod wanted;
