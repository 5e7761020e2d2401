"""A minimal client of the Debug Adapter Protocol (https://microsoft.github.io/debug-adapter-protocol/specification).

debugpy reports each subprocess with the event `debugpyAttach`. The body of the event has the arguments of the `attach`
request for that subprocess.
"""

import json
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any


class Session:
    """A connection to the debug adapter for one process."""

    def __init__(self, port: int, arguments: dict[str, Any]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.stream = self.socket.makefile("rb")
        self.events: list[dict[str, Any]] = []
        self.responses: dict[int, dict[str, Any]] = {}
        self.sent = 0
        self.ask("initialize", {"adapterID": "test", "pathFormat": "path"})
        self.attached = self.send("attach", {"justMyCode": True, **arguments})
        self.event("initialized")

    def send(self, command: str, arguments: dict[str, Any]) -> int:
        self.sent += 1
        body = json.dumps({"seq": self.sent, "type": "request", "command": command, "arguments": arguments}).encode()
        self.socket.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        return self.sent

    def read(self) -> None:
        length = 0
        while header := self.stream.readline().strip():
            length = int(header.partition(b":")[2])
        message = json.loads(self.stream.read(length))
        if message["type"] == "event":
            self.events.append(message)
        elif message["type"] == "response":
            self.responses[message["request_seq"]] = message

    def response(self, number: int) -> dict[str, Any]:
        while number not in self.responses:
            self.read()
        response = self.responses[number]
        assert response["success"], response
        return response

    def ask(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return self.response(self.send(command, arguments))

    def event(self, name: str) -> dict[str, Any]:
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return dict(event.get("body", {}))
            self.read()

    def close(self) -> None:
        self.stream.close()
        self.socket.close()

    def break_at(self, path: str, line: int) -> None:
        answer = self.ask("setBreakpoints", {"source": {"path": path}, "breakpoints": [{"line": line}]})
        assert answer["body"]["breakpoints"][0]["verified"], answer
        self.ask("configurationDone", {})
        self.response(self.attached)


def stopped_at(port: int, mapping: dict[str, str], path: str, line: int, request: Callable[[], Any]) -> dict[str, Any]:
    """Set a breakpoint in Gunicorn and its worker, call `request`, and return the path and line where it stopped.

    Resumes the worker. Raises TimeoutError if the adapter does not answer within 30 s.
    """
    attach = {"pathMappings": [mapping]}
    with closing(Session(port, attach)) as master:
        master.break_at(path, line)
        child = {"subProcessId": master.event("debugpyAttach")["subProcessId"]}
        with closing(Session(port, attach | child)) as worker:
            worker.break_at(path, line)
            sender = threading.Thread(target=request)
            sender.start()
            thread = worker.event("stopped")["threadId"]
            frame = worker.ask("stackTrace", {"threadId": thread, "levels": 1})["body"]["stackFrames"][0]
            worker.ask("continue", {"threadId": thread})
            sender.join(30)
    return {"path": frame["source"]["path"], "line": frame["line"]}
