"""``python -m e2e.lab``"""

from e2e.lab.cli import app

app(prog_name="lab")
