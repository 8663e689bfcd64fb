//! setup: makes a lab what was asked, from whatever is there; asked again, it changes nothing.
//!
//! `measure-lag --cluster "$(setup --standbys 2)" --duration 5s`
//!
//! stdout holds one line, the path of the cluster file; what is done goes to stderr. Exit code 0: it is as asked;
//! 2: it could not be made so; of a new lab nothing
//! is left then, and one that was there has the settings that it had.

mod install;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use cluster::file::labs_home;
use lab::binaries::{Asked, Binaries, MAJORS};
use lab::chosen::parse_setting;
use lab::compose::{self, engine::Engine};
use lab::conf::SyncMode;
use lab::down::down;
use lab::wanted::{Wanted, check_home};
use lab::{local, lost_marker, marker};
use program::progress::Progress;
use program::tool::TimedOut;
use program::{sink, stop};
use report::show::count;
use report::verdict::Verdict;

/// The versions of PostgreSQL that are taken, as clap wants them.
const KNOWN: std::ops::RangeInclusive<i64> = *MAJORS.start() as i64..=*MAJORS.end() as i64;

/// Converges a lab of PostgreSQL servers: a primary and its streaming standbys.
#[derive(Parser)]
#[command(version, about, after_help = EXAMPLES)]
struct Args {
    /// The lab's name
    #[arg(long, default_value = "lab")]
    name: String,
    /// How the nodes are run [default: as they are; new: auto]
    #[arg(long, value_enum)]
    backend: Option<Backend>,
    /// How many standbys; more are added, fewer take the newest ones away [default: as it is; new: 1]
    #[arg(long, value_name = "N")]
    standbys: Option<u32>,
    /// How commits wait for standbys: async, remote_write, on, remote_apply [default: as it is; new: async]
    #[arg(long, value_name = "MODE")]
    sync: Option<SyncMode>,
    /// How many standbys must confirm a commit [default: as it is; new: 1]
    #[arg(long, value_name = "K")]
    quorum: Option<u32>,
    /// A server setting; `default` as its value takes it back. Repeatable. One that a server refuses is taken back at once
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// The first port; nodes take the free ones from there on, below those of outgoing connections [default: 15432]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Where PostgreSQL's programs are [default: PG_BINDIR, pg_config, or the newest in the usual places]
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<PathBuf>,
    /// With --backend compose: the image of the nodes [default: one that is here, else postgres:17]
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Which major version of PostgreSQL, 14 to 18
    #[arg(long, value_name = "MAJOR", value_parser = clap::value_parser!(u32).range(KNOWN))]
    pg_version: Option<u32>,
    /// The directory of all labs [default: UNDERSTUDY_HOME, else /var/lib/pg-understudy for root, else
    /// ~/.local/state/pg-understudy]
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    /// If nodes are to be local and this machine has no PostgreSQL: install the distribution's package first (Debian and
    /// Ubuntu, as root)
    #[arg(long)]
    install: bool,
    /// As --install, and no more: no lab is made; with containers, only their image is fetched
    #[arg(long, conflicts_with = "down")]
    install_only: bool,
    /// Take the lab down: end its servers, remove its data
    #[arg(long)]
    down: bool,
    /// With --down: all labs
    #[arg(long, requires = "down")]
    all: bool,
    /// Say nothing but warnings and errors
    #[arg(long)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  setup                                  a primary and a standby, asynchronous
  setup --backend compose --standbys 3   in containers, launched by compose
  setup --standbys 3 --sync on           three standbys; a commit waits for one of them
  setup --set work_mem=64MB              changes a setting on all nodes
  setup --down                           removes all of it, and only it

The cluster file names hosts, ports and the password file. The servers listen on 127.0.0.1
only; as root they run as `pg-understudy`, else `postgres`, else `nobody`. Passwords are random
and lie in the lab's `passfile` (0600). Exit codes: 0 it is as asked; 2 it could not be made so: of a new lab nothing
is left then, and one that was there has the settings that it had.";

/// How nodes are run.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Backend {
    /// As containers where a Docker engine answers and an image is there or can be had, else local
    Auto,
    /// As server processes on this machine
    Local,
    /// As containers, launched by compose
    Compose,
}

fn main() -> ExitCode {
    program::main(run)
}

fn run() -> Result<Verdict> {
    let args = Args::parse();
    stop::listen(false)?;
    let home = match &args.home {
        Some(home) => home.clone(),
        None => labs_home(is_root())?,
    };
    check_home(&home)?;
    if args.down {
        take_down(&args, &home)?;
        return Ok(Verdict::Held);
    }
    let progress = Progress::new(args.quiet);
    let asked = Asked { dir: args.pg_bin.clone(), major: args.pg_version };
    let wanted = Wanted {
        name: args.name.clone(),
        home,
        standbys: args.standbys,
        binaries: asked,
        image: args.image.clone(),
        first_port: args.port,
        sync: args.sync,
        quorum: args.quorum,
        settings: args.set.iter().map(|text| parse_setting(text)).collect::<Result<_>>()?,
    };
    if args.install_only {
        if choose_engine(&args, &wanted, &progress)?.is_none() {
            install_if_missing(&wanted.binaries, &progress)?;
        }
        return Ok(Verdict::Held);
    }
    let made = converge(&args, &wanted, &progress);
    progress.finish();
    let file = made.with_context(|| format!("lab {}", wanted.name))?;
    progress.say(&format!("lab {} is up", wanted.name));
    sink::print_line(&file.display().to_string())?;
    Ok(Verdict::Held)
}

