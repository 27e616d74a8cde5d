"""Data sets of Hugging Face's hub: out of its cache on this machine, downloaded only when asked.

A data set is `hub` (the one of the workload), `hub:NAME`, or `hub:OWNER/NAME[@REVISION][/FILE]`. Of
a data set one file is taken, at one revision, and read as text; no code of the data set is run.

Sources of the revisions: the data sets' own repositories, November 2026.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from minionbench.errors import SetupError, UsageError
from minionbench.workloads.jsonl import LARGEST_BYTES, shown

PREFIX = "hub"
CARD = "README.md"
LARGEST_CARD_BYTES = 1_000_000
UNKNOWN_LICENCE = "unknown"
NEWEST = "main"
INSTALL = "pip install 'minionbench[hub]'"

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_LICENCE = re.compile(r"[A-Za-z0-9][\w.+-]{0,60}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PORTS = {"http": 80, "https": 443}
_HEADERS_OF_PATHS = ("x-repo-commit", "x-linked-etag", "etag")
"""What the hub says that its client makes names of files of."""
_PLAIN = re.compile(r'(?:W/)?"?[A-Za-z0-9][\w.+=:-]{0,200}"?', re.ASCII)


class HubFile(NamedTuple):
    """A file of a data set at a revision."""

    repository: str
    """`OWNER/NAME`."""
    revision: str
    """A commit, which names its content for ever, or a branch or tag, which does not."""
    file: str
    licence: str | None = None
    """As the data set's card has it; None where it is to be looked up there."""


class Fetched(NamedTuple):
    """A file that lies on this machine now."""

    path: Path
    origin: str
    """Repository, commit, file and licence, as a document has them."""


KNOWN = {
    "financebench": HubFile(
        "PatronusAI/financebench",
        "e04404e3a97f69f79c14d42f24981a1c9c3bcd18",
        "financebench_merged.jsonl",
        "cc-by-nc-4.0",
    ),
    "openassistant": HubFile(
        "OpenAssistant/oasst1",
        "fdf72ae0827c1cda404aff25b6603abec9e3399b",
        "2023-04-12_oasst_ready.trees.jsonl.gz",
        "apache-2.0",
    ),
    "math": HubFile(
        "EleutherAI/hendrycks_math",
        "21a5633873b6a120296cce3e2df9d5550074f4a3",
        "algebra/train-00000-of-00001.parquet",
        "mit",
    ),
    "gsm8k": HubFile(
        "openai/gsm8k",
        "740312add88f781978c0658806c59bc2815b9866",
        "main/test-00000-of-00001.parquet",
        "mit",
    ),
}
"""The data sets that need not be described, by the format that they have."""

OF_WORKLOAD = {"prefill": "financebench", "balanced": "openassistant", "decode": "math"}
"""The data set that stands behind each of the built-in workloads."""


def is_hub(dataset: str) -> bool:
    """Whether a data set is one of the hub's; a file called `hub` is `./hub`."""
    return dataset == PREFIX or dataset.startswith(f"{PREFIX}:")


def hub_file(dataset: str, workload: str) -> HubFile:
    """The file that `hub` or `hub:…` means for a workload.

    Raises:
        UsageError: the text has none of the forms, or names a data set without saying which file.
    """
    named = dataset.removeprefix(PREFIX).removeprefix(":").strip("/")
    if not named:
        known = OF_WORKLOAD.get(workload, workload)
        if known not in KNOWN:
            raise UsageError(
                f"No data set of the hub stands behind {workload}: name one, as in "
                "--dataset hub:OWNER/NAME/FILE"
            )
        return KNOWN[known]
    if named.lower() in KNOWN:
        return KNOWN[named.lower()]
    owner, _, rest = named.partition("/")
    front, _, file = rest.partition("/")
    name, at, revision = front.partition("@")
    parts = (owner, name, *([revision] if at else []), *(file.split("/") if file else []))
    if not all(_NAME.fullmatch(part) for part in parts):
        raise UsageError(
            f"{shown(dataset)} is no data set of the hub: it is one of "
            f"{', '.join(f'hub:{name}' for name in KNOWN)}, or hub:OWNER/NAME[@REVISION]/FILE"
        )
    repository = f"{owner}/{name}"
    same = next((k for k in KNOWN.values() if k.repository.lower() == repository.lower()), None)
    if same is not None:
        # The licence of another revision may be another.
        licence = same.licence if revision in ("", same.revision) else None
        return HubFile(same.repository, revision or same.revision, file or same.file, licence)
    if not file:
        raise UsageError(
            f"Which file of {repository} is meant? Name it, as in "
            f"hub:{repository}/data/train.jsonl; its page on the hub lists them"
        )
    return HubFile(repository, revision or NEWEST, file)


