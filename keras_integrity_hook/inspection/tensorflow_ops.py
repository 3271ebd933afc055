# SPDX-License-Identifier: Apache-2.0
"""The ops of TensorFlow 2.21.0, made by ``tests/inspection/make_op_table.py``: do not edit."""

from __future__ import annotations

_STATELESS = """
    A Abort Abs AccumulateNV2 AccumulatorApplyGradient AccumulatorNumAccumulated
    AccumulatorSetGlobalStep AccumulatorTakeGradient Acos Acosh Add AddN AddV2 AdjustContrast
    AdjustContrastv2 AdjustHue AdjustSaturation All Angle Any ApplyAdaMax ApplyAdadelta ApplyAdagrad
    ApplyAdagradDA ApplyAdagradV2 ApplyAdam ApplyAddSign ApplyCenteredRMSProp ApplyFtrl ApplyFtrlV2
    ApplyGradientDescent ApplyMomentum ApplyPowerSign ApplyProximalAdagrad
    ApplyProximalGradientDescent ApplyRMSProp ApproxTopK ApproximateEqual ArgMax ArgMin AsString
    Asin Asinh AssertCardinalityDataset AssertNextDataset AssertPrevDataset Assign AssignAdd
    AssignSub Atan Atan2 Atanh Attr AttrBool AttrBoolList AttrDefault AttrEmptyListDefault AttrEnum
    AttrEnumList AttrFloat AttrListDefault AttrListMin AttrListTypeDefault AttrMin AttrPartialShape
    AttrPartialShapeList AttrShape AttrShapeList AttrTypeDefault AudioMicrofrontend AudioSpectrogram
    AudioSummary AudioSummaryV2 AutoShardDataset AvgPool AvgPool3D AvgPool3DGrad AvgPoolGrad B
    BandedTriangularSolve BarrierClose BarrierIncompleteSize BarrierInsertMany BarrierReadySize
    BarrierTakeMany Batch BatchCholesky BatchCholeskyGrad BatchDataset BatchDatasetV2 BatchFFT
    BatchFFT2D BatchFFT3D BatchFunction BatchIFFT BatchIFFT2D BatchIFFT3D BatchMatMul BatchMatMulV2
    BatchMatMulV3 BatchMatrixBandPart BatchMatrixDeterminant BatchMatrixDiag BatchMatrixDiagPart
    BatchMatrixInverse BatchMatrixSetDiag BatchMatrixSolve BatchMatrixSolveLs
    BatchMatrixTriangularSolve BatchNormWithGlobalNormalization BatchNormWithGlobalNormalizationGrad
    BatchSelfAdjointEig BatchSelfAdjointEigV2 BatchSvd BatchToSpace BatchToSpaceND BesselI0
    BesselI0e BesselI1 BesselI1e BesselJ0 BesselJ1 BesselK0 BesselK0e BesselK1 BesselK1e BesselY0
    BesselY1 Betainc BiasAdd BiasAddGrad BiasAddV1 Binary Bincount Bitcast BitwiseAnd BitwiseOr
    BitwiseXor BlockLSTM BlockLSTMGrad BlockLSTMGradV2 BlockLSTMV2 BoostedTreesAggregateStats
    BoostedTreesBucketize BoostedTreesCalculateBestFeatureSplit
    BoostedTreesCalculateBestFeatureSplitV2 BoostedTreesCalculateBestGainsPerFeature
    BoostedTreesMakeQuantileSummaries BoostedTreesMakeStatsSummary BoostedTreesSparseAggregateStats
    BoostedTreesSparseCalculateBestFeatureSplit BroadcastArgs BroadcastGradientArgs BroadcastTo
    Bucketize BytesProducedStatsDataset CSRSparseMatrixComponents CSRSparseMatrixToDense
    CSRSparseMatrixToSparseTensor CTCBeamSearchDecoder CTCGreedyDecoder CTCLoss CTCLossV2
    CacheDataset Cast Ceil CheckPinned Cholesky CholeskyGrad ChooseFastestBranchDataset
    ChooseFastestDataset ClipByValue CombinedNonMaxSuppression Complex ComplexAbs ComplexStruct
    CompositeTensorVariantFromComponents CompositeTensorVariantToComponents CompressElement
    ComputeAccidentalHits ComputeBatchSize Concat ConcatOffset ConcatV2 ConcatenateDataset Conj
    ConjugateTranspose Const ConstructionFails ControlTrigger Conv Conv2D Conv2DBackpropFilter
    Conv2DBackpropFilterV2 Conv2DBackpropInput Conv2DBackpropInputV2 Conv3D Conv3DBackpropFilter
    Conv3DBackpropFilterV2 Conv3DBackpropInput Conv3DBackpropInputV2
    ConvertToListOfSparseCoreCooTensors ConvertToSparseCoreCsrWrappedCooTensor Copy CopyHost CopyOp
    CopyToMesh CopyToMeshGrad Cos Cosh CountUpTo CropAndResize CropAndResizeGradBoxes
    CropAndResizeGradImage Cross CudnnRNNCanonicalToParams CudnnRNNCanonicalToParamsV2
    CudnnRNNParamsSize CudnnRNNParamsToCanonical CudnnRNNParamsToCanonicalV2 Cumprod Cumsum
    CumulativeLogsumexp CustomAggregator DTensorAllGather DTensorAllReduce DTensorAllScatter
    DTensorAllToAll DTensorReduceScatter DataFormatDimMap DataFormatVecPermute DatasetCardinality
    DatasetFingerprint DatasetFromGraph DatasetToGraph DatasetToGraphV2 Dawsn DebugGradientIdentity
    DebugGradientRefIdentity DebugIdentity DebugNanCount DebugNumericSummary DebugNumericSummaryV2
    DecodeAndCropJpeg DecodeBase64 DecodeBmp DecodeCSV DecodeCompressed DecodeGif DecodeImage
    DecodeJSONExample DecodeJpeg DecodeJxl DecodePaddedRaw DecodePng DecodeProtoV2 DecodeRaw
    DecodeWav DecodeWebP DefaultAttrs DenseBincount DenseCountSparseOutput DenseToCSRSparseMatrix
    DenseToDenseSetOperation DenseToSparseBatchDataset DenseToSparseSetOperation DepthToSpace
    DepthwiseConv2dNative DepthwiseConv2dNativeBackpropFilter DepthwiseConv2dNativeBackpropInput
    Dequantize DeserializeManySparse DeserializeSparse DestroyTemporaryVariable Diag DiagPart
    Digamma Dilation2D Dilation2DBackpropFilter Dilation2DBackpropInput DirectedInterleaveDataset
    Div DivNoNan DrawBoundingBoxes DrawBoundingBoxesV2 DynamicPartition DynamicStitch EditDistance
    Eig Einsum Elu EluGrad EmptyTensorList EmptyTensorMap EncodeBase64 EncodeJpeg
    EncodeJpegVariableQuality EncodePng EncodeProto EncodeWav EnsureShape Enter Equal Erf Erfc
    Erfinv EuclideanNorm Exit Exp ExpandDims ExperimentalAssertNextDataset
    ExperimentalAutoShardDataset ExperimentalBytesProducedStatsDataset
    ExperimentalChooseFastestDataset ExperimentalDatasetCardinality
    ExperimentalDenseToSparseBatchDataset ExperimentalDirectedInterleaveDataset
    ExperimentalGroupByWindowDataset ExperimentalIgnoreErrorsDataset ExperimentalLatencyStatsDataset
    ExperimentalMapAndBatchDataset ExperimentalMapDataset ExperimentalMaxIntraOpParallelismDataset
    ExperimentalNonSerializableDataset ExperimentalParallelInterleaveDataset
    ExperimentalParseExampleDataset ExperimentalPrivateThreadPoolDataset ExperimentalRebatchDataset
    ExperimentalScanDataset ExperimentalSleepDataset ExperimentalSlidingWindowDataset
    ExperimentalTakeWhileDataset ExperimentalUnbatchDataset ExperimentalUniqueDataset Expint Expm1
    ExtractGlimpse ExtractGlimpseV2 ExtractImagePatches ExtractJpegShape ExtractVolumePatches FFT
    FFT2D FFT3D FFTND Fact FakeParam FakeQuantWithMinMaxArgs FakeQuantWithMinMaxArgsGradient
    FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsGradient FakeQuantWithMinMaxVarsPerChannel
    FakeQuantWithMinMaxVarsPerChannelGradient Fill FilterByLastComponentDataset FilterDataset
    FinalizeDataset Fingerprint FiveFloatOutputs FlatMapDataset FloatInput FloatOutput
    FloatOutputStringOutput Floor FloorDiv FloorMod Foo1 Foo2 Foo3 For FractionalAvgPool
    FractionalAvgPoolGrad FractionalMaxPool FractionalMaxPoolGrad FresnelCos FresnelSin FuncAttr
    FuncListAttr FusedBatchNorm FusedBatchNormGrad FusedBatchNormGradV2 FusedBatchNormGradV3
    FusedBatchNormV2 FusedBatchNormV3 FusedPadConv2D FusedResizeAndPadConv2D GRUBlockCell
    GRUBlockCellGrad Gather GatherNd GatherV2 GenerateBoundingBoxProposals GenerateVocabRemapping
    GetDeadline GetElementAtIndex GetOptions GetStatsFromListOfSparseCoreCooTensors GetTpuTaskId
    Greater GreaterEqual GroupByWindowDataset HSVToRGB HistogramFixedWidth HistogramSummary
    HostConst IFFT IFFT2D IFFT3D IFFTND IRFFT IRFFT2D IRFFT3D IRFFTND Identity IdentityN Igamma
    IgammaGradA Igammac IgnoreErrorsDataset Imag ImageProjectiveTransformV2
    ImageProjectiveTransformV3 ImageSummary ImmutableConst InPolymorphicTwice InTopK InTopKV2
    IndexFlatMapDataset InfeedEnqueuePrelinearizedBuffer InitializeTable InitializeTableFromTextFile
    InplaceAdd InplaceSub InplaceUpdate Int64Output IntAttr IntInput IntInputFloatInput
    IntInputIntOutput IntOutput IntOutputFloatOutput InterleaveDataset Inv InvGrad Invert
    InvertPermutation IsFinite IsInf IsNan IsVariableInitialized IsotonicRegression
    KMC2ChainInitialization KernelLabel KernelLabelRequired KmeansPlusPlusInitialization
    KthOrderStatistic L2Loss LRN LRNGrad LSTMBlockCell LSTMBlockCellGrad LatencyStatsDataset
    LeakyRelu LeakyReluGrad LeftShift LegacyParallelInterleaveDatasetV2 Less LessEqual Lgamma
    LinSpace ListDiff ListInput ListOutput Log Log1p LogMatrixDeterminant LogSoftmax LogicalAnd
    LogicalNot LogicalOr LookupTableExport LookupTableFind LookupTableImport LookupTableInsert
    LookupTableSize LoopCond LowerBound Lu MakeUnique MapAndBatchDataset MapDataset MapDefun MatMul
    MatchingFiles MatrixBandPart MatrixDeterminant MatrixDiag MatrixDiagPart MatrixDiagPartV2
    MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3 MatrixExponential MatrixInverse MatrixLogarithm
    MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3 MatrixSolve MatrixSolveLs MatrixSquareRoot
    MatrixTriangularSolve Max MaxIntraOpParallelismDataset MaxPool MaxPool3D MaxPool3DGrad
    MaxPool3DGradGrad MaxPoolGrad MaxPoolGradGrad MaxPoolGradGradV2 MaxPoolGradGradWithArgmax
    MaxPoolGradV2 MaxPoolGradWithArgmax MaxPoolV2 MaxPoolWithArgmax Maximum Mean Merge
    MergeDedupData MergeSummary Mfcc Min Minimum MirrorPad MirrorPadGrad MixedStruct
    MlirPassthroughOp Mod ModelDataset Mul MulNoNan NInPolymorphicTwice NInTwice NInTwoTypeVariables
    NIntsIn NIntsOut NIntsOutDefault NPolymorphicIn NPolymorphicOut NPolymorphicOutDefault
    NPolymorphicRestrictIn NPolymorphicRestrictOut Namespace>TestStringOutput Ndtri NearestNeighbors
    Neg NextAfter NextIteration NoOp NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3
    NonMaxSuppressionV4 NonMaxSuppressionV5 NonMaxSuppressionWithOverlaps NonSerializableDataset
    None NotEqual NthElement Old OneHot OnesLike OpWithDefaultAttr OpWithFutureDefaultAttr
    OptimizeDataset OptimizeDatasetV2 OptionalFromValue OptionalGetValue OptionalHasValue
    OptionalNone OptionsDataset OutT OutTypeList OutTypeListRestrict Pack Pad PadV2
    PaddedBatchDataset PaddedBatchDatasetV2 ParallelBatchDataset ParallelConcat
    ParallelDynamicStitch ParallelFilterDataset ParallelInterleaveDataset
    ParallelInterleaveDatasetV2 ParallelInterleaveDatasetV3 ParallelInterleaveDatasetV4
    ParallelMapDataset ParallelMapDatasetV2 ParseExample ParseExampleDataset ParseExampleDatasetV2
    ParseExampleV2 ParseSequenceExample ParseSequenceExampleV2 ParseSingleExample
    ParseSingleSequenceExample ParseTensor PartitionedCall Placeholder PlaceholderV2
    PlaceholderWithDefault Polygamma Polymorphic PolymorphicDefaultOut PolymorphicOut
    PopulationCount Pow PrefetchDataset Prelinearize PrelinearizeTuple PreventGradient
    PrivateThreadPoolDataset Prod PyFuncStateless Qr QuantizeAndDequantize QuantizeAndDequantizeV2
    QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 QuantizeAndDequantizeV4Grad
    QuantizeDownAndShrinkRange QuantizeV2 QuantizedAdd QuantizedAvgPool
    QuantizedBatchNormWithGlobalNormalization QuantizedBiasAdd QuantizedConcat QuantizedConcatV2
    QuantizedConv2D QuantizedConv2DAndRelu QuantizedConv2DAndReluAndRequantize
    QuantizedConv2DAndRequantize QuantizedConv2DPerChannel QuantizedConv2DWithBias
    QuantizedConv2DWithBiasAndRelu QuantizedConv2DWithBiasAndReluAndRequantize
    QuantizedConv2DWithBiasAndRequantize QuantizedConv2DWithBiasSignedSumAndReluAndRequantize
    QuantizedConv2DWithBiasSumAndRelu QuantizedConv2DWithBiasSumAndReluAndRequantize
    QuantizedDepthwiseConv2D QuantizedDepthwiseConv2DWithBias
    QuantizedDepthwiseConv2DWithBiasAndRelu QuantizedDepthwiseConv2DWithBiasAndReluAndRequantize
    QuantizedInstanceNorm QuantizedMatMul QuantizedMatMulWithBias
    QuantizedMatMulWithBiasAndDequantize QuantizedMatMulWithBiasAndRelu
    QuantizedMatMulWithBiasAndReluAndRequantize QuantizedMatMulWithBiasAndRequantize
    QuantizedMaxPool QuantizedMul QuantizedRelu QuantizedRelu6 QuantizedReluX QuantizedReshape
    QuantizedResizeBilinear QueueClose QueueDequeue QueueDequeueMany QueueDequeueUpTo QueueEnqueue
    QueueEnqueueMany QueueIsClosed QueueSize RFFT RFFT2D RFFT3D RFFTND RGBToHSV RaggedBincount
    RaggedCountSparseOutput RaggedCross RaggedFillEmptyRows RaggedFillEmptyRowsGrad RaggedGather
    RaggedRange RaggedTensorFromVariant RaggedTensorToSparse RaggedTensorToTensor
    RaggedTensorToVariant RaggedTensorToVariantGradient RandomGammaGrad RandomIndexShuffle Range
    Rank ReadFile ReaderNumRecordsProduced ReaderNumWorkUnitsCompleted ReaderRead ReaderReadUpTo
    ReaderReset ReaderRestoreState ReaderSerializeState Real RealDiv RebatchDataset RebatchDatasetV2
    Reciprocal ReciprocalGrad ReduceJoin RefEnter RefExit RefIdentity RefIn RefInputFloatInput
    RefInputFloatInputIntOutput RefInputIntInput RefMerge RefNextIteration RefOut RefOutput
    RefOutputFloatOutput RefSelect RefSwitch RegexFullMatch RegexReplace RegisterDataset
    RegisterDatasetV2 Relayout RelayoutLike Relu Relu6 Relu6Grad ReluGrad RepeatDataset
    RequantizationRange RequantizationRangePerChannel Requantize RequantizePerChannel ReservedAttr
    ReservedInput Reshape ResizeArea ResizeBicubic ResizeBicubicGrad ResizeBilinear
    ResizeBilinearGrad ResizeNearestNeighbor ResizeNearestNeighborGrad Restrict Reverse
    ReverseSequence ReverseV2 RewriteDataset RightShift Rint RiscAbs RiscAdd RiscBinaryArithmetic
    RiscBinaryComparison RiscBitcast RiscBroadcast RiscCast RiscCeil RiscCholesky RiscConcat
    RiscCondition RiscConv RiscCos RiscDiv RiscDot RiscExp RiscFft RiscFloor RiscGather RiscImag
    RiscIsFinite RiscLog RiscLogicalAnd RiscLogicalNot RiscLogicalOr RiscMax RiscMin RiscMul RiscNeg
    RiscPad RiscPool RiscPow RiscRandomUniform RiscReal RiscReduce RiscRem RiscReshape RiscReverse
    RiscScatter RiscShape RiscSign RiscSlice RiscSort RiscSqueeze RiscSub RiscTranspose
    RiscTriangularSolve RiscUnary Roll Round Rsqrt RsqrtGrad SamplingDataset ScalarSummary
    ScaleAndTranslate ScaleAndTranslateGrad ScanDataset ScatterAdd ScatterDiv ScatterMax ScatterMin
    ScatterMul ScatterNd ScatterNdAdd ScatterNdMax ScatterNdMin ScatterNdNonAliasingAdd ScatterNdSub
    ScatterNdUpdate ScatterSub ScatterUpdate SdcaFprint SdcaOptimizer SdcaOptimizerV2 SdcaShrinkL1
    SegmentMax SegmentMaxV2 SegmentMean SegmentMin SegmentMinV2 SegmentProd SegmentProdV2 SegmentSum
    SegmentSumV2 Select SelectV2 SelfAdjointEig SelfAdjointEigV2 Selu SeluGrad SerializeManySparse
    SerializeSparse SerializeTensor SetSize Shape ShapeN ShardDataset ShardedFilename
    ShardedFilespec ShuffleAndRepeatDataset ShuffleDataset Sigmoid SigmoidGrad Sign Simple
    SimpleStruct Sin Sinh Size SkipDataset SleepDataset Slice SlidingWindowDataset Snapshot
    SnapshotChunkDataset SnapshotDataset SnapshotDatasetReader SnapshotDatasetV2
    SnapshotNestedDatasetReader SobolSample Softmax SoftmaxCrossEntropyWithLogits Softplus
    SoftplusGrad Softsign SoftsignGrad SortListOfSparseCoreCooTensors SpaceToBatch SpaceToBatchND
    SpaceToDepth SparseAccumulatorApplyGradient SparseAccumulatorTakeGradient SparseAdd
    SparseAddGrad SparseApplyAdadelta SparseApplyAdagrad SparseApplyAdagradDA SparseApplyAdagradV2
    SparseApplyCenteredRMSProp SparseApplyFtrl SparseApplyFtrlV2 SparseApplyMomentum
    SparseApplyProximalAdagrad SparseApplyProximalGradientDescent SparseApplyRMSProp SparseBincount
    SparseConcat SparseCountSparseOutput SparseCross SparseCrossHashed SparseCrossV2
    SparseDenseCwiseAdd SparseDenseCwiseDiv SparseDenseCwiseMul SparseFillEmptyRows
    SparseFillEmptyRowsGrad SparseMatMul SparseMatrixAdd SparseMatrixMatMul SparseMatrixMul
    SparseMatrixNNZ SparseMatrixOrderingAMD SparseMatrixSoftmax SparseMatrixSoftmaxGrad
    SparseMatrixSparseCholesky SparseMatrixSparseMatMul SparseMatrixTranspose SparseMatrixZeros
    SparseReduceMax SparseReduceMaxSparse SparseReduceSum SparseReduceSumSparse SparseReorder
    SparseReshape SparseSegmentMean SparseSegmentMeanGrad SparseSegmentMeanGradV2
    SparseSegmentMeanWithNumSegments SparseSegmentSqrtN SparseSegmentSqrtNGrad
    SparseSegmentSqrtNGradV2 SparseSegmentSqrtNWithNumSegments SparseSegmentSum SparseSegmentSumGrad
    SparseSegmentSumGradV2 SparseSegmentSumWithNumSegments SparseSlice SparseSliceGrad SparseSoftmax
    SparseSoftmaxCrossEntropyWithLogits SparseSparseMaximum SparseSparseMinimum SparseSplit
    SparseTensorDenseAdd SparseTensorDenseMatMul SparseTensorToCSRSparseMatrix SparseToDense
    SparseToSparseSetOperation Spence Split SplitDedupData SplitV Sqrt SqrtGrad Square
    SquaredDifference Squeeze StackClose StackPop StackPush StatelessCase StatelessIf
    StatelessMultinomial StatelessParameterizedTruncatedNormal StatelessRandomBinomial
    StatelessRandomGammaV2 StatelessRandomGammaV3 StatelessRandomGetKeyCounter
    StatelessRandomGetKeyCounterAlg StatelessRandomNormal StatelessRandomNormalV2
    StatelessRandomPoisson StatelessRandomUniform StatelessRandomUniformFullInt
    StatelessRandomUniformFullIntV2 StatelessRandomUniformInt StatelessRandomUniformIntV2
    StatelessRandomUniformV2 StatelessSampleDistortedBoundingBox StatelessShuffle
    StatelessTruncatedNormal StatelessTruncatedNormalV2 StatelessWhile StaticRegexFullMatch
    StaticRegexReplace StochasticCastToInt StopGradient StridedSlice StridedSliceAssign
    StridedSliceGrad StringFormat StringJoin StringLength StringListAttr StringLower StringNGrams
    StringSplit StringSplitV2 StringStrip StringToHashBucket StringToHashBucketFast
    StringToHashBucketStrong StringToNumber StringUpper Sub Substr Sum Svd Switch SymbolicGradient
    TPUCompilationResult TPUEmbeddingActivations TPUPartitionedCall TPUPartitionedInput
    TPUPartitionedInputV2 TPUPartitionedOutput TPUPartitionedOutputV2 TPUReplicateMetadata
    TPUReplicatedInput TPUReplicatedOutput TakeDataset TakeWhileDataset Tan Tanh TanhGrad
    TensorArrayClose TensorArrayCloseV2 TensorArrayConcat TensorArrayConcatV2 TensorArrayGather
    TensorArrayGatherV2 TensorArrayPack TensorArrayRead TensorArrayReadV2 TensorArrayScatter
    TensorArrayScatterV2 TensorArraySize TensorArraySizeV2 TensorArraySplit TensorArraySplitV2
    TensorArrayUnpack TensorArrayWrite TensorArrayWriteV2 TensorListConcat TensorListConcatLists
    TensorListConcatV2 TensorListElementShape TensorListFromTensor TensorListGather
    TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack TensorListPushBackBatch
    TensorListReserve TensorListResize TensorListScatter TensorListScatterIntoExistingList
    TensorListScatterV2 TensorListSetItem TensorListSplit TensorListStack TensorMapErase
    TensorMapHasKey TensorMapInsert TensorMapLookup TensorMapSize TensorMapStackKeys
    TensorScatterAdd TensorScatterMax TensorScatterMin TensorScatterSub TensorScatterUpdate
    TensorStridedSliceUpdate TensorSummary TensorSummaryV2 TestStringOutput Tile TileGrad ToBool
    TopK TopKUnique TopKV2 TopKWithUnique TpuHandleToProtoKey Transpose TridiagonalMatMul
    TridiagonalSolve TruncateDiv TruncateMod TwoFloatInputs TwoFloatInputsFloatOutput
    TwoFloatInputsIntOutput TwoFloatOutputs TwoIntInputs TwoIntOutputs TwoRefsIn TypeList
    TypeListRestrict TypeListTwice Unary Unbatch UnbatchDataset UnbatchGrad UncompressElement
    UnicodeDecode UnicodeDecodeWithOffsets UnicodeEncode UnicodeScript UnicodeTranscode
    UniformDequantize UniformQuantize UniformQuantizedAdd UniformQuantizedClipByValue
    UniformQuantizedConvolution UniformQuantizedConvolutionHybrid UniformQuantizedDot
    UniformQuantizedDotHybrid UniformRequantize Unique UniqueDataset UniqueV2 UniqueWithCounts
    UniqueWithCountsV2 Unpack UnravelIndex UnsortedSegmentJoin UnsortedSegmentMax UnsortedSegmentMin
    UnsortedSegmentProd UnsortedSegmentSum UnwrapDatasetVariant UpperBound WeightedFlatMapDataset
    Where WindowDataset WindowOp WrapDatasetVariant Xdivy XlaAllReduce XlaBroadcastHelper
    XlaClusterOutput XlaConcatND XlaConv XlaConvV2 XlaCustomCall XlaCustomCallV2 XlaDot XlaDotV2
    XlaDynamicSlice XlaDynamicUpdateSlice XlaEinsum XlaGather XlaKeyValueSort XlaLaunchV2
    XlaOptimizationBarrier XlaPad XlaReduce XlaReducePrecision XlaReduceScatter XlaReduceWindow
    XlaRemoveDynamicDimensionSize XlaReplicaId XlaRngBitGenerator XlaScatter XlaSelectAndScatter
    XlaSelfAdjointEig XlaSetBound XlaSetDynamicDimensionSize XlaSharding XlaSort
    XlaSparseActivationsUnstack XlaSparseDenseMatmul
    XlaSparseDenseMatmulCustomCombinerOnTcGradWithAdagradAndCsrInput
    XlaSparseDenseMatmulCustomCombinerOnTcGradWithAdagradMomentumAndCsrInput
    XlaSparseDenseMatmulCustomCombinerOnTcGradWithAdamAndCsrInput
    XlaSparseDenseMatmulCustomCombinerOnTcGradWithCsrInput
    XlaSparseDenseMatmulCustomCombinerOnTcGradWithFtrlAndCsrInput
    XlaSparseDenseMatmulCustomCombinerOnTcGradWithSgdAndCsrInput
    XlaSparseDenseMatmulCustomCombinerOnTcWithCsrInput
    XlaSparseDenseMatmulGradWithAdagradAndCsrInput
    XlaSparseDenseMatmulGradWithAdagradAndStaticBufferSize
    XlaSparseDenseMatmulGradWithAdagradMomentumAndCsrInput
    XlaSparseDenseMatmulGradWithAdagradMomentumAndStaticBufferSize
    XlaSparseDenseMatmulGradWithAdamAndCsrInput XlaSparseDenseMatmulGradWithAdamAndStaticBufferSize
    XlaSparseDenseMatmulGradWithCsrInput XlaSparseDenseMatmulGradWithFtrlAndCsrInput
    XlaSparseDenseMatmulGradWithFtrlAndStaticBufferSize XlaSparseDenseMatmulGradWithSgdAndCsrInput
    XlaSparseDenseMatmulGradWithSgdAndStaticBufferSize XlaSparseDenseMatmulWithCsrInput
    XlaSparseDenseMatmulWithStaticBufferSize XlaSparseGradientsStack XlaSplitND
    XlaSpmdFullToShardShape XlaSpmdShardToFullShape XlaSvd XlaVariadicReduce XlaVariadicReduceV2
    XlaVariadicSort Xlog1py Xlogy ZerosLike Zeta ZipDataset
"""
STATELESS = frozenset(_STATELESS.split())
"""Ops that their registration calls stateless; without those that only TensorFlow itself adds."""

