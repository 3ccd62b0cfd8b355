"""The HTTP under the `hdfs` client: which NameNode said what, and answers that the client can't sort out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import requests

from sinks.history.errors import StorageDenied, StorageUnavailable

logger = logging.getLogger(__name__)

# With these the client goes on to the next NameNode: it is standby, or active and not ready yet.
PASSED_OVER = {"RetriableException", "StandbyException"}


class NameNodeSession:
    """What the client takes for a `requests.Session`: one for each thread, and notes of what NameNodes answer.

    The client goes on to the next NameNode where one can't be reached, is standby or is starting. It takes for granted
    that an error is WebHDFS's own JSON; any other answer (of a proxy, of a server that is starting, of a program that
    has the port now) is turned into one that can't be reached. One NameNode after another is the log's to tell, once.
    """

    def __init__(self, name_nodes: list[str]) -> None:
        self.params: dict[str, str] = {}  # of each request; the client sets the user here
        self._name_nodes = name_nodes
        self._answering: str | None = None  # the NameNode that takes the calls
        self._said: dict[str, str] = {}  # of those that were passed over since their last answer
        self._lock = threading.Lock()  # of these two
        self._local = threading.local()
        self._sessions: list[requests.Session] = []

    def begin_call(self) -> None:
        """Forget what NameNodes said to this thread: what goes wrong from here on has nothing to do with it."""
        self._local.passed_over = []

    def passed_over(self) -> str:
        """What each NameNode said that was passed over in this thread's call; empty where none was."""
        return "; ".join(self._local.passed_over)

    def request(self, method: str, url: str, **arguments: Any) -> requests.Response:
        """As `requests.Session.request`.

        Raises: requests.RequestException; StorageDenied where HDFS does not know the user, StorageUnavailable where a
        DataNode's answer is not WebHDFS's.
        """
        name_node = next((each for each in self._name_nodes if url.startswith(f"{each}/webhdfs/")), None)
        arguments["params"] = {**self.params, **(arguments.get("params") or {})}
        said_before = self._said.get(name_node or "")
        try:
            response = self._session().request(method, url, **arguments)
            error = _error_of(response)
        except requests.RequestException as unreachable:
            asked = unreachable.request.url if unreachable.request is not None else None
            self._pass_over(name_node, asked or url, _cause(unreachable))
            raise
        if response.status_code == requests.codes.unauthorized:
            raise StorageDenied(f"{response.url} asks for an authentication that this user has not")
        if not response.ok and error is None:
            said = f"answered {response.status_code} {response.reason}, not WebHDFS"
            self._pass_over(name_node, response.url, said)
            if name_node is None:
                raise StorageUnavailable(f"{response.url} {said}")
            raise requests.ConnectionError(f"{response.url} {said}")
        if error is not None and error["exception"] in PASSED_OVER:
            first_line = error["message"].partition("\n")[0]  # the rest is a Java stack trace
            self._pass_over(name_node, response.url, f"{error['exception']}: {first_line}")
        elif response.is_redirect:
            self.begin_call()  # a standby one sends uploads on, too: it is not the one that takes calls
        elif name_node is not None:
            self._note_answer(name_node, said_before)
        return response

    def close(self) -> None:
        """Close the connections of all threads."""
        for session in self._sessions:
            session.close()

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            self._sessions.append(session)
        return session

    def _pass_over(self, name_node: str | None, asked: str, said: str) -> None:
        """Note what was said at `asked`: by the NameNode itself, or where it sent us."""
        if name_node is not None:
            sent_to = "" if asked.startswith(f"{name_node}/") else f"{urlsplit(asked).netloc}: "
            self._local.passed_over.append(f"{name_node}: {sent_to}{said}")
            with self._lock:
                self._said[name_node] = f"{sent_to}{said}"

    def _note_answer(self, name_node: str, said_before: str | None) -> None:
        self.begin_call()
        with self._lock:
            if self._said.get(name_node) is not said_before:
                return  # to another thread, since this one asked: that is newer than this answer
            self._said.pop(name_node, None)
            # One that is slow to answer may do so after another one has taken over: that changes nothing.
            if name_node == self._answering or (self._answering and self._answering not in self._said):
                return
            self._answering = name_node
            others = "; ".join(f"{other}: {said}" for other, said in self._said.items())
        if others:
            logger.warning("HDFS: %s answers now, after %s", name_node, others)


def _error_of(response: requests.Response) -> dict[str, str] | None:
    """WebHDFS's own error, None where it is none. Reads no body that is not an error's."""
    if response.ok:
        return None
    try:
        error = response.json()["RemoteException"]
        return {"exception": str(error["exception"]), "message": str(error["message"])}
    except (ValueError, LookupError, TypeError):
        return None


def _cause(error: requests.RequestException) -> str:
    """The system's words rather than those of the libraries around it, which quote the whole request."""
    for each in _chain(error):
        if type(each).__module__.partition(".")[0] not in ("requests", "urllib3"):
            return str(each) or repr(each)
    return str(error)


def _chain(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
