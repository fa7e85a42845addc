"""Small text sets for the tests of text."""

import numpy as np

from trainables.data.text.source import TextSource

WORDS = "amber basil cedar dahlia elder fennel garlic hazel indigo jasmine".split()


def random_source(num_samples=60, *, num_classes=3, seed=0, test_texts=None):
    """Texts of three to nine words; the word of a text's class comes first."""
    generator = np.random.default_rng(seed)
    labels = np.arange(num_samples, dtype=np.int64) % num_classes
    texts = [
        " ".join([WORDS[label], *generator.choice(WORDS, generator.integers(2, 9)), str(i)])
        for i, label in enumerate(labels)
    ]
    has_test = test_texts is not None
    return TextSource(
        name="random",
        note="random words",
        texts=texts,
        labels=labels,
        test_texts=test_texts,
        test_labels=np.arange(len(test_texts), dtype=np.int64) % num_classes if has_test else None,
        class_names=tuple(str(label) for label in range(num_classes)),
    )
