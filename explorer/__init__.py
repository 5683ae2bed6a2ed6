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
from explorer.artifacts.diagnosed import Diagnosis
from explorer.compilation import Compilation
from explorer.config import (
    CompilationConfig,
    DynamicShapesConfig,
    DynamicShapesType,
    GradPolicy,
    GuardPolicy,
    OutOfRange,
)
from explorer.counters import counters
from explorer.diff import CompilationDiff
from explorer.errors import (
    Cancelled,
    CaptureError,
    CompileError,
    ConfigError,
    ExplorerError,
    GradRequired,
    GuardViolation,
    InputError,
    SizeOutOfRange,
    SpecializedDim,
    SplitError,
    UnknownSplittingOp,
    VariantsLimit,
)
from explorer.progress import CancelToken, Progress
from explorer.runtime.compiled_model import CompiledModel
from explorer.session import PlannedCompilation, Session, compile_model
from explorer.size_range import SizeRange
from explorer.stages.backends import Backend
from explorer.stages.split import SplittingOpWarning
from explorer.target import CompileTarget

__all__ = [
    "Artifact",
    "ArtifactOrigin",
    "AuditStatus",
    "Backend",
    "BranchSite",
    "CancelToken",
    "Cancelled",
    "CaptureError",
    "Compilation",
    "CompilationConfig",
    "CompilationDiff",
    "CompileError",
    "CompileTarget",
    "CompiledModel",
    "ConfigError",
    "Coverage",
    "Diagnosis",
    "Difference",
    "DynamicShapesConfig",
    "DynamicShapesType",
    "ExplorerError",
    "GradPolicy",
    "GradRequired",
    "GuardAudit",
    "GuardOrigin",
    "GuardPolicy",
    "GuardRecord",
    "GuardViolation",
    "InputError",
    "OutOfRange",
    "Piece",
    "PieceKind",
    "PlannedCompilation",
    "Progress",
    "RunRecord",
    "Session",
    "SizeOutOfRange",
    "SizeRange",
    "Specialization",
    "SpecializedDim",
    "SplitError",
    "SplittingOpWarning",
    "UniquePiece",
    "UnknownSplittingOp",
    "VariantsLimit",
    "Violation",
    "compile_model",
    "counters",
]
