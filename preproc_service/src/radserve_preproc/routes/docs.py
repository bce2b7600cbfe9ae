"""``/docs``: Swagger UI for ``/openapi.json``, from files of this process alone.

A hospital's network reaches no CDN, and a page that runs scripts from one lets that CDN see and change what is done
here. So script and style come from a package, and the Content-Security-Policy lets the page load nothing from
elsewhere (nor Swagger's validator badge, which would send the document to swagger.io).
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

router = APIRouter(include_in_schema=False)

ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
START = (
    'SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null,'
    " tryItOutEnabled: true})"
)
PAGE = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>radserve API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script>{START}</script>
</body>
</html>
"""
_START_HASH = base64.b64encode(hashlib.sha256(START.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; script-src 'self' 'sha256-{_START_HASH}'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@router.get("/docs")
async def page() -> HTMLResponse:
    """The page."""
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})


@router.get("/docs/swagger-ui-bundle.js")
async def script() -> Response:
    """Swagger UI itself."""
    return _asset("swagger-ui-bundle.js")


@router.get("/docs/swagger-ui.css")
async def style() -> Response:
    """And its style."""
    return _asset("swagger-ui.css")


def _asset(name: str) -> Response:
    content = (files("fastapi_offline") / "static" / name).read_bytes()
    return Response(content, media_type=ASSETS[name], headers={"Cache-Control": "max-age=86400"})
