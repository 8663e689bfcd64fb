//! Who runs on this machine, as the kernel says it.

use std::path::Path;

/// The processes that work in a directory or below it, as people would name them.
pub(crate) fn working_below(dir: &Path) -> Vec<String> {
    processes(|process| std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir)))
}

/// Our programs that run as part of a run. (The servers that a drill started keep its environment, and outlive it.)
pub(crate) fn programs_of(run: &str) -> Vec<String> {
    let variable = format!("UNDERSTUDY_RUN={run}");
    let ours = |process: &Path| -> std::io::Result<bool> {
        let environment = std::fs::read(process.join("environ"))?;
        let name = std::fs::read_to_string(process.join("comm"))?;
        let part = environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes());
        Ok(part && !name.starts_with("postgres"))
    };
    processes(|process| ours(process).unwrap_or(false))
}

/// The states (proc(5)) of the processes that work in a directory or below it.
pub(crate) fn states_below(dir: &Path) -> Vec<char> {
    let below = |process: &Path| std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
    let stats = stats(below).into_iter();
    stats.filter_map(|stat| stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())).collect()
}

fn processes(wanted: impl Fn(&Path) -> bool) -> Vec<String> {
    stats(wanted).iter().map(|stat| short(stat)).collect()
}

fn stats(wanted: impl Fn(&Path) -> bool) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).map(|entry| entry.path());
    let wanted = entries.filter(|path| path.join("stat").exists() && wanted(path));
    wanted.map(|path| std::fs::read_to_string(path.join("stat")).unwrap_or_default()).collect()
}

/// Pid and name of a process, from its `stat`.
fn short(stat: &str) -> String {
    stat.split_inclusive(')').next().unwrap_or_default().to_owned()
}
