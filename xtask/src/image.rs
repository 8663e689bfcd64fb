//! `cargo xtask image`: an image of PostgreSQL from Debian's packages, where no registry can be reached.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use report::verdict::Verdict;
use xshell::{Shell, cmd};

use crate::cargo::workspace;

/// The PostgreSQL of each release: its package carries the number in its name.
const RELEASES: [(&str, u32); 5] = [("bookworm", 15), ("trixie", 17), ("forky", 18), ("jammy", 14), ("noble", 16)];

/// What nobody reads in a container.
const LEFT_OUT: [&str; 3] = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"];

/// Keeps Debian from making a cluster in the image.
const NO_MAIN_CLUSTER: &str = "mkdir -p \"$1/etc/postgresql-common\" && \
    echo 'create_main_cluster = false' > \"$1/etc/postgresql-common/createcluster.conf\"";

/// Arguments of `image`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The release of Debian or Ubuntu [default: this machine's]
    #[arg(long, value_name = "NAME")]
    suite: Option<String>,
    /// The major version of PostgreSQL [default: the release's own]
    #[arg(long, value_name = "MAJOR")]
    pg_version: Option<u32>,
    /// A mirror of the packages [default: this machine's sources]
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// A directory with PostgreSQL's programs (its `bin`, `lib` and `share`), taken instead of the release's; it lies at the
    /// same place in the image. Needs --pg-version. Repeatable: what else it needs
    #[arg(long, value_name = "DIR", requires = "pg_version")]
    tree: Vec<String>,
}

/// Builds the image and names it so that `setup` and `compose/compose.yaml` find it; prints the name.
pub(crate) fn image(sh: &Shell, args: &Args) -> Result<Verdict> {
    let suite = args.suite.clone().map_or_else(own_release, Ok)?;
    let of_release = RELEASES.iter().find(|(name, _)| *name == suite).map(|(_, major)| *major);
    let packaged = if args.tree.is_empty() { args.pg_version.or(of_release) } else { of_release };
    let packaged = packaged.with_context(|| format!("--pg-version: which PostgreSQL has {suite}?"))?;
    let major = args.pg_version.unwrap_or(packaged);
    ensure!(
        cmd!(sh, "mmdebstrap --version").quiet().ignore_stdout().ignore_stderr().run().is_ok(),
        "mmdebstrap is needed: `apt-get install mmdebstrap`"
    );
    ensure!(
        cmd!(sh, "docker version").quiet().ignore_stdout().ignore_stderr().run().is_ok(),
        "no Docker engine answers: is it installed and running, and may you use it?"
    );
    // The name that lab::compose::image looks for.
    let tag = format!("understudy-postgres:{major}");
    let work = sh.create_temp_dir()?;
    let tar = work.path().join("root.tar");
    eprintln!("building {tag} from the packages of {suite}: some minutes");
    let (package, hook) = (format!("--include=postgresql-{packaged}"), format!("--essential-hook={NO_MAIN_CLUSTER}"));
    let left_out = LEFT_OUT.map(|path| format!("--dpkgopt=path-exclude={path}"));
    let mirror = &args.mirror;
    let frugal = "--aptopt=APT::Install-Recommends \"false\"";
    cmd!(sh, "mmdebstrap --quiet --variant=minbase {frugal} {package} {hook} {left_out...} {suite} {tar} {mirror...}")
        .quiet()
        .ignore_stdout()
        .run()
        .context("mmdebstrap failed")?;
    let system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let bin = match args.tree.first() {
        None => format!("/usr/lib/postgresql/{packaged}/bin"),
        Some(tree) => format!("{tree}/bin"),
    };
    let path = format!("ENV PATH={bin}:{system}");
    cmd!(sh, "docker import --change {path} --change 'ENV LANG=C.UTF-8' {tar} {tag}").quiet().ignore_stdout().run()?;
    if !args.tree.is_empty() {
        add_trees(sh, &tag, &args.tree)?;
    }
    write_env(&tag)?;
    program::sink::print_line(&tag)?;
    Ok(Verdict::Held)
}

/// Lays directories of this machine over an image, each at its own place.
fn add_trees(sh: &Shell, tag: &str, trees: &[String]) -> Result<()> {
    let container = cmd!(sh, "docker create {tag} true").quiet().read()?;
    for tree in trees {
        ensure!(Path::new(tree).is_absolute(), "--tree {tree}: give an absolute path");
        // `docker cp` makes no parents, an archive from the root brings them along.
        let packed = sh.create_temp_dir()?;
        let (tar, below) = (packed.path().join("tree.tar"), tree.trim_start_matches('/'));
        cmd!(sh, "tar --create --file {tar} --directory / --owner 0 --group 0 {below}").quiet().run()?;
        let file = fs::File::open(&tar)?;
        let mut copy = std::process::Command::new("docker");
        let status = copy.args(["cp", "-", &format!("{container}:/")]).stdin(file).status()?;
        ensure!(status.success(), "--tree {tree}: it cannot be copied into the image");
    }
    cmd!(sh, "docker commit {container} {tag}").quiet().ignore_stdout().run()?;
    cmd!(sh, "docker rm {container}").quiet().ignore_stdout().run()?;
    Ok(())
}

/// Has `compose/compose.yaml` use the image, also by hand, unless somebody chose one.
fn write_env(tag: &str) -> Result<()> {
    let file = &workspace().join("compose/.env");
    if file.exists() {
        return Ok(());
    }
    fs::write(file, format!("UNDERSTUDY_IMAGE={tag}\n")).with_context(|| format!("cannot write {}", file.display()))
}

/// The code name of this machine's release.
fn own_release() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("--suite: this machine does not say its release")?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    match name.map(|name| name.trim_matches('"')) {
        Some(name) if RELEASES.iter().any(|(known, _)| *known == name) => Ok(name.to_owned()),
        _ => bail!("--suite: this machine's release is not one of those known; name one: {}", {
            RELEASES.map(|(name, _)| name).join(", ")
        }),
    }
}
