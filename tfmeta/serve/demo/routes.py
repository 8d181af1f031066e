"""The demo's page as routes of the REST port: read once, served from memory, nothing else."""

import hashlib
from importlib import resources
from pathlib import Path

from starlette.responses import Response
from starlette.routing import Route

# The page loads only what is listed here, runs no inline code, and talks to its own server alone.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ]
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",  # asked for again each time, answered by 304 if it is the same
}
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
PAGE = "index.html"
MODEL_NAME = "omniglot"  # the page asks /v1/models/omniglot


def model_base_path() -> str:
    """Returns the directory of the shipped model's versions.

    Raises:
        FileNotFoundError: if this installation has no model.
    """
    path = Path(str(resources.files(__package__))) / "model"
    if not any(version.name.isdigit() for version in path.glob("*/")):
        raise FileNotFoundError(
            f"The demo needs its model. Received: no version in {path}. Install tfmeta from its "
            "repository or wheel, which have it, or pass --model_base_path=DIR with an export of "
            "an Omniglot recipe."
        )
    return str(path)


def routes() -> list[Route]:
    """Returns the routes of the page: `/` and the files that it loads."""
    folder = resources.files(__package__) / "page"
    served = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        media_type = TYPES.get(Path(file.name).suffix)
        if media_type is None:
            continue
        path = "/" if file.name == PAGE else f"/{file.name}"
        answer = _answer(file.read_bytes(), media_type)
        served.append(Route(path, answer, methods=["GET"], name=f"demo-{file.name}"))
    return served


def _answer(content, media_type):
    """A handler of one file."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**HEADERS, "ETag": tag}

    async def answer(request):
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)

    return answer
