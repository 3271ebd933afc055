# SPDX-License-Identifier: Apache-2.0
"""What Alembic runs: the scripts of ``versions/``, in the transaction of whoever asked for it."""

from __future__ import annotations

from alembic import context

from keras_integrity_hook.registry.store.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=context.config.attributes["version_table"],
    transactional_ddl=True,
)
context.run_migrations()
