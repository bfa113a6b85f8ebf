"""Types Ctrl-C at a terminal in which `run` runs a command, and prints what the command saw.

usage: ctrl_c.py BINARY CONFIG
"""
import os
import pty
import sys

COMMAND = """
import signal, sys, time
seen = 0
def count(*_):
    global seen
    seen += 1
signal.signal(signal.SIGINT, count)
print('ready', flush=True)
while seen == 0:
    time.sleep(0.01)
# A second one, if there is one, was sent at the same moment.
time.sleep(0.3)
print('seen', seen, flush=True)
sys.exit(6)
"""

binary, config = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(binary, [binary, "run", "--config", config, "--", sys.executable, "-c", COMMAND])
said = b""
typed = False
while True:
    try:
        piece = os.read(terminal, 4096)
    except OSError:
        break
    if not piece:
        break
    said += piece
    if b"ready" in said and not typed:
        typed = True
        os.write(terminal, b"\x03")
_, status = os.waitpid(pid, 0)
print(said.decode(), "exit", os.waitstatus_to_exitcode(status))
