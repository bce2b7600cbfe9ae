"""Body-part words that several pipelines share: DICOM's terms (PS3.16 annex L) and the plain words of descriptions."""

from __future__ import annotations

from radserve_contract.spec import BodyPartGate

_HEAD = frozenset("HEAD BRAIN SKULL CRANIUM CRANIAL INTRACRANIAL CEREBRAL CEREBRUM NEURO HEADNECK CCT NCCT".split())
_CHEST = frozenset("CHEST THORAX THORACIC LUNG LUNGS PULMONARY".split())
_ABDOMEN = frozenset(
    "ABDOMEN ABDOMINAL ABDOMENPELVIS PELVIS LIVER KIDNEY SPLEEN BOWEL TRUNK TORSO ABDO AP CAP TAP".split()
)
_BOTH = frozenset("CAP TAP TRUNK TORSO".split())  # chest, abdomen and pelvis in one
_LIMBS = frozenset(
    "KNEE ELBOW WRIST ANKLE FOOT HAND SHOULDER HIP FEMUR TIBIA FIBULA HUMERUS LEG ARM FINGER TOE EXTREMITY".split()
)
_SPINE = frozenset("SPINE CSPINE LSPINE TSPINE LUMBAR SACRUM".split())

HEAD = BodyPartGate(wanted=_HEAD, unwanted=_CHEST | _ABDOMEN | _LIMBS | _SPINE)
CHEST = BodyPartGate(wanted=_CHEST | _BOTH, unwanted=_HEAD | (_ABDOMEN - _BOTH) | _LIMBS)
ABDOMEN = BodyPartGate(wanted=_ABDOMEN, unwanted=_HEAD | _CHEST | _LIMBS)
