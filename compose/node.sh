#!/bin/sh
# A PostgreSQL node in a container. Compose starts `serve`; every other word is a deliberate act, done in a running node
# (`docker compose exec standby sh /understudy/node.sh promote`) or in a container of its own over the same volume
# (`docker compose run --rm --no-deps primary rejoin standby`).
#
#   serve                       run what the data directory is; make it first if there is none
#   healthy                     the health check
#   promote                     make the standby that runs here the primary
#   follow HOST [PORT]          point the standby that runs here at another primary
#   rejoin HOST [PORT]          make the stopped node a standby of HOST: pg_rewind, and follow it
#   reclone HOST [PORT]         the same by a fresh base backup; what was there is kept as data.old until `discard-old`
#   tool PROGRAM ARG..., make primary|standby PROGRAM ARG..., make-standby     one of PostgreSQL's tools over the data of the
#                               stopped node; over new data, which then take their place; what a rewind needs afterwards
#   beside PROGRAM ARG..., discard-old, state, remove      beside the server; of no server; all of these for setup and drills
#
# It needs PostgreSQL's programs in PATH, flock, and (as root) setpriv, gosu or su-exec. What it knows comes from the
# environment: UNDERSTUDY_NODE (the node's name; a scaled standby asks the engine's DNS for its own), UNDERSTUDY_PRIMARY_HOST,
# _PORT, _USER, _PASSFILE (whom a standby follows; empty for a primary), UNDERSTUDY_WAIT (seconds to wait for it),
# PGSQL_<NAME> (a server setting each; `__` for `.`).
#
#   /secrets/passfile                   passwords (libpq's format); all of them are made by the primary if nobody gave one
#   /secrets/verifiers                  ROLE:VERIFIER, from setup, whose containers need not know all passwords
#   /var/lib/postgresql/NODE/           lock, passfile (what the server needs of it), data
#   /var/lib/postgresql/NODE/conf/      written here at every start; outside the data, so that pg_rewind leaves it alone
#   /understudy/nodes/NODE/             written by setup, instead of conf/follow.conf: follow.conf, settings.conf, sync.conf
#   /peers/                             the other volume, read-only: who is on a newer timeline?
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

