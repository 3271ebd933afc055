# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in a store becomes an error of ours about the URL, with what led to it.

What a store's library raised stays the cause, of its own type: that helps whoever looks for the
reason. But those libraries quote URLs as they were asked for, with what a presigned one is signed
by, and a traceback shows causes. One that quotes a secret, or comes from one that does, is replaced
by a stand-in of the same built-in type, which says the same without it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from keras_integrity_hook.errors import (
    IntegrityError,
    RemoteError,
    RemoteUnavailableError,
    RemoteWriteError,
    printable,
)
from keras_integrity_hook.files import url_names
from keras_integrity_hook.remote import urls

_TOLD = 400
"""Characters of a store's own error; some list all that they have tried."""
_IN_A_CHAIN = 32


@contextlib.contextmanager
def speaking_of(url: str, *, writing: bool = False) -> Iterator[None]:
    """Let what a store raises in this block come out as an error of ours about ``url``.

    Raises:
        FileNotFoundError: nothing is there, and nothing was to be written.
        RemoteUnavailableError, RemoteWriteError: anything else.
    """
    try:
        yield
    except IntegrityError as error:
        error.path = urls.shown(url)
        if error.__cause__ is not None:
            error.__cause__ = without_secrets(error.__cause__)
        raise
    except FileNotFoundError as error:
        cause = without_secrets(error)
        if not writing:
            raise FileNotFoundError(error.errno or 2, "No such file", urls.shown(url)) from cause
        raise _failed(url, error, writing) from cause
    except Exception as error:  # each store has errors of its own
        raise _failed(url, error, writing) from without_secrets(error)


def without_secrets(error: BaseException) -> BaseException:
    """``error``, or what stands for it where it, or what led to it, quotes a secret."""
    if not any(map(_quotes_secrets, _chain(error))):
        return error
    text = f"{type(error).__name__}: {urls.without_secrets(str(error))}"
    for kind in type(error).__mro__:
        if kind.__module__ in ("builtins", "io") and issubclass(kind, BaseException):
            with contextlib.suppress(TypeError):  # UnicodeDecodeError, which takes five arguments
                return kind(text)
    return Exception(text)


def _quotes_secrets(error: BaseException) -> bool:
    told = (str(error), repr(error), *getattr(error, "__notes__", ()))
    named = (getattr(error, name, None) for name in ("filename", "filename2"))
    return any(url_names.quotes_secrets(str(text)) for text in (*told, *named))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """``error`` and what led to it, as a traceback shows them and those that it leaves out."""
    ahead: list[BaseException | None] = [error]
    seen: set[int] = set()
    while ahead and len(seen) < _IN_A_CHAIN:
        one = ahead.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        ahead += [one.__cause__, one.__context__]


def _failed(url: str, error: Exception, writing: bool) -> RemoteError:
    text = urls.without_secrets(str(error).replace(url, urls.shown(url))).strip()
    if len(text) > _TOLD:
        text = text[:_TOLD] + " …"
    why = f"{type(error).__name__}: {printable(text)}" if text else type(error).__name__
    path = urls.shown(url)
    if writing:
        return RemoteWriteError(f"the model could not be written there ({why})", path=path)
    return RemoteUnavailableError(f"it cannot be read ({why})", path=path)
