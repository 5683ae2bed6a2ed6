"""The compiler core and its reports: no IPython, no widgets."""

from explorer.artifacts import (
    Artifact,
    ArtifactOrigin,
    AuditStatus,
    BranchSite,
    Difference,
    GuardAudit,
    GuardOrigin,
    GuardRecord,
    Piece,
    PieceKind,
    RunRecord,
    Specialization,
    UniquePiece,
    Violation,
)
from explorer.artifacts.covered import Coverage
from explorer.artifacts.cuda_graphs import CUDAGraphRecord
from explorer.artifacts.diagnosed import Diagnosis
from explorer.artifacts.measured import Execution, Timings
from explorer.compilation import Compilation
from explorer.config import (
    CompilationConfig,
    CompilationMode,
    CUDAGraphMode,
    DynamicShapesConfig,
    DynamicShapesType,
    GradPolicy,
    GuardPolicy,
    OutOfRange,
    StoreConfig,
)
from explorer.counters import counters
from explorer.current import set_model_tag, use_config
from explorer.custom_ops import direct_register_custom_op
from explorer.decorators import (
    compilation_of,
    compiled_model_of,
    ignore_torch_compile,
    support_torch_compile,
)
from explorer.diff import CompilationDiff
from explorer.errors import (
    Cancelled,
    CaptureError,
    CompileError,
    ConfigError,
    CUDAGraphAddressError,
    ExplorerError,
    GradRequired,
    GuardViolation,
    InputError,
    SizeOutOfRange,
    SpecializedDim,
    SplitError,
    StoreError,
    StoreMiss,
    UnknownSplittingOp,
    VariantsLimit,
)
from explorer.intermediate_tensors import IntermediateTensors
from explorer.layer_name import LayerName
from explorer.passes import FunctionPass, GraphPass, PassSequence
from explorer.planned_compilation import PlannedCompilation
from explorer.progress import CancelToken, Progress
from explorer.runtime.compiled_model import CompiledModel
from explorer.session import Session, compile_model
from explorer.size_range import SizeRange
from explorer.skipping import skip_compiled
from explorer.small_products import SmallMatrixProducts
from explorer.stages.backends import Backend
from explorer.stages.split import SplittingOpWarning
from explorer.target import CompileTarget

__all__ = [
    "Artifact",
    "ArtifactOrigin",
    "AuditStatus",
    "Backend",
    "BranchSite",
    "CUDAGraphAddressError",
    "CUDAGraphMode",
    "CUDAGraphRecord",
    "CancelToken",
    "Cancelled",
    "CaptureError",
    "Compilation",
    "CompilationConfig",
    "CompilationDiff",
    "CompilationMode",
    "CompileError",
    "CompileTarget",
    "CompiledModel",
    "ConfigError",
    "Coverage",
    "Diagnosis",
    "Difference",
    "DynamicShapesConfig",
    "DynamicShapesType",
    "Execution",
    "ExplorerError",
    "FunctionPass",
    "GradPolicy",
    "GradRequired",
    "GraphPass",
    "GuardAudit",
    "GuardOrigin",
    "GuardPolicy",
    "GuardRecord",
    "GuardViolation",
    "InputError",
    "IntermediateTensors",
    "LayerName",
    "OutOfRange",
    "PassSequence",
    "Piece",
    "PieceKind",
    "PlannedCompilation",
    "Progress",
    "RunRecord",
    "Session",
    "SizeOutOfRange",
    "SizeRange",
    "SmallMatrixProducts",
    "Specialization",
    "SpecializedDim",
    "SplitError",
    "SplittingOpWarning",
    "StoreConfig",
    "StoreError",
    "StoreMiss",
    "Timings",
    "UniquePiece",
    "UnknownSplittingOp",
    "VariantsLimit",
    "Violation",
    "compilation_of",
    "compile_model",
    "compiled_model_of",
    "counters",
    "direct_register_custom_op",
    "ignore_torch_compile",
    "set_model_tag",
    "skip_compiled",
    "support_torch_compile",
    "use_config",
]
