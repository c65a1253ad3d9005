"""A Flask application with the console below /ops/vwo; argument: its port."""

from __future__ import annotations

import sys

from flask import Flask
from roles import role_of
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import run_simple

from vwo_celery.console import wsgi

app = Flask(__name__)


@app.get("/")
def shop() -> str:
    """The application's own page."""
    return "a shop"


mounted = DispatcherMiddleware(app.wsgi_app, {"/ops/vwo": wsgi(authorise=role_of)})
run_simple("127.0.0.1", int(sys.argv[1]), mounted, threaded=True)
