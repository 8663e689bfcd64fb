//! Who the users and groups of this machine are, by `/etc/passwd` and `/etc/group`. Those of a directory server are not
//! known here: then a uid has no name, and no group is private.

use std::fs;

/// The name of a user.
#[must_use]
pub fn name(uid: u32) -> Option<String> {
    name_in(&fs::read_to_string("/etc/passwd").ok()?, uid)
}

/// Whether a group is a user's own, as many distributions give one to each (and a umask of 002 with it): it has that
/// user's name, nobody else is in it, and it is nobody else's first group.
#[must_use]
pub fn is_private_group(gid: u32, uid: u32) -> bool {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    is_private(&read("/etc/passwd"), &read("/etc/group"), gid, uid)
}

/// The fields of each line; `name:x:number:…` in both files.
fn lines(text: &str) -> impl Iterator<Item = (&str, Option<u32>, Vec<&str>)> {
    text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let (name, number) = (*fields.first()?, fields.get(2)?.parse().ok());
        Some((name, number, fields))
    })
}

fn name_in(passwd: &str, uid: u32) -> Option<String> {
    lines(passwd).find(|(_, number, _)| *number == Some(uid)).map(|(name, ..)| name.to_owned())
}

fn is_private(passwd: &str, group: &str, gid: u32, uid: u32) -> bool {
    let Some(user) = name_in(passwd, uid) else { return false };
    // Several lines may name one group, each with members of its own.
    let mut named = lines(group).filter(|(_, number, _)| *number == Some(gid)).peekable();
    if named.peek().is_none() {
        return false;
    }
    let is_alone = |fields: &[&str]| {
        let members = fields.get(3).copied().unwrap_or_default();
        members.split(',').map(str::trim).all(|member| member.is_empty() || member == user)
    };
    let alone = named.all(|(name, _, fields)| name == user && is_alone(&fields));
    let first_of = |fields: &[&str]| fields.get(3).and_then(|gid| gid.parse().ok()) == Some(gid);
    let of_others = lines(passwd).any(|(_, number, fields)| number != Some(uid) && first_of(&fields));
    alone && !of_others
}

#[cfg(test)]
mod tests {
    use super::is_private;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:\nbob:x:1001:100::/home/bob:\n\
                          carol:x:1002:1000::/:\ndave:x:1003:1003::/:\n";

    #[test]
    fn a_group_is_its_users_own_only_if_nobody_else_is_in_it() {
        let of_dave = |group: &str| is_private(PASSWD, group, 1003, 1003);
        assert!(of_dave("dave:x:1003:\n") && of_dave("a:x:1:\ndave:x:1003:dave\n"));
        assert!(!of_dave("dave:x:1003:dave,bob\n"), "another member");
        assert!(!of_dave("staff:x:1003:\n"), "another name");
        assert!(
            !of_dave("dave:x:1003:\nadmins:x:1003:bob\n") && !of_dave("dave:x:1003:\ndave:x:1003:bob\n"),
            "another line"
        );
        assert!(!of_dave(""), "not known here");
        assert!(!is_private(PASSWD, "alice:x:1000:\n", 1000, 1000), "it is carol's first group");
        assert!(!is_private(PASSWD, "users:x:100:\n", 100, 1001), "everybody's");
        assert!(!is_private(PASSWD, "x:x:7:\n", 7, 7), "no such user");
    }
}
