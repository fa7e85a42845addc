"""Multi-objective population-based training of CIFAR ResNets, down to a Pareto front.

python sweeps/mopbt_cifar.py --help
"""

from sweeps.launch import main
from sweeps.spec import SweepSpec

if __name__ == "__main__":
    main(SweepSpec(name="mopbt_cifar", scheduler="mo_pbt"))
