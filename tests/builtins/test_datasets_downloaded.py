"""MNIST, Fashion-MNIST and CIFAR-10 from small files: reading, downloading, and what is said when that fails."""

import http.server
import shutil
import threading
import time
from pathlib import Path

import pytest
import torch
import torchvision.datasets
from torchvision_files import TEST, TRAIN, write_cifar10, write_idx

from fmbench import DataError
from fmbench_datasets import downloads
from fmbench_datasets.cifar10 import Cifar10
from fmbench_datasets.fashion_mnist import FashionMnist
from fmbench_datasets.mnist import Mnist

KINDS = pytest.mark.parametrize("kind", [Mnist, FashionMnist, Cifar10])
SPLITS = ("train", "test")


class Server(http.server.ThreadingHTTPServer):
    """Serves the files of a folder on this machine. It counts what it was asked for; a silent one never answers."""

    daemon_threads = True

    def __init__(self, folder, silent=False):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.silent, self.asked = folder, silent, []
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self):
        self.over.set()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path[1:])
        if self.server.silent:
            self.server.over.wait()
            return
        path = self.server.folder / self.path[1:]
        content = path.read_bytes() if path.is_file() else b"<html>Please log in</html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def serve(monkeypatch):
    """Return what starts a server, in whose place nothing else is asked."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(folder, silent=False):
        servers.append(Server(folder, silent))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def nowhere(monkeypatch):
    """Let every download be refused, as without a network."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    place_at(monkeypatch, ["http://127.0.0.1:9/"])


def place_at(monkeypatch, mirrors):
    for known in (torchvision.datasets.MNIST, torchvision.datasets.FashionMNIST):
        monkeypatch.setattr(known, "mirrors", mirrors)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", mirrors[0] + torchvision.datasets.CIFAR10.filename)


def write(kind, root, monkeypatch):
    """Write the archives of a dataset and return their paths."""
    if kind is Cifar10:
        return [write_cifar10(root, monkeypatch)]
    return sorted(write_idx(root, kind.title, monkeypatch).iterdir())


# Reading


@pytest.mark.parametrize("kind", [Mnist, FashionMnist])
def test_images_in_mnists_format_are_torchvisions(kind, tmp_path, monkeypatch, nowhere):
    write_idx(tmp_path, kind.title, monkeypatch, unpacked=True)
    for split, n in zip(SPLITS, (TRAIN, TEST), strict=True):
        theirs = getattr(torchvision.datasets, kind.title)(tmp_path, train=split == "train")
        x, y = kind(root=str(tmp_path)).load(split)
        assert x.shape == (n, 1, 28, 28)
        assert torch.equal(((x[:, 0] + 1) * 127.5).round().to(torch.uint8), theirs.data)
        assert torch.equal(y, theirs.targets)


@pytest.mark.filterwarnings("ignore:dtype")  # torchvision reads the old pickle, too
def test_cifar10_is_torchvisions(tmp_path, monkeypatch, nowhere):
    write_cifar10(tmp_path, monkeypatch)
    for split, n in zip(SPLITS, (TRAIN, TEST), strict=True):
        theirs = torchvision.datasets.CIFAR10(tmp_path, train=split == "train")
        x, y = Cifar10(root=str(tmp_path)).load(split)
        assert x.shape == (n, 3, 32, 32)
        assert x.is_contiguous()
        pixels = ((x + 1) * 127.5).round().to(torch.uint8)
        assert torch.equal(pixels, torch.stack([torch.from_numpy(picture) for picture in theirs.data]).movedim(3, 1))
        assert y.tolist() == theirs.targets


def test_pickles_of_an_old_numpy_are_read_without_a_warning(tmp_path, monkeypatch, nowhere):
    write_cifar10(tmp_path, monkeypatch)
    assert len(Cifar10(root=str(tmp_path)).load("test")[0]) == TEST


def test_cifar10_is_unpacked_from_its_archive_and_then_needs_it_no_more(tmp_path, monkeypatch, nowhere):
    archive = write_cifar10(tmp_path, monkeypatch)
    folder = tmp_path / torchvision.datasets.CIFAR10.base_folder
    x, _ = Cifar10(root=str(tmp_path)).load("train")
    half = folder / "data_batch_2"
    half.write_bytes(half.read_bytes()[:99])
    assert torch.equal(Cifar10(root=str(tmp_path)).load("train")[0], x)
    shutil.rmtree(folder)
    assert torch.equal(Cifar10(root=str(tmp_path)).load("train")[0], x)
    archive.unlink()
    assert torch.equal(Cifar10(root=str(tmp_path)).load("train")[0], x)


def test_without_root_the_folder_is_torchvisions(tmp_path, monkeypatch, nowhere):
    monkeypatch.delenv("TORCH_HOME", raising=False)
    from torchvision._internally_replaced_utils import _HOME

    assert downloads.dataset_root(None) == Path(_HOME)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    write_idx(tmp_path / "datasets" / "vision", "MNIST", monkeypatch)
    assert len(Mnist().load("test")[0]) == TEST


