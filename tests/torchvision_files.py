"""Small files in the layout of torchvision's datasets, with torchvision told their checksums."""

import gzip
import hashlib
import pickle
import tarfile

import numpy as np
import torchvision.datasets

TRAIN, TEST = 40, 20


def made_up(seed, shape):
    """Return random pixels `(n, *shape[1:])` and labels `(n,)`: every class occurs, if need be over several seeds."""
    random = np.random.default_rng(seed)
    labels = (np.arange(shape[0], dtype=np.uint8) + seed * shape[0]).astype(np.uint8) % 10
    return random.integers(0, 256, shape, dtype=np.uint8), random.permutation(labels)


def write_idx(root, title, monkeypatch, unpacked=False):
    """Write the four gzip files of MNIST or FashionMNIST, the same each time, and return their folder.

    With `unpacked`, the unpacked files as well, as torchvision leaves them.
    """
    folder = root / title / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    resources = []
    for number, (prefix, n) in enumerate([("train", TRAIN), ("t10k", TEST)]):
        for kind, array in zip(("images-idx3", "labels-idx1"), made_up(number, (n, 28, 28)), strict=True):
            header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
            name, content = f"{prefix}-{kind}-ubyte", header + array.tobytes()
            payload = gzip.compress(content, mtime=0)
            (folder / f"{name}.gz").write_bytes(payload)
            if unpacked:
                (folder / name).write_bytes(content)
            resources.append((f"{name}.gz", hashlib.md5(payload).hexdigest()))
    monkeypatch.setattr(getattr(torchvision.datasets, title), "resources", resources)
    return folder


class OldDtype:
    """Pickled as by an old numpy, with numbers for truth values; with these two every numpy since 2.4 complains."""

    def __reduce__(self):
        return np.dtype, ("u1", 0, 0)


def write_cifar10(root, monkeypatch):
    """Write `cifar-10-python.tar.gz` with its eight files, the same each time, and return its path."""
    known = torchvision.datasets.CIFAR10
    contents = {"batches.meta": {"label_names": list("abcdefghij"), "old": OldDtype()}}
    sizes = {**{f"data_batch_{i}": TRAIN // 5 for i in range(1, 6)}, "test_batch": TEST}
    for seed, (name, n) in enumerate(sizes.items()):
        pixels, labels = made_up(seed, (n, 3 * 32 * 32))
        contents[name] = {"data": pixels, "labels": labels.tolist()}
    folder, path = root / known.base_folder, root / known.filename
    folder.mkdir(parents=True)
    md5 = {}
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content))
        md5[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, known.base_folder)
    monkeypatch.setattr(known, "train_list", [[name, md5[name]] for name in sizes if name != "test_batch"])
    monkeypatch.setattr(known, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(known, "meta", {**known.meta, "md5": md5["batches.meta"]})
    monkeypatch.setattr(known, "tgz_md5", hashlib.md5(path.read_bytes()).hexdigest())
    return path
