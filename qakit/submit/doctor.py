"""Why can't I submit? Everything between this machine and a submission, looked at in order; secrets stay hidden."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from qakit.errors import SubmissionError
from qakit.submit.client import KaggleClient, connect, installed_version
from qakit.submit.credentials import HELP, find_credentials
from qakit.submit.faults import KaggleError
from qakit.submit.remote import Competition, rules_page
from qakit.submit.settings import ENDPOINT_VARIABLE, KaggleSettings

KNOWN_COMPETITION = "titanic"
"""Always there: asking for it shows that Kaggle answers and takes the credentials."""
PROXIES = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    verdict: str
    """``ok``, ``note`` (worth knowing) or ``bad`` (nothing can be submitted)."""
    detail: str


def examine(settings: KaggleSettings, slug: str | None) -> list[Check]:
    """All checks; the first bad one of the road to Kaggle ends it."""
    version = installed_version()
    if version is None:
        return [Check("client", "bad", "not installed: pip install 'qakit[kaggle]'")]
    checks = [Check("client", "ok", f"kaggle {version}"), *_surroundings(settings)]
    credentials = find_credentials()
    checks += [Check("credentials", "note", problem) for problem in credentials.problems]
    if credentials.used is None:
        return [*checks, Check("credentials", "bad", HELP)]
    used = credentials.used
    what = {"token": "an access token", "key": "user name and key", "login": "the log-in of `kaggle auth login`"}
    user = f", user {used.user}" if used.user else ""
    checks.append(Check("credentials", "ok", f"{what[used.way]} from {used.source}{user}"))
    try:
        client = connect(settings)
    except SubmissionError as problem:
        return [*checks, Check("log-in", "bad", str(problem))]
    return [*checks, *_at_kaggle(client, settings, slug)]


def _surroundings(settings: KaggleSettings) -> list[Check]:
    """Environment variables that change where requests go."""
    found = []
    if settings.endpoint is not None:
        found.append(Check("address", "note", f"{settings.endpoint} instead of Kaggle's own ({ENDPOINT_VARIABLE})"))
    if (value := os.environ.get("KAGGLE_API_ENVIRONMENT", "PROD")) != "PROD":
        found.append(Check("address", "note", f"KAGGLE_API_ENVIRONMENT is {value}: unset it"))
    if names := [name for name in PROXIES if os.environ.get(name)]:
        found.append(Check("proxy", "note", f"requests go through {', '.join(names)}"))
    return found


def _at_kaggle(client: KaggleClient, settings: KaggleSettings, slug: str | None) -> list[Check]:
    try:
        competition = client.competition(slug or KNOWN_COMPETITION)
    except KaggleError as problem:
        answered = (
            problem.fault.status is not None
            and problem.fault.status not in (401, 429)
            and not (problem.fault.temporary)
        )
        if not answered:
            return [Check("reachable", "bad", str(problem))]
        reached = [Check("reachable", "ok", f"{settings.address} takes the credentials")]
        return reached if slug is None else [*reached, Check("competition", "bad", str(problem))]
    checks = [Check("reachable", "ok", f"{settings.address} takes the credentials")]
    version, newest = installed_version(), client.newest_version
    if newest and newest != version:
        checks.append(Check("client", "note", f"Kaggle's server recommends kaggle {newest}; installed is {version}"))
    return checks if slug is None else [*checks, *_competition(client, competition)]


def _competition(client: KaggleClient, competition: Competition) -> list[Check]:
    slug = competition.slug
    metric = f", metric {competition.metric}" if competition.metric else ""
    checks = [Check("competition", "ok", f"{competition.title}{metric}")]
    if competition.entered:
        checks.append(Check("rules", "ok", "accepted"))
    else:
        checks.append(Check("rules", "bad", f"not accepted: {rules_page(slug)}"))
    if competition.code_only:
        checks.append(Check("kind", "note", "takes notebooks only: `qakit export RUN --kaggle FOLDER`"))
    if competition.closed:
        checks.append(Check("open", "bad", "takes no submissions any more"))
    if competition.deadline is not None:
        passed = competition.deadline < datetime.now(UTC)
        when = f"{competition.deadline:%Y-%m-%d %H:%M} UTC"
        checks.append(Check("deadline", "note" if passed else "ok", f"passed on {when}" if passed else when))
    try:
        limits = client.limits(slug)
    except KaggleError as problem:
        return [*checks, Check("quota", "note", f"not known: {problem}")]
    used = f"{limits.today} used today" + (f" of {competition.daily}" if competition.daily else "")
    none_left = limits.allowed_now <= 0 and bool(limits.today or limits.total)
    return [*checks, Check("quota", "bad" if none_left else "ok", f"{limits.allowed_now} left; {used}")]
