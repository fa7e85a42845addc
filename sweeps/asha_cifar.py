"""Asynchronous successive halving (ASHA) over CIFAR ResNets, down to a Pareto front.

python sweeps/asha_cifar.py --help
"""

from sweeps.launch import main
from sweeps.spec import SweepSpec

if __name__ == "__main__":
    main(SweepSpec(name="asha_cifar", scheduler="asha"))
