//! Whose process is at the other end? Of a Unix socket the system tells (libpq asks it for `requirepeer`), of a TCP
//! connection within this machine, too: each end is a socket here, and a socket has an owner.
//!
//! SCRAM alone does not tell the server from somebody in the middle: who has the port of a dead node can pass all that is
//! said on to a node that lives, until we are let in, and then speak for us. TLS would tell; a lab has none.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

use crate::stranger::Stranger;

/// Time for `id`: it may ask a directory server.
const ID_DEADLINE: Duration = Duration::from_secs(10);

/// As which user of the operating system the servers of a cluster run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerUser {
    /// Nobody said. Only where a socket's directory is open to everybody it has to be root or ourselves.
    Unknown,
    /// The one of `requirepeer`, and nobody else. As in libpq that holds for Unix sockets only.
    Required {
        /// Its name, for messages.
        name: String,
        /// Its number.
        uid: u32,
    },
    /// Of a lab of servers on this machine: this one. On Unix sockets it may be root or ourselves, too.
    Lab(u32),
    /// Of a lab of containers: root or ourselves, whom the engine runs as; it may also pass connections on in the kernel,
    /// and then no process is to be seen.
    Engine,
}

impl ServerUser {
    /// Of a lab whose servers run as `uid`. None runs as root: PostgreSQL refuses to.
    #[must_use]
    pub fn of_lab(uid: u32) -> ServerUser {
        if uid == 0 { ServerUser::Engine } else { ServerUser::Lab(uid) }
    }

    /// The user that `requirepeer` names.
    ///
    /// # Errors
    /// If the system does not know it.
    pub(crate) fn required(name: &str) -> Result<ServerUser> {
        let mut id = std::process::Command::new("id");
        id.args(["-u", "--", name]);
        let said = program::tool::run(id, ID_DEADLINE);
        let uid = said.ok().and_then(|text| text.parse().ok());
        let uid = uid.with_context(|| format!("conninfo: requirepeer={name}: there is no such user"))?;
        Ok(ServerUser::Required { name: name.to_owned(), uid })
    }

    /// Sees that the process that listens on a Unix socket in `dir` runs as `uid` rightly.
    pub(crate) fn check_socket(&self, dir: &Path, uid: u32) -> Result<()> {
        let (fits, who) = match self {
            ServerUser::Required { name, uid: required } => (uid == *required, format!("requirepeer={name}")),
            // A cluster file says whose they are, and anybody may have written it. Of a lab no socket is open to all.
            ServerUser::Lab(lab) => (
                is_trusted(uid) || (uid == *lab && !is_open_to_all(dir)),
                format!("the lab's servers are user {lab}'s, in directories that are not open to all"),
            ),
            ServerUser::Engine => (is_trusted(uid), "the container engine is root's or yours".to_owned()),
            ServerUser::Unknown => (
                is_trusted(uid) || !is_open_to_all(dir),
                "in a directory where everybody may put a socket it has to be yours or root's; if it is the server's user, \
                 say so: requirepeer=USER"
                    .to_owned(),
            ),
        };
        if fits {
            return Ok(());
        }
        Err(Stranger(format!("the socket in {} is of user {uid}, and {who}", dir.display())).into())
    }

    /// What has to be seen on a TCP connection of ours from `local` to `remote`.
    pub(crate) fn of_connection(&self, local: SocketAddr, remote: SocketAddr) -> Peer {
        let user = match self {
            ServerUser::Lab(uid) => Some(*uid),
            ServerUser::Engine => None,
            _ => return Peer::anybody(),
        };
        Peer(Some(Ends { user, local, remote }))
    }
}

/// Root, and we ourselves.
pub(crate) fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// Whether everybody may make a file in this directory.
fn is_open_to_all(dir: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(dir).map_or(true, |metadata| metadata.permissions().mode() & 0o002 != 0)
}

/// The other end of a connection, to be checked once it has said something: by then some process has it.
pub(crate) struct Peer(Option<Ends>);

/// Both ends of a TCP connection to a lab's node.
struct Ends {
    /// Whose process has the other one; `None`: the container engine's.
    user: Option<u32>,
    local: SocketAddr,
    remote: SocketAddr,
}

impl Peer {
    /// It may be anybody.
    pub(crate) fn anybody() -> Peer {
        Peer(None)
    }

