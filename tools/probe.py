"""Asks this machine's web process whether it is alive, or with `/readyz` whether it can sell:

    python tools/probe.py /livez

Exits with 0 if so. Uses only the standard library: a health check every few seconds must cost little.
"""

import http.client
import os
import sys

LONGEST = 4  # seconds


def main(path: str) -> int:
    address, port = _address(), int(os.environ.get("PORT") or 8000)
    connection = http.client.HTTPConnection(address, port, timeout=LONGEST)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        print(answer.read(2000).decode(errors="replace").strip())
        return int(answer.status != http.HTTPStatus.OK)
    except (OSError, http.client.HTTPException) as error:
        print(f"no answer from {address}:{port} (HOST, PORT): {error}")
        return 1
    finally:
        connection.close()


def _address() -> str:
    """The address to ask: HOST, or loopback if the web process listens on every address."""
    address = os.environ.get("HOST", "")
    return "127.0.0.1" if address in ("", "0.0.0.0", "::") else address  # noqa: S104  # asks, binds nothing


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "/livez"))
