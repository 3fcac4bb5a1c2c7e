"""Uploads: what is taken, and that nothing gets out of its folder."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from lib_lyco.errors import DataError, FileError
from lib_lyco.studio.dataset.upload import Limits, Received, receive, safe_name

LINK = 0o120777 << 16


def image_bytes(kind: str = "PNG", colour: str = "red") -> bytes:
    """An image file."""
    file = io.BytesIO()
    Image.new("RGB", (20, 10), colour).save(file, kind)
    return file.getvalue()


def zip_of(path: Path, files: dict[str, bytes], links: tuple[str, ...] = ()) -> Path:
    """A zip with these files, some of them as links."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            if name in links:
                entry.external_attr = LINK
            archive.writestr(entry, data)
    return path


def upload(tmp_path: Path, files: dict[str, bytes], limits: Limits | None = None) -> Received:
    """Uploads a zip into the folder `images`."""
    packed = zip_of(tmp_path / "upload", files, links=tuple(name for name in files if "link" in name))
    return receive(packed, "set.ZIP", tmp_path / "images", limits)


def files_in(folder: Path) -> set[str]:
    """Names of all files below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_images_and_captions_of_a_zip_keep_their_folders(tmp_path: Path) -> None:
    image = image_bytes()
    files = {
        "10_cat/a.png": image,
        "10_cat/a.txt": "猫".encode(),
        "10_cat/noch ein Bild é.jpg": image_bytes("JPEG"),
        "__MACOSX/10_cat/._a.png": b"x",
        "10_cat/.DS_Store": b"x",
        "10_cat/Thumbs.db": b"x",
    }
    received = upload(tmp_path, files)
    assert received.refused == []
    assert files_in(tmp_path / "images") == {
        "10_cat/a.png",
        "10_cat/a.txt",
        "10_cat/noch ein Bild é.jpg",
    }
    assert (tmp_path / "images" / "10_cat" / "a.png").read_bytes() == image


def test_a_folder_around_everything_is_left_away(tmp_path: Path) -> None:
    upload(tmp_path, {"my set/a.png": image_bytes(), "my set/sub/b.png": image_bytes()})
    assert files_in(tmp_path / "images") == {"a.png", "sub/b.png"}


@pytest.mark.parametrize(
    "name",
    [
        "../out.png",
        "a/../../out.png",
        "/tmp/out.png",
        "C:/out.png",
        "C:out.png",
        "..\\out.png",
        "\\\\host\\out.png",
        "con.png",
        "a/lpt1/b.png",
        "a?.png",
        "a\u202egnp.exe.png",
        "end./a.png",
        " a.png",
        "x" * 300 + ".png",
        "a/b/c/d/e.png",
        "",
    ],
)
def test_names_that_lead_out_or_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError):
        safe_name(name)
    received = upload(tmp_path, {name or "/": image_bytes(), "good.png": image_bytes()})
    assert received.saved == ["good.png"]
    assert len(received.refused) == (1 if name else 0)
    assert files_in(tmp_path) == {"upload", "images/good.png"}


def test_links_are_not_followed_and_not_made(tmp_path: Path) -> None:
    received = upload(tmp_path, {"link.png": b"/etc/passwd", "good.png": image_bytes()})
    assert [name for name, _ in received.refused] == ["link.png"]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "images" / "way").symlink_to(tmp_path / "elsewhere")
    received = upload(tmp_path, {"way/a.png": image_bytes(), "b.png": image_bytes()})
    assert [name for name, _ in received.refused] == ["way/a.png"]
    assert files_in(tmp_path / "elsewhere") == set()


def test_bombs_are_refused(tmp_path: Path) -> None:
    small = Limits(free_bytes=1000, file_bytes=100_000)
    received = upload(tmp_path, {"zeros.png": bytes(2_000_000), "good.png": image_bytes()}, small)
    assert [name for name, _ in received.refused] == ["zeros.png"]
    with pytest.raises(FileError, match="too much"):
        upload(tmp_path, {f"{n}.png": b"" for n in range(5)}, Limits(files=4))
    with pytest.raises(FileError, match="too much"):
        upload(tmp_path, {"a.png": bytes(3_000_000)}, Limits(all_bytes=2 << 20))


def test_a_size_that_lies_ends_the_unpacking(tmp_path: Path) -> None:
    packed = zip_of(tmp_path / "upload", {"a.png": bytes(500_000), "b.png": image_bytes()})
    data = packed.read_bytes()
    for signature, place in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = data.index(signature) + place
        data = data[:at] + (9).to_bytes(4, "little") + data[at + 4 :]
    packed.write_bytes(data)
    received = receive(packed, "a.zip", tmp_path / "images")
    assert received.saved == ["b.png"]
    assert [name for name, _ in received.refused] == ["a.png"]


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.exe", b"MZ", "no image"),
        ("a", b"x", "no image"),
        ("a.png", b"<svg onload=alert(1)>", "cannot be read"),
        ("a.png", image_bytes()[:48], "cannot be read"),
        ("a.txt", b"\xff\x00\xfe\x00", "not"),
        ("../a.png", image_bytes(), "out of the folder"),
    ],
)
def test_what_is_no_image_is_refused_with_the_reason(
    tmp_path: Path, name: str, data: bytes, why: str
) -> None:
    (tmp_path / "upload").write_bytes(data)
    received = receive(tmp_path / "upload", name, tmp_path / "images")
    assert received.saved == []
    assert [(told, why in reason) for told, reason in received.refused] == [(name, True)]
    assert files_in(tmp_path) == {"upload"}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    for colour, refused in (("red", 0), ("red", 0), ("blue", 1)):
        (tmp_path / "upload").write_bytes(image_bytes(colour=colour))
        received = receive(tmp_path / "upload", "a.png", tmp_path / "images")
        assert len(received.refused) == refused
    assert (tmp_path / "images" / "a.png").read_bytes() == image_bytes()


def test_what_is_no_zip_is_told(tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(image_bytes())
    with pytest.raises(FileError, match="damaged"):
        receive(tmp_path / "upload", "a.zip", tmp_path / "images")
