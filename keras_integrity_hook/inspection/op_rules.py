# SPDX-License-Identifier: Apache-2.0
"""Which ops a graph may have, and what those that it may not have would do.

Fine are ops that are stateless by TensorFlow's own registration and the stateful ones listed here.
What is named in :data:`OPS` is judged by its line, whatever it is registered as: ``ReadFile`` is
stateless. An op that is on no list is told as what nobody here has judged.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from keras_integrity_hook.inspection.findings import Verdict
from keras_integrity_hook.inspection.tensorflow_ops import STATEFUL, STATELESS


class OpRule(NamedTuple):
    """What is said of one op.

    Attributes:
        rule: the word of the rule.
        verdict: None for that of the rule.
        why: what running it does.
        paths: which of its inputs are paths; a constant one is of the model's own choice.
    """

    rule: str
    verdict: Verdict | None
    why: str
    paths: tuple[int, ...] = ()


_WRITES = "it writes a file"
_READS = "it reads a file"
_PYTHON = "it calls a function of the Python process by its number"
_NETWORK = "it talks to other processes or machines"

SAVERS = {"SaveV2": (0,), "RestoreV2": (0,), "MergeV2Checkpoints": (0, 1), "SaveSlices": (0,)} | {
    "Save": (0,),
    "Restore": (0,),
    "RestoreSlice": (0,),
}
"""Ops that a saver is made of, with their inputs that have to be the path that it is given."""

_TABLE: tuple[tuple[OpRule, str], ...] = (
    (
        OpRule("file-op", Verdict.REFUSE, _WRITES),
        """WriteFile SaveDataset SaveDatasetV2 DistributedSave DatasetToTFRecord
        ExperimentalDatasetToTFRecord DumpTensor CalibrationStatisticsSaver
        CreateSummaryFileWriter CreateSummaryDbWriter SnapshotDataset SnapshotDatasetV2""",
    ),
    (
        OpRule("file-op", Verdict.REFUSE, "it writes tensors to a file or sends them elsewhere"),
        """DebugIdentity DebugIdentityV2 DebugIdentityV3 DebugNanCount DebugNumericSummary
        DebugNumericSummaryV2""",
    ),
    (
        OpRule("file-op", Verdict.REFUSE, "it changes how TensorFlow reaches file systems"),
        "FileSystemSetConfiguration",
    ),
    (
        OpRule("file-op", None, _READS, (0,)),
        """ReadFile MatchingFiles MatchingFilesDataset ExperimentalMatchingFilesDataset
        TextLineDataset TFRecordDataset TFRecordDatasetV2 FixedLengthRecordDataset
        FixedLengthRecordDatasetV2 LMDBDataset ExperimentalLMDBDataset LoadDataset
        LoadAndRemapMatrix GenerateVocabRemapping DTensorRestoreV2 CSVDataset CSVDatasetV2
        ExperimentalCSVDataset SnapshotChunkDataset SnapshotDatasetReader
        ListSnapshotChunksDataset""",
    ),
    (
        OpRule("file-op", None, _READS, (1,)),
        """InitializeTableFromTextFile InitializeTableFromTextFileV2""",
    ),
    (OpRule("file-op", None, _READS, (0, 1, 2)), "SqlDataset ExperimentalSqlDataset"),
    (
        OpRule("file-op", None, _READS),
        """ImmutableConst FixedUnigramCandidateSampler RecordInput Skipgram LMDBReader
        TextLineReader TextLineReaderV2 TFRecordReader TFRecordReaderV2 WholeFileReader
        WholeFileReaderV2 FixedLengthRecordReader FixedLengthRecordReaderV2 IdentityReader
        IdentityReaderV2 DecodeProtoV2 EncodeProto""",
    ),
    (
        OpRule("file-op", None, "it keeps a copy of its data in a file"),
        "CacheDataset CacheDatasetV2",
    ),
    (OpRule("python-op", None, _PYTHON), "PyFunc PyFuncStateless EagerPyFunc"),
    (
        OpRule("network-op", None, _NETWORK),
        """RpcClient RpcCall RpcServer RpcServerStart RpcServerRegister RpcGetValue RpcCheckStatus
        RegisterDataset RegisterDatasetV2 DataServiceDataset DataServiceDatasetV2
        DataServiceDatasetV3 DataServiceDatasetV4 RemoteCall Send Recv _Send _Recv _HostSend
        _HostRecv ConfigureDistributedTPU ShutdownDistributedTPU WorkerHeartbeat
        CollectiveInitializeCommunicator GrpcServer""",
    ),
    (OpRule("graph-form", None, "it ends the process"), "Abort"),
    (
        OpRule("stateful-op", None, "it runs code that another compiler has made of the model"),
        "XlaCustomCall XlaCustomCallV2 XlaLaunchV2 TfLiteSubgraphExecute",
    ),
)
OPS: dict[str, OpRule] = {op: rule for rule, names in _TABLE for op in names.split()}

_FINE_STATEFUL = re.compile(
    # Variables
    "VarHandleOp|ReadVariableOp|Assign(Add|Sub)?VariableOp|VarIsInitializedOp|VariableShape"
    "|DestroyResourceOp|DisableCopyOnRead|Variable(V2)?|TemporaryVariable|DestroyTemporaryVariable"
    "|Resource(Sparse)?Apply.*|ResourceGather(Nd)?|ResourceScatter.*|ResourceStridedSliceAssign"
    "|ResourceCountUpTo|IsResourceHandleRefCounting|Empty|DeepCopy|GuaranteeConst"
    # Random numbers
    "|Random(Uniform|UniformInt|StandardNormal|Gamma|Poisson|PoissonV2|Shuffle|Crop)"
    "|(Parameterized)?TruncatedNormal|Multinomial|Stateful(Uniform|StandardNormal|Truncated|Random).*"
    "|Rng(Skip|ReadAndSkip)|StatelessRandomGetAlg|NonDeterministicInts|SampleDistortedBoundingBox.*"
    "|(All|Uniform|LogUniform|LearnedUnigram|ThreadUnsafeUnigram)CandidateSampler"
    "|(Anonymous|Dummy|Delete)(Random)?SeedGenerator"
    # Tables, whose content is in the graph or the checkpoint
    "|(Anonymous)?(Mutable|MutableDense)?HashTable(OfTensors)?(V2)?|LookupTable.*V2|InitializeTableV2"
    # Control flow, checks, and what is printed to the terminal: see the attribute of PrintV2
    "|StatefulPartitionedCall|If|While|Case|Assert|Print|PrintV2|CheckNumerics(V2)?"
    "|Stack.*|TensorArray.*|Barrier|Timestamp|(Consume)?Mutex(Lock|V2)?"
    # Layers
    "|CudnnRNN.*|IsTensorFloat32Enabled"
    # Data that is in memory
    "|(Tensor|TensorSlice|SparseTensorSlice|Range|Reduce|Random|RandomV2|List)Dataset(V2)?"
    "|Shuffle.*Dataset(V2|V3)?|InitializeTableFromDataset|DatasetToSingleElement"
    "|(Anonymous|OneShot|Make|Delete)?Iterator(V2|V3)?|IteratorGetNext(Sync|AsOptional)?"
    "|(FIFO|PaddingFIFO|RandomShuffle|Priority)Queue(V2)?|Queue.*V2"
    "|(Anonymous|Dummy|Delete)MemoryCache|DummyIterationCounter"
)


def rule_of(op: str) -> OpRule | None:
    """What is said of ``op``; None where it is fine. Savers' ops are judged by who uses them."""
    rule = OPS.get(op)
    if rule is not None or op in SAVERS:
        return rule
    if op in STATELESS:
        return None
    if op in STATEFUL:
        return None if _FINE_STATEFUL.fullmatch(op) else OpRule("stateful-op", None, "")
    return OpRule("unknown-op", None, "")
