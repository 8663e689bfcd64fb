#!/bin/sh
# What people do to a node by hand, and setup and drills do step by step: read by node.sh, whose functions and names these are.
# shellcheck disable=SC2154

# A checkpoint on a primary, so that its control file tells its timeline; fails for a standby.
checkpoint_on() { # HOST PORT
    sql="DO \$\$ BEGIN IF pg_is_in_recovery() THEN RAISE EXCEPTION '$1 is a standby itself'; END IF; END \$\$"
    # As root, if that is what we are: the server's user must not read all passwords.
    grep -q ":$admin:" /secrets/passfile || die "/secrets/passfile does not hold $admin's password: run setup instead"
    PGPASSFILE=/secrets/passfile psql -XqAt -v ON_ERROR_STOP=1 -d "host=$1 port=$2 user=$admin dbname=postgres" -c "$sql" -c CHECKPOINT
}

change_primary() { # follow|rejoin|reclone HOST [PORT]
    host=${2:?whom to follow? give a host} on=${3:-5432}
    if [ "$1" = follow ]; then
        is_standby || die "only a standby can follow; this node was primary: rejoin"
        copy_passwords
    else
        prepare
        lock 10
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