    /// Sees that the process at the other end is the lab's.
    ///
    /// # Errors
    /// A [`Stranger`], if it is somebody else's. Of a server that has closed it, or died, that there is none any more: whom
    /// nobody sees is told nothing.
    pub(crate) fn check(&self) -> io::Result<()> {
        let Some(ends) = &self.0 else { return Ok(()) };
        let unknown = |why: anyhow::Error| Stranger(format!("whose process is there cannot be told: {why:#}"));
        let end = owner(ends.remote, ends.local).map_err(unknown)?;
        match (end, ends.user) {
            (End::Elsewhere, None) => Ok(()),
            (End::Elsewhere | End::Nobodys, _) => {
                let gone = "no process of this machine has the other end of the connection";
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, gone))
            }
            // Not root's: what is accepted for somebody in the kernel can be in its name. No server runs as root.
            (End::Of(uid), Some(user)) if uid == user => Ok(()),
            (End::Of(uid), None) if is_trusted(uid) => Ok(()),
            (End::Of(uid), user) => {
                let who = format!("port {} is held by a process of user {uid}", ends.remote.port());
                let whose = user.map_or("the container engine is root's or yours".to_owned(), |user| {
                    format!("the lab's servers are user {user}'s")
                });
                Err(Stranger(format!("{who}, and {whose}")).into())
            }
        }
    }
}

/// `NETLINK_SOCK_DIAG`'s question and answer for one TCP socket (sock_diag(7)).
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const IPPROTO_TCP: u8 = 6;
const ENOENT: i32 = -2;

/// Where all that stays within this machine arrives.
const LOOPBACK: &str = "lo";

/// Bytes of the question: a header and `struct inet_diag_req_v2`.
const QUESTION: u32 = 16 + 56;

/// Who has a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// There is none here: the kernel passes on what goes there, to a container say.
    Elsewhere,
    /// It is here, and no process has it yet, or any more.
    Nobodys,
    /// A process of this user.
    Of(u32),
}

/// Who has the TCP socket with this `local` end. (`/proc/net/tcp` tells the same, in milliseconds and not microseconds.)
fn owner(local: SocketAddr, remote: SocketAddr) -> Result<End> {
    let family = if local.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, kind, Some(netlink::SOCK_DIAG))?;
    let mut question = Vec::with_capacity(QUESTION as usize);
    question.extend(QUESTION.to_ne_bytes());
    question.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    question.extend(NLM_F_REQUEST.to_ne_bytes());
    question.extend([0; 8]); // number, sender
    question.extend([u8::try_from(family.as_raw())?, IPPROTO_TCP, 0, 0]);
    question.extend(u32::MAX.to_ne_bytes()); // in whatever state
    question.extend(local.port().to_be_bytes());
    question.extend(remote.port().to_be_bytes());
    question.extend(bytes(local.ip()));
    question.extend(bytes(remote.ip()));
    // Asked without an interface, the kernel does not find a socket that its owner has bound to one, as anybody may.
    question.extend(rustix::net::netdevice::name_to_index(&socket, LOOPBACK)?.to_ne_bytes());
    question.extend([0xff; 8]); // no cookie
    rustix::net::sendto(&socket, &question, SendFlags::empty(), &netlink::SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0; 4096];
    // It is there once the question is: the kernel answers on the spot.
    let (count, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::DONTWAIT)?;
    let answer = &answer[..count];
    let number = |at: usize| answer.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_ne_bytes);
    let kind = answer.get(4..6).and_then(|word| word.try_into().ok()).map(u16::from_ne_bytes);
    match (kind, number(16)) {
        (Some(NLMSG_ERROR), Some(errno)) if errno.cast_signed() == ENOENT => Ok(End::Elsewhere),
        (Some(NLMSG_ERROR), Some(errno)) => bail!("sock_diag: error {}", errno.cast_signed()),
        // struct inet_diag_msg: four bytes, the two ends (48), three numbers, the user, the inode
        (Some(SOCK_DIAG_BY_FAMILY), _) => {
            let of = |at| number(at).context("sock_diag: a short answer");
            let (uid, inode) = (of(80)?, of(84)?);
            Ok(if inode == 0 { End::Nobodys } else { End::Of(uid) })
        }
        _ => bail!("sock_diag: an answer of kind {kind:?}"),
    }
}