here=${0%/*} # with by-hand.sh and postgresql.base.conf
root=/var/lib/postgresql
port=5432
admin=understudy_admin
replication=understudy_replication
rewind=understudy_rewind

# What a tool said, and whether the node is fenced; not beside the data, whose disk may be full. Root's own, if we are root.
own_notes=/run/understudy
[ "$(id -u)" = 0 ] || own_notes=/tmp/understudy
mkdir -p $own_notes
last_error=$own_notes/last_error
fenced=$own_notes/fenced

say() { echo "node ${node:-?}: $*" >&2; }
die() { say "$*"; exit 1; }
said() { grep -qE "$1" $last_error; } # PATTERN

# ---- who and where -------------------------------------------------------------------------------------------------

# The node's own name. A scaled standby has the index that compose gave its container: lab_standby_2 or lab-standby-2.
node_name() {
    if [ -n "${UNDERSTUDY_NODE:-}" ]; then
        echo "$UNDERSTUDY_NODE"
        return
    fi
    for address in $(hostname -i); do
        # From the DNS: /etc/hosts only knows the container's id.
        found=$(getent -s dns hosts "$address" | sed -n 's/^.*[-_]\([a-z]*\)[-_]\([0-9]\{1,\}\)\..*$/\1_\2/p')
        if [ -n "$found" ]; then
            echo "$found"
            return
        fi
    done
}

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

# ---- one at a time -------------------------------------------------------------------------------------------------

# With the lock held nobody else runs here; the server inherits it. Without it two postmasters ran on one directory.
lock() { # SECONDS
    claim "$root"
    claim "$dir"
    [ ! -L "$dir/lock" ] || die "$dir/lock is a link"
    exec 9>"$dir/lock"
    end=$(($(date +%s) + ${1:-0}))
    until flock -n 9; do # busybox's has no time-out
        [ "$(date +%s)" -lt $end ] || die "another container works on $dir"
        sleep 0.2
    done
}

unlock() { exec 9>&-; }

# ---- secrets and configuration -------------------------------------------------------------------------------------

make_secrets() {
    [ ! -e /secrets/passfile ] || return 0
    [ -w /secrets ] || die "/secrets/passfile is missing and /secrets is read-only: mount a password file there"
    for role in $admin understudy_app understudy_monitor $replication $rewind; do
        echo "*:$port:*:$role:$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
    done >/secrets/passfile.new
    mv /secrets/passfile.new /secrets/passfile
}

# As libpq reads it: a backslash there keeps the character after it. The first line of a role counts, whatever its address.
password() { sed -n "s/^[^:]*:[^:]*:[^:]*:$1://p" /secrets/passfile | sed -e 's/\\\(.\)/\1/g' -e q; }

# What a role is made with: the verifier, where setup has made one; a server takes either as a password.
role_password() {
    if [ -e /secrets/verifiers ]; then sed -n "s/^$1://p" /secrets/verifiers; else password "$1"; fi
}

password_literal() { role_password "$1" | sed "s/'/''/g"; }

# A value between the quotes of postgresql.conf.
quoted() { printf "'%s'" "$(printf %s "$1" | sed -e 's/\\/\\\\/g' -e "s/'/''/g")"; }

# A file in a directory of root's, that the server may read and not change: stdin, whole or not at all.
write() { # FILE
    rm -f "$1.new"
    cat >"$1.new"
    if [ -n "$drop" ]; then
        chown root:postgres "$1.new"
        chmod 0640 "$1.new"
    fi
    mv "$1.new" "$1"
}

# The same for passwords: the server's own, since libpq takes no password file that a group may read.
write_secret() { # FILE
    rm -f "$1.new" && cat >"$1.new" && own "$1.new" && mv "$1.new" "$1"
}

# What the server and its tools may know of the passwords: those of two roles, at the addresses that they are for. Again before
# a server is told to follow somebody: another node may have come since.
copy_passwords() {
    [ -e /secrets/passfile ] || return 0
    sed -n -E "/^[^:]*:[^:]*:[^:]*:($replication|$rewind):/p" /secrets/passfile | write_secret "$dir/passfile"
}

# A file below data*, as the server's user.
# shellcheck disable=SC2016 # it is that user's shell that expands
write_data() { $drop sh -c 'cat >"$1.new" && mv -f "$1.new" "$1"' sh "$1"; }

# Every PGSQL_<NAME> of the environment.
env_settings() {
    env | sed -n 's/^PGSQL_\([A-Za-z][A-Za-z0-9_]*\)=.*/\1/p' | sort | while read -r name; do
        printf '%s = %s\n' "$(echo "$name" | tr '[:upper:]' '[:lower:]' | sed 's/__/./g')" "$(quoted "$(printenv "PGSQL_$name")")"
    done
}

# The conninfo of whom this node follows by its environment.
env_upstream() { # HOST PORT
    passfile=$dir/passfile
    if [ -n "${UNDERSTUDY_PRIMARY_PASSFILE:-}" ]; then
        passfile=$dir/upstream.passfile
        # Copied at every start: it may have been put right. Only root may be able to read what is mounted.
        [ -f "$UNDERSTUDY_PRIMARY_PASSFILE" ] || return 1
        write_secret "$passfile" <"$UNDERSTUDY_PRIMARY_PASSFILE" || return 1
    fi
    echo "host=$1 port=${2:-5432} user=${UNDERSTUDY_PRIMARY_USER:-$replication} passfile=$passfile application_name=$node"
}

follow() { # CONNINFO
    printf 'primary_conninfo = %s\nprimary_slot_name = %s\n' "$(quoted "$1")" "$(quoted "$node")" | write "$conf/follow.conf"
}

# The conninfo of whom this node follows: what setup wrote, else what was written here.
upstream() {
    for file in "/understudy/nodes/$node/follow.conf" "$conf/follow.conf"; do
        if [ -e "$file" ]; then
            sed -n "s/^primary_conninfo = '\(.*\)'\$/\1/p" "$file" | sed -e "s/''/'/g" -e 's/\\\\/\\/g'
            return
        fi
    done
}

