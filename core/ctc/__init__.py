"""Connectionist temporal classification (Graves et al. 2006), alone and together with attention."""

from core.ctc.align import TokenSpan, forced_align
from core.ctc.beam import ctc_beam
from core.ctc.greedy import ctc_greedy
from core.ctc.model import CtcEncoderDecoder
from core.ctc.objective import JointCtcAttention, feasible
from core.ctc.prefix import CtcPrefixScorer
from core.ctc.rescore import rescore
from core.ctc.transcribe import DecodingMode, transcribe

__all__ = [
    "CtcEncoderDecoder",
    "CtcPrefixScorer",
    "DecodingMode",
    "JointCtcAttention",
    "TokenSpan",
    "ctc_beam",
    "ctc_greedy",
    "feasible",
    "forced_align",
    "rescore",
    "transcribe",
]
