# SPDX-License-Identifier: Apache-2.0
"""Where a model's inputs come from: arrays, which are looked at at once, and sources that give
batches, each of which is looked at when it is given: nothing is read twice, and nothing that
nobody asks for.

A source is replaced by a view of it, which is of the same kind as far as Keras looks, and which
the user's own object does not know of. Sources are told by their classes' names, as Keras does it:
nothing is imported to find out that something is not of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from keras_integrity_hook.hooks.inputs.watch import Watch, inputs_of

View = Callable[[Any, Watch], Any]


def watched(source: Any, watch: Watch) -> Any:
    """``source`` where its inputs are allowed, or a view that looks at each batch.

    Raises:
        InputContractError: see :meth:`Watch.check`; also for a source that gives batches to nobody
            but the model.
    """
    kind: type = type(source)
    view = _view_of(kind)
    if view is not None:
        return view(source, watch)
    watch.check(source)
    return source


def _generated(source: Any, watch: Watch) -> Iterator[Any]:
    """A generator, or another iterator."""
    for batch in source:
        watch.check_batch(inputs_of(batch))
        yield batch


def _indexed(source: Any, watch: Watch) -> Any:
    """``keras.utils.PyDataset``, once ``Sequence``: batches by their number."""

    base: Any = type(source)

    def getitem(self: Any, index: Any) -> Any:
        batch = base.__getitem__(self, index)
        watch.check_batch(inputs_of(batch), index)
        return batch

    def reduced(self: Any, protocol: Any = None) -> Any:
        return _indexed, (source, watch)  # for a process of its own that loads the batches

    if getattr(source, "use_multiprocessing", False):
        watch.share()
    return _sharing(source, _kind_like(source, __getitem__=getitem, __reduce_ex__=reduced))


def _iterated(source: Any, watch: Watch) -> Any:
    """torch's and Grain's ``DataLoader``: batches one after the other."""

    base: Any = type(source)

    def iterate(self: Any) -> Iterator[Any]:
        yield from _generated(base.__iter__(self), watch)

    return _sharing(source, _kind_like(source, __iter__=iterate))


def _mapped(source: Any, watch: Watch) -> Any:
    """Data sets of Grain."""

    def observed(batch: Any) -> Any:
        watch.check_batch(inputs_of(batch))
        return batch

    return source.map(observed)


def _mapped_in_graph(source: Any, watch: Watch) -> Any:
    """``tf.data.Dataset``: batches are tensors of a graph."""
    from keras_integrity_hook.hooks.inputs import tf_data

    return tf_data.view(source, watch)


def _refused(source: Any, watch: Watch) -> Any:
    """What is read in the graph of the model, or by an adapter of the program's own."""
    watch.refuse_source(source)
    return source


_VIEWS: tuple[tuple[str, str, View], ...] = (
    ("builtins", "generator", _generated),
    ("keras.src.", "PyDataset", _indexed),
    ("keras.src.", "Sequence", _indexed),
    ("tf_keras.src.", "Sequence", _indexed),
    ("tensorflow.python.", "Sequence", _indexed),
    ("tensorflow.python.", "DatasetV2", _mapped_in_graph),
    ("tensorflow.python.", "DistributedDataset", _refused),
    ("tensorflow.python.", "DistributedDatasetsFromFunction", _refused),
    ("torch.utils.data", "DataLoader", _iterated),
    ("grain.", "MapDataset", _mapped),
    ("grain.", "IterDataset", _mapped),
    ("grain.", "DataLoader", _iterated),
    ("keras.src.", "DataAdapter", _refused),
)


@functools.lru_cache(maxsize=256)
def _view_of(kind: type) -> View | None:
    for parent in kind.__mro__:
        for module, name, view in _VIEWS:
            if parent.__name__ == name and parent.__module__.startswith(module):
                return view
    # tf_keras takes any iterator for a generator.
    return _generated if hasattr(kind, "__next__") else None


def _kind_like(source: Any, **methods: Any) -> type:
    kind = type(source)
    return type(kind.__name__, (kind,), {"__module__": kind.__module__, **methods})


def _sharing(source: Any, kind: type) -> Any:
    """An object of ``kind`` with the state of ``source``, not with a copy of it."""
    view: Any = object.__new__(kind)
    object.__setattr__(view, "__dict__", source.__dict__)
    return view
