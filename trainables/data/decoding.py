"""Encoded images to pixels, with a progress bar where it takes long."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from rich.console import Console
from rich.progress import Progress

from trainables.errors import InputError

_SILENT_S = 1.0  # decoding shows its progress only if it takes longer than this
_BLOCK_IMAGES = 256  # decoded per task of a thread
_THREADED_PX = 128 * 128  # below this, threads only wait for the interpreter's lock


class EncodedImage(NamedTuple):
    """An image file, or a row of a Parquet file.

    Attributes:
        path: of the file.
        row: of a Parquet file; None for an image file, which is read when it is decoded.
        content: of that row: encoded bytes; None if it has none.
    """

    path: Path
    row: int | None = None
    content: bytes | None = None

    def __str__(self) -> str:
        return str(self.path) if self.row is None else f"row {self.row} of {self.path}"

    def read(self) -> bytes:
        """Return the encoded bytes."""
        return self.path.read_bytes() if self.row is None else self.content or b""


def decode_images(
    images: Sequence[EncodedImage], shape: tuple[int, ...] | None = None
) -> NDArray[np.uint8]:
    """Decode images as RGB, without transparency; large ones in threads.

    Args:
        images: at least one, all of one size.
        shape: 3, height and width that each must have; by default those of the first.

    Returns:
        [num_images, 3, height, width], in memory with channels last.

    Raises:
        InputError: naming file and row, if an image is damaged, of another size, or of more than 8
            bits a channel.
    """
    if shape is None:
        height_px, width_px, _ = _decode(images[0], None).shape
    else:
        _, height_px, width_px = shape
    pixels = np.empty((len(images), height_px, width_px, 3), np.uint8)

    def decode_block(start: int) -> int:
        block = images[start : start + _BLOCK_IMAGES]
        for position, image in enumerate(block, start):
            pixels[position] = _decode(image, (width_px, height_px))
        return len(block)

    is_threaded = width_px * height_px >= _THREADED_PX
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8) if is_threaded else 1) as pool:
        block_sizes = pool.map(decode_block, range(0, len(images), _BLOCK_IMAGES))
        for _ in _with_progress(block_sizes, len(images)):
            pass
    return pixels.transpose(0, 3, 1, 2)


def _decode(encoded: EncodedImage, size_px: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Return [height, width, 3]; `size_px` is the width and height that it must have."""
    try:
        content = encoded.read()
        if not content:
            raise ValueError("no bytes")
        image = Image.open(io.BytesIO(content))
        _check_image(encoded, image, size_px)
        return np.asarray(image.convert("RGB"))
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # Pillow's own words for this name a place in memory.
        reason = "unknown format" if isinstance(error, UnidentifiedImageError) else error
        raise InputError(
            f"images must be files that Pillow can decode, got {encoded} ({reason}); "
            "remove or repair it"
        ) from error


def _check_image(
    encoded: EncodedImage, image: Image.Image, size_px: tuple[int, int] | None
) -> None:
    if size_px is not None and image.size != size_px:
        raise InputError(
            f"images must be all of one size ({size_px[0]}x{size_px[1]} px), got "
            f"{image.size[0]}x{image.size[1]} in {encoded}; resize them first"
        )
    if image.mode[0] in "IF":  # Pillow would cut their values off at 255
        raise InputError(
            f"images must be of 8 bits a channel, got Pillow's mode {image.mode} in {encoded}; "
            "convert them first"
        )


def _with_progress(block_sizes: Iterable[int], num_images: int) -> Iterator[int]:
    """Pass the sizes of decoded blocks on, with a progress bar once it takes long."""
    started_s = time.monotonic()
    num_done = 0
    with Progress(console=Console(stderr=True), transient=True, disable=True) as progress:
        task: Any = None
        for size in block_sizes:
            num_done += size
            if task is None and time.monotonic() - started_s > _SILENT_S:
                progress.disable = False
                progress.start()
                task = progress.add_task("decoding images", total=num_images)
            if task is not None:
                progress.update(task, completed=num_done)
            yield size
