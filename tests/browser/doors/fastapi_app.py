"""A FastAPI application with the console below /ops/vwo; argument: its port."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from roles import role_of

from vwo_celery.console import asgi

app = FastAPI()
app.mount("/ops/vwo", asgi(authorise=role_of))


@app.get("/")
def shop() -> str:
    """The application's own page."""
    return "a shop"


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
