#!/bin/sh
# A PostgreSQL node in a container: what has to be done in there. Compose starts `serve`; setup and drills give the other
# words, in the running container or in one of its own over the same volume. Whoever works without setup has by-hand.sh, too.
#
#   serve                                  run what the data directory is
#   healthy                                the health check
#   promote [SECONDS]                      make the standby that runs here the primary
#   tool PROGRAM ARG...                    one of PostgreSQL's tools over the data of the stopped node
#   make primary|standby PROGRAM ARG...    new data by a tool; what was there is kept as data.old until `discard-old`
#   make-standby                           what a rewound node needs before it is started
#   beside PROGRAM ARG...                  a tool beside the running server
#   state                                  what the data of all nodes of this volume are
#   discard-old, remove                    remove what `make` kept; all of the stopped node
#   follow | rejoin | reclone HOST [PORT]  by hand: see by-hand.sh
#
# It needs PostgreSQL's programs in PATH, flock, and (as root) setpriv, gosu or su-exec. The node's name is UNDERSTUDY_NODE.
#
#   /secrets/passfile                   passwords (libpq's format)
#   /var/lib/postgresql/NODE/           lock, passfile (what the server needs of it), data
#   /understudy/nodes/NODE/             the configuration, written by setup; by hand it is in conf/ beside the data
#   /peers/                             by hand, the other volume: who is on a newer timeline?
#
# The server's user decides what a name below data* leads to: a link there could lead root anywhere. So every directory but
# data* is root's, and what has to be done below data* is done as the server's user (`$drop`), never as root.
set -eu
export LC_ALL=C
umask 077
# For libpq 16 and newer, the server's own included: nothing goes to, and nothing comes from, whoever does not prove that it
# knows the password, too. Somebody else's primary may have another way.
[ -n "${UNDERSTUDY_PRIMARY_PASSFILE:-}" ] || export PGREQUIREAUTH="${PGREQUIREAUTH-scram-sha-256}"
trap : HUP # "read your settings": nothing to read before the server runs

