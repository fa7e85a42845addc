"""Population-based training of text classifiers, down to a Pareto front.

The default data are the docstrings of Python's standard library, labelled by chapter of the
library reference; they need no download.

python sweeps/pbt_text.py --help
"""

from sweeps.launch import main
from sweeps.spec import SweepSpec

if __name__ == "__main__":
    main(SweepSpec(name="pbt_text", scheduler="pbt", dataset="docstrings"))
