"""A web process with little patience, so that tests of it need not have much:
`python -m tests.security.hasty --fd N`."""

from typing import Any

import uvicorn

from flashsale import web
from flashsale.http import server as http_server

REQUEST_SECONDS = 1.0

_configured = http_server.configuration


def configuration(application: Any = http_server.APPLICATION) -> uvicorn.Config:
    config = _configured(application)
    config.ws_ping_interval = config.ws_ping_timeout = 0.5
    return config


if __name__ == "__main__":
    http_server.REQUEST_SECONDS = REQUEST_SECONDS
    http_server.UNACKNOWLEDGED = 500
    http_server.configuration = configuration
    web.main()
