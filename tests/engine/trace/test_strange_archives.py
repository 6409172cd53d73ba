"""An archive that no trace is, or that is damaged, is refused in one line."""

import stat
import struct
import zipfile

import pytest

from attentropy.report.cli import main
from refused_traces import archive_of, assert_refused


def _link(archive):
    info = zipfile.ZipInfo("entropy/c/9")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "/etc/passwd")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.writestr("../evil", b"x"), "points outside"),
        (lambda a: a.writestr("/evil", b"x"), "points outside"),
        (lambda a: a.writestr("entropy/../../evil", b"x"), "points outside"),
        (lambda a: a.writestr("..\\evil", b"x"), "points outside"),
        (_link, "the archive contains a link"),
        (lambda a: a.writestr("inner.zip", b"PK"), "contains another archive"),
        (lambda a: a.writestr("big", bytes(999), zipfile.ZIP_DEFLATED), "compressed or encrypted"),
    ],
)
def test_an_archive_that_no_trace_is_is_refused(folder, tmp_path, change, message):
    assert_refused(archive_of(folder, tmp_path / "u.zarr.zip", change), message)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_is_there_twice_is_refused(folder, tmp_path):
    path = archive_of(folder, tmp_path / "u.zarr.zip", lambda a: a.writestr("zarr.json", b"{}"))
    assert_refused(path, "the same entry twice")


def test_entries_that_share_their_bytes_or_are_encrypted_are_refused(folder, tmp_path):
    path = archive_of(folder, tmp_path / "u.zarr.zip")
    whole = path.read_bytes()
    size = len(whole)

    def patched(offset, form, value):
        data = bytearray(whole)
        at = whole.rindex(b"zarr.json") - 46  # the last entry of the central directory
        assert data[at : at + 4] == b"PK\1\2"
        data[at + offset : at + offset + struct.calcsize(form)] = struct.pack(form, value)
        path.write_bytes(data)
        return path

    assert_refused(patched(8, "<H", 1), "compressed or encrypted")
    assert_refused(patched(24, "<L", 5), "two sizes")
    data = bytearray(patched(24, "<L", size).read_bytes())
    at = whole.rindex(b"zarr.json") - 46
    data[at + 20 : at + 24] = struct.pack("<L", size)
    path.write_bytes(data)
    assert_refused(path, "entries larger than itself")


def _end(data):
    return data.rindex(b"PK\5\6")


def _before_end(data, inserted):
    at = _end(data)
    return data[:at] + inserted + data[at:]


def _with_end(data, offset, form, value):
    at = _end(data) + offset
    return data[:at] + struct.pack(form, value) + data[at + struct.calcsize(form) :]


_LARGE = (10, "<H", 0xFFFF)  # the end leaves the number of entries to the large record


@pytest.mark.parametrize(
    "change",
    [
        lambda d: _with_end(_before_end(d, b"PK\6\6"), 12, "<L", 0xFFFFFFFF),
        lambda d: _with_end(_before_end(d, b"PK\6\6" + bytes(30)), 12, "<L", 0xFFFFFFFF),
        lambda d: _with_end(_before_end(d, b"PK\6\7" + bytes(16)), *_LARGE),
        lambda d: _with_end(_before_end(d, b"PK\6\7" + struct.pack("<LQL", 0, 2**62, 1)), *_LARGE),
        lambda d: _before_end(d, b"PK\6\7" + struct.pack("<LQL", 9, 0, 9)),
        lambda d: _with_end(d, 12, "<L", 2**31),
        lambda d: _with_end(d, 16, "<L", 2**32 - 1),
        lambda d: _with_end(d, 10, "<H", 60_000),
        lambda d: _with_end(d, 4, "<H", 7),
        lambda d: d[: _end(d)] + d[_end(d) :][:21],
        lambda d: d + b"PK\5\6",
        lambda d: d[: _end(d)].replace(b"PK\1\2", b"PK\1\3", 1) + d[_end(d) :],
        lambda d: b"PK\5\6" + bytes(18),
        lambda d: b"",
    ],
)
def test_whatever_python_says_of_a_broken_archive_is_one_line(folder, tmp_path, change, capsys):
    path = archive_of(folder, tmp_path / "u.zarr.zip")
    path.write_bytes(change(path.read_bytes()))
    code = main(["info", str(path)])
    error = capsys.readouterr().err
    assert "--debug" not in error
    assert code in (0, 1)  # Python repairs some of them
    assert code == 0 or error.count("\n") == 1


def test_a_damaged_entry_of_an_archive_is_found_where_it_is_read(folder, tmp_path):
    path = archive_of(folder, tmp_path / "u.zarr.zip")
    whole = path.read_bytes()
    at = whole.index(b"entropy/c/0/0/0") - 30
    for offset in (0, 26, 28, 40):  # of the entry's own head: signature, lengths, name
        data = bytearray(whole)
        data[at + offset] ^= 0x55
        path.write_bytes(data)
        assert_refused(path, "values of entropy are damaged", "entropy")
