"""SOP class and modality of a DICOM object in, pass or refusal out: a picture, and of a kind that is read?"""

from __future__ import annotations

from pydicom import uid
from pydicom.uid import UID

from radserve_contract.findings import Notice
from radserve_contract.spec import PipelineSpec
from radserve_preproc.errors import NotAnImage, WrongModality
from radserve_preproc.notices import NoticeCode, notice

# What a SOP class says about the modality when Modality (0008,0060) does not. Secondary Capture may be of any.
_MODALITY_OF = {
    uid.ComputedRadiographyImageStorage: "CR",
    uid.DigitalXRayImageStorageForPresentation: "DX",
    uid.DigitalXRayImageStorageForProcessing: "DX",
    uid.DigitalMammographyXRayImageStorageForPresentation: "MG",
    uid.DigitalMammographyXRayImageStorageForProcessing: "MG",
    uid.BreastTomosynthesisImageStorage: "MG",
    uid.DigitalIntraOralXRayImageStorageForPresentation: "IO",
    uid.DigitalIntraOralXRayImageStorageForProcessing: "IO",
    uid.XRayAngiographicImageStorage: "XA",
    uid.XRayRadiofluoroscopicImageStorage: "RF",
    uid.CTImageStorage: "CT",
    uid.EnhancedCTImageStorage: "CT",
    uid.MRImageStorage: "MR",
    uid.EnhancedMRImageStorage: "MR",
    uid.UltrasoundImageStorage: "US",
    uid.UltrasoundMultiFrameImageStorage: "US",
    uid.NuclearMedicineImageStorage: "NM",
    uid.PositronEmissionTomographyImageStorage: "PT",
    uid.RTImageStorage: "RTIMAGE",
}

# PS3.3 C.7.3.1.1.1, retired ones too. Only these are repeated in a message: anything else may be a name.
_TERMS = frozenset(
    """
    ANN AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC HD IO IOL IVOCT IVUS
    KER KO LEN LS M3D MG MR NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE
    RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF STAIN TEXTUREMAP TG US VA XA
    XAPROTOCOL XC
    AS CD CF CP CS DD DF DM DS EC FA FS LP MA MS OPR ST VF
    """.split()
)


def refuse_other_objects(sop_class_uid: UID) -> None:
    """Refuse objects that are no images: reports, PDF, plans, structures, waveforms, segmentations, DICOMDIR.

    A SOP class that the standard does not list, or none, passes: private classes hold images too.

    Raises
    ------
    NotAnImage
        Naming the SOP class.
    """
    if sop_class_uid.type == "SOP Class" and "Image Storage" not in sop_class_uid.name:
        raise NotAnImage(
            f"the file is a DICOM object of SOP class {sop_class_uid.name}, not an image. Send the image it belongs to",
            sop_class=sop_class_uid.name,
        )


def check_modality(modality: str, sop_class_uid: UID, spec: PipelineSpec) -> tuple[Notice, ...]:
    """Let images pass whose Modality (0008,0060) and SOP class are of the pipeline's modalities, or do not say.

    Raises
    ------
    WrongModality
        Naming the modality.
    """
    implied = _MODALITY_OF.get(sop_class_uid, "")
    for found in filter(None, (modality.upper(), implied)):
        if found not in spec.modalities:
            said = found if found in _TERMS else "not a term of the standard"
            raise WrongModality(
                f"(0008,0060) Modality is {said}; {spec.name} reads {', '.join(sorted(spec.modalities))}", found=said
            )
    if modality:
        return ()
    default = "a CT" if spec.volumes else "a radiograph"
    taken = f"; its SOP class says {implied}" if implied else f"; it was taken for {default}"
    return (notice(NoticeCode.MODALITY_MISSING, f"the image has no (0008,0060) Modality{taken}"),)
