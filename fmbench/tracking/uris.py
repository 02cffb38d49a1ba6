"""Which tracking server, and what belongs to a sqlite one."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fmbench.errors import TrackingError
from fmbench.tracking.credentials import masked, shown
from fmbench.tracking.required_packages import missing_package
from fmbench.tracking.server_errors import answer_in_short

VARIABLE = "MLFLOW_TRACKING_URI"
CHOICES = "sqlite:///FILE, http://HOST:PORT, or another that MLflow knows (postgresql://..., databricks)"
NEXT_FILE = (
    f"Name another with --tracking-uri or {VARIABLE}: {CHOICES}; without either, a sqlite file in the "
    "working folder is used. Or run with --no-tracking now, and `fmbench sync` later."
)
NEXT_STEP = f"Start it, or n{NEXT_FILE[1:]}"
"""What to do about a server; a file cannot be started."""

LONGEST_REASON = 600
"""Characters of what an error says: MLflow's own advice is up to 400 long, and stands at the end."""

LONGEST_URI = 200
NO_HOME = "Could not determine home directory"
"""What Python says where neither HOME nor the system names one, as in a container under a number that is no user's."""

_PREFIX = "sqlite:///"
_SYSTEM_ERROR = re.compile(r"\[Errno -?\d+\] (?:[\w -]|(?<=\w)'(?=\w))+|(Read|Connection) timed out|timed out")


def resolve_uri(uri: str | None, folder: Path) -> str:
    """Return the tracking URI: `uri`, else MLFLOW_TRACKING_URI, else `sqlite:///<folder>/mlflow.db`; sqlite's absolute.

    In a sqlite URI a character may be written as %XX, as MLflow reads it; % itself is %25 and ? is %3F. Raises
    TrackingError for a file store, which MLflow refuses, and for what is no URI.
    """
    found = uri or os.environ.get(VARIABLE) or sqlite_uri(folder.resolve() / "mlflow.db")
    scheme = _scheme(found)
    if scheme == "file" or ("://" not in found and not found.startswith("databricks")):
        raise TrackingError(
            f"a tracking URI must be {CHOICES}; found {_quoted(found)}, which MLflow would take for a folder of files. "
            f"Use {sqlite_uri(Path(found.removeprefix('file://')).resolve())[:LONGEST_URI]}.db, for example."
        )
    if scheme != "sqlite":
        return found.rstrip("/")
    name = found.removeprefix(_PREFIX)
    if name in {"", ":memory:"} or not found.startswith(_PREFIX) or "?" in found:
        raise TrackingError(
            "a sqlite URI must name a file, with %3F for a ? in its path, as in sqlite:///mlflow.db; "
            f"found {_quoted(found)}"
        )
    uri = sqlite_uri(_meant(name).resolve())
    _scheme(uri)  # the folder in which a relative name lies has a name, too
    return uri


def folder_of(location: str) -> Path:
    """Return the folder that a file URI names, as MLflow writes where artifacts are."""
    from urllib.request import url2pathname  # with it come HTTP and TLS, which a sqlite file has no use for

    return Path(url2pathname(urlsplit(location).path))


def _scheme(found: str) -> str:
    """Return a URI's scheme; raises TrackingError for what cannot be a URI."""
    try:
        if any(ord(character) < 32 for character in found):
            raise ValueError("it holds a control character")
        if any("\ud800" <= character <= "\udfff" for character in found):
            raise ValueError("it is not UTF-8, which MLflow asks for")
        return urlsplit(found).scheme
    except ValueError as error:
        raise TrackingError(
            f"the tracking URI {_quoted(found)} cannot be used: {masked(str(error), found)}. {NEXT_FILE}"
        ) from None


def _quoted(uri: str) -> str:
    text = shown(uri)
    return repr(text if len(text) <= LONGEST_URI else text[:LONGEST_URI] + "…")


def _meant(name: str) -> Path:
    """Return the file of a sqlite URI, decoded. A folder whose name holds % is easily pasted without coding it."""
    plain, file = Path(name), Path(unquote(name, errors="surrogateescape"))
    if plain != file and plain.parent.is_dir() and not file.parent.is_dir():
        raise TrackingError(
            f"in a sqlite URI, % begins a coded character, so that {_quoted(_PREFIX + name)} names a file in "
            f"{file.parent}, which is not there; for the folder {plain.parent} write {sqlite_uri(plain)}"
        )
    return file


def sqlite_uri(database: Path) -> str:
    """Return the URI of a sqlite file, which may have any name."""
    return _PREFIX + database.as_posix().replace("%", "%25").replace("?", "%3F")


def sqlite_file(uri: str) -> Path | None:
    """Return the database file of a sqlite URI as `resolve_uri` returns it, None for another."""
    return Path(unquote(uri.removeprefix(_PREFIX), errors="surrogateescape")) if uri.startswith(_PREFIX) else None


def artifact_root(database: Path) -> Path:
    """Return the folder of artifacts that goes with a sqlite database: beside it."""
    return database.with_name("mlartifacts")


def reason(error: BaseException, uri: str = "") -> str:
    """Return what an error says in a line, without the secrets of `uri`; of a chain of network errors, what the system
    said. Advice in several sentences stays whole, and what is too long ends after a sentence.
    """
    if isinstance(error, TrackingError):
        text = str(error).removesuffix(NEXT_STEP).removesuffix(NEXT_FILE)  # who shows the reason says what to do
    elif missing := missing_package(error):
        text = missing
    else:
        text = str(error)
        if answer := answer_in_short(text):
            return masked(answer, uri)
        if (inner := _SYSTEM_ERROR.search(text)) is not None:
            return inner[0]
        if NO_HOME in text:
            return "no home folder is known, which MLflow needs: set the variable HOME"
    paragraph = re.split(r"\n\s*\n|\n\[SQL:|\n\(Background on", text.strip())[0]
    return _shortened(masked(" ".join(paragraph.split()), uri)).rstrip(". ") or type(error).__name__


def _shortened(text: str) -> str:
    """Return whole sentences of a text, or whole words where the first sentence is too long."""
    if len(text) <= LONGEST_REASON:
        return text
    head = text[:LONGEST_REASON]
    end = max(head.rfind(". "), head.rfind("; "))
    return head[:end] if end > LONGEST_REASON // 2 else head.rpartition(" ")[0] + " …"
