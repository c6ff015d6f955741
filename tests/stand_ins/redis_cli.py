"""``redis_cli.py COMMAND …``: a stand-in for redis-cli where it is missing, for one command at a time."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import redis


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="redis-cli", add_help=False, allow_abbrev=False)
    parser.add_argument("-h", dest="host", default="127.0.0.1")
    parser.add_argument("-p", dest="port", type=int, default=6379)
    parser.add_argument("-n", dest="db", type=int, default=0)
    parser.add_argument("-u", dest="url")
    parser.add_argument("--user", dest="username")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = vars(parser.parse_args(arguments))
    command, url = given.pop("command"), given.pop("url")
    password = os.environ.get("REDISCLI_AUTH")
    client = redis.Redis.from_url(url) if url else redis.Redis(password=password, **given)
    with client:
        connection = client.connection_pool.get_connection()
        try:
            connection.send_command(*command)
            show(connection.read_response())
        except redis.ConnectionError as error:
            print(error, file=sys.stderr)
            return 1
        except redis.ResponseError as error:
            # As redis-cli does: the answer is an error, and the call has worked.
            print(error)
        finally:
            connection.disconnect()
    return 0


def show(answer: object) -> None:
    """Prints an answer as redis-cli does where its output is no terminal."""
    if isinstance(answer, list):
        for part in answer:
            show(part)
    elif isinstance(answer, bytes):
        print(answer.decode(errors="replace"))
    else:
        print("" if answer is None else answer)


if __name__ == "__main__":
    sys.exit(main())
