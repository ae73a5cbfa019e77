"What every test shares."
import os, sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))   # tests import `notebooks` and each other's helpers by name
os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')
os.environ.setdefault('HF_HUB_OFFLINE', '1')     # a test never waits for a hub
