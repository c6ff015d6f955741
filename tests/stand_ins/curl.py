"""``curl.py URL``: a stand-in for curl where it is missing, with options that the pages may show."""

from __future__ import annotations

import argparse
import base64
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

COULD_NOT_CONNECT, HTTP_ERROR = 7, 22
"""Exit codes of curl."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="curl", allow_abbrev=False)
    parser.add_argument("url")
    parser.add_argument("-s", "--silent", action="store_true")
    parser.add_argument("-S", "--show-error", action="store_true")
    parser.add_argument("-f", "--fail", action="store_true")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("-u", "--user", default="")
    parser.add_argument("-X", "--request")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("-d", "--data")
    given = parser.parse_args(arguments)
    url = given.url if "://" in given.url else f"http://{given.url}"
    request = urllib.request.Request(url, None if given.data is None else given.data.encode(), method=given.request)
    if given.user:
        request.add_header("Authorization", f"Basic {base64.b64encode(given.user.encode()).decode()}")
    for line in given.header:
        name, _, value = line.partition(":")
        request.add_header(name.strip(), value.strip())
    code = 0
    try:
        with urllib.request.urlopen(request) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            body, code = (b"", HTTP_ERROR) if given.fail else (error.read(), 0)
    except OSError as error:
        print(f"curl: ({COULD_NOT_CONNECT}) {error}", file=sys.stderr)
        return COULD_NOT_CONNECT
    if given.output is None:
        sys.stdout.buffer.write(body)
    else:
        given.output.write_bytes(body)
    return code


if __name__ == "__main__":
    sys.exit(main())
