"""In a Python's place: hands its command line, environment and streams to the server that forks a process for them
(``fork_server.serve``), passes signals on to that process, and ends as it does.

It begins in a few milliseconds, so it imports what is built in alone. ``fork_client.ForkServer`` writes it beside the
server's door. Options that the server does not know are for the real Python; what is forked never buffers more than a
line, so that ``-u`` says nothing new.
"""

import _signal
import _socket
import marshal
import os
import sys

if sys.argv[1:2] == ["-u"]:
    del sys.argv[1]
if len(sys.argv) < 2 or (sys.argv[1][0] == "-" and sys.argv[1] not in ("-m", "-c")):
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
PASSED_ON = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM)
_signal.pthread_sigmask(_signal.SIG_BLOCK, PASSED_ON)
server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
server.connect(os.path.join(os.path.dirname(os.path.abspath(__file__)), "door"))  # noqa: PTH100, PTH118, PTH120
for number in PASSED_ON:
    _signal.signal(number, lambda number, frame: server.send(bytes([number])))
streams = b"".join(stream.to_bytes(4, sys.byteorder) for stream in range(3))
job = marshal.dumps((sys.argv, dict(os.environ), os.getcwd()))  # noqa: PTH109
server.sendmsg([len(job).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.sendall(job)
_signal.pthread_sigmask(_signal.SIG_UNBLOCK, PASSED_ON)
code = int.from_bytes(server.recv(4), "big", signed=True)
if code < 0:
    _signal.signal(-code, _signal.SIG_DFL) if -code != _signal.SIGKILL else None
    os.kill(os.getpid(), -code)
os._exit(code)
