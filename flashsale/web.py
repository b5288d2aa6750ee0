"""`python -m flashsale.web`: starts one web process. The server itself is `flashsale/http/server.py`."""

from flashsale.http.server import main

if __name__ == "__main__":
    main()
