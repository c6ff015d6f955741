#!/bin/sh
# Prints an ACL file for Redis 7.0 or newer, or Valkey: a user for each role, each with no more than it needs.
#
#   QUEUES="trials gpu" DATABASE=0 acl.sh FOLDER > users.acl
#   redis-server --aclfile users.acl …
#
# FOLDER (/run/secrets where none is given) holds the passwords, one a file: redis_control_password,
# redis_worker_password, redis_viewer_password and redis_flower_password; with redis_admin_password there is a user
# "admin" for everything else. What is printed holds their SHA-256 only. After a change of a password, print the file
# again, and let an admin call ACL LOAD.
#
# QUEUES are those that workers may serve ("trials" where none is given), DATABASE is the number in the URLs (0): Celery
# puts it into the names of its channels.
set -eu

folder=${1:-/run/secrets}
queues=${QUEUES:-trials}
database=${DATABASE:-0}
# What stands between the name of a queue and a step of priority, in the names of its lists.
separator=$(printf '\006\026')

hash_of() {
    if ! password=$(cat "$folder/redis_$1_password"); then
        echo "acl.sh: the password of '$1' is to be in $folder/redis_$1_password" >&2
        exit 2
    fi
    if [ -z "$password" ]; then
        echo "acl.sh: $folder/redis_$1_password is empty" >&2
        exit 2
    fi
    printf '#%s' "$(printf %s "$password" | sha256sum | cut -d' ' -f1)"
}

lists=
for queue in $queues; do
    case $queue in *[!A-Za-z0-9._-]*)
        echo "acl.sh: '$queue' is no name of a queue" >&2
        exit 2
    esac
    lists="$lists ~$queue ~$queue$separator*"
done

# An exit inside a command substitution would end only the subshell.
control=$(hash_of control)
worker=$(hash_of worker)
viewer=$(hash_of viewer)
flower=$(hash_of flower)

# Commands that every client sends about itself. Tracking is not among them: it would show the names of keys.
connecting="+@connection -@dangerous -@admin -client|tracking -client|caching"
scripts="+script|load +script|exists"
transactions="+multi +exec +discard +unwatch +time"
# Celery's binding tables, the two scripts that keep them, and the lock of the lists below.
routing="(~_kombu.binding* +sadd +srem +smembers +exists +del +zadd +zrem +zrangebyscore +evalsha)"
# Tasks that a worker has taken and not begun.
unacked="(~unacked ~unacked_index ~unacked_mutex +hset +hget +hdel +zadd +zrem +zrange +watch +set +get +del +evalsha)"

# Lists that answers to remote control come by, and Celery's queues that are none but channels.
pidboxes="~*.celery.pidbox ~*.celery.pidbox$separator*"
hearing="~celeryev* ~*.celeryev*"

# A client without a user name may do nothing.
echo "user default off resetpass -@all"

# The control plane, submit, run and the other commands that change a study. It may use any queue that a spec names.
echo "user control on $control ~* &* +@all -@dangerous -@scripting +info +client|list +evalsha $scripts"

# A worker takes from its queues and puts back; it adds to the events and to what is kept aside, and reads neither; it
# reads what is confirmed and the code of studies, and takes replies, and writes none of it. It hears remote control and cannot send any.
echo "user worker on $worker resetkeys resetchannels -@all $connecting $transactions $scripts" \
    "($lists +brpop +rpop +rpush +lpush +llen)" \
    "(%W~orchestrator:events %W~orchestrator:dead +xadd)" \
    "(%R~orchestrator:attempt:* %R~orchestrator:announcement %R~orchestrator:code:* +get)" \
    "(~orchestrator:replies:* +blpop)" \
    "$routing $unacked" \
    "($pidboxes +lpush +llen +pexpire +exists +del)" \
    "(&/$database.celery.pidbox +psubscribe +punsubscribe)" \
    "(&/$database.celeryev/* +publish)"

# \`orchestrator watch\`: what a live view shows.
echo "user viewer on $viewer resetkeys resetchannels -@all $connecting" \
    "(%R~orchestrator:notices:* +xread +xrevrange)"

# Flower hears what workers say of tasks, asks them, counts what waits; and it can stop tasks and workers, which is what
# its buttons do.
echo "user flower on $flower resetkeys resetchannels -@all $connecting $transactions $scripts" \
    "(%R$(echo "$lists" | sed 's/ ~/ %R~/g; s/^ %R//') +llen)" \
    "$routing" \
    "($pidboxes +brpop +rpop +llen +pexpire +exists +del)" \
    "($hearing +llen +exists +del +pexpire)" \
    "(&/$database.celeryev/* +psubscribe +punsubscribe)" \
    "(&/$database.celery.pidbox +publish)"

if [ -e "$folder/redis_admin_password" ]; then
    echo "user admin on $(hash_of admin) ~* &* +@all"
fi
