"""Write the acceptance report's JSON Schema to standard output: ``python -m medicarche.report``."""

from __future__ import annotations

import json
import sys

from medicarche.report.model import schema

if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n")
