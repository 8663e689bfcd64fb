#!/bin/sh
# A node without setup: who it is, its passwords and configuration, its first data, and what people do to it. Read by node.sh,
# whose functions and names these are.
#
#   follow HOST [PORT]          point the standby that runs here at another primary
#   rejoin HOST [PORT]          make the stopped node a standby of HOST: pg_rewind, and follow it
#   reclone HOST [PORT]         the same by a fresh base backup; what was there is kept as data.old until `discard-old`
#
# What it knows comes from the environment: UNDERSTUDY_NODE (the node's name; a scaled standby asks the engine's DNS for its
# own), UNDERSTUDY_PRIMARY_HOST, _PORT, _USER, _PASSFILE (whom a standby follows; empty for a primary), UNDERSTUDY_WAIT (seconds
# to wait for it), PGSQL_<NAME> (a server setting each; `__` for `.`). All passwords in /secrets/passfile are made by the
# primary if nobody gave one.
# shellcheck disable=SC2034,SC2154

admin=understudy_admin
replication=understudy_replication
rewind=understudy_rewind
last_error=$own_notes/last_error # what a tool said

said() { grep -qE "$1" "$last_error"; } # PATTERN

# The same for people. It holds a server's words, which must move no cursor and pass for no line of ours.
shown() { tr '\001-\010\013-\037\177-\237' '?' <"$last_error" | sed 's/^/  | /'; }

# Runs a client of some server; what that one says is shown.
client() { # PROGRAM ARG...
    failed=0
    "$@" 2>"$last_error" || failed=$?
    shown >&2
    return $failed
}

by_hand_paths() {
    conf=$dir/conf # outside the data, so that pg_rewind leaves it alone
    way_out="Make it a standby: docker compose run --rm --no-deps SERVICE rejoin HOST"
}

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

# The conninfo of whom this node follows, as it was written here.
upstream() {
    [ ! -e "$conf/follow.conf" ] ||
        sed -n "s/^primary_conninfo = '\(.*\)'\$/\1/p" "$conf/follow.conf" | sed -e "s/''/'/g" -e 's/\\\\/\\/g'
}

prepare() {
    claim "$conf"
    if [ -z "${UNDERSTUDY_PRIMARY_HOST:-}" ]; then make_secrets; fi
    copy_passwords
    if [ -n "${UNDERSTUDY_PRIMARY_HOST:-}" ]; then
        conninfo=$(env_upstream "$UNDERSTUDY_PRIMARY_HOST" "${UNDERSTUDY_PRIMARY_PORT:-}") ||
            die "the password file ${UNDERSTUDY_PRIMARY_PASSFILE:-} cannot be read"
        # Once there are data, somebody may have pointed the node elsewhere.
        if ! has_data || [ ! -s "$conf/follow.conf" ]; then follow "$conninfo"; fi
    fi
    env_settings | write "$conf/environment.conf"
    [ -e "$conf/follow.conf" ] || write "$conf/follow.conf" </dev/null
    write "$conf/pg_hba.conf" <<EOF
# Written by node.sh. The networks are the lab's own, and ports are published on 127.0.0.1 only.
local  all          all           scram-sha-256
host   replication  all     all   scram-sha-256
host   all          all     all   scram-sha-256
EOF
    {
        echo "# Written by node.sh at every start. Your own settings: PGSQL_<NAME> in the environment."
        cat "$here/postgresql.base.conf"
        echo "include 'environment.conf'"
        echo "include 'follow.conf'"
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

# ---- the first data ------------------------------------------------------------------------------------------------

# A node that has whom to follow clones it; else it is the first.
begin() { if [ -n "$(upstream)" ]; then clone; else init; fi; }

init() {
    say "initdb"
    new_data
    password $admin | write_secret "$dir/pwfile"
    made=0
    run_tool initdb --pgdata="$data.new" --username=$admin --pwfile="$dir/pwfile" --auth=scram-sha-256 --data-checksums \
        --encoding=UTF8 --locale=C >/dev/null || made=$?
    rm -f "$dir/pwfile"
    [ $made = 0 ] || die "initdb failed"
    # In single-user mode: nobody can connect yet. A statement that fails is not logged, for it holds a password.
    {
        for role in understudy_app understudy_monitor $replication $rewind; do
            echo "CREATE ROLE $role LOGIN PASSWORD '$(password "$role" | sed "s/'/''/g")'"
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
    until run_tool psql -XqAt -d "$1 dbname=postgres connect_timeout=5" -c "SELECT 1" >/dev/null 2>"$last_error"; do
        ! said "password authentication failed|no password supplied|no pg_hba.conf entry|pg_hba.conf rejects" || die "it does not let us in:
$(shown)"
        waited=$(($(date +%s) - begun))
        [ "$waited" -lt "${UNDERSTUDY_WAIT:-300}" ] || die "no primary after $waited s:
$(shown)"
        [ $((looks % 50)) != 0 ] || say "waiting for the primary: $(shown | head -n 1)"
        sleep 0.2
        looks=$((looks + 1))
    done
}

# Registers this node with its primary: the slot that keeps WAL for it.
ensure_slot() { # CONNINFO
    client run_tool psql -XqAt -d "$1 dbname=postgres" -v ON_ERROR_STOP=1 >/dev/null -c \
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
        --wal-method=stream --slot="$node" --checkpoint=fast 2>"$last_error"; do
        shown >&2
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

# ---- what people do ------------------------------------------------------------------------------------------------

rewind_from() { # CONNINFO
    $drop rm -f "$data/postmaster.pid"
    : >"$dir/rewinding" # until it is a standby, it must not be started: its blocks are those of two servers
    rewound=0
    run_tool pg_rewind --target-pgdata="$data" --source-server="$1" >"$last_error" 2>&1 || rewound=$?
    shown >&2
    [ $rewound = 0 ] || die "pg_rewind failed"
    # Up to PostgreSQL 15 it says so wrongly until the new primary has made a checkpoint, and calls their timelines one.
    # After a clean switchover it is so.
    ! said "same timeline" || ! said "no rewind required" || die "pg_rewind says that no rewind is required"
}

# A checkpoint on a primary, so that its control file tells its timeline; fails for a standby.
checkpoint_on() { # HOST PORT
    sql="DO \$\$ BEGIN IF pg_is_in_recovery() THEN RAISE EXCEPTION '$1 is a standby itself'; END IF; END \$\$"
    # As root, if that is what we are: the server's user must not read all passwords.
    grep -q ":$admin:" /secrets/passfile || die "/secrets/passfile does not hold $admin's password: run setup instead"
    client env PGPASSFILE=/secrets/passfile psql -XqAt -v ON_ERROR_STOP=1 -d "host=$1 port=$2 user=$admin dbname=postgres" -c "$sql" -c CHECKPOINT
}

change_primary() { # follow|rejoin|reclone HOST [PORT]
    host=${2:?whom to follow? give a host} on=${3:-5432}
    if [ "$1" = follow ]; then
        is_standby || die "only a standby can follow; this node was primary: rejoin"
        copy_passwords
    else
        lock 10
        prepare
    fi
    checkpoint_on "$host" "$on"
    conninfo=$(env_upstream "$host" "$on") || die "the password file cannot be read"
    follow "$conninfo"
    ensure_slot "$(upstream)"
    case $1 in
    follow) run_tool pg_ctl reload --silent --pgdata "$data" ;;
    reclone) clone ;;
    rejoin)
        rewind_from "host=$host port=$on user=$rewind passfile=$dir/passfile dbname=postgres"
        make_standby
        ;;
    esac
    say "a standby of $host"
}