fn install_if_missing(asked: &Asked, progress: &Progress) -> Result<()> {
    match Binaries::find(asked) {
        Ok(_) => Ok(()),
        Err(error) if asked.dir.is_some() => Err(error), // that is where it is to be
        Err(_) => install::install(asked, progress),
    }
}

/// Makes the lab what was asked, by the backend that it has or that is chosen for it.
fn converge(args: &Args, wanted: &Wanted, progress: &Progress) -> Result<PathBuf> {
    let there = match wanted.old_state()? {
        Some(state) if state.image.is_some() => Some(Backend::Compose),
        Some(_) => Some(Backend::Local),
        None => None,
    };
    if let (Some(there), Some(asked)) = (there, args.backend.filter(|asked| *asked != Backend::Auto)) {
        ensure!(
            there == asked,
            "--backend {}: the lab is there, and is run otherwise; take it down first (`setup --down --name {}`)",
            asked.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned()),
            wanted.name
        );
    }
    let engine = match there {
        Some(Backend::Local) => None,
        Some(_) => Some(Engine::find()?),
        None => choose_engine(args, wanted, progress)?,
    };
    if let Some(engine) = engine {
        ensure!(args.pg_bin.is_none(), "--pg-bin: containers have PostgreSQL's programs in their image (--image)");
        return compose::converge::converge(wanted, engine, progress);
    }
    ensure!(args.image.is_none(), "--image: local servers are made of this machine's programs (--pg-bin)");
    if args.install {
        install_if_missing(&wanted.binaries, progress)?;
    }
    local::converge::converge(wanted, progress)
}

/// The engine that a new lab is to be run by, with its image there; `None` if its nodes are to be local. For
/// `--backend auto` it says which and why.
fn choose_engine(args: &Args, wanted: &Wanted, progress: &Progress) -> Result<Option<Engine>> {
    let usable = || {
        let engine = Engine::find()?;
        compose::image::ensure(&engine, args.image.as_deref(), wanted.binaries.major, progress)?;
        Ok(engine)
    };
    match args.backend.unwrap_or(Backend::Auto) {
        Backend::Local => return Ok(None),
        Backend::Compose => return usable().map(Some),
        Backend::Auto if args.pg_bin.is_some() => return Ok(None), // asked for by naming its programs
        Backend::Auto => {}
    }
    match usable() {
        Ok(engine) => {
            progress.say("backend compose: a Docker engine answers (--backend local runs servers on this machine)");
            Ok(Some(engine))
        }
        // Whether containers can be had is not known then, and which backend runs a lab is not to hang on a slow moment.
        Err(error) if error.is::<TimedOut>() => {
            Err(error.context("--backend auto cannot choose (--backend local does without an engine)"))
        }
        Err(error) => {
            stop::check()?;
            ensure!(args.image.is_none(), "--image: {error:#}");
            progress.say(&format!("backend local, because: {error:#}"));
            Ok(None)
        }
    }
}

/// Takes one lab down, or all of them.
fn take_down(args: &Args, home: &std::path::Path) -> Result<()> {
    let (mut labs, mut failed) = (Vec::new(), Vec::new());
    if args.all {
        for entry in home.read_dir().into_iter().flatten() {
            let path = entry?.path();
            match marker::read(&path) {
                Ok(Some(_)) if !path.is_symlink() => labs.push(path),
                Ok(_) => {
                    let way_out = lost_marker::way_out(&path);
                    let left = |way_out| format!("{} bears no marker and is left alone; {way_out}", path.display());
                    failed.extend(way_out.map(left));
                }
                // Somebody's directory that never was a lab is none of our business.
                Err(error) if path.join(marker::FILE).symlink_metadata().is_ok() => failed.push(format!("{error:#}")),
                Err(_) => {}
            }
        }
    } else {
        cluster::ident::check_node_name(&args.name).context("--name")?;
        let dir = home.join(&args.name);
        if dir.exists() {
            labs.push(dir);
        }
    }
    let progress = Progress::new(args.quiet);
    if labs.is_empty() && failed.is_empty() {
        progress.say("nothing to take down");
    }
    for dir in labs {
        match down(&dir) {
            Ok(removed) => progress.say(&format!(
                "took {} down: {}, {} ended",
                dir.display(),
                count(u64::from(removed.nodes), "node"),
                count(u64::from(removed.processes), "server")
            )),
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    let latest = home.join(cluster::file::LATEST);
    if latest.is_symlink() && !latest.exists() {
        std::fs::remove_file(&latest).with_context(|| format!("cannot remove {}", latest.display()))?;
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("; "));
    }
    Ok(())
}

/// Whether we are root: servers then run as somebody else.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
