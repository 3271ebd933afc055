# SPDX-License-Identifier: Apache-2.0
"""A process that can hurt nobody, and talking to it.

The parent starts a Python that locks itself down before it imports Keras (``child``), hands it the
bytes of a model and arrays by descriptors, and takes JSON headers and plain arrays back. Nothing
that comes from there is unpickled, and every size is bounded.

What holds the child, from the kernel's side and for good:

* **Landlock**: it reads the interpreter and its libraries, and writes into a directory of its own.
* **seccomp**: calls that a model needs are allowed by name; no sockets, no processes, no signals to
  others, no modes, owners or times of files, and no call that is not on the list.
* **rlimits, no capabilities, ``no_new_privs``, not dumpable**; the parent watches what the kernel
  does not count: time, threads, files and what is printed.
"""
