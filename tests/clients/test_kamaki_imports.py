import subprocess
import sys

OURS = ("native", "blockstore", "archipelago", "volumes", "compute_glue", "pithos_api")


def test_kamaki_loads_nothing_of_the_server():
    code = "import sys, clients.cli.main; print('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in run.stdout.split() if name.partition(".")[0] in OURS}
    assert loaded <= {"pithos_api", "pithos_api.wire"}