def fetch(
    wanted: HubFile, *, download: bool, say: Callable[[str], None] = lambda text: None
) -> Fetched:
    """The file out of the hub's cache, or from the hub where it may be downloaded.

    `say` is told before something is fetched. Nothing is asked of the network without `download`,
    and with it nothing where the cache has the very commit.

    Raises:
        UsageError: it is not in the cache and may not be downloaded, or is not on the hub.
        SetupError: huggingface_hub is not installed, or the hub cannot be reached.
    """
    hub = _Hub(download)
    path = hub.cached(wanted, wanted.file)
    pinned = _COMMIT.fullmatch(wanted.revision) is not None
    if download and (path is None or not pinned):
        say(f"fetching {wanted.repository}/{wanted.file} from {hub.endpoint}")
        path = hub.fetched(wanted, wanted.file)
    if path is None:
        raise UsageError(_not_here(wanted, hub.cache))
    commit = _commit_of(path, wanted.file)
    licence = wanted.licence
    if licence is None:
        # The card of the same commit, so that it is the licence of this very text.
        same = wanted._replace(revision=commit)
        card = hub.cached(same, CARD) or (hub.fetched(same, CARD, needed=False))
        licence = UNKNOWN_LICENCE if card is None else stated_licence(card)
    where = f"{PREFIX}:{wanted.repository}@{commit}/{wanted.file}"
    return Fetched(path, f"{where} licence:{licence}")


def stated_licence(card: Path) -> str:
    """The licence that a data set's card states in its heading; `unknown` where it does not."""
    try:
        with card.open("rb") as file:
            text = file.read(LARGEST_CARD_BYTES).decode("utf-8", "replace")
    except OSError:
        return UNKNOWN_LICENCE
    return next(_licences(text.splitlines()), UNKNOWN_LICENCE)


def _licences(lines: list[str]) -> Iterator[str]:
    """What stands after `license:` between the first two lines of `---`, on it or below it."""
    if not lines or lines[0].strip() != "---":
        return
    listed = False
    for line in lines[1:]:
        if line.strip() == "---":
            return
        field, colon, value = line.partition(":")
        if colon and not line[:1].isspace() and not line.startswith("-"):
            listed = field.strip() == "license"
            found = value.strip(" \t'\"[]")
        else:
            found = line.strip(" \t-'\"")
        if listed and _LICENCE.fullmatch(found):
            yield found


