//! The same work for several nodes at the same time.

use anyhow::{Result, anyhow};

/// Does `work` for each of `nodes` on a thread of its own; what came of it, in their order, when all have ended.
pub fn at_once<T: Send>(nodes: &[String], work: impl Fn(&str) -> Result<T> + Sync) -> Vec<Result<T>> {
    let work = &work;
    std::thread::scope(|scope| {
        let working: Vec<_> = nodes.iter().map(|node| scope.spawn(move || work(node))).collect();
        working.into_iter().map(|working| working.join().map_err(|_| anyhow!("a panic"))?).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn all_are_at_work_at_the_same_time_and_each_has_its_own_result() {
        let nodes = ["node1", "node2", "node3"].map(str::to_owned);
        let all_there = Barrier::new(nodes.len()); // one after the other, they would wait here for ever
        let results = at_once(&nodes, |node| {
            all_there.wait();
            if node == "node2" { Err(anyhow!("no room for {node}")) } else { Ok(node.to_owned()) }
        });
        let shown: Vec<_> = results.into_iter().map(|result| result.map_err(|error| error.to_string())).collect();
        assert_eq!(shown, [Ok("node1".to_owned()), Err("no room for node2".to_owned()), Ok("node3".to_owned())]);
    }
}
