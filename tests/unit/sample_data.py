"""Small data sets for the tests of training."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from trainables.data.dataset import ImageData, Part, Source
from trainables.data.splits import split_source


def random_part(num_samples, *, num_classes=3, shape=(1, 8, 8), seed=0):
    """Classes differ in brightness, so that there is something to learn."""
    generator = np.random.default_rng(seed)
    labels = np.arange(num_samples, dtype=np.int64) % num_classes
    noise = generator.integers(0, 100, size=(num_samples, *shape))
    images = noise + 50 * labels[:, None, None, None]
    return Part(images.astype(np.uint8), labels)


def random_data(num_samples=150, **options) -> ImageData:
    part = random_part(num_samples, **options)
    names = tuple(str(label) for label in range(int(part.labels.max()) + 1))
    return split_source(Source("random", part, None, names), seed=0)


def encode(pixels, format="PNG"):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format)
    return stream.getvalue()


def write_parquet(path, images, labels, *, column="img", label_column="label", is_struct=True):
    """Write encoded images; `labels` may hold anything that Arrow can store."""
    if is_struct:
        images = [{"bytes": image, "path": None} for image in images]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    else:
        kind = pa.binary()
    pq.write_table(pa.table({column: pa.array(images, kind), label_column: labels}), path)
    return path
