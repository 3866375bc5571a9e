"""One user's desk: a file to submit, an environment, and ``qakit`` processes that talk to the stand-in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from environments import isolated
from kaggle_server import KaggleServer
from processes import Done, Processes, Running

ANSWERS = "id,answer\n" + "".join(f"q{number},answer {number % 4}\n" for number in range(8))
"""Half right: public 1.0, private 0.0."""

SUBMIT = ("submit", "submission.csv", "-c", "qa-cup", "-m", "first try", "--sample", "sample_submission.csv")


class Bench:
    """What the tests of the command line share."""

    def __init__(self, folder: Path, server: KaggleServer, processes: Processes, **variables: str) -> None:
        self.folder = folder / "desk"
        self.folder.mkdir()
        self.server, self.processes = server, processes
        self.env = isolated(
            folder / "home",
            QAKIT_KAGGLE_ENDPOINT=server.url,
            QAKIT_KAGGLE_TIMEOUT="30",
            QAKIT_KAGGLE_POLL="0.01",
            COLUMNS="1000",
            **variables,
        )
        self.write("submission.csv", ANSWERS)
        sample = server.state.competitions["qa-cup"].files["sample_submission.csv"]
        self.write("sample_submission.csv", sample.decode())

    def write(self, name: str, text: str) -> Path:
        """A file on the desk."""
        path = self.folder / name
        path.write_text(text, "utf-8")
        return path

    def run(self, *arguments: object, **death: Any) -> Done:
        """``qakit ARGUMENTS`` to its end, which must not be a traceback."""
        done = self.start(*arguments, **death).wait()
        assert "Traceback" not in done.text, done.text
        return done

    def start(self, *arguments: object, **death: Any) -> Running:
        """``qakit ARGUMENTS``, running."""
        return self.processes.start(*arguments, env=self.env, cwd=self.folder, **death)

    def submit(self, *more: object, **death: Any) -> Done:
        """Submit the file on the desk and wait for its score."""
        return self.run(*SUBMIT, *more, **death)

    def ledger(self) -> list[dict[str, Any]]:
        """The ledger's lines, all of them whole."""
        file = self.folder / "submissions" / "ledger.jsonl"
        if not file.exists():
            return []
        content = file.read_text("utf-8")
        assert content.endswith("\n"), "the last line is whole"
        return [json.loads(line) for line in content.splitlines()]

    def states(self) -> list[str]:
        """Each submission's last state, oldest first."""
        last = {line["submit_id"]: line["state"] for line in self.ledger()}
        return list(last.values())

    def created(self) -> list[str]:
        """The descriptions of Kaggle's submissions, oldest first."""
        return [one.description for one in self.server.state.submissions]

    def check_ledger(self) -> None:
        """The ledger says of every submission what Kaggle says: same number, same tags, same references."""
        last = {line["submit_id"]: line for line in self.ledger()}
        submitted = [line for line in last.values() if line["state"] in ("CREATED", "COMPLETE", "ERROR")]
        theirs = [(one.ref, one.description, one.sha256) for one in self.server.state.submissions]
        ours = [(line["ref"], f"{line['message']} [qk:{line['submit_id']}]", line["sha256"]) for line in submitted]
        assert sorted(ours) == sorted(theirs)