here=${0%/*}
root=/var/lib/postgresql
port=5432

# Whether the node is fenced; not beside the data, whose disk may be full. Root's own, if we are root.
own_notes=/run/understudy
[ "$(id -u)" = 0 ] || own_notes=/tmp/understudy
mkdir -p $own_notes
fenced=$own_notes/fenced

say() { printf 'node %s: %s\n' "${node:-?}" "$*" >&2; } # not `echo`, which would make control characters of `\033`
die() { say "$*"; exit 1; }

# The command before a command that makes it run as the server's user; nothing if we are not root.
find_drop() {
    drop=
    [ "$(id -u)" = 0 ] || return 0
    id -u postgres >/dev/null 2>&1 || die "PostgreSQL refuses to run as root, and the image has no user postgres"
    export HOME=$root # root's own is closed to the server, and libpq looks there for certificates
    # Busybox has a setpriv, too, which cannot do this.
    if setpriv --reuid=postgres --regid=postgres --init-groups -- true 2>/dev/null; then
        drop="setpriv --reuid=postgres --regid=postgres --init-groups --"
    elif command -v gosu >/dev/null; then
        drop="gosu postgres"
    elif command -v su-exec >/dev/null; then
        drop="su-exec postgres"
    else
        die "the image has neither setpriv nor gosu nor su-exec: nothing to leave root with"
    fi
}

own() { [ -z "$drop" ] || chown postgres:postgres "$@"; }

# Makes a directory root's, in which only root then says what a name leads to. The volume's top is another's in some images.
claim() { # DIRECTORY
    [ ! -L "$1" ] || die "$1 is a link: nothing of ours is there"
    mkdir -p "$1"
    [ -z "$drop" ] || chown root:root "$1"
    chmod 0755 "$1"
}

# Removes a directory of the server's user: what is in it, as that user.
remove() { # DIRECTORY
    [ -e "$1" ] || return 0
    $drop rm -rf "$1" 2>/dev/null || : # the directory itself stays: it stands in one of root's
    [ ! -e "$1" ] || rmdir "$1"
}

# Waits for a child of ours and keeps how it ended. The first wait comes before any other command: a shell may reap a child
# that has ended, and forget how, whenever it runs one. A signal ends a wait and not the child, so there may be more waits.
wait_for() { # PID
    ended=0
    wait "$1" || ended=$?
    while kill -0 "$1" 2>/dev/null; do
        ended=0
        wait "$1" || ended=$?
    done
}

# Runs a tool as the server's user, so that a signal ends it at once: a shell that waits in the foreground would keep it.
run_tool() {
    # A shell gives what it starts in the background /dev/null to read; the tool is to read what we do.
    { $drop "$@" <&3 3<&- & } 3<&0
    tool=$!
    trap 'kill $tool; wait $tool; exit 143' TERM INT
    wait_for $tool
    trap - TERM INT
    return $ended
}

is_standby() { $drop test -e "$data/standby.signal"; }
has_data() { $drop test -s "$data/PG_VERSION"; }

# With the lock held nobody else runs here; the server inherits it. Without it two postmasters ran on one directory.
lock() { # SECONDS
    claim "$root"
    claim "$dir"
    for name in "$dir/lock" "$data" "$data.new" "$data.old"; do
        [ ! -L "$name" ] || die "$name is a link: nothing of ours is there"
    done
    exec 9>"$dir/lock"
    end=$(($(date +%s) + ${1:-0}))
    until flock -n 9; do # busybox's has no time-out
        [ "$(date +%s)" -lt $end ] || die "another container works on $dir"
        sleep 0.2
    done
}

unlock() { exec 9>&-; }

# A file of the server's own with passwords, since libpq takes no password file that a group may read.
write_secret() { # FILE
    rm -f "$1.new" && cat >"$1.new" && own "$1.new" && mv "$1.new" "$1"
}

# What the server and its tools may know of the passwords: those of two roles, at the addresses that they are for. Again before
# a server is told to follow somebody: another node may have come since.
copy_passwords() {
    [ -e /secrets/passfile ] || return 0
    sed -n -E "/^[^:]*:[^:]*:[^:]*:understudy_(replication|rewind):/p" /secrets/passfile | write_secret "$dir/passfile"
}

# A file below data*, as the server's user.
# shellcheck disable=SC2016 # it is that user's shell that expands
write_data() { $drop sh -c 'cat >"$1.new" && mv -f "$1.new" "$1"' sh "$1"; }

# A data directory in the making; an unfinished one of before goes.
new_data() {
    remove "$data.new"
    mkdir "$data.new"
    own "$data.new"
}

# What every data directory of ours has: the one-line configuration, and no settings of another node.
put_in_order() { # DATA
    echo "include '$conf/postgresql.conf'" | write_data "$1/postgresql.conf"
    echo "# ALTER SYSTEM writes here." | write_data "$1/postgresql.auto.conf"
}

# Puts a finished data directory in place; the one that was there is kept as data.old until `discard-old`.
swap_in() {
    if [ -e "$data" ]; then
        remove "$data.old"
        mv "$data" "$data.old"
    fi
    mv "$data.new" "$data"
    rm -f "$dir/rewinding"
}

# Runs a tool that reads our stdin: there, and in a file that it may be told of by name.
with_input() { # PROGRAM ARG...
    write_secret "$dir/input"
    run_tool "$@" <"$dir/input" || :
    rm -f "$dir/input"
    return $ended
}

# A tool over the data of this node, which nobody runs.
tool() { # PROGRAM ARG...
    $drop rm -f "$data/postmaster.pid"
    # Until it is a standby, it must not be started: its blocks are those of two servers.
    [ "$1" != pg_rewind ] || : >"$dir/rewinding"
    with_input "$@"
}

# New data for this node, made by a tool in data.new.
make() { # primary|standby PROGRAM ARG...
    kind=$1
    shift
    new_data
    with_input "$@" || exit $?
    put_in_order "$data.new"
    [ "$kind" = primary ] || $drop touch "$data.new/standby.signal"
    swap_in
}

make_standby() {
    put_in_order "$data"
    $drop touch "$data/standby.signal"
    rm -f "$dir/rewinding"
}

# The newest timeline that a data directory knows of.
timeline() { # DATA
    newest=$($drop pg_controldata -D "$1" | sed -n "s/^Latest checkpoint's TimeLineID: *//p")
    [ -n "$newest" ] || die "$1: pg_controldata tells no timeline"
    for history in $($drop ls "$1/pg_wal" | sed -n 's/^\([0-9A-F]\{8\}\)\.history$/\1/p'); do
        number=$((0x$history))
        [ "$number" -le "$newest" ] || newest=$number
    done
    echo "$newest"
}

