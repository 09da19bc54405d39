"""The 2-D MedMNIST data sets: their cards from the package `medmnist`, their images from its npz files."""

from pathlib import Path

from balanced_mixup.data.manifest import SPLITS
from balanced_mixup.datasets.card import Card
from balanced_mixup.errors import RunError, UsageError

SETS = {
    "pathmnist": "9 tissue types in colon histology",
    "dermamnist": "7 kinds of skin lesions in dermatoscopy (HAM10000; one lesion may be in several splits)",
    "octmnist": "4 diagnoses in optical coherence tomography of the retina",
    "pneumoniamnist": "pneumonia in chest X-rays",
    "retinamnist": "diabetic retinopathy, grade 0 to 4, from fundus photographs",
    "breastmnist": "breast cancer in ultrasound images",
    "bloodmnist": "8 kinds of blood cells under the microscope",
    "tissuemnist": "8 kinds of kidney cells under the microscope",
    "organamnist": "11 organs in axial slices of computed tomography",
    "organcmnist": "11 organs in coronal slices of computed tomography",
    "organsmnist": "11 organs in sagittal slices of computed tomography",
}
REFUSED = {
    "chestmnist": "each of its images has up to 14 labels at once, but Balanced-MixUp needs one class per image",
}
SIZES = (28, 64, 128, 224)


def card(name: str) -> Card:
    """Return the card of one of `SETS`.

    Raises:
        RunError: The package `medmnist` is not installed.
    """
    try:
        from medmnist import INFO
    except ImportError as error:
        raise RunError(
            f"The MedMNIST data sets need the package medmnist, which cannot be imported ({error}). Install it with "
            '`pip install "balanced-mixup[medmnist]"`.'
        ) from error
    about = INFO[name]
    return Card(
        name=name,
        title=str(about["python_class"]),
        task=SETS[name],
        classes=dict(about["label"]),
        ordinal=about["task"] == "ordinal-regression",
        counts={},
        totals={split: int(about["n_samples"][split]) for split in SPLITS},
        url="https://medmnist.com",
        licence=str(about["license"]),
        layout=f"{name}.npz, or {', '.join(f'{name}_{size}.npz' for size in SIZES[1:])}; without --root it is downloaded",
        groups="none: patients are not published",
        citation="Yang et al.: MedMNIST v2, a large-scale lightweight benchmark for 2D and 3D biomedical image classification. "
        "Scientific Data 10:41, 2023.",
        sizes=SIZES,
        default_size=SIZES[0],
        default_format="png",
    )


def npz_of(card: Card, root: Path | None, size: int) -> Path:
    """Return the npz of a data set and size.

    Args:
        card: One of `SETS`.
        root: The npz itself, or a folder with it; None: the package downloads it to its own folder.
        size: One of `SIZES`.

    Raises:
        UsageError: There is no such file.
        RunError: It could not be downloaded.
    """
    name = card.name + ("" if size == SIZES[0] else f"_{size}") + ".npz"
    if root is None:
        return _download(card, size) / name
    path = root / name if root.is_dir() else root
    if path.is_file():
        return path
    raise UsageError(
        f"Expected --root to be {name} or a folder with it, but there is no {str(path)!r}. Omit --root to have it "
        f"downloaded, or get it from {card.url}."
    )


def _download(card: Card, size: int) -> Path:
    """Let the package download an npz, unless it has it; return the folder."""
    import medmnist

    data_set = getattr(medmnist, card.title)
    root = medmnist.info.DEFAULT_ROOT
    try:
        data_set(split="val", root=root, size=size, download=True)
    except Exception as error:  # the package wraps all errors, damaged files included
        raise RunError(
            f"{card.title} of {size} px could not be downloaded to {root!r} ({type(error).__name__}). Check the network, or "
            f"download the npz from {card.url} by other means and pass it with --root."
        ) from error
    return Path(root)
