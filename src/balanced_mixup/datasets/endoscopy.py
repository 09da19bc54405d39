"""Cards of the endoscopy images: HyperKvasir and Kvasir-Capsule."""

from balanced_mixup.datasets.card import Card, Cells, LabelFile, PublishedFolds

_FINDINGS = {
    "barretts": ("Barrett's oesophagus", 41),
    "barretts-short-segment": ("Barrett's oesophagus, short segment", 53),
    "bbps-0-1": ("bowel preparation score 0 to 1", 646),
    "bbps-2-3": ("bowel preparation score 2 to 3", 1148),
    "cecum": ("caecum", 1009),
    "dyed-lifted-polyps": ("dyed and lifted polyps", 1002),
    "dyed-resection-margins": ("dyed resection margins", 989),
    "esophagitis-a": ("oesophagitis, grade A", 403),
    "esophagitis-b-d": ("oesophagitis, grade B to D", 260),
    "hemorrhoids": ("haemorrhoids", 6),
    "ileum": ("terminal ileum", 9),
    "impacted-stool": ("impacted stool", 131),
    "polyps": ("polyps", 1028),
    "pylorus": ("pylorus", 999),
    "retroflex-rectum": ("rectum, retroflexed view", 391),
    "retroflex-stomach": ("stomach, retroflexed view", 764),
    "ulcerative-colitis-grade-0-1": ("ulcerative colitis, grade 0 to 1", 35),
    "ulcerative-colitis-grade-1": ("ulcerative colitis, grade 1", 201),
    "ulcerative-colitis-grade-1-2": ("ulcerative colitis, grade 1 to 2", 11),
    "ulcerative-colitis-grade-2": ("ulcerative colitis, grade 2", 443),
    "ulcerative-colitis-grade-2-3": ("ulcerative colitis, grade 2 to 3", 28),
    "ulcerative-colitis-grade-3": ("ulcerative colitis, grade 3", 133),
    "z-line": ("z-line", 932),
}


def _folds(k: int) -> PublishedFolds:
    names = (f"{k}_fold_split.csv", f"hyperkvasir_{k}_fold_split.csv")
    return PublishedFolds(names, "file-name", "class-name", "split-index", f"fold{k}")


HYPERKVASIR = Card(
    name="hyperkvasir",
    title="HyperKvasir, labelled images",
    task="23 findings and landmarks in gastroscopy and colonoscopy",
    classes={name: title for name, (title, _) in _FINDINGS.items()},
    ordinal=False,
    counts={"all": {name: count for name, (_, count) in _FINDINGS.items()}},
    url="https://datasets.simula.no/hyper-kvasir/",
    licence="CC BY 4.0",
    layout="labeled-images/{upper,lower}-gi-tract/<category>/<finding>/*.jpg with labeled-images/image-labels.csv; the "
    "official 2_fold_split.csv and 5_fold_split.csv anywhere beside",
    groups="none: patients and videos of the labelled images are not published",
    citation="Borgli et al.: HyperKvasir, a comprehensive multi-class image and video dataset for gastrointestinal endoscopy. "
    "Scientific Data 7:283, 2020.",
    label_files=(
        LabelFile(
            ("image-labels.csv", "hyperkvasir_image-labels.csv"), "Video file", "Finding", keep=("Organ", "Classification")
        ),
    ),
    folds=(_folds(2), _folds(5)),
    # the spellings of the fold files
    aliases={
        "normal-pylorus": "pylorus",
        "normal-cecum": "cecum",
        "normal-z-line": "z-line",
        "polyp": "polyps",
        "hemorroids": "hemorrhoids",
        "short-segment-barretts": "barretts-short-segment",
        "oesophagitis-a": "esophagitis-a",
        "oesophagitis-b-d": "esophagitis-b-d",
    },
    class_folders=True,
    skipped_folders=("segmented-images", "unlabeled-images", "labeled-videos"),
)

_FRAMES = {
    "Angiectasia": ("angiectasia", 866),
    "Blood": ("fresh blood", 446),
    "Erosion": ("erosion", 506),
    "Erythematous": ("erythema", 159),
    "Foreign Bodies": ("foreign body", 776),
    "Ileo-cecal valve": ("ileocaecal valve", 4189),
    "Lymphangiectasia": ("lymphangiectasia", 592),
    "Normal": ("normal clean mucosa", 34338),
    "Pylorus": ("pylorus", 1529),
    "Reduced Mucosal View": ("reduced view of the mucosa", 2906),
    "Ulcer": ("ulcer", 854),
}


def _video(cells: Cells) -> str:
    return cells["filename"].partition("_")[0]


def _split(fold: int) -> LabelFile:
    names = (f"split_{fold}.csv", f"kvasircapsule_split_{fold}.csv")
    return LabelFile(names, "filename", "label", group=_video, constants={"fold2": str(fold)})


KVASIR_CAPSULE = Card(
    name="kvasir-capsule",
    title="Kvasir-Capsule, labelled frames of the official splits",
    task="11 findings and landmarks in video capsule endoscopy",
    classes={name: title for name, (title, _) in _FRAMES.items()},
    ordinal=False,
    counts={"all": {name: count for name, (_, count) in _FRAMES.items()}},
    url="https://osf.io/dv2ag/",
    licence="CC BY 4.0",
    layout="<class>/*.jpg, unpacked from labelled_images, with split_0.csv and split_1.csv; ampulla of Vater, haematin and "
    "polyp (77 frames) are in no split and so in no class",
    groups="video: the prefix of the file name before `_`; seven videos are in both official splits",
    citation="Smedsrud et al.: Kvasir-Capsule, a video capsule endoscopy dataset. Scientific Data 8:142, 2021.",
    label_files=(_split(0), _split(1)),
    # the names of the archive's folders
    aliases={
        "Blood - fresh": "Blood",
        "Erythema": "Erythematous",
        "Foreign body": "Foreign Bodies",
        "Ileocecal valve": "Ileo-cecal valve",
        "Normal clean mucosa": "Normal",
    },
    class_folders=True,
    skipped_folders=("unlabelled_videos", "labelled_videos"),
)
