# SPDX-License-Identifier: Apache-2.0
"""The configurations of a whole model in HDF5, which are attributes of its root: read without
libhdf5, and judged as those of an archive are."""

from __future__ import annotations

from collections.abc import Iterator

from keras_integrity_hook.errors import DamagedFileError
from keras_integrity_hook.inspection import hdf5_file, hdf5_messages, json_reading
from keras_integrity_hook.inspection.findings import Finding
from keras_integrity_hook.inspection.hdf5_file import Hdf5File
from keras_integrity_hook.inspection.rules import found
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.content import Content

_CONFIGS = (b"model_config", b"training_config")


def inspect(content: Content, name: str) -> Iterator[Finding]:
    """The findings in the configurations of one HDF5 file; none in one that holds weights alone, or
    is no HDF5 file for libhdf5 either, whatever it is called."""
    if not hdf5_file.has_superblock(content):
        return
    try:
        with hdf5_messages.whole():
            texts = list(_configurations(Hdf5File(content)))
    except DamagedFileError as error:
        yield found("opaque-hdf5", name, "", error.cause)
        return
    if not texts:
        return
    from keras_integrity_hook.inspection import config  # 4 ms the first time

    for attribute, text in texts:
        where = f"{name or 'the file'}: {attribute}"
        yield from config.of(text, where, stored=content.size)
    names = [attribute for attribute, _ in texts]
    if len(set(names)) != len(names):
        yield found("duplicate-key", name, "", ", ".join(names))


def _configurations(file: Hdf5File) -> Iterator[tuple[str, json_reading.Parsed]]:
    """Names and values; raises DamagedFileError where libhdf5 might find what is not found here."""
    root = next(file.objects())
    if root.unread:
        raise DamagedFileError(f"its root has {root.unread}")
    for attribute in map(hdf5_messages.attribute_of, root.attributes):
        if attribute.name in _CONFIGS:
            text = file.string_of(attribute)
            yield attribute.name.decode(), _parsed(text)


def _parsed(text: bytes) -> json_reading.Parsed:
    if len(text) > LIMITS.inspected_member:
        return json_reading.Parsed(None, (("too-large", f"{len(text)} bytes"),))
    return json_reading.parse(text)
