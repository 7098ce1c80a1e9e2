"""Write the environment file's JSON Schema to standard output: ``python -m medicarche.spec``."""

from __future__ import annotations

import json
import sys

from medicarche.spec.schema import json_schema

if __name__ == "__main__":
    sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
