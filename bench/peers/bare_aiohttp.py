"""`python -m bench.peers.bare_aiohttp PORT`: an aiohttp server that reads a body, forgets it and answers 200."""

from __future__ import annotations

import sys

import uvloop
from aiohttp import web

from deploy.cluster.process import LOCALHOST


async def answer(request: web.Request) -> web.Response:
    """What every request gets."""
    await request.read()
    return web.Response()


if __name__ == "__main__":
    uvloop.install()
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/", answer)
    web.run_app(app, host=LOCALHOST, port=int(sys.argv[1]), access_log=None, print=None)
