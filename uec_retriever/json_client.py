"""JSONClient: JSON over HTTP as the network is, with retries that heed Retry-After; no message shows a key."""

from __future__ import annotations

import base64
import contextlib
import email.utils
import functools
import json
import os
import re
import time
import weakref
from collections.abc import Mapping
from typing import Any

import httpx
import tenacity

from uec_retriever.errors import InvalidInputError, UECError

_RETRIED = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_HOST = re.compile(r"[\w.:-]+")  # httpx takes anything
_HEADER = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_]\w*")
_TOO_LARGE = re.compile(r"too (large|long)", re.IGNORECASE)  # llama.cpp says so with status 500
_NO_CREDIT = b"insufficient_quota"  # OpenAI's, which no wait brings back
_SHORTEST_SECRET = 4  # characters: whoever hides "x" or "1" makes messages unreadable
_LONGEST_WAIT = 120.0  # seconds that a server may ask for


class RefusedError(UECError):
    """What a server says to a request that it will not fulfil, now or later.

    Attributes:
        status: of HTTP, 413 for whatever says that there was too much; None where there was no answer, or none in JSON.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class _TryAgainError(Exception):
    """A failure that may pass.

    Attributes:
        after: seconds that the server asks to wait; None if it does not say.
    """

    def __init__(self, message: str, status: int | None = None, after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.after = after


class JSONClient:
    """A server of one address; safe under threads, and in processes that are forked.

    Args:
        url: with the version, e.g. `http://localhost:8000/v1`.
        api_key: sent as a bearer token; what the environment variable holds if None.
        api_key_variable: environment variable that holds the key, if the server wants one.
        headers: sent with each request, beside the key.
        attempts: of a request, at least 1; waits in between are what the server asks for, or grow: up to 20 seconds, and
            after 429 (too many requests) up to 60, a minute in all with 6 attempts.
        timeout: seconds for one answer, above 0.

    Raises:
        InvalidInputError: for a number out of range, or an address that is none.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        api_key_variable: str = "OPENAI_API_KEY",
        headers: Mapping[str, str] | None = None,
        attempts: int = 5,
        timeout: float = 120.0,
    ) -> None:
        if attempts < 1 or not timeout > 0:
            raise InvalidInputError("attempts must be at least 1, and timeout above 0")
        if not isinstance(api_key_variable, str) or not _VARIABLE.fullmatch(api_key_variable):
            raise InvalidInputError(
                "api_key_variable must be the name of an environment variable, such as OPENAI_API_KEY, not the key itself"
            )
        address = _parse_address(url)
        self._variable = api_key_variable
        key = api_key or os.environ.get(api_key_variable) or ""
        self._key = str(key).strip()  # files and shells add the end of a line
        self._attempts = attempts
        self._timeout = timeout
        sent = {**(headers or {})}
        if self._key and "authorization" not in map(str.lower, sent):
            sent["Authorization"] = f"Bearer {self._key}"
        _check_headers(sent, address.host, api_key_variable)
        basic = base64.b64encode(f"{address.username}:{address.password}".encode()).decode()
        parts = [part for told in sent.values() for part in (*told.split()[-1:], told)]
        self._secrets = [s for s in (*parts, address.password, basic) if len(s) >= _SHORTEST_SECRET]
        self._make = functools.partial(
            httpx.Client,
            base_url=address,
            headers=sent,
            timeout=timeout,
            limits=httpx.Limits(keepalive_expiry=5.0),
        )  # as many connections as whoever asks has threads
        try:
            self._connect()
        except (ValueError, ImportError, OSError) as error:
            raise InvalidInputError(
                f"cannot set up a connection to {address.host}: {self._hide(str(error))}: look at the environment variables "
                "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE"
            ) from None

    def _connect(self) -> None:
        self._client, self._process = self._make(), os.getpid()
        closing = weakref.finalize(self, self._client.close)  # whoever forgets it leaves no connection behind
        closing.atexit = False  # an exit waits for no request

    @property
    def address(self) -> str:
        """Of the server, without credentials."""
        url = self._client.base_url.copy_with(username=None, password=None, query=None)
        return f"{url.scheme}://{url.netloc.decode()}{url.path}".rstrip("/")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The JSON object that a server answers.

        Args:
            method: of HTTP.
            path: below the address.
            body: sent as JSON.

        Raises:
            RefusedError: if it cannot be reached or refuses, after as many attempts as there are.
        """
        retry = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=_wait,
            retry=tenacity.retry_if_exception_type(_TryAgainError),
            reraise=True,
        )
        try:
            return retry(self._once, method, path, body)
        except _TryAgainError as error:
            tried = retry.statistics["attempt_number"]
            raise RefusedError(f"{error} (tried {tried} times)", error.status) from error

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        response = self._send(method, path, body)
        status = response.status_code
        if status == 500 and _TOO_LARGE.search(self._told(response)):
            raise RefusedError(f"the server refused with 500: {self._told(response)}", 413)
        if status == 429 and _NO_CREDIT in response.content:
            raise RefusedError(f"the server refused with 429: {self._told(response)}", status)
        if status in _RETRIED:
            after = _seconds(response.headers.get("retry-after"))
            told = f"the server answered {status}: {self._told(response)}"
            if after is not None and after > _LONGEST_WAIT:
                raise RefusedError(f"{told}; it asks to wait {after:.0f} seconds: try again then", status)
            raise _TryAgainError(told, status, after)
        if not response.is_success:
            raise RefusedError(
                f"the server refused with {status}{self._hint(status, path)}{self._redirect(response, path)}: {self._told(response)}",
                status,
            )
        try:
            found = json.loads(response.content)
        except (ValueError, RecursionError):
            raise RefusedError(f"the server's answer is no JSON: {self._told(response)}") from None
        if not isinstance(found, dict):
            raise RefusedError("the server's answer is no JSON object")
        if found.get("error"):  # LM Studio says so with status 200
            hint = self._hint(404, path)
            raise RefusedError(f"the server answered with an error{hint}: {self._told(response)}", status)
        return found

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx.Response:
        """Errors of the library stay out of what is raised: they may hold the headers, and with them the key."""
        host = self._client.base_url.host
        if self._client.is_closed:
            raise RefusedError(f"the connection to the server {host} was closed: make another")
        if (
            self._process != os.getpid()
        ):  # forked: on the parent's connections one would read another's answers
            self._connect()
        try:
            return self._client.request(method, path, json=body)
        except (httpx.ReadTimeout, httpx.WriteTimeout):
            raise _TryAgainError(
                f"the server {host} did not answer within {self._timeout:g} seconds: raise the timeout, or ask for less at "
                "once"
            ) from None
        except httpx.DecodingError as error:
            raise RefusedError(f"the server's answer cannot be unpacked: {self._hide(str(error))}") from None
        except httpx.TransportError as error:
            told = self._hide(str(error)) or type(error).__name__
            raise _TryAgainError(f"cannot reach the server {host}: {told}") from None

    def _hint(self, status: int, path: str) -> str:
        """What to do about a refusal, where that is known."""
        if status in (401, 403):
            lacking = "" if self._key else ", which is not set"
            return f" (the key is taken from the environment variable {self._variable}{lacking})"
        if status in (404, 405):
            return f" (asked for {self.address}/{path}: is the model's name right, and does the address end as /v1 does?)"
        return ""

    def _redirect(self, response: httpx.Response, path: str) -> str:
        if not response.has_redirect_location:
            return ""
        target = response.headers["location"].split("?")[0]
        target = re.sub(r"//[^/]*@", "//", target).removesuffix(f"/{path}")
        return f" (it redirects to {self._hide(target)[:200]}: give that address)"

    def _told(self, response: httpx.Response) -> str:
        """The beginning of what the server says, in one line, without the secrets, which it may repeat."""
        said = response.content.decode("utf-8", "replace")  # whatever charset it claims
        return self._hide(" ".join(said.split()))[:200]

    def _hide(self, said: str) -> str:
        for secret in self._secrets:
            said = said.replace(secret, "...")
        return said


def _check_headers(headers: Mapping[str, str], host: str, variable: str) -> None:
    """Refuse what HTTP cannot send, before a library shows it in its own message."""
    for name, told in headers.items():
        fine = isinstance(name, str) and isinstance(told, str) and told.isascii() and told.isprintable()
        if not fine or not _HEADER.fullmatch(name) or told != told.strip():
            raise InvalidInputError(
                f"the key or a header for the server at {host} has characters that HTTP cannot send: set {variable} to the "
                "key alone"
            )


def _wait(state: tenacity.RetryCallState) -> float:
    """Seconds until the next attempt: what the server asks for, or random ones that grow."""
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, _TryAgainError) and error.after is not None:
        return error.after
    if isinstance(error, _TryAgainError) and error.status == 429:  # limits are mostly by the minute
        return (tenacity.wait_exponential(multiplier=2, max=60) + tenacity.wait_random(0, 2))(state)
    return tenacity.wait_random_exponential(multiplier=0.5, max=20)(state)


def _seconds(retry_after: str | None) -> float | None:
    """Of a Retry-After header: a number of seconds, or a date; None if it is neither."""
    if retry_after is None:
        return None
    with contextlib.suppress(ValueError):
        return max(0.0, float(retry_after))
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    return None


def _parse_address(url: str) -> httpx.URL:
    """A server's address. Messages never repeat it: whatever is wrong with it may be a password."""
    try:
        address = httpx.URL(url.strip().rstrip("/") + "/")
    except (httpx.InvalidURL, UnicodeError, AttributeError, TypeError):
        address = httpx.URL()
    known = address.scheme in ("http", "https") and _HOST.fullmatch(address.host)
    if not known or not 0 <= (address.port or 0) < 1 << 16:
        raise InvalidInputError("the server's address must be such as http://localhost:8000/v1")
    if "?" in url or "#" in url:
        raise InvalidInputError(
            f"the address of the server at {address.host} has a '?' or '#': leave out what comes after it; a key is "
            "taken from an environment variable"
        )
    return address
