use super::*;
use std::os::unix::fs::{PermissionsExt as _, symlink};

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn said(path: &Path) -> String {
    format!("{:#}", read(path).unwrap_err())
}

#[test]
fn what_only_we_can_write_is_read_also_by_links_of_ours_and_below_tmp() {
    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (dir.path().join("file"), dir.path().join("link"));
    fs::write(&file, "text").unwrap();
    let name = dir.path().file_name().unwrap().to_str().unwrap();
    symlink(format!("../{name}/../{name}/file"), &link).unwrap();
    let by_link = dir.path().join("dir-link");
    symlink(dir.path(), &by_link).unwrap();
    assert_eq!((read(&file).unwrap().as_str(), read(&link).unwrap().as_str()), ("text", "text"));
    assert_eq!(read(&by_link.join("file")).unwrap(), "text");
    assert!(check_dir(dir.path()).unwrap() && !check_dir(&dir.path().join("none")).unwrap());
    assert!(check_dir(&by_link).unwrap_err().to_string().contains("link"));
    assert!(check_dir(&dir.path().join("dir-link/")).unwrap_err().to_string().contains("link"));
    assert!(read_if_there(&dir.path().join("none/file")).unwrap().is_none());
    assert!(read_if_there(&file.join("below")).unwrap().is_none());
}

#[test]
fn others_who_can_write_to_the_file_or_above_it_are_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (above, file) = (dir.path().join("above"), dir.path().join("above/file"));
    fs::create_dir(&above).unwrap();
    fs::write(&file, "text").unwrap();
    mode(&file, 0o602);
    assert!(said(&file).contains(&format!("chmod go-w {}", file.display())), "{}", said(&file));
    mode(&file, 0o600);
    mode(&above, 0o777);
    assert!(said(&file).contains(&format!("others can write to {} ", above.display())), "{}", said(&file));
    mode(&above, 0o1777);
    assert_eq!(read(&file).unwrap(), "text", "sticky");
    mode(&file, 0o1602); // of a file that says nothing
    assert!(said(&file).contains("others can write"), "{}", said(&file));
    mode(&file, 0o600);
    assert!(check_dir(&above).is_err(), "not for what is to be filled");
}

#[test]
fn a_pipe_a_device_and_a_directory_are_no_plain_files_and_nothing_waits() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap().success());
    let link = dir.path().join("link");
    symlink(&pipe, &link).unwrap();
    for path in [pipe.as_path(), &link, Path::new("/dev/null"), dir.path()] {
        assert!(said(path).contains("not a plain file") || said(path).contains("can write"), "{}", said(path));
        assert!(format!("{:#}", read_plain(path).unwrap_err()).contains("not a plain file"), "{}", path.display());
    }
    let told = read_plain(Path::new("/proc/version")).unwrap_err().to_string();
    assert!(told.contains("not a plain file"), "/proc/kmsg would be read away: {told}");
    let long = dir.path().join("long");
    fs::write(&long, vec![b'x'; 2 << 20]).unwrap();
    assert!(said(&long).contains("bytes"));
    assert!(read_plain_up_to(&long, (2 << 20) - 1).is_err());
    assert_eq!(read_plain_up_to(&long, 2 << 20).unwrap().len(), 2 << 20);
    File::options().write(true).open(&long).unwrap().set_len(1 << 40).unwrap(); // sparse: it takes no room on the disk
    assert!(read_plain_up_to(&long, 1 << 30).unwrap_err().to_string().contains("bytes"));
}

#[test]
fn a_program_that_others_could_have_put_there_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let (theirs, ours, none) = (dir.path().join("theirs"), dir.path().join("ours"), dir.path().join("none"));
    for dir in [&theirs, &ours] {
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("psql"), "").unwrap();
    }
    let found = |dirs: &[&PathBuf]| in_dirs(dirs.iter().map(|dir| (*dir).clone()), "psql", None);
    assert_eq!(found(&[&none, &theirs, &ours]).unwrap(), theirs.join("psql"));
    mode(&theirs, 0o777);
    assert_eq!(found(&[&none, &theirs, &ours]).unwrap(), ours.join("psql"));
    let said = format!("{:#}", found(&[&theirs]).unwrap_err());
    assert!(said.contains("no psql in PATH that may be run") && said.contains("can write"), "{said}");
    // By the name that it is called by, though another file is run.
    symlink(ours.join("psql"), none.with_extension("link")).unwrap();
    fs::create_dir(&none).unwrap();
    fs::rename(none.with_extension("link"), none.join("psql")).unwrap();
    assert_eq!(found(&[&none]).unwrap(), none.join("psql"));
}

