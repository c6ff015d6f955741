#!/bin/sh
# Is the door shut to strangers, and does it lead to every page for those who know the password? Exits 0, or 1 and says
# why not.
set -eu

site=http://127.0.0.1:8080

status() {
    curl --silent --output /dev/null --max-time 5 --write-out '%{http_code}' "$@" || true
}

for page in /dashboard /flower/; do
    stranger=$(status "$site$page")
    # From standard input: on the command line every user of the host could read the password.
    known=$(printf 'user = "admin:%s"\n' "$(cat /run/secrets/web_password)" | status --config - "$site$page")
    if [ "$stranger" != 401 ] || [ "$known" != 200 ]; then
        echo "unhealthy: $page answers $stranger without a password and $known with it" >&2
        exit 1
    fi
done
