"""`python -m flashsale.web`: one web process, on HOST and PORT or on a listening socket that it inherits.

An inherited socket belongs to `manage.py up`. While a web process restarts, new connections wait in the
socket's queue instead of being refused. The server itself is `flashsale/http/server.py`.
"""

import argparse
import socket
import sys

from django.core.exceptions import ImproperlyConfigured

from flashsale.http.listening import CannotListen, allow_many_sockets, listen
from flashsale.http.server import serve


def main() -> None:
    allow_many_sockets()
    parser = argparse.ArgumentParser(prog="python -m flashsale.web", description=__doc__)
    parser.add_argument(
        "--fd", type=int, help="an inherited socket's descriptor, instead of HOST and PORT"
    )
    fd = parser.parse_args().fd
    try:
        serve(listen() if fd is None else socket.socket(fileno=fd))
    except (CannotListen, ImproperlyConfigured) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
