import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "studies"
sys.path.insert(0, str(FOLDER))  # studies are scripts that lie side by side, no package
