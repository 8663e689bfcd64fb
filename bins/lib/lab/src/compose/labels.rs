//! What everything of a lab of containers bears: the lab's id, and its directory. An id alone can be copied, with the lab or
//! by somebody else; then it still is no proof in another directory.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use super::engine::Engine;
use crate::marker::{self, LabId};

/// The name of the label with the lab's id.
const LAB: &str = "pg-understudy.lab";

/// The name of the label with the lab's directory.
const DIR: &str = "pg-understudy.dir";

/// What compose makes for a lab beside containers, by its names in the file.
const MADE_BY_COMPOSE: [(&str, &str); 3] = [("volume", "nodes"), ("network", "replication"), ("network", "clients")];

/// The labels of one lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Labels {
    id: LabId,
    /// The lab's directory, without links.
    dir: String,
}

impl Labels {
    /// Of the lab `id` in `dir`.
    ///
    /// # Errors
    /// If the directory's name is not UTF-8.
    pub(super) fn of(dir: &Path, id: &LabId) -> Result<Labels> {
        let real = dir.canonicalize().with_context(|| dir.display().to_string())?;
        let text =
            real.to_str().with_context(|| format!("{}: a lab of containers has a name in UTF-8", dir.display()))?;
        Ok(Labels { id: id.clone(), dir: text.to_owned() })
    }

    /// The lab's directory, as the label has it.
    pub(super) fn dir(&self) -> &str {
        &self.dir
    }

    /// `name=value` of both.
    pub(super) fn both(&self) -> [String; 2] {
        [format!("{LAB}={}", self.id.as_str()), format!("{DIR}={}", self.dir)]
    }

    /// The words that make the engine list what bears both, and nothing else.
    pub(super) fn filters(&self) -> Vec<String> {
        self.both().into_iter().flat_map(|label| ["--filter".to_owned(), format!("label={label}")]).collect()
    }

    /// Eight hexadecimal digits that no other lab has, nor a copy of this one.
    pub(super) fn digest(&self) -> String {
        let hash = Sha256::digest(self.both().join("\n"));
        hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Sees that whatever bears the lab's id in another directory is another lab's, of which this one is a copy: the lab may
    /// have been moved, and would leave its data behind.
    ///
    /// # Errors
    /// What there is, and where.
    pub(super) fn check_not_moved(&self, engine: &Engine) -> Result<()> {
        let filter = format!("label={LAB}={}", self.id.as_str());
        let format = format!("{{{{.Label \"{DIR}\"}}}}");
        for list in [&["ps", "--all"][..], &["volume", "ls"]] {
            let said = engine.order(&[list, &["--filter", &filter, "--format", &format]].concat())?;
            for dir in said.lines().filter(|dir| *dir != self.dir) {
                let is_copied =
                    !dir.is_empty() && marker::read(Path::new(dir)).is_ok_and(|id| id.as_ref() == Some(&self.id));
                let shown = if dir.is_empty() { "no directory that is known" } else { dir };
                ensure!(
                    is_copied,
                    "containers or volumes with the id of the lab in {} are those of {shown}: they are left alone; if the lab \
                     was moved, move it back, or remove them by hand (`docker ps --all`, `docker volume ls`, each with \
                     `--filter {filter}`)",
                    self.dir
                );
            }
        }
        Ok(())
    }

    /// Sees that compose finds nothing of somebody else's by the names of what it makes: it would take a volume as it is, with
    /// all that is in it.
    ///
    /// # Errors
    /// What is in the way.
    pub(super) fn check_not_in_the_way(&self, engine: &Engine, project: &str) -> Result<()> {
        let format = format!("{{{{.Name}}}}\t{LAB}={{{{.Label \"{LAB}\"}}}}\t{DIR}={{{{.Label \"{DIR}\"}}}}");
        let [lab, dir] = self.both();
        for (kind, name) in MADE_BY_COMPOSE {
            let (name, ours) = (format!("{project}_{name}"), format!("{project}_{name}\t{lab}\t{dir}"));
            // The filter takes all names that hold this one.
            let said = engine.order(&[kind, "ls", "--filter", &format!("name={name}"), "--format", &format])?;
            let in_the_way = said.lines().find(|line| line.split('\t').next() == Some(&name) && *line != ours);
            ensure!(
                in_the_way.is_none(),
                "the {kind} {name} is in the way: it does not bear the labels of the lab in {}, so it is somebody else's and \
                 left alone; if it is yours, remove it (`docker {kind} rm {name}`)",
                self.dir
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_other_labels() {
        let (lab, copy, id) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), LabId::new());
        let [of_lab, of_copy] = [&lab, &copy].map(|dir| Labels::of(dir.path(), &id).unwrap());
        assert_eq!(of_lab.both()[0], of_copy.both()[0]);
        assert_ne!(of_lab.both()[1], of_copy.both()[1]);
        assert_ne!(of_lab.digest(), of_copy.digest());
        let link = copy.path().join("link");
        std::os::unix::fs::symlink(lab.path(), &link).unwrap();
        assert_eq!(Labels::of(&link, &id).unwrap(), of_lab);
    }
}