# Another node that was promoted while we were away, if there is one: it is on a newer timeline, or on the same one and no
# standby, as after two promotions.
promoted_peer() {
    own_timeline=$(timeline "$data") || exit 1
    for other in "$root"/*/data /peers/*/data; do
        if [ "$other" = "$data" ] || ! $drop test -s "$other/PG_VERSION"; then continue; fi
        theirs=$(timeline "$other") || exit 1
        peer=$(dirname "$other")
        if [ "$theirs" -gt "$own_timeline" ] ||
            { [ "$theirs" = "$own_timeline" ] && ! $drop test -e "$other/standby.signal" && [ ! -e "$peer/rewinding" ]; }; then
            basename "$peer"
            return
        fi
    done
}

# A node that was primary and has been overtaken serves nobody until somebody has made it a standby.
stay_fenced() {
    if [ -e "$dir/rewinding" ]; then
        say "FENCED: a rewind was begun and not finished. This node is not started: its blocks are those of two servers."
    else
        promoted=$(promoted_peer) || die "cannot tell whether another node was promoted"
        [ -n "$promoted" ] || return 0
        say "FENCED: $promoted was promoted, so a takeover has happened. This node is not started: it would be a second"
        say "primary."
    fi
    say "$way_out"
    : >$fenced
    unlock
    trap 'exit 0' TERM INT
    until is_standby && [ ! -e "$dir/rewinding" ]; do sleep 1; done
    trap - TERM INT
    lock 60
    rm -f $fenced
}

serve() {
    rm -f $fenced
    lock
    [ -z "$by_hand" ] || prepare
    copy_passwords
    if ! has_data; then
        [ -z "$($drop ls -A "$data" 2>/dev/null)" ] || die "$data holds files, but no PostgreSQL data: it is left alone"
        [ -n "$by_hand" ] || die "no data in $data: setup makes them"
        begin
    fi
    if [ -e "$dir/rewinding" ] || ! is_standby; then stay_fenced; fi
    $drop rm -f "$data/postmaster.pid" # nobody runs here; in a new container its number may be somebody else's
    $drop postgres -D "$data" &
    server=$!
    trap 'kill -INT $server' TERM INT # a fast shutdown
    trap 'copy_passwords || say "$dir/passfile cannot be written"; kill -HUP $server' HUP
    wait_for $server
    exit $ended
}

healthy() { [ -e $fenced ] || $drop pg_isready -q -h 127.0.0.1 -p $port; }

promote() { run_tool pg_ctl promote --silent --wait --timeout "${1:-60}" --pgdata "$data"; }

# One line for each node of this volume: name, data|none, standby|primary, newest timeline.
state() {
    for other in "$root"/*/; do
        name=$(basename "$other")
        if $drop test -s "$other/data/PG_VERSION"; then
            is=primary
            if $drop test -e "$other/data/standby.signal" || [ -e "$other/rewinding" ]; then is=standby; fi
            newest=$(timeline "$other/data")
            echo "$name $is $newest"
        fi
    done
}

remove_node() {
    for name in "$data" "$data.new" "$data.old"; do remove "$name"; done
    rm -rf "$dir"
}

# By hand nobody has written a configuration: by-hand.sh makes one, and the first data.
node=${UNDERSTUDY_NODE:-} by_hand=
if [ -z "$node" ] || [ ! -d "/understudy/nodes/$node" ]; then
    by_hand=1
    # shellcheck source=compose/by-hand.sh
    . "$here/by-hand.sh"
    node=$(node_name)
fi
case $node in
'' | *[!a-z0-9_]*) die "cannot tell which node this is ('$node'): set UNDERSTUDY_NODE to a name of a-z, 0-9 and _" ;;
esac
dir=$root/$node
data=$dir/data
conf=/understudy/nodes/$node
way_out="Make it a standby: run setup."
[ -z "$by_hand" ] || by_hand_paths
find_drop
word=${1:-serve}
[ $# = 0 ] || shift
case $word in
serve | healthy | promote | state) "$word" "$@" ;;
tool | make) lock 10; copy_passwords; "$word" "$@" ;;
make-standby) lock 10; make_standby ;;
beside) run_tool "$@" ;;
discard-old) remove "$data.old" ;;
remove) lock 10; remove_node ;;
follow | rejoin | reclone)
    [ -n "$by_hand" ] || die "$word is for nodes without setup: run setup"
    change_primary "$word" "$@"
    ;;
*) die "no such word: $word" ;;
esac
