# SPDX-License-Identifier: Apache-2.0
"""Every cap on what a file may make us read, allocate or walk, in one place.

Each is far above what Keras writes and low enough that a hostile file costs little.
"""

from __future__ import annotations

from typing import NamedTuple

KIB = 1024
MIB = 1024 * KIB


class Limits(NamedTuple):
    """Caps in bytes unless the name says otherwise."""

    envelope: int = 12 * MIB
    table: int = 4096 * 64
    padding: int = 16 * MIB
    chunks: int = 4096
    min_chunk: int = MIB
    json_depth: int = 8
    json_nodes: int = 200_000
    json_objects: int = 50_000
    central_directory: int = 8 * MIB
    zip_members: int = 20_000
    hdf5_depth: int = 64
    hdf5_rank: int = 32  # dimensions; what the format allows
    hdf5_metadata: int = 64 * MIB  # to read on the walk through one model
    hdf5_read: int = 8 * MIB  # at once: an object header, the names of a group
    hdf5_steps: int = 400_000  # objects, messages, links and tree nodes
    hdf5_names: int = 8 * MIB  # characters of the paths on the walk
    hdf5_links: int = 10_000  # of any file; larger ones may have more
    hdf5_user_block: int = 16 * MIB
    # What an inspection reads of one member or part, and what it walks in it
    inspected: int = 256 * MIB
    inspected_steps: int = 4_000_000  # fields of protocol buffers, messages and entries of HDF5
    inspected_findings: int = 1_000  # of one member or part; the rest is counted
    inspected_graph: int = 256 * MIB  # saved_model.pb, which is read whole
    pickle: int = MIB  # of a file that begins as one
    pickle_opcodes: int = 10_000
    policy: int = MIB
    policy_rules: int = 1_000
    toml_dots: int = 256  # of one line
    tree_entries: int = 10_000_000  # below a directory that is named to a command
    tree_depth: int = 128  # directories below one in a store
    set_files: int = 20_000
    set_entries: int = 100_000
    set_depth: int = 32
    set_name: int = 4096  # characters; what Linux allows
    set_held: int = 256 * MIB
    small_member: int = 256 * KIB
    shard_index: int = 8 * MIB
    startup_file: int = MIB
    bundle: int = 12 * MIB
    summaries: int = 64  # verification summaries of one model
    verdict: int = 64 * KIB  # what is kept of one trial load
    verdicts: int = 2_000  # of trial loads that are kept
    history_entry: int = 64 * KIB  # what is remembered of one path
    history_entries: int = 39  # in each of 256 directories: some 10,000 in all
    history_text: int = 255  # characters of a name, version or key id that is remembered
    history_versions: int = 16  # of different names, that were seen at one path
    certificates: int = 16
    root_certificates: int = 1024
    inputs: int = 64 * KIB  # of an input contract, as the seal spells it
    contract_inputs: int = 256
    contract_rank: int = 32  # dimensions
    contract_values: int = 4096  # that one input may be allowed to have
    inspected_kept: int = 512 * MIB  # of one model, in memory
    inspected_member: int = 64 * MIB  # a configuration, or a member that is packed
    config_depth: int = 300  # objects and lists within each other
    config_objects: int = 1_000_000  # and lists
    config_values: int = 4_000_000  # texts, numbers and the like
    config_digits: int = 400  # of one number; a float64 has 309 before its point
    regions: int = 10_000  # that a new seal names; each may be stated with its two ends
    stated_regions: int = 3 * 16_384
    region_layers: int = 8  # times that the map of a seal may name each byte, on average
    region_names: int = 4 * MIB
    damage_overlaps: int = 262_144  # pairs of a damaged chunk and a part that has bytes of it
    signatures: int = 64
    key_file: int = 64 * KIB
    trust_file: int = MIB
    trusted_keys: int = 4096
    published: int = 512 * KIB  # one file of a publisher's TUF metadata
    published_roots: int = 256  # that a machine may be behind
    pull_seconds: int = 60  # for one file; a server may be slow, and not for ever
    redirects: int = 5  # from one web address to the next
    content: int = 1 << 46  # 64 TiB
    # What is verified ahead of its reader, and what of it is held in memory, most where no lease is
    ahead: int = 256 * MIB
    ahead_unleased: int = 64 * MIB
    ahead_held: int = 256 * MIB
    ahead_kept: int = 4 * MIB  # of names and shapes, until the load is over
    # What a user may state in a seal, in characters or by number
    model_name: int = 255
    facts: int = 64
    fact_name: int = 64
    fact: int = 1024
    datasets: int = 1024
    # What checks of other distributions may read at once and say of one model
    check_read: int = 64 * MIB
    check_findings: int = 1_000
    finding_text: int = 1024  # characters of each text in a finding
    finding_items: int = 100  # of each list in a finding of an audit
    findings_held: int = 10_000  # of an audit, before they are written
    findings_read: int = 2_000  # of an audit, at a time
    audit_line: int = 64 * KIB
    audit_path: int = 4096  # characters; what Linux allows
    audit_text: int = 1024  # characters of any other text
    audit_items: int = 100  # of one list or mapping
    audit_values: int = 1000  # of one event
    audit_file: int = 10 * MIB
    audit_kept: int = 5  # files, besides the one being written
    sandbox_message: int = 128 * KIB  # to or from a confined process; what a socket takes at once
    sandbox_attempts: int = 500  # different ones that are told of one process
    sandbox_text: int = 400  # characters of a path, an address or an error of a confined process
    sandbox_printed: int = 64 * KIB  # of what a model printed that are kept, the last ones
    sandbox_files: int = 20_000  # in the directory of a confined process
    made_up: int = 64 * MIB  # elements of an input that nobody gave
    sandbox_arrays: int = 4096  # of one question or answer
    sandbox_nesting: int = 16  # of lists and dicts of arrays
    array_header: int = 1024  # of one array
    registry_event: int = 65_535  # with its signatures; what a bundle of entries has room for
    registry_note: int = 256 * KIB  # a checkpoint or another note; 16 witnesses sign 5 kB each
    registry_answer: int = 8 * MIB
    registry_events: int = 2_000  # of one answer
    registry_proof: int = 63  # hashes
    registry_kept: int = 64  # answers in one of 256 directories of them
    registry_spool: int = 10_000  # models that wait to be registered
    registry_refused: int = 1_000  # of them that were refused, and are kept for people to look at
    registry_bundle: int = 256 * (2 + 65_535)  # entries with their lengths
    registry_faults: int = 100  # that are told of one log
    # What a page about an audit shows, and what is counted for it
    report_rows: int = 20  # models of one list
    report_groups: int = 12  # lines of one tally
    report_names: int = 5_000  # that are told apart while they are counted
    report_runs: int = 100  # that lines over time are drawn through
    # What a registry's service takes from strangers
    request_head: int = 16 * KIB
    request_target: int = 4096  # the path and what follows it
    request_body: int = MIB
    connections: int = 2_000
    handshake: int = 10  # seconds of TLS, before the first request and after the last
    registry_posted: int = 100  # events of one request, which are stored together
    registry_digests: int = 16  # of one question
    registry_page: int = 200  # rows of a list
    registry_name: int = 255  # characters of a model's, a stage's or an actor's
    registry_version: int = 128  # characters
    registry_stage: int = 1_000  # versions at a time
    registry_same_content: int = 64  # versions
    registry_recalls: int = 16  # of the same content or key, at a time


LIMITS = Limits()
