"""Every boundary type of the story, in the order of the steps.

Each is frozen; none holds display code. A frozen dataclass is shallow: a graph inside is still
mutable. So a step copies a graph before it edits it, and the types that hold graphs or tensors
compare by identity.
"""

from explorer.artifacts.audited import (
    AuditStatus,
    EagerOutcome,
    EagerProbe,
    GuardAudit,
    PointState,
    Region,
    ReplayCheck,
    SettledSize,
    SignatureGroup,
    Violation,
)
from explorer.artifacts.captured import CapturedGraph, LayoutQuestion, UserTensor
from explorer.artifacts.common import (
    GraphInput,
    InputKind,
    Size,
    SourceLocation,
)
from explorer.artifacts.compiled import Artifact, ArtifactOrigin, CompiledPieces, SkippedRange
from explorer.artifacts.guards import (
    BranchSite,
    Enforcement,
    Evaluation,
    GuardOrigin,
    GuardRecord,
    Phase,
    RecordedAs,
    SiteKind,
    Specialization,
    SpecializationReason,
)
from explorer.artifacts.normalised import NormalisedGraph, Rewrite
from explorer.artifacts.pieces import ComputedSize, Literal, Piece, PieceKind, SplitGraph
from explorer.artifacts.planned import CallLayout, DispatchEntry, DispatchPlan
from explorer.artifacts.recorded import RunRecord
from explorer.artifacts.stitched import StitchedProgram
from explorer.artifacts.traced import FunctionRole, TracedFunction
from explorer.artifacts.unique import Difference, UniquePiece, UniquePieces

__all__ = [
    "Artifact",
    "ArtifactOrigin",
    "AuditStatus",
    "BranchSite",
    "CallLayout",
    "CapturedGraph",
    "CompiledPieces",
    "ComputedSize",
    "Difference",
    "DispatchEntry",
    "DispatchPlan",
    "EagerOutcome",
    "EagerProbe",
    "Enforcement",
    "Evaluation",
    "FunctionRole",
    "GraphInput",
    "GuardAudit",
    "GuardOrigin",
    "GuardRecord",
    "InputKind",
    "LayoutQuestion",
    "Literal",
    "NormalisedGraph",
    "Phase",
    "Piece",
    "PieceKind",
    "PointState",
    "RecordedAs",
    "Region",
    "ReplayCheck",
    "Rewrite",
    "RunRecord",
    "SettledSize",
    "SignatureGroup",
    "SiteKind",
    "Size",
    "SkippedRange",
    "SourceLocation",
    "Specialization",
    "SpecializationReason",
    "SplitGraph",
    "StitchedProgram",
    "TracedFunction",
    "UniquePiece",
    "UniquePieces",
    "UserTensor",
    "Violation",
]
