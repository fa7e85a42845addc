"""Multi-objective successive halving (MO-ASHA) over CIFAR ResNets, down to a Pareto front.

python sweeps/moasha_cifar.py --help
"""

from sweeps.launch import main
from sweeps.spec import SweepSpec

if __name__ == "__main__":
    main(SweepSpec(name="moasha_cifar", scheduler="mo_asha"))
