"""A web process with little patience, so that tests of it need not have much:
`python -m tests.security.hasty --fd N`."""

from typing import Any

import uvicorn

from flashsale import web

REQUEST_SECONDS = 1.0

_configured = web.configuration


def configuration(application: Any = web.APPLICATION) -> uvicorn.Config:
    config = _configured(application)
    config.ws_ping_interval = config.ws_ping_timeout = 0.5
    return config


if __name__ == "__main__":
    web.REQUEST_SECONDS = REQUEST_SECONDS
    web.UNACKNOWLEDGED = 500
    web.configuration = configuration
    web.main()