class _Hub:
    """Hugging Face's own client, its errors in our words."""

    def __init__(self, download: bool) -> None:
        # It would tell what it is used for, and ask who uses it.
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        try:
            import huggingface_hub.constants
            import huggingface_hub.errors
            import huggingface_hub.utils
        except ImportError:
            raise SetupError(
                f"Data sets of the hub are fetched by huggingface_hub: {INSTALL}; or bring a copy "
                "with --dataset PATH"
            ) from None
        self._client: Any = huggingface_hub
        constants: Any = huggingface_hub.constants
        self.cache = str(constants.HF_HUB_CACHE)
        scheme, mark, place = str(constants.ENDPOINT).partition("://")
        self.endpoint = scheme + mark + place.rpartition("@")[2]
        """Where the hub is, without a user name."""
        there = urlsplit(self.endpoint)
        self._origin = there.scheme, there.hostname, there.port or _PORTS.get(there.scheme)
        if download and constants.HF_HUB_OFFLINE:
            raise UsageError(
                "HF_HUB_OFFLINE is set, so nothing is downloaded: unset it, or leave out --download"
            )
        client_utilities: Any = huggingface_hub.utils
        client_utilities.disable_progress_bars()
        # Its warnings quote addresses; what ends in an error is told in our words.
        client_utilities.logging.set_verbosity_error()

    def cached(self, wanted: HubFile, file: str) -> Path | None:
        """The file in the cache; None where it is not there.

        Nobody is asked, which `hf_hub_download(local_files_only=True)` does not keep to.
        """
        found = self._client.try_to_load_from_cache(
            wanted.repository, file, revision=wanted.revision, repo_type="dataset"
        )
        return Path(found) if isinstance(found, str) else None

    def fetched(self, wanted: HubFile, file: str, *, needed: bool = True) -> Path | None:
        """The file, downloaded where the cache does not have it.

        None where it is not needed and not to be had.
        """
        errors = self._client.errors
        name = f"{wanted.repository} at {wanted.revision}"
        try:
            with self._watched(wanted):
                about = self._get(wanted, file, dry_run=True)
                if not needed and (about.file_size or 0) > LARGEST_CARD_BYTES:
                    return None
                if about.file_size is not None and about.file_size > LARGEST_BYTES:
                    raise UsageError(
                        f"{file} of {name} has {about.file_size:,} bytes; the largest data set "
                        f"that is read has {LARGEST_BYTES:,}"
                    )
                return Path(self._get(wanted, file))
        except errors.RevisionNotFoundError as error:
            problem: Exception = UsageError(
                f"{wanted.repository} has no revision {wanted.revision}"
            )
            cause: Exception = error
        except errors.GatedRepoError as error:
            problem = UsageError(
                f"{wanted.repository} is given to those only who accepted its conditions: do so on "
                f"its page ({self.endpoint}/datasets/{wanted.repository}), and set HF_TOKEN"
            )
            cause = error
        except errors.RepositoryNotFoundError as error:
            problem = UsageError(
                f"{self.endpoint} has no data set {wanted.repository} that is open to you; for a "
                "private one set HF_TOKEN"
            )
            cause = error
        except errors.EntryNotFoundError as error:
            if isinstance(error, errors.LocalEntryNotFoundError):
                problem = self._unreachable(wanted, error)
            else:
                problem = UsageError(f"{name} has no file {file}")
            cause = error
        except (errors.HTTPError, errors.XetDownloadError, OSError, ValueError) as error:
            # ValueError: headers that its client cannot make sense of.
            problem = self._unreachable(wanted, error)
            cause = error
        if not needed:
            return None
        raise problem from cause

    @contextmanager
    def _watched(self, wanted: HubFile) -> Iterator[None]:
        """While it lasts, the client shows its token to the hub alone, and no answer leads it to
        write outside of its cache or to fetch more than was announced."""

        def of_the_hub(url: Any) -> bool:
            return (url.scheme, url.host, url.port or _PORTS.get(url.scheme)) == self._origin

        def asks(request: Any) -> None:
            if not of_the_hub(request.url):
                request.headers.pop("authorization", None)

        def answers(response: Any) -> None:
            headers = response.headers
            if of_the_hub(response.request.url):
                for name in _HEADERS_OF_PATHS:
                    if name in headers and not _PLAIN.fullmatch(headers[name]):
                        raise self._odd(wanted, f"its {name} is no plain name")
            length = headers.get("content-length", "")
            sent = int(length) if length.isdecimal() else 0
            if response.request.method == "GET" and sent > LARGEST_BYTES:
                raise self._odd(wanted, f"it sends {sent:,} bytes")

        session = self._client.get_session()
        before = session.event_hooks
        session.event_hooks = {
            "request": [*before.get("request", ()), asks],
            "response": [*before.get("response", ()), answers],
        }
        try:
            yield
        finally:
            session.event_hooks = before

    def _get(self, wanted: HubFile, file: str, **how: Any) -> Any:
        return self._client.hf_hub_download(
            wanted.repository,
            file,
            repo_type="dataset",
            revision=wanted.revision,
            library_name="minionbench",
            **how,
        )

    def _odd(self, wanted: HubFile, why: str) -> SetupError:
        return SetupError(
            f"{wanted.repository} is not fetched from {self.endpoint}: {why}. Check HF_ENDPOINT, "
            "or bring a copy with --dataset PATH"
        )

    def _unreachable(self, wanted: HubFile, error: Exception) -> SetupError:
        # Its own words may quote a signed address; the kind of the error says enough.
        cause = error.__cause__ or error
        return SetupError(
            f"{wanted.repository} cannot be fetched from {self.endpoint} "
            f"({type(cause).__name__}): check the network and HTTPS_PROXY, or bring a copy with "
            "--dataset PATH"
        )


def _not_here(wanted: HubFile, cache: str) -> str:
    licence = "" if wanted.licence is None else f" Its licence is {wanted.licence}."
    return (
        f"{wanted.file} of {wanted.repository} at {wanted.revision} is not in this machine's cache "
        f"({cache}). With --download it is fetched from the hub.{licence} Or bring a copy with "
        "--dataset PATH"
    )


def _commit_of(path: Path, file: str) -> str:
    """The commit in a path of the cache, `…/snapshots/COMMIT/FILE`."""
    return path.parts[-1 - len(file.split("/"))]