prepare() {
    claim "$root"
    claim "$dir"
    claim "$conf"
    for name in "$data" "$data.new" "$data.old"; do
        [ ! -L "$name" ] || die "$name is a link: the data have to be in a directory"
    done
    if [ -z "${UNDERSTUDY_PRIMARY_HOST:-}" ]; then make_secrets; fi
    copy_passwords
    if [ -n "${UNDERSTUDY_PRIMARY_HOST:-}" ]; then
        conninfo=$(env_upstream "$UNDERSTUDY_PRIMARY_HOST" "${UNDERSTUDY_PRIMARY_PORT:-}") ||
            die "the password file ${UNDERSTUDY_PRIMARY_PASSFILE:-} cannot be read"
        # Once there are data, somebody may have pointed the node elsewhere.
        if ! has_data || [ ! -s "$conf/follow.conf" ]; then follow "$conninfo"; fi
    fi
    env_settings | write "$conf/environment.conf"
    from_setup="include_if_exists 'follow.conf'"
    [ -e "$conf/follow.conf" ] || write "$conf/follow.conf" </dev/null
    if [ -d "/understudy/nodes/$node" ]; then
        from_setup="include_dir '/understudy/nodes/$node'" # follow.conf, settings.conf, sync.conf
    fi
    write "$conf/pg_hba.conf" <<EOF
# Written by node.sh. The networks are the lab's own, and ports are published on 127.0.0.1 only.
local  all          all           scram-sha-256
host   replication  all     all   scram-sha-256
host   all          all     all   scram-sha-256
EOF
    {
        echo "# Written by node.sh at every start. Your own settings: PGSQL_<NAME> in the environment, or setup --set."
        cat "$here/postgresql.base.conf"
        echo "include 'environment.conf'"
        echo "$from_setup"
        echo "# What the container relies on."
        echo "cluster_name = '$node'"
        echo "listen_addresses = '*'"
        echo "port = '$port'"
        echo "unix_socket_directories = '/tmp'"
        echo "hba_file = '$conf/pg_hba.conf'"
        echo "logging_collector = 'off'"
        echo "log_destination = 'stderr'"
    } | write "$conf/postgresql.conf"
}

# ---- making data directories ---------------------------------------------------------------------------------------

# A data directory in the making; an unfinished one of before goes.
new_data() {
    remove "$data.new"
    mkdir "$data.new"
    own "$data.new"
}

# What every data directory of ours has: the one-line configuration, and no settings of another node.
put_in_order() { # DATA
    echo "include '../conf/postgresql.conf'" | write_data "$1/postgresql.conf"
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

init() {
    say "initdb"
    new_data
    role_password $admin | write_secret "$dir/pwfile"
    made=0
    run_tool initdb --pgdata="$data.new" --username=$admin --pwfile="$dir/pwfile" --auth=scram-sha-256 --data-checksums \
        --encoding=UTF8 --locale=C >/dev/null || made=$?
    rm -f "$dir/pwfile"
    [ $made = 0 ] || die "initdb failed"
    # In single-user mode: nobody can connect yet. A statement that fails is not logged, for it holds a password.
    {
        for role in understudy_app understudy_monitor $replication $rewind; do
            echo "CREATE ROLE $role LOGIN PASSWORD '$(password_literal "$role")'"
        done
        echo "ALTER ROLE $replication REPLICATION CONNECTION LIMIT 10"
        echo "GRANT pg_monitor TO understudy_monitor"
        for function in "pg_ls_dir(text, boolean, boolean)" "pg_stat_file(text, boolean)" "pg_read_binary_file(text)" \
            "pg_read_binary_file(text, bigint, bigint, boolean)"; do
            echo "GRANT EXECUTE ON FUNCTION pg_catalog.$function TO $rewind"
        done
    } | write "$dir/roles.sql"
    # It goes on after an error, and ends as if there had been none.
    run_tool postgres --single -c log_min_error_statement=panic -c log_checkpoints=off -D "$data.new" postgres \
        <"$dir/roles.sql" >/dev/null 2>"$dir/roles.log" || echo "ERROR: it ended early" >>"$dir/roles.log"
    rm -f "$dir/roles.sql"
    ! grep -E 'ERROR|FATAL|PANIC' "$dir/roles.log" >&2 || die "the roles were not made"
    rm -f "$dir/roles.log"
    put_in_order "$data.new"
    rmdir "$data" 2>/dev/null || : # an empty one would take it in
    swap_in
}

# Waits for the primary, for as long as UNDERSTUDY_WAIT says: it may be in the making, on a machine that is slow. One that
# does not let us in is not waited for.
wait_primary() { # CONNINFO
    begun=$(date +%s)
    looks=0
    until run_tool psql -XqAt -d "$1 dbname=postgres connect_timeout=5" -c "SELECT 1" >/dev/null 2>$last_error; do
        ! said "password authentication failed|no password supplied|no pg_hba.conf entry|pg_hba.conf rejects" || die "$(cat $last_error)"
        waited=$(($(date +%s) - begun))
        [ "$waited" -lt "${UNDERSTUDY_WAIT:-300}" ] || die "no primary after $waited s: $(cat $last_error)"
        [ $((looks % 50)) != 0 ] || say "waiting for the primary: $(head -n 1 $last_error)"
        sleep 0.2
        looks=$((looks + 1))
    done
}

# Registers this node with its primary: the slot that keeps WAL for it.
ensure_slot() { # CONNINFO
    run_tool psql -XqAt -d "$1 dbname=postgres" -v ON_ERROR_STOP=1 >/dev/null -c \
        "SELECT pg_create_physical_replication_slot('$node', true)
         WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '$node')"
}

