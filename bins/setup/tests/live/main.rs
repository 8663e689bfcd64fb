//! Against real servers: a lab becomes what was asked from whatever is there, and goes without a trace.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

mod addresses;
mod command_line;
mod compose;
mod compose_by_hand;
mod compose_configured;
mod compose_former;
mod compose_full_disk;
mod compose_images;
mod compose_planted;
mod confined;
mod converge;
mod down;
mod fifos;
mod install;
mod interrupted;
mod ports;
mod room;
mod secrets;
mod settings;
mod standing;
mod strangers;
mod support;
mod takeover;
mod terminal;