_STATEFUL = """
    AddManySparseToTensorsMap AddSparseToTensorsMap AllCandidateSampler AllToAll AnonymousHashTable
    AnonymousIterator AnonymousIteratorV2 AnonymousIteratorV3 AnonymousMemoryCache
    AnonymousMultiDeviceIterator AnonymousMultiDeviceIteratorV3 AnonymousMutableDenseHashTable
    AnonymousMutableHashTable AnonymousMutableHashTableOfTensors AnonymousRandomSeedGenerator
    AnonymousSeedGenerator Assert AssignAddVariableOp AssignSubVariableOp AssignVariableOp
    AssignVariableXlaConcatND Barrier BoostedTreesCenterBias BoostedTreesCreateEnsemble
    BoostedTreesCreateQuantileStreamResource BoostedTreesDeserializeEnsemble
    BoostedTreesEnsembleResourceHandleOp BoostedTreesExampleDebugOutputs
    BoostedTreesFlushQuantileSummaries BoostedTreesGetEnsembleStates BoostedTreesPredict
    BoostedTreesQuantileStreamResourceAddSummaries BoostedTreesQuantileStreamResourceDeserialize
    BoostedTreesQuantileStreamResourceFlush BoostedTreesQuantileStreamResourceGetBucketBoundaries
    BoostedTreesQuantileStreamResourceHandleOp BoostedTreesSerializeEnsemble
    BoostedTreesTrainingPredict BoostedTreesUpdateEnsemble BoostedTreesUpdateEnsembleV2 CSVDataset
    CSVDatasetV2 CacheDatasetV2 CalibrationStatisticsSaver Case CheckNumerics CheckNumericsV2
    CloseSummaryWriter CollateTPUEmbeddingMemory CollectiveAllToAllV2 CollectiveAllToAllV3
    CollectiveAssignGroupV2 CollectiveBcastRecv CollectiveBcastRecvV2 CollectiveBcastSend
    CollectiveBcastSendV2 CollectiveGather CollectiveGatherV2 CollectiveInitializeCommunicator
    CollectivePermute CollectiveReduce CollectiveReduceScatterV2 CollectiveReduceV2
    CollectiveReduceV3 ComputeDedupDataSize ComputeDedupDataSizeV2 ComputeDedupDataTupleMask
    ComputeDedupDataTupleMaskV2 ConditionalAccumulator ConfigureAndInitializeGlobalTPU
    ConfigureDistributedTPU ConfigureTPUEmbedding ConfigureTPUEmbeddingHost
    ConfigureTPUEmbeddingMemory ConnectTPUEmbeddingHosts ConsumeMutexLock ConvertToCooTensor
    CreateSummaryDbWriter CreateSummaryFileWriter CrossReplicaSum CudnnRNN CudnnRNNBackprop
    CudnnRNNBackpropV2 CudnnRNNBackpropV3 CudnnRNNV2 CudnnRNNV3 DTensorRestoreV2
    DTensorSetGlobalTPUArray DataServiceDataset DataServiceDatasetV2 DataServiceDatasetV3
    DataServiceDatasetV4 DatasetToSingleElement DatasetToTFRecord DebugIdentityV2 DebugIdentityV3
    DeepCopy DeleteIterator DeleteMemoryCache DeleteMultiDeviceIterator DeleteRandomSeedGenerator
    DeleteRpcFutureResource DeleteSeedGenerator DeleteSessionTensor DeserializeIterator
    DestroyResourceOp DeviceIndex DevicePlacementOp DisableCopyOnRead DistributedSave
    DtypeWithDefaultOp DummyIterationCounter DummyMemoryCache DummySeedGenerator DumpTensor
    DynamicEnqueueTPUEmbeddingArbitraryTensorBatch DynamicEnqueueTPUEmbeddingRaggedTensorBatch
    EagerPyFunc Empty EnqueueTPUEmbeddingArbitraryTensorBatch EnqueueTPUEmbeddingBatch
    EnqueueTPUEmbeddingIntegerBatch EnqueueTPUEmbeddingRaggedTensorBatch
    EnqueueTPUEmbeddingSparseBatch EnqueueTPUEmbeddingSparseTensorBatch
    ExecuteTPUEmbeddingPartitioner ExperimentalCSVDataset ExperimentalDatasetToTFRecord
    ExperimentalGroupByReducerDataset ExperimentalIteratorGetDevice ExperimentalLMDBDataset
    ExperimentalMatchingFilesDataset ExperimentalRandomDataset ExperimentalSetStatsAggregatorDataset
    ExperimentalSqlDataset ExperimentalStatsAggregatorHandle ExperimentalStatsAggregatorSummary
    ExperimentalThreadPoolDataset ExperimentalThreadPoolHandle FIFOQueue FIFOQueueV2 FakeQueue
    FileSystemSetConfiguration FinalizeTPUEmbedding FinalizeTPUEmbeddingV2 FixedLengthRecordDataset
    FixedLengthRecordDatasetV2 FixedLengthRecordReader FixedLengthRecordReaderV2
    FixedUnigramCandidateSampler FlushSummaryWriter GeneratorDataset
    GetMinibatchSplitsWithPhysicalReplica GetMinibatchesInCsrWithPhysicalReplica GetSessionHandle
    GetSessionHandleV2 GetSessionTensor GlobalIterId GlobalShuffleDataset GraphDefVersion
    GroupByReducerDataset GuaranteeConst HashTable HashTableV2 IdentityReader IdentityReaderV2 If
    ImportEvent InfeedDequeue InfeedDequeueTuple InfeedEnqueue InfeedEnqueueTuple
    InitializeTableFromDataset InitializeTableFromTextFileV2 InitializeTableV2
    IsBoostedTreesEnsembleInitialized IsBoostedTreesQuantileStreamResourceInitialized
    IsResourceHandleRefCounting IsTPUEmbeddingInitialized IsTensorFloat32Enabled Iterator
    IteratorFromStringHandle IteratorFromStringHandleV2 IteratorGetDevice IteratorGetModelProto
    IteratorGetNext IteratorGetNextAsOptional IteratorGetNextSync IteratorToStringHandle IteratorV2
    LMDBDataset LMDBReader LearnedUnigramCandidateSampler ListDataset ListSnapshotChunksDataset
    LoadAllTPUEmbeddingParameters LoadAndRemapMatrix LoadDataset LoadTPUEmbeddingADAMParameters
    LoadTPUEmbeddingAdadeltaParameters LoadTPUEmbeddingAdagradMomentumParameters
    LoadTPUEmbeddingAdagradParameters LoadTPUEmbeddingCenteredRMSPropParameters
    LoadTPUEmbeddingFTRLParameters LoadTPUEmbeddingFrequencyEstimatorParameters
    LoadTPUEmbeddingMDLAdagradLightParameters LoadTPUEmbeddingMomentumParameters
    LoadTPUEmbeddingProximalAdagradParameters LoadTPUEmbeddingProximalYogiParameters
    LoadTPUEmbeddingRMSPropParameters LoadTPUEmbeddingStochasticGradientDescentParameters
    LogUniformCandidateSampler LookupTableExportV2 LookupTableFindV2 LookupTableImportV2
    LookupTableInsertV2 LookupTableRemoveV2 LookupTableSizeV2 MakeIterator MakeWeakResourceHandle
    MapClear MapIncompleteSize MapPeek MapSize MapStage MapUnstage MapUnstageNoKey
    MatchingFilesDataset MergeV2Checkpoints MultiDeviceIterator MultiDeviceIteratorFromStringHandle
    MultiDeviceIteratorGetNextFromShard MultiDeviceIteratorInit MultiDeviceIteratorToStringHandle
    Multinomial MutableDenseHashTable MutableDenseHashTableV2 MutableHashTable
    MutableHashTableOfTensors MutableHashTableOfTensorsV2 MutableHashTableV2 MutexLock MutexV2
    NcclAllReduce NcclBroadcast NcclReduce NegTrain NonDeterministicInts OneShotIterator
    OrderedMapClear OrderedMapIncompleteSize OrderedMapPeek OrderedMapSize OrderedMapStage
    OrderedMapUnstage OrderedMapUnstageNoKey OutfeedDequeue OutfeedDequeueTuple
    OutfeedDequeueTupleV2 OutfeedDequeueV2 OutfeedEnqueue OutfeedEnqueueTuple PaddingFIFOQueue
    PaddingFIFOQueueV2 ParameterizedTruncatedNormal Print PrintV2 PriorityQueue PriorityQueueV2
    PyFunc QueueCloseV2 QueueDequeueManyV2 QueueDequeueUpToV2 QueueDequeueV2 QueueEnqueueManyV2
    QueueEnqueueV2 QueueIsClosedV2 QueueSizeV2 RandomCrop RandomDataset RandomDatasetV2 RandomGamma
    RandomPoisson RandomPoissonV2 RandomShuffle RandomShuffleQueue RandomShuffleQueueV2
    RandomStandardNormal RandomUniform RandomUniformInt RangeDataset ReadVariableOp
    ReadVariableXlaSplitND ReaderNumRecordsProducedV2 ReaderNumWorkUnitsCompletedV2 ReaderReadUpToV2
    ReaderReadV2 ReaderResetV2 ReaderRestoreStateV2 ReaderSerializeStateV2 RecordInput Recv
    RecvTPUEmbeddingActivations ReduceDataset RemoteCall RequiresOlderGraphVersion
    ResourceAccumulatorApplyGradient ResourceAccumulatorNumAccumulated
    ResourceAccumulatorSetGlobalStep ResourceAccumulatorTakeGradient ResourceApplyAdaMax
    ResourceApplyAdadelta ResourceApplyAdagrad ResourceApplyAdagradDA ResourceApplyAdagradV2
    ResourceApplyAdam ResourceApplyAdamWithAmsgrad ResourceApplyAddSign ResourceApplyCenteredRMSProp
    ResourceApplyFtrl ResourceApplyFtrlV2 ResourceApplyGradientDescent ResourceApplyKerasMomentum
    ResourceApplyMomentum ResourceApplyPowerSign ResourceApplyProximalAdagrad
    ResourceApplyProximalGradientDescent ResourceApplyRMSProp ResourceConditionalAccumulator
    ResourceCountUpTo ResourceCreateOp ResourceGather ResourceGatherNd ResourceInitializedOp
    ResourceScatterAdd ResourceScatterDiv ResourceScatterMax ResourceScatterMin ResourceScatterMul
    ResourceScatterNdAdd ResourceScatterNdMax ResourceScatterNdMin ResourceScatterNdSub
    ResourceScatterNdUpdate ResourceScatterSub ResourceScatterUpdate ResourceSparseApplyAdadelta
    ResourceSparseApplyAdagrad ResourceSparseApplyAdagradDA ResourceSparseApplyAdagradV2
    ResourceSparseApplyCenteredRMSProp ResourceSparseApplyFtrl ResourceSparseApplyFtrlV2
    ResourceSparseApplyKerasMomentum ResourceSparseApplyMomentum ResourceSparseApplyProximalAdagrad
    ResourceSparseApplyProximalGradientDescent ResourceSparseApplyRMSProp ResourceStridedSliceAssign
    ResourceUsingOp Restore RestoreSlice RestoreV2 RetrieveAllTPUEmbeddingParameters
    RetrieveTPUEmbeddingADAMParameters RetrieveTPUEmbeddingAdadeltaParameters
    RetrieveTPUEmbeddingAdagradMomentumParameters RetrieveTPUEmbeddingAdagradParameters
    RetrieveTPUEmbeddingCenteredRMSPropParameters RetrieveTPUEmbeddingFTRLParameters
    RetrieveTPUEmbeddingFrequencyEstimatorParameters RetrieveTPUEmbeddingMDLAdagradLightParameters
    RetrieveTPUEmbeddingMomentumParameters RetrieveTPUEmbeddingProximalAdagradParameters
    RetrieveTPUEmbeddingProximalYogiParameters RetrieveTPUEmbeddingRMSPropParameters
    RetrieveTPUEmbeddingStochasticGradientDescentParameters RiscWhile RngReadAndSkip RngSkip RpcCall
    RpcCheckStatus RpcClient RpcGetValue RpcServer RpcServerRegister RpcServerStart
    SampleDistortedBoundingBox SampleDistortedBoundingBoxV2 Save SaveDataset SaveDatasetV2
    SaveSlices SaveV2 Send SendTPUEmbeddingGradients SerializeIterator SetStatsAggregatorDataset
    ShuffleAndRepeatDatasetV2 ShuffleDatasetV2 ShuffleDatasetV3 ShutdownDistributedTPU
    ShutdownTPUSystem Skipgram SleepIdentityOp SleepOp SparseConditionalAccumulator
    SparseTensorSliceDataset SqlDataset Stack StackCloseV2 StackPopV2 StackPushV2 StackV2 Stage
    StageClear StagePeek StageSize StatefulPartitionedCall StatefulRandomBinomial
    StatefulStandardNormal StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform
    StatefulUniformFullInt StatefulUniformInt StatelessRandomGetAlg StatsAggregatorHandle
    StatsAggregatorHandleV2 StatsAggregatorSetSummaryWriter StatsAggregatorSummary
    StoreMinibatchStatisticsInFdo StubResourceHandleOp SummaryWriter SyncDevice TFRecordDataset
    TFRecordDatasetV2 TFRecordReader TFRecordReaderV2 TPUAnnotateTensorsWithDynamicShape TPUCompile
    TPUCompileSucceededAssert TPUCopyWithDynamicShape TPUDummyInput TPUExecute
    TPUExecuteAndUpdateVariables TPUOrdinalSelector TPUReshardVariables TPURoundRobin
    TakeManySparseFromTensorsMap TemporaryVariable TensorArray TensorArrayCloseV3
    TensorArrayConcatV3 TensorArrayGatherV3 TensorArrayGrad TensorArrayGradV2 TensorArrayGradV3
    TensorArrayGradWithShape TensorArrayReadV3 TensorArrayScatterV3 TensorArraySizeV3
    TensorArraySplitV3 TensorArrayV2 TensorArrayV3 TensorArrayWriteV3 TensorDataset
    TensorSliceDataset TestAttr TextLineDataset TextLineReader TextLineReaderV2 ThreadPoolDataset
    ThreadPoolHandle ThreadUnsafeUnigramCandidateSampler Timestamp TruncatedNormal
    UniformCandidateSampler Unstage UpdateTaskIdAndGlobalCoreArray VarHandleOp VarIsInitializedOp
    Variable VariableShape VariableV2 While WholeFileReader WholeFileReaderV2 WorkerHeartbeat
    WriteAudioSummary WriteFile WriteGraphSummary WriteHistogramSummary WriteImageSummary
    WriteRawProtoSummary WriteScalarSummary WriteSummary XlaCallModule XlaDequantize XlaHostCompute
    XlaIf XlaLaunch XlaRecv XlaRecvFromHost XlaRecvTPUEmbeddingActivations
    XlaRecvTPUEmbeddingActivationsV2 XlaRecvTPUEmbeddingDeduplicationData
    XlaRecvTPUEmbeddingDeduplicationDataV2 XlaSend XlaSendTPUEmbeddingGradients
    XlaSendTPUEmbeddingGradientsV2 XlaSendToHost XlaSparseCoreAdagrad XlaSparseCoreAdagradMomentum
    XlaSparseCoreAdam XlaSparseCoreFtrl XlaSparseCoreSgd XlaWhile
"""
STATEFUL = frozenset(_STATEFUL.split())
"""Ops that have a state or an effect, by their registration."""