/// As for anybody's in a group that is not its owner's alone.
#[test]
fn a_group_that_is_nobodys_own_and_can_write_is_named_with_what_to_do() {
    let file = tempfile::NamedTempFile::new().unwrap();
    if std::os::unix::fs::chown(file.path(), None, Some(SOME_GROUP)).is_err() {
        return; // only root gives files to any group
    }
    mode(file.path(), 0o660);
    assert!(said(file.path()).contains("group can write to"), "{}", said(file.path()));
    assert!(said(file.path()).contains("`chmod g-w "), "{}", said(file.path()));
    mode(file.path(), 0o640);
    read(file.path()).unwrap();
}

/// `tty`, everywhere: nobody's own.
const SOME_GROUP: u32 = 5;

/// Whoever may write below a data directory could have root read what only root may.
#[test]
fn a_link_to_a_plain_file_is_not_read_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (dir.path().join("file"), dir.path().join("link"));
    fs::write(&file, "secret").unwrap();
    symlink(&file, &link).unwrap();
    assert_eq!(read_plain(&file).unwrap(), "secret");
    for refused in [read_plain(&link).map(drop), read_plain_if_there(&link).map(drop), open_plain(&link).map(drop)] {
        assert!(format!("{:#}", refused.unwrap_err()).contains("is a symbolic link"));
    }
}

#[test]
fn links_that_lead_to_each_other_are_not_followed_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    symlink(&one, &other).unwrap();
    symlink(&other, &one).unwrap();
    let (path, tell) = (one.clone(), std::sync::mpsc::channel());
    std::thread::spawn(move || tell.0.send(said(&path)));
    let said = tell.1.recv_timeout(std::time::Duration::from_secs(30)).unwrap();
    assert!(said.contains("too many symbolic links"), "{said}");
}

#[test]
fn a_program_is_looked_at_also_if_its_path_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("psql");
    fs::write(&program, "").unwrap();
    let named = || named(program.to_str().unwrap());
    mode(&program, 0o755);
    assert_eq!(named().unwrap(), program);
    mode(&program, 0o757);
    assert!(named().unwrap_err().to_string().contains("others can write"));
    fs::remove_file(&program).unwrap();
    assert!(named().unwrap_err().to_string().contains("there is no such file"));
}

/// The owner of the file, of a directory above it, and of a link to it.
#[test]
fn as_root_what_another_user_owns_is_nothing_to_go_by() {
    if !rustix::process::geteuid().is_root() {
        return; // nothing can be given away
    }
    let dir = tempfile::tempdir().unwrap();
    let (above, file, link) = (dir.path().join("above"), dir.path().join("above/file"), dir.path().join("link"));
    fs::create_dir(&above).unwrap();
    fs::write(&file, "text").unwrap();
    mode(&file, 0o600);
    symlink(&file, &link).unwrap();
    let owned_by = |path: &Path, uid| std::os::unix::fs::lchown(path, Some(uid), None).unwrap();
    for theirs in [&file, &above, &link] {
        assert_eq!((read(&link).unwrap().as_str(), read_private(&link).unwrap().as_str()), ("text", "text"));
        of_programs(&link, None).unwrap();
        owned_by(theirs, NOBODY);
        let words = format!("{} belongs to ", theirs.display());
        assert!(said(&link).contains(&words), "{}", said(&link));
        for refused in [read_private(&link).map(drop), of_programs(&link, None).map(drop)] {
            assert!(format!("{:#}", refused.unwrap_err()).contains(&words), "{words}");
        }
        of_programs(&link, Some(NOBODY)).unwrap(); // who runs what is his own gives nothing away
        of_programs(&link, Some(NOBODY - 1)).unwrap_err(); // and what is somebody else's is none of his
        owned_by(theirs, 0);
    }
    owned_by(&above, NOBODY);
    assert!(format!("{:#}", check_dir(&above).unwrap_err()).contains("belongs to "), "a directory of theirs");
}

const NOBODY: u32 = 65_534;

#[test]
fn a_file_with_passwords_is_nobody_elses_to_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "secret").unwrap();
    assert_eq!(read_private(file.path()).unwrap(), "secret");
    mode(file.path(), 0o640);
    assert!(read_private(file.path()).unwrap_err().to_string().contains("chmod 0600"));
}

/// What a list lets somebody do, the mode shows as what the group may do.
#[test]
fn a_list_of_who_may_write_is_no_private_group() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "text").unwrap();
    mode(&file, 0o664);
    // Version 2; the owner, user 4711, the group, the most that these two may do, and others: each what, which rights, and who.
    let entry =
        |tag: u16, rights: u16, id: u32| [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat();
    let none = u32::MAX;
    let entries = [entry(1, 6, none), entry(2, 6, 4711), entry(4, 6, none), entry(16, 6, none), entry(32, 4, none)];
    let list = [2_u32.to_le_bytes().to_vec(), entries.concat()].concat();
    let flags = rustix::fs::XattrFlags::empty();
    match rustix::fs::setxattr(&file, "system.posix_acl_access", &list, flags) {
        Err(Errno::NOTSUP) => return, // nor can anybody else write by one
        set => set.unwrap(),
    }
    assert!(said(&file).contains("group can write to"), "{}", said(&file));
}
