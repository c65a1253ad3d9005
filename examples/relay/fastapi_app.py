"""A FastAPI application with the relay beneath /vwo: `uvicorn fastapi_app:app`.

SDKs drop the path of a proxy's URL, so the proxy in front of this application must add /vwo to their
requests.
"""

import os

from fastapi import FastAPI

from vwo_celery.relay import beside, relay_app

site = FastAPI()


@site.get("/")
async def home():
    """Answer a visitor of the application itself."""
    return {"process": os.getpid()}


# The relay connects to nothing yet. VWO_CELERY_REDIS_URL says where Redis is, VWO_CELERY_RELAY_ACCOUNTS
# whose events are taken. It stands in front of all middleware.
app = beside(site, relay_app(prefix="/vwo"))
