"""Pages: what a team shows of its workflows: their interfaces, contracts and risks.

They are made of what is declared, and of what a store or a coverage report has seen; nothing runs.
"""

from ._contract import contract_page
from ._listing import declared, kept
from ._risks import AREAS, Risk, risk_page, risks
from ._seen import Outcomes, covered, stored

__all__ = [
    "AREAS",
    "Outcomes",
    "Risk",
    "contract_page",
    "covered",
    "declared",
    "kept",
    "risk_page",
    "risks",
    "stored",
]
