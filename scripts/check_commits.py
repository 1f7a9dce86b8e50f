"""Check the subjects of the commits since BASE: `area: imperative verb …`, at most 72 characters."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASE = "7fffcbc191d847d90078ae0d90b47858a4f36233"  # Only later commits are checked.
# The subjects of these commits are too long or not imperative, but the commits had been shared before this was noticed.
ACCEPTED = {"de0404b6", "bf467f0f", "5b3b4421", "22e925f1", "e9b51489"}
MAX_LENGTH = 72
FORM = re.compile(r"(?P<areas>[a-z0-9._/-]+(, [a-z0-9._/-]+)*): (?P<first>\S+)( .*)?")

# A subject that starts with one of these words is a statement or a fragment, and never an imperative.
NO_VERBS = set(
    """
    a an the this that these those it its they them their we our you your he she his her i my
    what who whom whose whoever whatever whichever which when where while why how whether if as
    nobody somebody everybody anybody nothing something everything anything none
    no not never only also now then there here more less most fewer all any each every some both
    one two three four five six seven eight nine ten first second last
    of in on at by for from to into with without between before after under over about than until since
    and or but so because is are was were be been has have had does did can could may might must shall
    should will would new old
    """.split()  # noqa: SIM905
)
# Imperatives that look like other forms of a verb.
VERBS = {
    *(
        "embed",
        "feed",
        "seed",
        "speed",
        "shed",
        "need",
        "heed",
        "weed",
        "breed",
        "bleed",
        "proceed",
    ),
    *("exceed", "succeed"),
    *("bring", "string", "ping", "ring", "swing", "sling", "wring", "fling", "cling"),
    *("alias", "bias", "focus", "canvas"),
}


def problem(subject: str) -> str:
    """Return the problem of a subject, or "" if there is none."""
    if len(subject) > MAX_LENGTH:
        return f"{len(subject)} characters, at most {MAX_LENGTH} are allowed"
    parts = FORM.fullmatch(subject)
    if not parts:
        return 'must read "area: imperative verb …"'
    first = parts["first"]
    if first != first.lower():
        return "must continue in lower case after the colon"
    word = re.split(r"[^a-z]", first)[0]
    if not word:
        return "must start with a verb after the colon"
    if is_no_imperative(word):
        return f'must start with a verb in the imperative, which "{first}" is not'
    return ""


def is_no_imperative(word: str) -> bool:
    """Return True if the word is on the list or has an ending that shows that it is not an imperative."""
    if word in VERBS:
        return False
    third_person = word.endswith("s") and not word.endswith("ss")
    return word in NO_VERBS or third_person or word.endswith(("ed", "ing"))


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def main() -> int:
    if git("merge-base", "--is-ancestor", BASE, "HEAD").returncode:
        print(
            f"note: commit subjects are not checked, because {BASE[:7]} is not in this clone's history"
        )
        return 0
    log = git("log", "--no-merges", "--abbrev=8", "--format=%h %s", f"{BASE}..HEAD")
    failed = 0
    for line in log.stdout.splitlines():
        commit, _, subject = line.partition(" ")
        wrong = problem(subject)
        if wrong and commit not in ACCEPTED:
            failed += 1
            print(f'{commit} "{subject}": {wrong}')
    return 1 if failed or log.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