clone() {
    conninfo=$(upstream)
    [ -n "$conninfo" ] || die "nobody to clone: UNDERSTUDY_PRIMARY_HOST is empty"
    wait_primary "$conninfo"
    ensure_slot "$conninfo" || ensure_slot "$conninfo" # setup may have made it meanwhile
    say "cloning"
    new_data
    # The primary lends a base backup two of its walsenders: with many standbys at once, one has to wait its turn.
    tries=0
    # Under its own name: else it would pass for a standby that streams.
    until run_tool pg_basebackup --dbname="$conninfo application_name=pg_basebackup" --pgdata="$data.new" \
        --wal-method=stream --slot="$node" --checkpoint=fast 2>$last_error; do
        cat $last_error >&2
        ! said "No space left on device" || die "the disk of $data is full"
        tries=$((tries + 1))
        [ $tries -lt 10 ] || die "pg_basebackup failed $tries times"
        sleep 1
        new_data
    done
    put_in_order "$data.new"
    $drop touch "$data.new/standby.signal"
    swap_in
}

make_standby() {
    put_in_order "$data"
    $drop touch "$data/standby.signal"
    rm -f "$dir/rewinding"
}

rewind_from() { # CONNINFO
    $drop rm -f "$data/postmaster.pid"
    : >"$dir/rewinding" # until it is a standby, it must not be started: its blocks are those of two servers
    rewound=0
    run_tool pg_rewind --target-pgdata="$data" --source-server="$1" >$last_error 2>&1 || rewound=$?
    cat $last_error >&2
    [ $rewound = 0 ] || die "pg_rewind failed"
    # Up to PostgreSQL 15 it says so wrongly until the new primary has made a checkpoint, and calls their timelines one.
    # After a clean switchover it is so.
    ! said "same timeline" || ! said "no rewind required" || die "pg_rewind says that no rewind is required"
}

# ---- never two primaries -------------------------------------------------------------------------------------------

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
    say "Make it a standby: docker compose run --rm --no-deps SERVICE rejoin HOST"
    : >$fenced
    unlock
    trap 'exit 0' TERM INT
    until is_standby && [ ! -e "$dir/rewinding" ]; do sleep 1; done
    trap - TERM INT
    lock 60
    rm -f $fenced
}

# ---- the words -----------------------------------------------------------------------------------------------------

serve() {
    rm -f $fenced
    prepare
    lock
    if ! has_data; then
        [ -z "$($drop ls -A "$data" 2>/dev/null)" ] || die "$data holds files, but no PostgreSQL data: it is left alone"
        if [ -n "$(upstream)" ]; then clone; else init; fi
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

node=$(node_name)
case $node in
'' | *[!a-z0-9_]*) die "cannot tell which node this is ('$node'): set UNDERSTUDY_NODE to a name of a-z, 0-9 and _" ;;
esac
dir=$root/$node
data=$dir/data
conf=$dir/conf
find_drop
word=${1:-serve}
[ $# = 0 ] || shift
case $word in
serve) serve ;;
healthy) healthy ;;
promote) promote "$@" ;;
follow | rejoin | reclone)
    # shellcheck source=compose/by-hand.sh
    . "$here/by-hand.sh"
    change_primary "$word" "$@"
    ;;
state) state ;;
make-standby) lock 10; make_standby ;;
tool | make) lock 10; copy_passwords; $word "$@" ;;
beside) run_tool "$@" ;;
discard-old) remove "$data.old" ;;
remove) lock 10; remove_node ;;
*) die "no such word: $word" ;;
esac