_CALLS = """
    BatchFunction Case ChooseFastestBranchDataset DataServiceDatasetV3 DataServiceDatasetV4
    ExperimentalGroupByReducerDataset ExperimentalGroupByWindowDataset
    ExperimentalMapAndBatchDataset ExperimentalMapDataset ExperimentalParallelInterleaveDataset
    ExperimentalScanDataset ExperimentalTakeWhileDataset FilterDataset FlatMapDataset For FuncAttr
    FuncListAttr GeneratorDataset GroupByReducerDataset GroupByWindowDataset If IndexFlatMapDataset
    InterleaveDataset LegacyParallelInterleaveDatasetV2 LoadDataset MapAndBatchDataset MapDataset
    MapDefun OneShotIterator ParallelFilterDataset ParallelInterleaveDataset
    ParallelInterleaveDatasetV2 ParallelInterleaveDatasetV3 ParallelInterleaveDatasetV4
    ParallelMapDataset ParallelMapDatasetV2 PartitionedCall ReduceDataset RemoteCall RiscCondition
    RiscWhile RpcServerRegister SaveDataset SaveDatasetV2 ScanDataset SnapshotDatasetV2
    StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile SymbolicGradient TPUCompile
    TPUPartitionedCall TakeWhileDataset While XlaCallModule XlaHostCompute XlaIf XlaLaunch
    XlaLaunchV2 XlaReduce XlaReduceWindow XlaScatter XlaSelectAndScatter
    XlaSparseDenseMatmulCustomCombinerOnTcGradWithAdagradAndCsrInput
    XlaSparseDenseMatmulCustomCombinerOnTcGradWithAdagradMomentumAndCsrInput
    XlaSparseDenseMatmulCustomCombinerOnTcGradWithAdamAndCsrInput
    XlaSparseDenseMatmulCustomCombinerOnTcGradWithCsrInput
    XlaSparseDenseMatmulCustomCombinerOnTcGradWithFtrlAndCsrInput
    XlaSparseDenseMatmulCustomCombinerOnTcGradWithSgdAndCsrInput
    XlaSparseDenseMatmulCustomCombinerOnTcWithCsrInput XlaSparseDenseMatmulGradWithCsrInput
    XlaVariadicReduce XlaVariadicReduceV2 XlaVariadicSort XlaWhile
"""
CALLS = frozenset(_CALLS.split())
"""Ops that have functions of the graph among their attributes."""
