"""The API's own description: the OpenAPI document, and a page that shows it without asking any other machine."""

from importlib import resources
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cloudctl.api import calls, errors
from cloudctl.api.calls import Route

INTRODUCTION = """
Everything the platform does. Whoever calls shows a token: `Authorization: Bearer cct_…`.

- A problem is `application/problem+json` (RFC 9457) with a stable `slug`, figures, and a sentence in the language of
  `Accept-Language` (Chinese or English).
- What a caller may not see is 404, not 403.
- A POST with an `Idempotency-Key` is done once, however often it is sent; the key is kept for 24 hours.
- What has a version is answered with it as its `ETag`; changes take it back as `If-Match`.
- Lists come in parts: `limit`, `after`, and `next` in the answer.
- What takes time is answered with 202 and watched at `/v1/events`.
- Moments are in UTC (ISO 8601). Amounts are whole numbers in the unit of their resource class, see `/v1/resources`.
"""

_ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}


class OneProblem(BaseModel):
    """One of several things that are wrong."""

    slug: str = Field(description="The problem's stable name.", examples=["bad-value"])
    detail: str = Field(description="A sentence for people.", examples=["limit: at most 200."])
    figures: dict[str, Any] = Field(description="What the sentence speaks of, for machines.", examples=[{"le": 200}])
    field: str | None = Field(description="The input that is to blame, as a dotted path.", examples=["items.0.size"])


class ProblemView(OneProblem):
    """What went wrong (RFC 9457)."""

    type: str = Field(
        description="The problem's kind; relative to the documentation.", examples=["/problems/bad-value"]
    )
    title: str = Field(description="The kind of problem in words.", examples=["The input breaks a rule"])
    status: int = Field(description="The HTTP status.", examples=[422])
    instance: str | None = Field(
        None, description="This call, as the logs know it.", examples=["/calls/cal_0r2v6ysm1f"]
    )
    errors: list[OneProblem] | None = Field(None, description="Each of several problems.", examples=[[]])


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document of `app`; made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
        )
        parts = made.setdefault("components", {})
        schemas = parts.setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        for model in (OneProblem, ProblemView):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schema.pop("$defs", None)
            schemas[model.__name__] = schema
        token = {"type": "http", "scheme": "bearer", "description": "A token: `cct_…`."}
        parts["securitySchemes"] = {"token": token}
        for route in app.routes:
            if isinstance(route, Route) and route.include_in_schema:
                for method in route.methods or ():
                    _complete(made["paths"][route.path_format][method.lower()], route)
        app.openapi_schema = made
    return app.openapi_schema


def install(app: FastAPI) -> None:
    """Serve the document at /openapi.json and the page at /docs."""
    files = {name: (resources.files("fastapi_offline") / "static" / name).read_bytes() for name in _ASSETS}
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="cloudctl",
        swagger_js_url="/docs/swagger-ui-bundle.js",
        swagger_css_url="/docs/swagger-ui.css",
        swagger_favicon_url="/docs/favicon.png",
    )

    async def openapi(_request: Request) -> Response:
        return JSONResponse(document(app))

    async def docs(_request: Request) -> Response:
        return page

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _ASSETS:
            raise errors.NoSuchRoute(path=request.url.path[:200])
        return Response(files[name], media_type=_ASSETS[name], headers={"Cache-Control": "public, max-age=86400"})

    app.add_route("/openapi.json", openapi, include_in_schema=False)
    app.add_route("/docs", docs, include_in_schema=False)
    app.add_route("/docs/{name}", asset, include_in_schema=False)


def _complete(operation: dict[str, Any], route: APIRoute) -> None:
    """What is the same for all: who may ask, how a refusal looks."""
    assert isinstance(route, calls.Route)
    operation["security"] = [] if route.is_public else [{"token": []}]
    content = {errors.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemView"}}}
    operation["responses"].pop("422", None)
    for status, words in (("4XX", "Refused; the problem says why."), ("5XX", "It could not be done now.")):
        operation["responses"][status] = {"description": words, "content": content}
