"""``python -m qakit``, for launchers such as ``torchrun -m qakit train ...``."""

from qakit.cli import main

if __name__ == "__main__":
    main()