def test_files_that_are_there_need_no_place_to_write(tmp_path, monkeypatch, nowhere):
    for kind in (Mnist, Cifar10):
        write(kind, tmp_path, monkeypatch)
    monkeypatch.setattr(downloads, "locked", None)
    monkeypatch.setattr("fmbench_datasets.cifar10.locked", None)
    assert len(Mnist(root=str(tmp_path)).load("train")[0]) == len(Cifar10(root=str(tmp_path)).load("train")[0]) == TRAIN


# Downloading


@KINDS
def test_missing_files_are_downloaded_once(kind, tmp_path, monkeypatch, serve):
    archives = write(kind, tmp_path / "there", monkeypatch)
    server = serve(archives[0].parent)
    place_at(monkeypatch, [server.url])
    first = [kind(root=str(tmp_path / "here")).load(split) for split in SPLITS]
    again = [kind(root=str(tmp_path / "there")).load(split) for split in SPLITS]
    assert all(torch.equal(a, b) for x, y in zip(first, again, strict=True) for a, b in zip(x, y, strict=True))
    assert sorted(server.asked) == [archive.name for archive in archives]
    assert not list((tmp_path / "here").rglob("*.part"))


def test_only_what_is_missing_or_damaged_is_downloaded(tmp_path, monkeypatch, serve):
    archives = write(Mnist, tmp_path / "there", monkeypatch)
    server = serve(archives[0].parent)
    place_at(monkeypatch, [server.url])
    shutil.copytree(tmp_path / "there", tmp_path / "here")
    here = tmp_path / "here" / "MNIST" / "raw"
    (here / archives[0].name).unlink()
    (here / archives[2].name).write_bytes(archives[2].read_bytes()[:50])
    (here / archives[1].name.removesuffix(".gz")).write_bytes(b"half of an unpacked file")
    assert len(Mnist(root=str(tmp_path / "here")).load("train")[0]) == TRAIN
    assert sorted(server.asked) == [archives[0].name, archives[2].name]


def test_another_mirror_is_asked_when_the_first_sends_something_else(tmp_path, monkeypatch, serve):
    archives = write(Mnist, tmp_path / "there", monkeypatch)
    wrong, right = serve(tmp_path / "empty"), serve(archives[0].parent)
    place_at(monkeypatch, ["http://127.0.0.1:9/", wrong.url, right.url])
    assert len(Mnist(root=str(tmp_path / "here")).load("test")[0]) == TEST
    assert wrong.asked == right.asked


def test_processes_that_start_together_download_once(tmp_path, monkeypatch, serve):
    archives = write(Mnist, tmp_path / "there", monkeypatch)
    server = serve(archives[0].parent)
    place_at(monkeypatch, [server.url])
    found, dataset = [], Mnist(root=str(tmp_path / "here"))
    with downloads.locked(tmp_path / "here" / "MNIST" / "raw", "MNIST"):
        threads = [threading.Thread(target=lambda: found.append(dataset.load("test"))) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        assert not server.asked
    for thread in threads:
        thread.join(30)
    assert len(found) == 3
    assert len(server.asked) == 4


# Failing


@KINDS
def test_without_a_network_the_error_says_what_to_put_where(kind, tmp_path, monkeypatch, nowhere):
    archives = write(kind, tmp_path / "there", monkeypatch)
    with pytest.raises(DataError) as failure:
        kind(root=str(tmp_path / "here")).load("train")
    message = str(failure.value)
    folder = (tmp_path / "here").joinpath(archives[0].parent.relative_to(tmp_path / "there"))
    assert all(archive.name in message for archive in archives)
    assert f" in {folder}," in message
    assert "refused" in message
    assert "root" in message
    assert "\n" not in message
    assert not [path for path in folder.iterdir() if path.name != ".fmbench.lock"]


def test_a_page_in_place_of_the_file_is_no_download(tmp_path, monkeypatch, serve):
    write(Cifar10, tmp_path / "there", monkeypatch)
    place_at(monkeypatch, [serve(tmp_path / "empty").url])
    with pytest.raises(DataError, match="what it sent is not that file"):
        Cifar10(root=str(tmp_path / "here")).load("train")
    assert [path.name for path in (tmp_path / "here").iterdir()] == [".fmbench.lock"]


def test_a_server_that_never_answers_is_given_up(tmp_path, monkeypatch, serve):
    write(Mnist, tmp_path / "there", monkeypatch)
    place_at(monkeypatch, [serve(tmp_path, silent=True).url])
    monkeypatch.setattr(downloads, "TIMEOUT", 0.2)
    with pytest.raises(DataError, match="timed out"):
        Mnist(root=str(tmp_path / "here")).load("train")


def test_a_folder_that_cannot_be_made_is_reported(tmp_path, monkeypatch, nowhere):
    write(Mnist, tmp_path / "there", monkeypatch)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match="cannot be written to"):
        Mnist(root=str(tmp_path / "file")).load("train")


def test_an_unpacked_folder_that_cannot_be_made_whole_is_reported(tmp_path, monkeypatch, nowhere):
    write_cifar10(tmp_path, monkeypatch)
    (tmp_path / torchvision.datasets.CIFAR10.base_folder / "batches.meta").unlink()
    with pytest.raises(DataError, match=r"Remove that folder"):
        Cifar10(root=str(tmp_path)).load("train")
