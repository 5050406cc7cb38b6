"""JSONClient: JSON over HTTP as the network is, with retries that heed Retry-After; no message shows a key."""

from __future__ import annotations

import contextlib
import email.utils
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
_LONGEST_WAIT = 120.0  # seconds that a server may ask for


class RefusedError(UECError):
    """What a server says to a request that it will not fulfil, now or later.

    Attributes:
        status: of HTTP; None where there was no answer, or none in JSON.
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
    """A server of one address; safe under threads.

    Args:
        url: with the version, e.g. `http://localhost:8000/v1`.
        api_key: sent as a bearer token; what the environment variable holds if None.
        api_key_variable: environment variable that holds the key, if the server wants one.
        headers: sent with each request, beside the key.
        attempts: of a request, at least 1; waits in between grow up to 20 seconds, or are what the server asks for.
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
        address = _parse_address(url)
        self._variable = api_key_variable
        self._key = api_key or os.environ.get(api_key_variable)
        self._attempts = attempts
        sent = {**(headers or {})}
        if self._key:
            sent["Authorization"] = f"Bearer {self._key}"
        self._secrets = [self._key, address.password, *(headers or {}).values()]
        try:
            self._client = httpx.Client(base_url=address, headers=sent, timeout=timeout)
        except (UnicodeError, ValueError, TypeError):
            raise InvalidInputError(
                f"the key or a header for the server at {address.host} has characters that HTTP cannot send: set "
                f"{api_key_variable} to the key alone"
            ) from None
        weakref.finalize(self, self._client.close)

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
        try:
            response = self._client.request(method, path, json=body)
        except httpx.TransportError as error:
            raise _TryAgainError(
                f"cannot reach the server {self._client.base_url.host}: {self._hide(str(error))}"
            ) from error
        status = response.status_code
        if status in _RETRIED:
            after = _seconds(response.headers.get("retry-after"))
            told = f"the server answered {status}: {self._told(response)}"
            if after is not None and after > _LONGEST_WAIT:
                raise RefusedError(f"{told}; it asks to wait {after:.0f} seconds: try again then", status)
            raise _TryAgainError(told, status, after)
        if response.is_error:
            hint = ""
            if status in (401, 403):
                lacking = "" if self._key else ", which is not set"
                hint = f" (the key is taken from the environment variable {self._variable}{lacking})"
            raise RefusedError(f"the server refused with {status}{hint}: {self._told(response)}", status)
        try:
            found = response.json()
        except ValueError as error:
            raise RefusedError(f"the server's answer is no JSON: {self._told(response)}") from error
        if not isinstance(found, dict):
            raise RefusedError("the server's answer is no JSON object")
        return found

    def _told(self, response: httpx.Response) -> str:
        """The beginning of what the server says, without the secrets, which it may repeat."""
        return self._hide(response.text)[:200]

    def _hide(self, said: str) -> str:
        for secret in self._secrets:
            said = said.replace(secret, "...") if secret else said
        return said


def _wait(state: tenacity.RetryCallState) -> float:
    """Seconds until the next attempt: what the server asks for, or random ones that grow."""
    grown = tenacity.wait_random_exponential(multiplier=0.5, max=20)(state)
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.after if isinstance(error, _TryAgainError) else None
    return grown if asked is None else asked


def _seconds(retry_after: str | None) -> float | None:
    """Of a Retry-After header: a number of seconds, or a date; None if it is neither."""
    if retry_after is None:
        return None
    with contextlib.suppress(ValueError):
        return max(0.0, float(retry_after))
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    return None


def _parse_address(url: str) -> httpx.URL:
    """A server's address. Messages never repeat it: whatever is wrong with it may be a password."""
    try:
        address = httpx.URL(url.rstrip("/") + "/")
    except (httpx.InvalidURL, UnicodeError):
        address = httpx.URL()
    if address.scheme not in ("http", "https") or not _HOST.fullmatch(address.host):
        raise InvalidInputError("the server's address must be such as http://localhost:8000/v1")
    if "?" in url or "#" in url:
        raise InvalidInputError(
            f"the address of the server at {address.host} has a '?' or '#': leave out what comes after it; a key is "
            "taken from an environment variable"
        )
    return address
