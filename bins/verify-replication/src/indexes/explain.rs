//! Whether the server would read an index for a statement: a look-up in another way proves nothing about that index.

use super::index::Index;
use crate::read_error::ReadError;
use crate::reader::{Reader, column};

/// Ways to read: an index scan, or a bitmap of what an index leads to. Some indexes can do only the second, and the server
/// chooses the first where another index offers it.
const MODES: [&str; 2] = [cluster::sql!("verify_by_index"), cluster::sql!("verify_by_bitmap")];

/// How a plan finds rows by their places.
pub(super) const BY_PLACE: &str = "Tid Scan on ";

/// In which of these ways the server reads this very index for a statement, and does what else is on a line of the plan.
/// `None`: it will not.
pub(super) fn mode(
    reader: &mut Reader,
    index: &Index,
    (sql, also): (&str, Option<&str>),
) -> Result<Option<&'static str>, ReadError> {
    let mut found = Ok(None);
    for mode in MODES {
        reader.set_mode(mode);
        match reads(reader, index, sql, also) {
            Ok(true) => found = Ok(Some(mode)),
            Ok(false) => continue,
            Err(error) => found = Err(error),
        }
        break;
    }
    reader.set_mode(cluster::sql!("verify_by_scan"));
    found
}

/// Does something in a session that reads in such a way.
pub(super) fn by<T>(
    reader: &mut Reader,
    mode: &'static str,
    run: impl FnOnce(&mut Reader) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    reader.set_mode(mode);
    let done = run(reader);
    reader.set_mode(cluster::sql!("verify_by_scan"));
    done
}

fn reads(reader: &mut Reader, index: &Index, sql: &str, also: Option<&str>) -> Result<bool, ReadError> {
    let plan = reader.rows(&format!("EXPLAIN (COSTS OFF) {sql}"), &[])?;
    let plan = plan.iter().map(|row| column::<String>(row, 0)).collect::<Result<Vec<_>, _>>()?;
    let does_also = also.is_none_or(|also| plan.iter().any(|line| line.contains(also)));
    Ok(does_also && plan.iter().any(|line| names(line, &index.quoted)))
}

/// Whether a line of a plan is on the scan of this index.
fn names(line: &str, index: &str) -> bool {
    let scans = line.contains(&format!("Index Scan using {index} on "))
        || line.contains(&format!("Index Scan Backward using {index} on "));
    scans || line.ends_with(&format!("Bitmap Index Scan on {index}"))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_plan_names_the_index_that_it_reads() {
        assert!(names("        ->  Index Scan using t_pkey on t", "t_pkey"));
        assert!(names("              ->  Bitmap Index Scan on \"My idx\"", "\"My idx\""));
        assert!(!names("        ->  Index Scan using t_pkey on t", "pkey"));
        assert!(!names("        ->  Index Only Scan using t_pkey on t", "t_pkey"));
        assert!(!names("        ->  Bitmap Index Scan on t_pkey1", "t_pkey"));
        assert!(!names("        ->  Seq Scan on t_pkey", "t_pkey"));
    }
}
