"""Random search over CIFAR ResNets, down to a Pareto front.

python sweeps/random_cifar.py --help
"""

from sweeps.launch import main
from sweeps.spec import SweepSpec

if __name__ == "__main__":
    main(SweepSpec(name="random_cifar", scheduler="fifo"))