/// An address as the kernel wants it: 16 bytes, in the order of the network.
fn bytes(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            bytes
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_owner_of_the_other_end_is_known_once_somebody_has_taken_it() {
        let me = rustix::process::geteuid().as_raw();
        // Dual-stack, too: a stranger may listen on [::], and is reached by 127.0.0.1 all the same.
        for (listens, host) in [("127.0.0.1:0", "127.0.0.1"), ("[::]:0", "127.0.0.1"), ("[::1]:0", "::1")] {
            let Ok(listener) = TcpListener::bind(listens) else { continue }; // a machine without IPv6
            let port = listener.local_addr().unwrap().port();
            let client = TcpStream::connect((host, port)).unwrap();
            let (ours, theirs) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
            assert_eq!(owner(theirs, ours).unwrap(), End::Nobodys, "{listens}: nobody has taken it");
            for user in [ServerUser::Lab(me), ServerUser::Engine] {
                let untaken = user.of_connection(ours, theirs).check().unwrap_err();
                assert_eq!(untaken.kind(), io::ErrorKind::ConnectionAborted, "{user:?}");
            }
            let server = listener.accept().unwrap();
            assert_eq!(owner(theirs, ours).unwrap(), End::Of(me), "{listens}");
            drop(server);
            assert_ne!(owner(theirs, ours).unwrap(), End::Of(me), "{listens}: it is closed");
        }
    }

    /// Anybody may bind a socket to an interface, and was not seen then.
    #[test]
    fn who_has_bound_a_listener_to_the_loopback_interface_is_seen() {
        let me = rustix::process::geteuid().as_raw();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind_device(Some(LOOPBACK.as_bytes())).unwrap();
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let listener = socket.listen(1).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (ours, theirs) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
            let server = listener.accept().await.unwrap();
            assert_eq!(owner(theirs, ours).unwrap(), End::Of(me));
            let is_stranger = |user: &ServerUser| {
                let said = user.of_connection(ours, theirs).check().map_err(|error| error.to_string());
                said.err().is_some_and(|said| said.contains("is held by a process of user"))
            };
            assert!(!is_stranger(&ServerUser::Lab(me)) && !is_stranger(&ServerUser::Engine));
            assert!(is_stranger(&ServerUser::Lab(me + 1)), "also as root: no server of a lab is root's");
            drop(server);
            // Whom nobody sees is not believed.
            let gone = ServerUser::Lab(me).of_connection(ours, theirs).check().unwrap_err();
            assert_eq!(gone.kind(), io::ErrorKind::ConnectionAborted);
            // What the kernel passes on, to a container, has no end here.
            let elsewhere = "127.0.0.1:9".parse().unwrap();
            assert_eq!(owner(elsewhere, ours).unwrap(), End::Elsewhere);
            ServerUser::Engine.of_connection(ours, elsewhere).check().unwrap();
            assert!(ServerUser::Lab(me).of_connection(ours, elsewhere).check().is_err());
        });
    }

    #[test]
    fn a_socket_that_anybody_may_have_put_there_has_to_be_ours_or_roots() {
        let (me, other) = (rustix::process::geteuid().as_raw(), 54_321);
        let (open, closed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::set_permissions(open.path(), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
        let open = open.path();
        let fits = |user: &ServerUser, dir: &Path, uid| user.check_socket(dir, uid).is_ok();
        let unknown = ServerUser::Unknown;
        assert!(fits(&unknown, open, 0) && fits(&unknown, open, me) && !fits(&unknown, open, other));
        assert!(fits(&unknown, closed.path(), other), "it is the affair of the directory's owner");
        let required = ServerUser::Required { name: "x".into(), uid: other };
        assert!(fits(&required, open, other) && !fits(&required, open, 0) && !fits(&required, closed.path(), me));
        let lab = ServerUser::Lab(other);
        assert!(fits(&lab, closed.path(), other) && fits(&lab, open, 0) && !fits(&lab, closed.path(), other + 1));
        assert!(!fits(&lab, open, other), "whoever wrote the cluster file may have named himself");
        let engine = ServerUser::Engine;
        assert!(fits(&engine, open, 0) && fits(&engine, closed.path(), me) && !fits(&engine, closed.path(), other));
        assert!(!fits(&unknown, &open.join("none"), other), "nobody knows who can put something there");
        assert!(ServerUser::required("no such user").unwrap_err().to_string().contains("requirepeer"));
        assert!(matches!(ServerUser::required("root").unwrap(), ServerUser::Required { uid: 0, .. }));
    }
}
