#!/bin/sh
# Puts passwords from secret files into the variables that need them, then becomes the given command: a {name} in one
# of these variables stands for the contents of /run/secrets/name. So no password is part of a container's
# configuration, and a variable without a {name} is taken as it is.
set -eu

for variable in ORCHESTRATOR_REDIS_URL ORCHESTRATOR_STORAGE_URL ORCHESTRATOR_FLOWER_AUTH ORCHESTRATOR_DASHBOARD_AUTH; do
    eval "value=\${$variable-}"
    case $value in *"{"*"}"*) ;; *) continue ;; esac
    name=${value#*"{"}
    name=${name%%"}"*}
    file=${SECRETS_DIR:-/run/secrets}/$name
    if ! secret=$(cat "$file"); then
        echo "entrypoint: $variable: the secret file $file cannot be read" >&2
        exit 2
    fi
    # Anything else would need escaping in a URL, and in another way in each place.
    case $secret in "" | *[!A-Za-z0-9_.-]*)
        echo "entrypoint: $file: a password must consist of letters, digits and _.- only" >&2
        exit 2
    esac
    export "$variable=${value%%"{"*}$secret${value#*"}"}"
done

exec "$@"
