"""The IDX reader gives back what was written, and refuses everything else as a DataError."""

import gzip
import hashlib
import io
import os
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sweeps.errors import DataError
from sweeps.vision.data.idx import read_idx, write_idx

pytestmark = pytest.mark.filterwarnings("error")
# tmp_path is shared by the examples of one test, and every example overwrites its file.
bounded = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
cubes = arrays(np.uint8, st.tuples(*[st.integers(1, 6)] * 3))
suffixes = st.sampled_from(["", ".gz"])


@bounded
@given(array=cubes, suffix=suffixes)
def test_reads_what_was_written(tmp_path, array, suffix):
    path = tmp_path / f"images{suffix}"
    write_idx(path, array)
    found = read_idx(path, 3)
    assert found.dtype == np.uint8
    assert np.array_equal(found, array)
    assert found.flags.writeable  # torch warns about read-only memory


def test_writes_the_format_of_the_mnist_files(tmp_path):
    write_idx(tmp_path / "labels", np.array([3, 1, 2], np.uint8))
    assert (tmp_path / "labels").read_bytes() == b"\x00\x00\x08\x01\x00\x00\x00\x03\x03\x01\x02"


def test_gzipped_files_depend_on_the_content_alone(tmp_path):
    array = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    write_idx(tmp_path / "one.gz", array)
    write_idx(tmp_path / "two.gz", array)
    one = (tmp_path / "one.gz").read_bytes()
    assert one == (tmp_path / "two.gz").read_bytes()
    assert one[4:8] == bytes(4)  # no time
    assert not one[3]  # no name


@bounded
@given(array=cubes, suffix=suffixes, data=st.data())
def test_a_truncated_file_is_refused(tmp_path, array, suffix, data):
    path = tmp_path / f"images{suffix}"
    write_idx(path, array)
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(DataError, match=r"images.*get it again"):
        read_idx(path, 3)


@bounded
@given(array=cubes, suffix=suffixes, position=st.integers(0, 15), bit=st.integers(0, 7))
def test_a_flipped_bit_in_the_header_is_refused(tmp_path, array, suffix, position, bit):
    path = tmp_path / f"images{suffix}"
    write_idx(tmp_path / "plain", array)
    content = bytearray((tmp_path / "plain").read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(gzip.compress(content) if suffix else content)
    with pytest.raises(DataError, match=r"images.*get it again"):
        read_idx(path, 3)


@bounded
@given(array=cubes, data=st.data())
def test_a_damaged_gzip_file_is_refused_or_harmless(tmp_path, array, data):
    path = tmp_path / "images.gz"
    write_idx(path, array)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        found = read_idx(path, 3)
    except DataError:
        return
    assert np.array_equal(found, array)  # the flip hit a part of gzip's header that means nothing


@bounded
@given(content=st.binary(max_size=64), suffix=suffixes)
def test_any_other_content_is_refused(tmp_path, content, suffix):
    path = tmp_path / f"images{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match="images"):
        read_idx(path, 3)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (struct.pack(">4B3I", 0, 0, 0x0D, 3, 1, 1, 1) + bytes(4), r"magic number 00000d03, but 00000803"),
        (struct.pack(">4B1I", 0, 0, 0x08, 1, 20) + bytes(20), r"magic number 00000801, but 00000803"),
        (struct.pack(">4B3I", 0, 0, 0x08, 3, 2, 2, 2) + bytes(9), r"2 x 2 x 2 = 8 bytes, but 9 follow"),
        (struct.pack(">4B3I", 0, 0, 0x08, 3, 0, 2, 2), r"0 x 2 x 2 = 0 bytes"),
        (b"<html>404</html>", r"magic number 3c68746d"),
        (b"", r"0 bytes cannot hold an IDX header of 16"),
    ],
    ids=["floats", "labels", "too long", "empty", "web page", "nothing"],
)
def test_the_message_names_the_file_what_was_found_and_what_is_expected(tmp_path, content, said):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        read_idx(path, 3)
    assert str(path) in str(caught.value)


def test_a_plain_file_named_gz_is_refused(tmp_path):
    write_idx(tmp_path / "images", np.ones((2, 2, 2), np.uint8))
    (tmp_path / "images").rename(tmp_path / "images.gz")
    with pytest.raises(DataError, match="not a whole gzip file"):
        read_idx(tmp_path / "images.gz", 3)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_sum_is_of_the_uncompressed_content(tmp_path, suffix):
    array = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    write_idx(tmp_path / "plain", array)
    expected = hashlib.sha256((tmp_path / "plain").read_bytes()).hexdigest()
    path = tmp_path / f"images{suffix}"
    write_idx(path, array)
    assert np.array_equal(read_idx(path, 3, expected), array)
    write_idx(path, array + 1)
    with pytest.raises(DataError, match=expected):
        read_idx(path, 3, expected)


def test_an_unreadable_file_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_idx(tmp_path / "images", 3)


def test_a_bomb_is_refused_before_it_goes_off(tmp_path):
    path = tmp_path / "images.gz"
    content = io.BytesIO()
    with gzip.open(content, "wb") as file:
        file.write(struct.pack(">4B3I", 0, 0, 8, 3, 300, 1024, 1024))
        for _ in range(300):
            file.write(bytes(2**20))
    path.write_bytes(content.getvalue())
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"promises 300 x 1024 x 1024 = .*do not compress to \d+ bytes"):
            read_idx(path, 3)
        # A header that promises little is held to it: what follows stays compressed.
        path.write_bytes(gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 1, 1, 1)) + content.getvalue())
        with pytest.raises(DataError, match="1 x 1 x 1 = 1 bytes, but more follow"):
            read_idx(path, 3)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_a_giant_that_a_plain_header_promises_is_not_made_room_for(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3) + bytes(9))
    with pytest.raises(DataError, match="but 9 follow"):
        read_idx(path, 3)


def test_an_even_picture_may_compress_well(tmp_path):
    array = np.zeros((1000, 28, 28), np.uint8)
    write_idx(tmp_path / "images.gz", array)
    assert np.array_equal(read_idx(tmp_path / "images.gz", 3), array)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_pipe_a_device_and_a_folder_are_no_data_files(tmp_path, suffix):
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"device{suffix}").symlink_to("/dev/zero")
    (tmp_path / f"folder{suffix}").mkdir()
    for name in ("pipe", "device", "folder"):
        with pytest.raises(DataError, match=f"{name}.*is not a regular file"):
            read_idx(tmp_path / f"{name}{suffix}", 3)
